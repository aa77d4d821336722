package postgres_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	dialect "github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

var update = flag.Bool("update", false, "write the recorded files again")

// TestUnsupported compares unsupported.txt with what PostgreSQL has by names that protocol/postgres lacks for types that are here.
func TestUnsupported(t *testing.T) {
	o := startOracle(t)
	ours := map[string]bool{}
	key := func(name string, args []postgres.OID) string {
		var l []string
		for _, a := range args {
			x, _ := postgres.TypeOf(a)
			l = append(l, x.Internal)
		}
		return name + "(" + strings.Join(l, ",") + ")"
	}
	for _, r := range postgres.Functions() {
		ours["f"+key(r.Name, r.Args)] = true
	}
	for _, a := range postgres.Aggregates() {
		ours["f"+key(a.Name, a.Args)] = true
	}
	for _, r := range postgres.Operators() {
		ours["o"+key(r.Name, r.Args)] = true
	}
	for _, f := range strings.Fields("now() transaction_timestamp() statement_timestamp() clock_timestamp() random() gen_random_uuid() nextval(regclass) currval(regclass) lastval() setval(regclass,int8) setval(regclass,int8,bool) count() row_number() rank() dense_rank() percent_rank() cume_dist() pg_typeof(any) format_type(oid,int4) pg_table_is_visible(oid) col_description(oid,int4) version() current_schema() ntile(int4) unnest(anyarray) unnest(tsvector) pg_partition_ancestors(regclass) generate_subscripts(anyarray,int4) jsonb_each(jsonb) jsonb_each_text(jsonb) jsonb_array_elements(jsonb) jsonb_array_elements_text(jsonb) first_value(anyelement) last_value(anyelement) jsonb_set(jsonb,text,jsonb,bool) pg_notify(text,text) current_database() current_setting(text) current_setting(text,bool)") {
		ours["f"+f] = true
	}
	for name, list := range dialect.CatalogFunctions() {
		for _, args := range list {
			ours["f"+key(name, args)] = true
		}
	}
	known := func(list string) bool {
		for _, n := range strings.Split(list, ",") {
			if n == "" {
				continue
			}
			if n == "char" { // which alone is another name of bpchar
				n = `"char"`
			}
			x, ok := postgres.TypeNamed(n)
			if !ok || x.OID == postgres.Unknown || x.Category == 'P' && !strings.HasPrefix(n, "any") {
				return false
			}
		}
		return true
	}
	missing := map[string]bool{}
	// A name whose types are all not here is told too, once.
	ask := func(letter, kind, sql string, skip func(name, args string) bool) {
		for _, row := range o.ask(t, sql).rows {
			if skip(row[0], row[1]) || ours[letter+row[0]+"("+row[1]+")"] {
				continue
			}
			if !known(row[1]) {
				missing["name of "+kind+" "+row[0]] = true
				continue
			}
			missing[kind+" "+row[0]+"("+row[1]+")"+row[2]] = true
		}
	}
	ask("f", "function", `select proname, array_to_string(array(select t.typname from unnest(proargtypes) with ordinality u(o, n) join pg_type t on t.oid = u.o order by n), ','), case when provariadic <> 0 then ' variadic' else '' end from pg_proc where pronamespace = 11 and prokind in ('f','a','w')`,
		func(name, args string) bool { // casts by name are casts here
			x, ok := postgres.TypeNamed(name)
			return ok && x.OID != 0 && !strings.Contains(args, ",")
		})
	compared := []string{"=", "<>", "<", "<=", ">", ">="}
	ask("o", "operator", `select oprname, concat_ws(',', (select typname from pg_type where oid = oprleft), (select typname from pg_type where oid = oprright)), '' from pg_operator`,
		func(name, args string) bool { return slices.Contains(compared, name) })
	var lines []string
	for l := range missing {
		lines = append(lines, l)
	}
	slices.Sort(lines)
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("unsupported.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("unsupported.txt")
	if err != nil || string(b) != text {
		t.Errorf("unsupported.txt is not current (%v): go test -run TestUnsupported -update", err)
	}
}
