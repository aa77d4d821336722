package engine

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What must be refused, or end when its gas does, and leave nothing behind. Each case is one program; the codes are those
// of which it may have one.
var hostile = []struct {
	name  string
	sql   []string
	codes string
}{
	{"long names, repeated by a star", []string{"SELECT " + strings.Repeat("*,", 998) + "* FROM (SELECT 1 AS \"" + strings.Repeat("n", 200_000) + "\")"}, codeTooBig},
	{"a million values of a byte", []string{"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 1100) SELECT NULL" + strings.Repeat(",NULL", 998) + " FROM c"}, codeTooBig},
	{"replacing each letter", []string{"WITH RECURSIVE c(x, s) AS (SELECT 1, '" + strings.Repeat("x", 8000) + "' UNION ALL SELECT x+1, replace(s, 'x', 'x') FROM c) SELECT count(*) FROM c"}, codeExhausted},
	{"endless recursion", []string{"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c"}, codeExhausted},
	{"endless recursion that writes", []string{"INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c"}, codeExhausted},
	{"endless recursion without rows", []string{"INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c WHERE x<0"}, codeExhausted},
	{"recursion that grows", []string{"WITH RECURSIVE c(x) AS (SELECT 'a' UNION ALL SELECT x||x FROM c) SELECT max(length(x)) FROM c"}, "54000 53400"},
	{"cross join", []string{"SELECT count(*) FROM big a, big b, big c, big d"}, codeExhausted},
	{"cross join that updates", []string{"UPDATE t SET v=(SELECT count(*) FROM big a, big b, big c WHERE a.x+b.x+c.x<>t.id)"}, codeExhausted},
	{"zeroblob", []string{"SELECT length(zeroblob(1000000000))"}, codeTooBig},
	{"randomblob", []string{"SELECT length(randomblob(1000000000))"}, codeTooBig},
	{"hex of zeroblob", []string{"SELECT hex(zeroblob(3000000))"}, codeTooBig},
	{"printf width", []string{"SELECT printf('%*d', 1000000000, 1)"}, codeTooBig},
	{"printf precision", []string{"SELECT printf('%.1000000000f', 1)"}, codeTooBig},
	{"group_concat", []string{"SELECT length(group_concat(hex(zeroblob(1000)), hex(zeroblob(1000)))) FROM big a, big b"}, "54000 53400"},
	{"json_group_array", []string{"SELECT length(json_group_array(hex(zeroblob(2000)))) FROM big a, big b"}, "54000 53400"},
	{"json_group_object", []string{"SELECT length(json_group_object(a.x, hex(zeroblob(2000)))) FROM big a, big b"}, "54000 53400"},
	{"replace", []string{"SELECT length(replace(replace(replace(hex(zeroblob(2000)),'0','00000000'),'0','00000000'),'0',hex(zeroblob(2000))))"}, "54000 53400"},
	{"like of two lengths", []string{"SELECT hex(zeroblob(1000000)) LIKE '%' || hex(zeroblob(400)) || '1'"}, "53400"},
	{"glob that goes back", []string{"SELECT hex(zeroblob(1000000)) GLOB '*' || replace(hex(zeroblob(150)),'0','[0]') || '1'"}, "53400"},
	{"instr of two lengths", []string{"SELECT instr(hex(zeroblob(1000000)), hex(zeroblob(500000))||'1')"}, "53400"},
	{"replace of two lengths", []string{"SELECT length(replace(hex(zeroblob(1000000)), hex(zeroblob(500000))||'1', ''))"}, "53400"},
	{"trim of two lengths", []string{"SELECT trim(hex(zeroblob(2000000)), replace(hex(zeroblob(1000000)),'0','1')||'0')"}, "53400"},
	{"json_patch", []string{"SELECT json_patch('{}','{}')"}, codeRefused},
	{"json_pretty", []string{"SELECT json_pretty('[[[]]]', hex(zeroblob(4000)))"}, codeRefused},
	{"long pattern", []string{"SELECT 'a' LIKE hex(zeroblob(600))"}, codeTooBig},
	{"too many rows", []string{"SELECT a.x FROM big a, big b"}, "54000 53400"},
	{"too large rows", []string{"SELECT hex(zeroblob(4000)) FROM big a, big b"}, "54000 53400"},
	{"sort of much", []string{"SELECT a.x FROM big a, big b, big c ORDER BY random() LIMIT 1"}, codeExhausted},
	{"windows", []string{"SELECT sum(max(a.x)) OVER (ORDER BY a.x GROUPS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE TIES) FROM big a, big b GROUP BY a.x, b.x"}, codeExhausted},

	{"attach", []string{"ATTACH ':memory:' AS x"}, codeRefused},
	{"detach", []string{"DETACH main"}, codeRefused},
	{"pragma", []string{"PRAGMA user_version=7"}, codeRefused},
	{"pragma behind a comment", []string{"/* hello */ -- more\n pragma journal_mode=DELETE"}, codeRefused},
	{"pragma as a table", []string{"SELECT * FROM pragma_database_list"}, codeRefused},
	{"pragma that asks the machine", []string{"SELECT * FROM pragma_compile_options"}, codeRefused},
	{"pragma in an order of chance", []string{"SELECT name FROM pragma_table_list"}, codeRefused},
	{"pragma on the engine's tables", []string{"SELECT * FROM pragma_table_info('_stratos_state')"}, codeRefused},
	{"quick_check of a user", []string{"SELECT * FROM pragma_quick_check"}, codeRefused},
	{"writable schema", []string{"PRAGMA writable_schema=ON"}, codeRefused},
	{"schema by update", []string{"UPDATE sqlite_master SET sql=''"}, codeRefused},
	{"schema by insert", []string{"INSERT INTO sqlite_schema VALUES('table','x','x',2,'CREATE TABLE x(y)')"}, codeRefused},
	{"schema by delete", []string{"DELETE FROM sqlite_master"}, codeRefused},
	{"sequence", []string{"CREATE TABLE s(id INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO s VALUES(1)", "UPDATE sqlite_sequence SET seq=9223372036854775807"}, codeRefused},
	{"statistics", []string{"CREATE TABLE sqlite_stat1(tbl,idx,stat)"}, codeRefused},
	{"analyze", []string{"ANALYZE"}, codeRefused},
	{"vacuum", []string{"VACUUM"}, codeRefused},
	{"vacuum into", []string{"VACUUM INTO '/tmp/x'"}, codeRefused},
	{"reindex", []string{"REINDEX"}, codeRefused},
	{"explain", []string{"EXPLAIN SELECT 1"}, codeRefused},
	{"begin", []string{"BEGIN"}, codeRefused},
	{"commit", []string{"INSERT INTO t(v) VALUES(1)", "COMMIT"}, codeRefused},
	{"end", []string{"END"}, codeRefused},
	{"rollback", []string{"ROLLBACK"}, codeRefused},
	{"savepoint", []string{"SAVEPOINT program"}, codeRefused},
	{"release", []string{"RELEASE program"}, codeRefused},
	{"rollback on conflict", []string{"INSERT OR ROLLBACK INTO t(id) VALUES(1)"}, codeRefused},
	{"rollback in a table", []string{"CREATE TABLE r(x UNIQUE ON CONFLICT ROLLBACK)"}, codeRefused},
	{"rollback in a trigger", []string{"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK,'x'); END"}, codeRefused},
	{"temporary table", []string{"CREATE TEMP TABLE x(y)"}, codeRefused},
	{"temporary view", []string{"CREATE TEMP VIEW x AS SELECT 1"}, codeRefused},
	{"temporary trigger", []string{"CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END"}, codeRefused},
	{"table in temp", []string{"CREATE TABLE temp.x(y)"}, codeRefused},
	{"full text", []string{"CREATE VIRTUAL TABLE x USING fts4(y)"}, codeRefused},
	{"rtree", []string{"CREATE VIRTUAL TABLE x USING rtree(id,a,b)"}, codeRefused},
	{"extension", []string{"SELECT load_extension('x')"}, codeRefused},
	{"tokenizer", []string{"SELECT fts3_tokenizer('simple')"}, codeRefused},
	{"version", []string{"SELECT sqlite_source_id()"}, codeRefused},
	{"log", []string{"SELECT sqlite_log(1,'x')"}, codeRefused},
	{"version by default", []string{"CREATE TABLE x(y, z DEFAULT (sqlite_version()))"}, codeRefused},
	{"read the engine's tables", []string{"SELECT * FROM _stratos_state"}, codeRefused},
	{"write the engine's tables", []string{"UPDATE _stratos_state SET height=9"}, codeRefused},
	{"delete the engine's tables", []string{"DELETE FROM main._STRATOS_outcome"}, codeRefused},
	{"drop the engine's tables", []string{"DROP TABLE _stratos_block"}, codeRefused},
	{"alter the engine's tables", []string{"ALTER TABLE _stratos_block RENAME TO x"}, codeRefused},
	{"rename to the engine's", []string{"ALTER TABLE t RENAME TO _stratos_x"}, codeRefused},
	{"make the engine's", []string{"CREATE TABLE _stratos_x(y)"}, codeRefused},
	{"index the engine's", []string{"CREATE INDEX x ON _stratos_block(digest)"}, codeRefused},
	{"the engine's in a view", []string{"CREATE VIEW x AS SELECT * FROM _stratos_state", "SELECT * FROM x"}, codeRefused},
	{"the engine's in a trigger", []string{"CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE _stratos_state SET height=3; END", "INSERT INTO t(v) VALUES(1)"}, codeRefused},
	{"trigger on the engine's", []string{"CREATE TRIGGER x AFTER INSERT ON _stratos_block BEGIN SELECT 1; END"}, codeRefused},

	{"two statements", []string{"SELECT 1; SELECT 2"}, codeSyntax},
	{"two statements, the second hidden", []string{"INSERT INTO t(v) VALUES(1) /* ; */ ; -- x\n DROP TABLE t"}, codeSyntax},
	{"junk behind", []string{"SELECT 1; junk"}, codeSyntax},
	{"zero byte", []string{"SELECT 1\x00; DROP TABLE t"}, codeSyntax},
	{"nothing", []string{" ; /* x */ "}, codeSyntax},
	{"not UTF-8", []string{"SELECT '\xff'"}, codeEncoding},
	{"text that is not UTF-8", []string{"SELECT CAST(x'ff' AS TEXT)"}, codeEncoding},
	{"deep parentheses", []string{"SELECT " + strings.Repeat("(", 20000) + "1" + strings.Repeat(")", 20000)}, "54001 42000 54000"},
	{"deep expression", []string{"SELECT 1" + strings.Repeat("+1", 5000)}, codeTooComplex},
	{"deep functions", []string{"SELECT " + strings.Repeat("abs(", 600) + "1" + strings.Repeat(")", 600)}, codeTooComplex},
	{"deep selects", []string{"SELECT " + strings.Repeat("(SELECT ", 500) + "1" + strings.Repeat(")", 500)}, "54001 42000"},
	{"long", []string{"SELECT '" + strings.Repeat("x", 300<<10) + "'"}, codeTooBig},
	{"many columns", []string{"SELECT 1" + strings.Repeat(",1", 3000)}, codeTooBig},
	{"many arguments", []string{"SELECT max(1" + strings.Repeat(",1", 200) + ")"}, codeTooBig},
	{"many selects", []string{"SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 200)}, codeTooBig},
	{"many tables", []string{"SELECT 1 FROM t" + strings.Repeat(",t", 100)}, "54000"},
	{"views in views", doubling(40), codeTooComplex},
	{"columns from columns", []string{generated(40), "INSERT INTO g(c0) VALUES(1)", "SELECT c39 FROM g"}, "54001 53400 22003"},

	{"last row id", []string{"INSERT INTO t(id) VALUES(9223372036854775807)"}, codeOutOfRange},
	{"last row id by update", []string{"UPDATE t SET id=9223372036854775807 WHERE id=1"}, codeOutOfRange},
	{"last row id, then drawn ones", []string{"INSERT INTO t(id) VALUES(9223372036854775807),(NULL),(NULL)"}, codeOutOfRange},
	{"last row id, removed at once", []string{"INSERT INTO t(id) VALUES(9223372036854775807)", "DELETE FROM t WHERE id=9223372036854775807"}, codeOutOfRange},
	{"last row id in a trigger", []string{"CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO big(rowid,x) VALUES(9223372036854775807,1); END", "INSERT INTO t(v) VALUES(1)"}, codeOutOfRange},
	{"integer overflow", []string{"SELECT sum(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)"}, codeOutOfRange},
	{"columns named by chance", []string{"CREATE TABLE x AS SELECT 1 a,1 a,1 a,1 a,1 a,1 a,1 a"}, "42701"},
	{"columns of a view named by chance", []string{"CREATE VIEW x AS SELECT 1 a,1 a,1 a,1 a,1 a,1 a,1 a"}, "42701"},
	{"columns of a result named by chance", []string{"SELECT * FROM (SELECT 1 a,1 a,1 a,1 a,1 a,1 a,1 a)"}, "42701"},
	{"no name for row ids", []string{"CREATE TABLE x(rowid, oid, _rowid_)"}, "42P16"},
	{"local time", []string{"SELECT datetime('now','localtime')"}, codeRefused},
	{"local time of a constant", []string{"SELECT datetime('2020-01-01','utc')"}, codeRefused},
	{"local time by default", []string{"CREATE TABLE x(y, z DEFAULT (datetime('now','localtime')))", "INSERT INTO x(y) VALUES(1)"}, codeRefused},
	{"now in an index", []string{"CREATE INDEX x ON t(datetime(v))", "INSERT INTO t(v) VALUES('now')"}, "42000 22000 0A000"},
	{"now in a check", []string{"CREATE TABLE x(y CHECK(y < date('now')))", "INSERT INTO x VALUES(1)"}, "42000 22000 0A000"},
	{"random in an index", []string{"CREATE INDEX x ON t(random())"}, "42000 0A000"},
	{"random in a column", []string{"CREATE TABLE x(y, z AS (random()))"}, "42000 0A000"},
	{"changes in an index", []string{"CREATE INDEX x ON t(total_changes())"}, "42000 0A000"},
	{"text in double quotes", []string{`SELECT "nothing"`}, "42703"},

	{"not null", []string{"INSERT INTO strict1(id) VALUES(3)"}, codeNotNull},
	{"check", []string{"INSERT INTO strict1(id,a) VALUES(3,-1)"}, codeCheck},
	{"unique", []string{"INSERT INTO strict1(id,a) VALUES(1,1)"}, codeUnique},
	{"foreign key", []string{"INSERT INTO child VALUES(1,77)"}, codeForeignKey},
	{"foreign key, deferred to the end", []string{"INSERT INTO later VALUES(1,77)", "SELECT 1"}, codeForeignKey},
	{"type", []string{"INSERT INTO t(id) VALUES('x')"}, codeType},
	{"raise", []string{"CREATE TRIGGER x BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT,'no'); END", "INSERT INTO t(v) VALUES(1)"}, codeRaised},
	{"fail keeps nothing", []string{"INSERT OR FAIL INTO strict1(id,a) VALUES(10,1),(11,1),(1,1)"}, codeUnique},
	{"work before an error", []string{"CREATE TABLE x(y)", "INSERT INTO t(v) VALUES(5)", "DROP TABLE big", "SELECT * FROM nowhere"}, "42P01"},
	{"no column", []string{"SELECT nowhere FROM t"}, "42703"},
	{"no function", []string{"SELECT sin(1)"}, "42883"},
	{"arguments", []string{"SELECT abs(1,2)"}, "42883"},
	{"ambiguous", []string{"SELECT id FROM t, child"}, "42702"},
	{"exists", []string{"CREATE TABLE t(x)"}, "42P07"},
	{"no index", []string{"DROP INDEX nowhere"}, "42704"},
	{"bad JSON", []string{"SELECT json('{')"}, "22032"},
	{"syntax", []string{"SELEC 1"}, codeSyntax},
	{"parameter", []string{"SELECT ?"}, codeParameter},
}

func doubling(n int) []string {
	all := []string{"CREATE VIEW v0 AS SELECT id FROM t"}
	for i := 1; i < n; i++ {
		v := "v" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		prev := "v0"
		if i > 1 {
			prev = "v" + string(rune('a'+(i-1)%26)) + string(rune('a'+(i-1)/26))
		}
		all = append(all, "CREATE VIEW "+v+" AS SELECT id FROM "+prev+" UNION SELECT id FROM "+prev)
	}
	return all
}

func generated(n int) string {
	s := "CREATE TABLE g(c0 INTEGER"
	for i := 1; i < n; i++ {
		a, b := itoa(i), itoa(i-1)
		s += ", c" + a + " AS (c" + b + "+c" + b + ")"
	}
	return s + ")"
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + itoa(i%10)
}

var ground = []string{
	"CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
	"INSERT INTO t VALUES(1,'one'),(2,'two')",
	"CREATE TABLE big(x)",
	"INSERT INTO big WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 1000) SELECT x FROM c",
	"CREATE TABLE strict1(id INTEGER PRIMARY KEY, a INT NOT NULL CHECK(a>0))",
	"INSERT INTO strict1 VALUES(1,1)",
	"CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES strict1(id))",
	"CREATE TABLE later(id INTEGER PRIMARY KEY, parent REFERENCES strict1(id) DEFERRABLE INITIALLY DEFERRED)",
}

// cpu is what the process has used: a test must not depend on what else the machine does.
func cpu(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestHostile(t *testing.T) {
	// Twin runs what the others run, without the hostile program between them.
	r, twin := newRig(t, Options{}), newRig(t, Options{})
	r.must(ground...)
	twin.must(ground...)
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			before, bad, after := r.program("INSERT INTO t(v) VALUES('before')"), r.program(c.sql...), r.program("INSERT INTO t(v) VALUES('after')", "DELETE FROM t WHERE id>6")
			began := cpu(t)
			o := r.block(before, bad, after)
			if took := cpu(t) - began; took > 5*time.Second {
				t.Errorf("took %v of the processor", took)
			}
			if !slices.Contains(strings.Fields(c.codes), o[1].Code) {
				t.Errorf("got %q %s, want %s", o[1].Code, o[1].Text, c.codes)
			}
			if len(o[1].Results) > 0 || o[1].Usage.Rows != 0 || o[1].Usage.Gas > bad.GasLimit {
				t.Errorf("a program that failed has %d results, usage %v", len(o[1].Results), o[1].Usage)
			}
			o2 := twin.block(before, after)
			if o[0].Code != "" || o[2].Code != "" || OutcomeDigest(o[0]) != OutcomeDigest(o2[0]) || OutcomeDigest(o[2]) != OutcomeDigest(o2[1]) {
				t.Errorf("its neighbours: %v, %v; without it %v, %v", o[0], o[2], o2[0], o2[1])
			}
			if r.tables() != twin.tables() {
				t.Errorf("it left something behind")
			}
			if o := r.block(after); o[0].Code != "" {
				t.Errorf("after it: %v", o)
			}
			twin.block(after)
		})
	}
	s := r.snapshot()
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
