package engine

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestOnceOnly(t *testing.T) {
	r := newRig(t, Options{Limits: Limits{RecordBytes: 4000}})
	r.must("CREATE TABLE t(v)")
	p := r.program("INSERT INTO t VALUES(random()) RETURNING v")
	o := r.block(p, p)
	if OutcomeDigest(o[0]) != OutcomeDigest(o[1]) || o[0].Code != "" {
		t.Errorf("again in the same block: %v, %v", o[0], o[1])
	}
	r.close()
	r.open()
	if again := r.block(p)[0]; OutcomeDigest(again) != OutcomeDigest(o[0]) {
		t.Errorf("again after a restart: %v", again)
	}
	rec, err := r.db.Recorded(2)
	if err != nil || len(rec.Outcomes) != 2 || rec.Outcomes[1].ID != p.ID || OutcomeDigest(rec.Outcomes[1].Outcome) != OutcomeDigest(o[0]) {
		t.Errorf("on record: %v, %v", rec, err)
	}
	if rec.Outcomes[0].Again || !rec.Outcomes[1].Again {
		t.Errorf("on record: %v", rec)
	}
	if rec, err = r.db.Recorded(3); err != nil || rec.Digest != r.db.Digest() || OutcomeDigest(rec.Outcomes[0].Outcome) != OutcomeDigest(o[0]) {
		t.Errorf("on record: %v, %v", rec, err)
	}
	// A large outcome pushes the others out, and is there as long as its block is the newest.
	large := r.program("SELECT hex(zeroblob(5000))")
	r.block(large)
	if o := r.block(large, p); o[0].Code != "" || o[1].Code != codeNotKept {
		t.Errorf("got %s, %s", o[0].Code, o[1].Code)
	}
	newest, err := r.db.Recorded(r.db.Height())
	if err != nil || !newest.Outcomes[0].Again || !newest.Outcomes[1].Again || newest.Outcomes[0].Outcome != nil {
		t.Errorf("what came again: %v, %v", newest, err)
	}
	s := r.snapshot()
	defer s.Close()
	if o, h, err := s.Program(large.ID, large.Sent); err != nil || h != 4 || o.Code != codeNotKept {
		t.Errorf("the large one: %v of height %d, %v", o, h, err)
	}
	if _, _, err := s.Program([16]byte{1}, [32]byte{}); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("a program that never came: %v", err)
	}
	if o := r.block(large)[0]; o.Code != codeNotKept {
		t.Errorf("got %s", o.Code)
	}
	if got := show(r.query("SELECT count(*) FROM t")); got != "1" {
		t.Errorf("it was applied %s times", got)
	}
	// After ten minutes nobody may send it again, and it is forgotten.
	h := header(r.db.Height() + 1)
	h.TimeMs += keepFor.Milliseconds() + 10_000
	r.run(h, nil)
	if _, err := r.db.Recorded(2); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("got %v", err)
	}
	if rec, err := r.db.Recorded(h.Height); err != nil || len(rec.Outcomes) != 0 {
		t.Errorf("got %v, %v", rec, err)
	}
	for _, bad := range []Header{{Height: h.Height}, {Height: h.Height - 1}, {Height: 0}} {
		if _, err := r.db.Begin(bad); mesh.KindOf(err) != mesh.Conflict {
			t.Errorf("height %d: %v", bad.Height, err)
		}
	}
	if _, err := r.db.Begin(Header{Height: h.Height + 1, TimeMs: 1}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a block of the past: %v", err)
	}
}

func TestView(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t(v) VALUES('a')")
	before := r.content()
	p := r.program("INSERT INTO t(v) VALUES('b')", "CREATE TABLE u(x)", "SELECT v, random(), datetime('now') FROM t")
	p.View = &wirepb.View{TimeMs: genesisMs, Seed: make([]byte, 32)}
	seen, height, err := r.db.View(t.Context(), p)
	if err != nil || height != r.db.Height() || len(seen.Results) != 3 || !strings.HasPrefix(show(seen.Results[2]), "a ") || !strings.Contains(show(seen.Results[2]), "; b ") {
		t.Fatalf("got %v, %v", seen, err)
	}
	if r.content() != before {
		t.Error("a view left something behind")
	}
	endless := r.program("INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c")
	if o, _, err := r.db.View(t.Context(), endless); err != nil || o.Code != codeExhausted {
		t.Errorf("without an end: %v, %v", o, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o, _, err := r.db.View(ctx, p); !errors.Is(err, context.Canceled) && (o == nil || o.Code != codeCancelled) {
		t.Errorf("cancelled: %v, %v", o, err)
	}
	// A block that comes does not wait for its end.
	endless.GasLimit = maxGas
	unseen := make(chan error)
	go func() {
		_, _, err := r.db.View(t.Context(), endless)
		unseen <- err
	}()
	for len(r.db.turn) > 0 { // until it has the turn
		runtime.Gosched()
	}
	r.must("INSERT INTO t(v) VALUES('c')")
	r.must("DELETE FROM t WHERE v = 'c'")
	if err := <-unseen; mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("a view that a block came to: %v", err)
	}
	// It is committed when what its author saw is still so.
	for _, r := range seen.Results {
		sum := ResultDigest(r)
		p.View.Results = append(p.View.Results, sum[:])
	}
	late := *p
	late.ID = [16]byte{99}
	if o := r.block(p, &late); o[0].Code != "" || o[1].Code != codeSerialize {
		t.Errorf("got %v, %v", o[0], o[1])
	}
	if got := show(r.query("SELECT v FROM t")); got != "a; b" {
		t.Errorf("the table holds %s", got)
	}
}

func TestSnapshot(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t(v) VALUES('a')")
	s := r.snapshot()
	defer s.Close()
	want, err := s.Content(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r.must("INSERT INTO t(v) VALUES('b')", "ALTER TABLE t ADD COLUMN c"+fmt.Sprint(r.ids))
	}
	b, err := r.db.Begin(header(r.db.Height() + 1)) // and one under way
	if err != nil {
		t.Fatal(err)
	}
	defer b.Discard()
	if _, err := b.Run(r.program("DELETE FROM t")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Content(t.Context()); err != nil || got != want || s.Height() != 1 {
		t.Errorf("the snapshot changed: %v", err)
	}
	for _, c := range []struct{ sql, want, code string }{
		{"SELECT * FROM t", "1 a", ""},
		{"SELECT changes(), total_changes(), last_insert_rowid()", "0 0 0", ""},
		{"INSERT INTO t(v) VALUES(1)", "", codeReadOnly},
		{"CREATE TABLE x(y)", "", codeReadOnly},
		{"DELETE FROM t RETURNING id", "", codeReadOnly},
		{"SELECT * FROM _stratos_state", "", codeRefused},
		{"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c", "", codeExhausted},
		{"SELECT name, \"notnull\" FROM pragma_table_info('t')", "id 0; v 0", ""},
		{"SELECT value FROM json_each('[1,2]')", "1; 2", ""},
	} {
		o, err := s.Query(t.Context(), r.program(c.sql))
		if err != nil || o.Code != c.code || c.code == "" && show(o.Results[0]) != c.want {
			t.Errorf("%s: %v, %v", c.sql, o, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	endless := r.program("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c")
	endless.GasLimit = maxGas
	if o, err := s.Query(ctx, endless); err != nil || o.Code != codeCancelled {
		t.Errorf("after its time: %v, %v", o, err)
	}
}

// Gas is what a program needs, to the last unit, and does not depend on what ran before.
// Readers that are kept where they are see each block, and do not keep the file's log from being used again.
func TestReadersAreKept(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(v)")
	for i := range int64(40) {
		var open []*Snapshot
		for range 3 {
			s := r.snapshot()
			open = append(open, s)
			if o, err := s.Query(t.Context(), r.program("SELECT count(*) FROM t")); err != nil || o.Results[0].Rows[0].Values[0].GetInteger() != i {
				t.Fatalf("after %d rows: %v, %v", i, o, err)
			}
		}
		for _, s := range open {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if at := r.db.idle[0].pinned; at == nil || at.height != r.db.Height() {
			t.Fatalf("a reader is kept at %+v", at)
		}
		r.must("INSERT INTO t VALUES(randomblob(900000))")
	}
	for _, want := range []int{3, 1, 0} { // one of them is used between
		if err := r.db.CloseUnused(); err != nil || len(r.db.idle) != want {
			t.Fatalf("%d readers are kept, want %d; %v", len(r.db.idle), want, err)
		}
		if want == 3 {
			r.snapshot().Close()
		}
	}
	if log, err := os.Stat(r.path + "-wal"); err != nil || log.Size() > 8<<20 {
		t.Errorf("the log: %v, %v", log, err)
	}
}

func TestGas(t *testing.T) {
	r := newRig(t, Options{Limits: Limits{MinGas: 1}})
	r.must(ground...)
	for _, c := range []struct {
		name, sql string
		tier      int
	}{
		{"reading", "SELECT count(*) FROM big WHERE x % 3 = 1", 0},
		{"sorting", "SELECT x FROM big ORDER BY -x LIMIT 3", 0},
		{"writing", "UPDATE t SET v=v||'x'", 0},
		{"emptying", "DELETE FROM big", 0},
		{"dropping", "DROP TABLE big", 0},
		{"matching", "SELECT count(*) FROM big WHERE x LIKE '%9%9%'", 0},
		{"rows without an end of their own", "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 777) SELECT x FROM c", 0},
		{"a literal of 10 KiB", "INSERT INTO t(v) VALUES('" + strings.Repeat("l", 10<<10) + "')", 1},
		{"64 KiB", "SELECT length(hex(zeroblob(5000)))", 1},
		{"512 KiB", "SELECT length(hex(zeroblob(50000)))", 2},
		{"4 MiB", "SELECT length(hex(zeroblob(500000)))", 3},
	} {
		gas := func(limit uint64) *wirepb.Outcome {
			p := r.program(c.sql)
			p.GasLimit = limit
			p.View = &wirepb.View{TimeMs: 1, Seed: make([]byte, 32)}
			o, _, err := r.db.View(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		need := gas(1 << 30)
		if need.Code != "" {
			t.Fatalf("%s: %v", c.name, need)
		}
		for range 2 {
			if o := gas(need.Usage.Gas); o.Code != "" || o.Usage.Gas != need.Usage.Gas {
				t.Errorf("%s: with all of its %d: %v", c.name, need.Usage.Gas, o)
			}
			if o := gas(need.Usage.Gas - 1); o.Code != codeExhausted || o.Usage.Gas != need.Usage.Gas-1 {
				t.Errorf("%s: with one less than %d: %v", c.name, need.Usage.Gas, o)
			}
			r.close()
			r.open()
		}
		least := uint64(0)
		for i := 1; i <= c.tier; i++ {
			least += tiers[i].price
		}
		if need.Usage.Gas < least || c.tier == 0 && need.Usage.Gas > 60_000 {
			t.Errorf("%s: %d of gas", c.name, need.Usage.Gas)
		}
	}
}

// What a table's work costs grows with the table, also where SQLite does it in one step.
func TestNothingLargeIsOneStep(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE a(x)", "CREATE TABLE b(x)", "CREATE INDEX i ON b(x)", "INSERT INTO a VALUES(1)",
		"INSERT INTO b WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 5000) SELECT x FROM c")
	for _, sql := range []string{"SELECT count(*) FROM %s", "DELETE FROM %s", "DROP TABLE %s", "ALTER TABLE %s ADD COLUMN y CHECK(y IS NULL)", "CREATE INDEX j ON %s(x)", "INSERT INTO t SELECT * FROM %s"} {
		var gas [2]uint64
		for i, table := range []string{"a", "b"} {
			o, _, err := r.db.View(t.Context(), r.program("CREATE TABLE t(x)", fmt.Sprintf(sql, table)))
			if err != nil || o.Code != "" {
				t.Fatalf("%s: %v, %v", sql, o, err)
			}
			gas[i] = o.Usage.Gas
		}
		if gas[1] < gas[0]+5000 {
			t.Errorf("%s: %d of gas for one row, %d for 5000", sql, gas[0], gas[1])
		}
	}
}

func TestTimeIsTheBlocks(t *testing.T) {
	r := newRig(t, Options{})
	p := r.program("SELECT datetime('now'), date(), time('now'), unixepoch('now','subsec'), julianday('now') > 2460000, strftime('%s','now'), CURRENT_TIMESTAMP, CURRENT_DATE, CURRENT_TIME, timediff('now','2023-11-14'), datetime('now','+1 day','start of month'), datetime('2020-02-30 12:00','+1 month'), datetime('subsec')",
		"CREATE TABLE d(a DEFAULT CURRENT_TIMESTAMP, b DEFAULT (datetime('now')), c DEFAULT (unixepoch()))", "INSERT INTO d DEFAULT VALUES RETURNING *")
	h := header(1)
	h.TimeMs = 1_700_000_000_123
	o := r.run(h, []*Program{p})[0]
	if want := "2023-11-14 22:13:20 2023-11-14 22:13:20 1.700000000123e+09 1 1700000000 2023-11-14 22:13:20 2023-11-14 22:13:20 +0000-00-00 22:13:20.123 2023-11-01 00:00:00 2020-03-30 12:00:00 2023-11-14 22:13:20.123"; o.Code != "" || show(o.Results[0]) != want {
		t.Errorf("got %v %s", o.Code, show(o.Results[0]))
	}
	if want := "2023-11-14 22:13:20 2023-11-14 22:13:20 1700000000"; o.Code != "" || show(o.Results[2]) != want {
		t.Errorf("by default %s", show(o.Results[2]))
	}
}

func TestRandomIsChaCha20(t *testing.T) {
	r := newRig(t, Options{})
	p := r.program("SELECT random()", "SELECT randomblob(150), randomblob(1)")
	seed := sha256.Sum256([]byte("seed"))
	p.View = &wirepb.View{Seed: seed[:]}
	o := r.block(p)[0]
	stream := func(statement byte, n int) []byte { // the statement is the upper half of the counter
		c, err := chacha20.NewUnauthenticatedCipher(seed[:], append([]byte{statement}, make([]byte, 11)...))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		c.XORKeyStream(b, b)
		return b
	}
	first := int64(binary.LittleEndian.Uint64(stream(0, 8)))
	if first < 0 {
		first = -(first & (1<<63 - 1))
	}
	if got := show(o.Results[0]); got != fmt.Sprint(first) {
		t.Errorf("got %s, want %d", got, first)
	}
	b := stream(1, 151)
	if got, want := show(o.Results[1]), fmt.Sprintf("x'%x' x'%x'", b[:150], b[150:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The functions that replace SQLite's own say what those say.
func TestFunctionsAreSQLites(t *testing.T) {
	r := newRig(t, Options{})
	plain, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	chance := rand.New(rand.NewPCG(seedOf(t), 5))
	word := func(of string, n int) string {
		s, letters := "", []rune(of)
		for range chance.IntN(n) {
			s += string(letters[chance.IntN(len(letters))])
		}
		return "'" + s + "'"
	}
	var list []string
	for range 400 {
		a, p := word("aAbäÄ€.%", 12), word("aAbäÄ%_\\€", 7)
		list = append(list, a+" LIKE "+p, a+" LIKE "+p+" ESCAPE '\\'", a+" LIKE "+p+" ESCAPE '%'", a+" GLOB "+word("aAb*?[]^-ä", 8), "instr("+a+","+word("aAbä", 3)+")",
			"replace("+a+","+word("aAbä", 3)+","+word("xyz", 4)+")", "trim("+a+","+word("aAbä€", 4)+")", "ltrim("+a+","+word("aAä", 3)+")", "rtrim("+a+","+word("aAä", 3)+")")
	}
	list = append(list, "NULL LIKE 'a'", "'a' LIKE NULL", "12 LIKE '1%'", "x'6162' LIKE 'ab'", "instr(x'61c3a4',x'a4')", "instr('aä',x'a4')", "instr(NULL,'a')", "instr('a','')", "replace('aa','','x')", "replace(NULL,'a','b')", "replace('aa','a',NULL)",
		"replace(121,2,'zz')", "trim('  a ')", "trim(NULL)", "trim('a',NULL)", "trim('a','')", "ltrim('  a ')", "rtrim('  a ')", "(SELECT count(*) FROM (SELECT 1 x UNION ALL SELECT NULL))", "(SELECT count(x) FROM (SELECT 1 x UNION ALL SELECT NULL))", "(SELECT count(*) FROM (SELECT 1 WHERE 0))",
		"(SELECT group_concat(n) FROM (SELECT count(x) OVER (ORDER BY x ROWS 1 PRECEDING) n FROM (SELECT 1 x UNION ALL SELECT NULL UNION ALL SELECT 3)))", "(SELECT count(*) FILTER (WHERE x>1) FROM (SELECT 1 x UNION ALL SELECT 2))",
		"(SELECT json_group_array(x) FROM (SELECT 1 x UNION ALL SELECT NULL UNION ALL SELECT 2.5 UNION ALL SELECT 'a\"\\' || char(10,1,9,8,12,13,31,127) UNION ALL SELECT json('[1]')))", "(SELECT json_group_array(json(x)) FROM (SELECT '[1, 2]' x UNION ALL SELECT '{}'))",
		"(SELECT json_group_object(k, v) FROM (SELECT 'a' k, 1 v UNION ALL SELECT NULL, 2 UNION ALL SELECT 'b', NULL))", "(SELECT json_group_array(1) WHERE 0)", "(SELECT json_group_object('a',1) WHERE 0)", "json_array((SELECT json_group_array(1)))", "typeof(random())", "length(randomblob(-3))")
	for _, e := range list {
		q := "SELECT quote(" + e + ")"
		var want string
		if err := plain.QueryRow(q).Scan(&want); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if got := show(r.query(q)); got != want && (e != "NULL LIKE 'a'" || want != "NULL") {
			t.Errorf("%s is %s, want %s", e, got, want)
		}
	}
}

type product struct{ n int64 }

func (p *product) Step(c *Call, args []any) error { p.n *= args[0].(int64); return nil }
func (p *product) Final(*Call) (any, error)       { return p.n, nil }

func TestFunctionsInGo(t *testing.T) {
	r := newRig(t, Options{
		Functions: []Function{
			{Name: "kind", Arguments: -1, Scalar: func(_ *Call, args []any) (any, error) { return fmt.Sprintf("%T", args), nil }},
			{Name: "echo", Arguments: 1, Scalar: func(_ *Call, args []any) (any, error) { return args[0], nil }},
			{Name: "halve", Arguments: 1, Scalar: func(_ *Call, args []any) (any, error) {
				if args[0] == int64(0) {
					return nil, &Error{Code: "22012", Text: "division by zero"}
				}
				return 10 / args[0].(int64), nil
			}},
			{Name: "work", Arguments: 1, Scalar: func(c *Call, args []any) (any, error) { return c.Charge(uint64(args[0].(int64))), nil }},
			{Name: "product", Arguments: 1, Aggregate: func() Aggregate { return &product{1} }},
		},
		Collations: []Collation{{Name: "backwards", Compare: func(a, b string) int { return strings.Compare(b, a) }}},
	})
	for _, c := range []struct{ sql, want, code string }{
		{"SELECT echo(1), echo(1.5), echo('a'), echo(x'01'), echo(NULL), echo(''), echo(x'')", "1 1.5 a x'01' null  x''", ""},
		{"SELECT halve(2)", "5", ""},
		{"SELECT halve(0)", "", "22012"},
		{"SELECT halve('x')", "", codeInternal}, // panics
		{"SELECT work(1000000000)", "", codeExhausted},
		{"SELECT product(x) FROM (SELECT 2 x UNION ALL SELECT 3)", "6", ""},
		{"SELECT product(x) FROM (SELECT 2 x WHERE 0)", "1", ""},
		{"SELECT product(x) FROM (SELECT 'a' x)", "", codeInternal},
		{"SELECT x FROM (SELECT 'a' x UNION ALL SELECT 'b') ORDER BY x COLLATE backwards", "b; a", ""},
	} {
		o := r.block(r.program(c.sql))[0]
		if o.Code != c.code || c.code == "" && show(o.Results[0]) != c.want {
			t.Errorf("%s: %v", c.sql, o)
		}
	}
	// They may stand in what is kept.
	r.must("CREATE TABLE t(x CHECK(echo(x)>0), y AS (echo(x)+1))", "CREATE INDEX i ON t(echo(x))", "CREATE INDEX j ON t(x COLLATE backwards)", "INSERT INTO t VALUES(1)")
}

// What an application does to a schema over the years works, and a restart in between changes nothing.
func TestSchemaChanges(t *testing.T) {
	all := []string{"CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT, y)", "CREATE TABLE b(id INTEGER PRIMARY KEY AUTOINCREMENT, a_id REFERENCES a(id))", "CREATE INDEX i ON a(x)", "CREATE VIEW v AS SELECT x, y FROM a",
		"CREATE TRIGGER r AFTER INSERT ON a BEGIN INSERT INTO b(a_id) VALUES(new.id); END", "INSERT INTO a(x,y) VALUES('k',1),('l',2)", "ALTER TABLE a RENAME COLUMN x TO z", "ALTER TABLE a RENAME TO c", "INSERT INTO c(z) VALUES('m')",
		"ALTER TABLE c ADD COLUMN w INT NOT NULL DEFAULT 5 CHECK(w>0)", "SELECT * FROM v", "DROP VIEW v", "ALTER TABLE c DROP COLUMN y", "ALTER TABLE b RENAME TO d", "DROP TRIGGER r", "DROP INDEX i", "CREATE TABLE e AS SELECT * FROM c",
		"SELECT * FROM c", "SELECT * FROM d", "DROP TABLE d", "DROP TABLE c", "SELECT name, seq FROM sqlite_sequence"}
	one, each := newRig(t, Options{}), newRig(t, Options{})
	want := one.must(all...)
	for i, sql := range all {
		o := each.must(sql)
		if ResultDigest(o.Results[0]) != ResultDigest(want.Results[i]) {
			t.Errorf("%s: %s, in one program %s", sql, show(o.Results[0]), show(want.Results[i]))
		}
		each.close()
		each.open()
	}
	if got := show(want.Results[17]); got != "1 k 5; 2 l 5; 3 m 5" || one.tables() != each.tables() {
		t.Errorf("got %s", got)
	}
}

func TestOtherFiles(t *testing.T) {
	for _, c := range []struct {
		name, sql string
		kind      mesh.Kind
	}{
		{"of a later version", "PRAGMA user_version=2", mesh.Invalid},
		{"of another program", "PRAGMA application_id=7", mesh.Corrupt},
		{"without a state", "DELETE FROM _stratos_state", mesh.Corrupt},
		{"with another outcome", "UPDATE _stratos_outcome SET outcome=x'0a03303030'", 0},
		{"with an odd state", "UPDATE _stratos_state SET digest=x'00'", mesh.Corrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.must("CREATE TABLE t(x)")
			r.close()
			plain, err := sql.Open("sqlite3", r.path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = plain.Exec(c.sql)
			if err := errors.Join(err, plain.Close()); err != nil {
				t.Fatal(err)
			}
			if c.kind == 0 { // it opens, and is found out when it is asked
				r.open()
				if _, err := r.db.Recorded(1); mesh.KindOf(err) != mesh.Corrupt {
					t.Errorf("got %v", err)
				}
				return
			}
			if _, err := Open(r.path, Options{}); mesh.KindOf(err) != c.kind {
				t.Errorf("got %v", err)
			}
		})
	}
	path := filepath.Join(folder(t), "c.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); mesh.KindOf(err) != mesh.Corrupt {
		t.Errorf("got %v", err)
	}
}

// Whoever goes away in the middle of a question does the database no harm, whatever it was about to read.
func TestInterrupted(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(v)", "INSERT INTO t WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 1000) SELECT x FROM c")
	for i := range 200 {
		r.must(fmt.Sprintf("CREATE TABLE t%d(a, b, c)", i))
	}
	p := r.program("SELECT sum(a.v) FROM t a, t b")
	p.GasLimit = maxGas
	for i := range 150 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
		var err error
		if i%3 == 0 {
			_, _, err = r.db.View(ctx, p)
		} else {
			s := r.snapshot()
			s.conn.flush() // so that it reads the schema
			if i%3 == 1 {
				_, err = s.Query(ctx, p)
			} else {
				_, err = s.Content(ctx)
			}
			s.Close()
		}
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %d: %v", i, err)
		}
		if err := r.db.Err(); err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
	}
}

// A statement has the same random numbers by itself and within its transaction.
func TestRandomOfStatements(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(v)")
	p := r.program("SELECT random()", "SELECT random(), random()")
	p.View = &wirepb.View{TimeMs: genesisMs, Seed: make([]byte, 32)}
	both, _, err := r.db.View(t.Context(), p)
	if err != nil || show(both.Results[0]) == strings.Fields(show(both.Results[1]))[0] {
		t.Fatalf("got %v, %v", both, err)
	}
	p.Statements, p.View.First = p.Statements[1:], 1
	s := r.snapshot()
	defer s.Close()
	alone, err := s.Query(t.Context(), p)
	if err != nil || ResultDigest(alone.Results[0]) != ResultDigest(both.Results[1]) {
		t.Errorf("by itself %v, in its transaction %v, %v", alone, both, err)
	}
}

// A foreign key that is checked at the end is not checked at the end of a part of the transaction.
func TestDeferredInParts(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE parent(id INTEGER PRIMARY KEY)", "CREATE TABLE child(p INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
	p := r.program("INSERT INTO child VALUES(1)")
	if o, _, err := r.db.View(t.Context(), p); err != nil || o.Code != "" {
		t.Errorf("a part: %v, %v", o, err)
	}
	if o := r.block(p)[0]; o.Code != codeForeignKey {
		t.Errorf("as a whole: %v", o)
	}
	r.must("INSERT INTO child VALUES(1)", "INSERT INTO parent VALUES(1)")
}
