package postgres_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
)

// reflected reads testdata/reflect.sql: statements that make a schema, then what clients ask of it. :oid(NAME) is the OID of a relation.
func reflected(t testing.TB) (schema, queries []string) {
	t.Helper()
	for _, sql := range script(t, "reflect.sql") {
		if first := strings.Fields(sql)[0]; first == "CREATE" || first == "COMMENT" {
			schema = append(schema, sql)
		} else {
			queries = append(queries, sql)
		}
	}
	return schema, queries
}

var oidOf = regexp.MustCompile(`:oid\(([^)]*)\)`)

// withOIDs puts OIDs in; ask says what a relation's is.
func withOIDs(sql string, ask func(name string) string) string {
	return oidOf.ReplaceAllStringFunc(sql, func(s string) string { return ask(oidOf.FindStringSubmatch(s)[1]) })
}

// plainOIDs hides numbers that are a program's OIDs, trees of expressions, what is of information_schema, and types that are told
// otherwise here.
func plainOIDs(a answer) answer {
	a.rows = slices.DeleteFunc(a.rows, func(row []string) bool { return slices.Contains(row, "information_schema") })
	if a.code == "" {
		a.tag = "SELECT " + strconv.Itoa(len(a.rows))
	}
	for _, row := range a.rows {
		for i, v := range row {
			if n, err := strconv.Atoi(v); err == nil && n >= 16384 && n < 100_000 {
				row[i] = "OID"
			}
			if c := a.columns[i]; v != null && strings.HasPrefix(c, "indexprs:") {
				row[i] = "TREE"
			} else if strings.HasPrefix(c, "view_def:") {
				row[i] = strings.Join(strings.Fields(v), " ") // lines are PostgreSQL's
			}
		}
	}
	for i, c := range a.columns {
		name, typ, _ := strings.Cut(c, ":")
		switch typ { // "char", regclass, regnamespace, int2vector, pg_node_tree, aclitem[]
		case "18", "2205", "4089", "22", "194":
			typ = "25"
		case "1034", "1002":
			typ = "1009"
		}
		a.columns[i] = name + ":" + typ
	}
	return a
}

// TestReflect asks what psql and frameworks ask of a schema, and compares with PostgreSQL's recorded answers.
func TestReflect(t *testing.T) {
	us := open(t, engine.Options{})
	schema, queries := reflected(t)
	for _, sql := range schema {
		if a := answerOf(us.exec(t, sql)); a.code != "" {
			t.Fatalf("%s: %s", sql, a)
		}
	}
	ours := func(name string) string {
		return answerOf(us.exec(t, "SELECT '"+name+"'::regclass::oid")).rows[0][0]
	}
	var o *oracle
	if *update {
		o = startOracle(t)
		for _, sql := range schema {
			if a := o.ask(t, sql); a.code != "" {
				t.Fatalf("%s: %s", sql, a)
			}
		}
		theirs := func(name string) string { return o.ask(t, "SELECT '"+name+"'::regclass::oid").rows[0][0] }
		var list []record
		for _, sql := range queries {
			b := plainOIDs(o.ask(t, withOIDs(sql, theirs)))
			list = append(list, recordOf(sql, false, b, b))
		}
		writeRecords(t, reflectPath, list)
	}
	recorded := map[string]record{}
	for _, r := range readRecords(t, reflectPath, 20) {
		recorded[r.SQL] = r
	}
	for _, sql := range queries {
		r, ok := recorded[sql]
		if !ok {
			t.Errorf("not recorded: %s", sql)
			continue
		}
		a := plainOIDs(answerOf(us.exec(t, withOIDs(sql, ours))))
		if b := r.answer(); !agree(a, b, orderCounts(sql) && !strings.Contains(sql, "ix.indoption")) {
			t.Errorf("%s\n  ours:   %s\n  theirs: %s", sql, a, b)
		}
	}
}
