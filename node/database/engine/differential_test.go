package engine

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// An author writes programs at random: schema changes, all kinds of reading and writing, mistakes, values at the edges of
// the tiers, work without an end.
type author struct {
	*rand.Rand
	tables  []string
	ids     uint64
	sent    []*Program
	objects int
}

func (a *author) pick(of ...string) string { return of[a.IntN(len(of))] }

func (a *author) table() string {
	if len(a.tables) == 0 || a.IntN(150) == 0 {
		return "nowhere"
	}
	return a.tables[a.IntN(len(a.tables))]
}

func (a *author) value() string {
	edge := tiers[a.IntN(2)].bytes + a.IntN(200) - 150
	return a.pick("1", "NULL", "-7", "0.1", "1e300*1e10", "'a'", "x'00ff'", "random()", "random()%100", "abs(random()%9)", "hex(randomblob(4))", "datetime('now')", "julianday()", "'Ä'||char(8364)",
		"last_insert_rowid()", "changes()", "total_changes()", "CURRENT_TIMESTAMP", "unixepoch('now','subsec')", "strftime('%Y-%m-%d','now','+1 month')",
		fmt.Sprintf("zeroblob(%d)", edge), fmt.Sprintf("hex(zeroblob(%d))", edge/2), "9223372036854775806", "9223372036854775807", "(SELECT count(*) FROM "+a.table()+")", "printf('%08.3f', 3.14159)", "json_array(1,'x',2.5)")
}

func (a *author) condition() string {
	return a.pick("1", "0", "a IS NOT NULL", "a > b", "a LIKE '%1%'", "b GLOB '*[0-9]*'", "id % 3 = 0", "id IN (SELECT id FROM "+a.table()+" LIMIT 5)", "length(b) > 3", "typeof(a)='text'", "c = 5", "EXISTS (SELECT 1 FROM "+a.table()+" x WHERE x.a = a)")
}

func (a *author) schema() string {
	n := a.objects
	a.objects++
	t := a.table()
	switch k := a.IntN(14); {
	case k < 5 || len(a.tables) < 3:
		name := fmt.Sprintf("t%d", n)
		a.tables = append(a.tables, name)
		columns := a.pick("id INTEGER PRIMARY KEY, a, b, c", "id INTEGER PRIMARY KEY AUTOINCREMENT, a, b DEFAULT (random()), c DEFAULT CURRENT_TIMESTAMP", "id INTEGER PRIMARY KEY, a UNIQUE, b TEXT, c REAL CHECK(c IS NULL OR typeof(c)='real')",
			"id INTEGER PRIMARY KEY, a INT, b AS (a||'x') STORED, c AS (length(a))", "id INTEGER PRIMARY KEY, a, b, c REFERENCES "+t+"(id) ON DELETE CASCADE", "id INTEGER PRIMARY KEY, a, b, c REFERENCES "+t+"(id) DEFERRABLE INITIALLY DEFERRED")
		return "CREATE TABLE " + name + "(" + columns + ")" + a.pick("", "", " STRICT")
	case k == 5:
		name := fmt.Sprintf("t%d", n)
		a.tables = append(a.tables, name)
		return "CREATE TABLE " + name + "(id INTEGER, a TEXT NOT NULL DEFAULT 'k', b, c, PRIMARY KEY(a, id)) WITHOUT ROWID"
	case k < 8:
		return fmt.Sprintf("CREATE %s INDEX i%d ON %s(%s) %s", a.pick("", "UNIQUE"), n, t, a.pick("a", "b, a", "a DESC", "length(b)", "c COLLATE NOCASE", "date(a)"), a.pick("", "", "WHERE a IS NOT NULL"))
	case k == 8:
		a.tables = slices.DeleteFunc(a.tables, func(x string) bool { return x == t })
		return "DROP TABLE " + t
	case k == 9:
		return fmt.Sprintf("CREATE VIEW v%d AS SELECT a, count(*) AS n, max(b) FROM %s GROUP BY a", n, t)
	case k == 10:
		return fmt.Sprintf("CREATE TRIGGER r%d %s %s ON %s BEGIN INSERT INTO %s(a,b) VALUES(changes(), last_insert_rowid()); UPDATE %s SET c=random() WHERE id=1; END", n, a.pick("AFTER", "BEFORE"), a.pick("INSERT", "UPDATE", "DELETE"), t, a.table(), a.table())
	case k == 11:
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN x%d %s", t, n, a.pick("", "DEFAULT 7", "CHECK(x"+fmt.Sprint(n)+" IS NULL OR 1)"))
	case k == 12:
		return "ALTER TABLE " + t + " DROP COLUMN " + a.pick("c", "b", "x1")
	default:
		name := fmt.Sprintf("t%d", n)
		a.tables = append(slices.DeleteFunc(a.tables, func(x string) bool { return x == t }), name)
		return "ALTER TABLE " + t + " RENAME TO " + name
	}
}

func (a *author) statement() *wirepb.Statement {
	t := a.table()
	switch a.IntN(23) {
	case 22: // a literal, which SQLite measures when it is used first
		return statement1("INSERT INTO " + t + "(a) VALUES('" + strings.Repeat("l", tiers[0].bytes+a.IntN(100)) + "')")
	case 0, 1:
		return statement1(a.schema())
	case 2, 3, 4, 5:
		rows := make([]string, 1+a.IntN(6))
		for i := range rows {
			rows[i] = "(" + a.value() + "," + a.value() + ")"
		}
		return statement1(a.pick("INSERT", "INSERT", "REPLACE", "INSERT OR IGNORE", "INSERT OR FAIL") + " INTO " + t + "(a,b) VALUES" + strings.Join(rows, ",") + a.pick("", "", " RETURNING *", " ON CONFLICT DO NOTHING", " ON CONFLICT DO UPDATE SET c=1"))
	case 6:
		n := tiers[a.IntN(3)].bytes + a.IntN(20) - 10
		return statement1("INSERT INTO "+t+"(a,b) VALUES(?,?)", text(strings.Repeat("v", n)), blob(make([]byte, n/2)))
	case 7:
		return statement1(fmt.Sprintf("INSERT INTO %s(a,b) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT %d) SELECT x, %s FROM n", t, 1+a.IntN(300), a.value()))
	case 8:
		return statement1("INSERT INTO " + t + "(a,b) SELECT a,b FROM " + a.table() + " WHERE " + a.condition() + " LIMIT 50")
	case 9, 10:
		return statement1("UPDATE " + t + " SET " + a.pick("a", "b", "c", "id") + "=" + a.value() + " WHERE " + a.condition() + a.pick("", " LIMIT 3", " RETURNING id"))
	case 11:
		return statement1("UPDATE " + t + " SET a=y.b FROM " + a.table() + " y WHERE y.id=" + t + ".id")
	case 12:
		return statement1("DELETE FROM " + t + a.pick("", " WHERE "+a.condition(), " WHERE "+a.condition(), " WHERE id<10 ORDER BY id DESC LIMIT 4"))
	case 13:
		return statement1("SELECT * FROM " + t + " WHERE " + a.condition())
	case 14:
		return statement1("SELECT x.id, y.a, count(*) FROM " + t + " x JOIN " + a.table() + " y ON x.a=y.a GROUP BY y.b LIMIT 40")
	case 15:
		return statement1("SELECT a, row_number() OVER (ORDER BY b), sum(id) OVER (PARTITION BY typeof(a) ORDER BY id ROWS 3 PRECEDING) FROM " + t + " LIMIT 60")
	case 16:
		return statement1("SELECT typeof(a), avg(id), total(a), group_concat(typeof(b)), json_group_array(id), count(DISTINCT a) FROM " + t + " GROUP BY 1 HAVING count(*)>0")
	case 17:
		return statement1("SELECT a FROM " + t + " ORDER BY " + a.pick("typeof(a)", "length(b)", "random()", "c, a") + " LIMIT 30")
	case 18:
		return statement1("SELECT changes(), total_changes(), last_insert_rowid(), random(), datetime('now'), (SELECT count(*) FROM pragma_table_info('" + t + "'))")
	case 19: // without an end, or nearly
		return statement1(a.pick("SELECT count(*) FROM "+t+" a, "+t+" b, "+t+" c, "+t+" d", "INSERT INTO "+t+"(a) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT x FROM n"))
	case 20:
		return statement1("SELECT name, sql, rootpage FROM sqlite_schema WHERE name NOT LIKE '\\_str%' ESCAPE '\\'")
	default:
		return statement1(a.pick("SELECT nothing", "INSERT INTO "+t+" VALUES(1)", "SELECT * FROM "+t+" a, "+t+" a", "SELECT json('{')", "COMMIT", "SELECT hex(zeroblob(3000000))", "SELECT sum(9223372036854775807) FROM "+t))
	}
}

func (a *author) program() *Program {
	if len(a.sent) > 0 && a.IntN(12) == 0 {
		return a.sent[a.IntN(len(a.sent))] // again
	}
	a.ids++
	p := &Program{GasLimit: 20_000 + uint64(a.IntN(4))*120_000}
	p.ID[0], p.ID[1], p.ID[2] = byte(a.ids>>16), byte(a.ids>>8), byte(a.ids)
	if len(a.sent) > 0 && a.IntN(6) == 0 { // the same words once more: they may be compiled already
		p.Statements = a.sent[a.IntN(len(a.sent))].Statements
		a.sent = append(a.sent, p)
		return p
	}
	for range 1 + a.IntN(3) {
		p.Statements = append(p.Statements, a.statement())
	}
	if a.IntN(10) == 0 {
		p.View = &wirepb.View{TimeMs: genesisMs + int64(a.IntN(1000)), Seed: bytes.Repeat([]byte{byte(a.ids)}, 32)}
		if a.IntN(2) == 0 {
			p.View.Results = [][]byte{make([]byte, 32)} // that nobody saw
		}
	}
	a.sent = append(a.sent, p)
	return p
}

func TestSameOnEveryReplica(t *testing.T) {
	const blocks = 40
	seed := seedOf(t)
	a := &author{Rand: rand.New(rand.NewPCG(seed, 1))}
	chance := rand.New(rand.NewPCG(seed, 2)) // of what must not matter
	limits := Limits{RecordBytes: 2 << 20, Rows: 2_000, ResultBytes: 1 << 20}
	rigs := []*rig{
		newRig(t, Options{Limits: limits}),
		newRig(t, Options{Limits: limits, CacheBytes: 64 << 10, Statements: -1}),
		newRig(t, Options{Limits: limits, MapBytes: 64 << 20, Statements: 3}),
	}
	codes := map[string]int{}
	for height := uint64(1); height <= blocks; height++ {
		var programs []*Program
		if height == 1 {
			a.tables = []string{"t", "u", "w"}
			programs = append(programs, (&rig{ids: 1 << 40}).program("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c)", "CREATE TABLE u(id INTEGER PRIMARY KEY AUTOINCREMENT, a, b, c DEFAULT (random()))",
				"CREATE TABLE w(id INTEGER, a NOT NULL DEFAULT (datetime('now')), b, c, PRIMARY KEY(a, id)) WITHOUT ROWID"))
		}
		for range 3 + a.IntN(12) {
			programs = append(programs, a.program())
		}
		if height%13 == 0 { // time passes, and what is on record is forgotten
			a.sent = nil
		}
		var want []*wirepb.Outcome
		for i, r := range rigs {
			runtime.GOMAXPROCS(1 + chance.IntN(3))
			if i == 1 && chance.IntN(3) == 0 {
				r.close()
				r.open()
			}
			if i > 0 && chance.IntN(4) == 0 {
				r.disturb(chance, programs)
			}
			h := header(height)
			h.TimeMs += int64(height/13) * keepFor.Milliseconds()
			got := r.run(h, programs)
			if i == 0 {
				want = got
				for _, o := range got {
					codes[o.Code]++
				}
				continue
			}
			for j := range got {
				if !bytes.Equal(wire.Encode(got[j]), wire.Encode(want[j])) {
					t.Fatalf("block %d, program %d %v on replica %d:\n%v %v\nwant\n%v %v", height, j, programs[j].Statements, i, got[j].Usage, brief(got[j]), want[j].Usage, brief(want[j]))
				}
			}
			if r.db.Digest() != rigs[0].db.Digest() {
				t.Fatalf("block %d: replica %d has another digest", height, i)
			}
		}
		a.tables = nil
		for _, row := range rigs[0].query("SELECT name FROM sqlite_schema WHERE type='table' AND name NOT GLOB '_stratos*' AND name NOT GLOB 'sqlite*'").Rows {
			a.tables = append(a.tables, row.Values[0].GetText())
		}
		if height%5 == 0 {
			same(t, rigs)
		}
		if height == blocks/2 {
			rigs = append(rigs, rigs[1].join(rigs[0], Options{Limits: limits, Statements: 7}))
		}
	}
	same(t, rigs)
	t.Logf("outcomes by code: %v", codes)
	if codes[""] < blocks || len(codes) < 6 {
		t.Errorf("too few programs went well, or too few failed: %v", codes)
	}
	runtime.GOMAXPROCS(runtime.NumCPU())
}

func brief(o *wirepb.Outcome) string {
	s := fmt.Sprint(o)
	return s[:min(len(s), 1500)]
}

func (r *rig) run(h Header, programs []*Program) []*wirepb.Outcome {
	r.t.Helper()
	b, err := r.db.Begin(h)
	if err != nil {
		r.t.Fatal(err)
	}
	defer b.Discard() // after a failure: nobody else would end it
	var all []*wirepb.Outcome
	for _, p := range programs {
		o, err := b.Run(p)
		if err != nil {
			r.t.Fatalf("%v: %v", p.Statements, err)
		}
		all = append(all, o)
	}
	if err := b.Commit(); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// disturb does what must not change anything: a block that is discarded, a view, questions.
func (r *rig) disturb(chance *rand.Rand, programs []*Program) {
	r.t.Helper()
	b, err := r.db.Begin(header(r.db.Height() + 1000))
	if err == nil { // else its time is before
		for _, p := range programs[:chance.IntN(len(programs))] {
			if _, err := b.Run(p); err != nil {
				r.t.Fatal(err)
			}
		}
		if err := b.Discard(); err != nil {
			r.t.Fatal(err)
		}
	}
	s := r.snapshot()
	defer s.Close()
	for _, p := range programs[:chance.IntN(len(programs))] {
		if _, _, err := r.db.View(context.Background(), p); err != nil {
			r.t.Fatal(err)
		}
		if _, err := s.Query(context.Background(), p); err != nil {
			r.t.Fatal(err)
		}
	}
}

// join makes a replica of an export, next to another.
func (r *rig) join(from *rig, opts Options) *rig {
	r.t.Helper()
	s := from.snapshot()
	defer s.Close()
	sum, err := s.Content(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(context.Background(), &b); err != nil {
		r.t.Fatal(err)
	}
	n := &rig{t: r.t, path: filepath.Join(filepath.Dir(r.path), "joined.db"), opts: opts}
	if err := Import(context.Background(), n.path, &b, Mark{s.Height(), s.Digest(), sum}, opts); err != nil {
		r.t.Fatal(err)
	}
	n.open()
	r.t.Cleanup(n.close)
	return n
}

// same compares contents, and answers to questions.
func same(t *testing.T, rigs []*rig) {
	t.Helper()
	for i, r := range rigs[1:] {
		if r.content() != rigs[0].content() {
			t.Fatalf("replica %d has another content at height %d", i+1, r.db.Height())
		}
		s := r.snapshot()
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	list := rigs[0].query("SELECT name FROM sqlite_schema WHERE type='table' AND name NOT GLOB '_stratos*'")
	for _, row := range list.Rows {
		p := &Program{GasLimit: 1 << 20, Statements: []*wirepb.Statement{statement1("SELECT random(), datetime('now'), * FROM " + row.Values[0].GetText())}}
		var want []byte
		for _, r := range rigs {
			s := r.snapshot()
			o, err := s.Query(t.Context(), p)
			s.Close()
			if err != nil {
				t.Fatal(err)
			}
			if e := wire.Encode(o); want == nil {
				want = e
			} else if !bytes.Equal(e, want) {
				t.Fatalf("another answer to %v", p.Statements)
			}
		}
	}
}
