package sim_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
)

// runJob runs stratos run --json.
func runJob(t *testing.T, args ...string) (v jobView) {
	t.Helper()
	out := mustCLI(t, append([]string{"run", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return v
}

// resultLines are the lines of a job's results, sorted.
func resultLines(t *testing.T, v jobView) (all []string) {
	t.Helper()
	for _, o := range v.Objects {
		all = append(all, strings.Split(strings.TrimSuffix(mustCLI(t, "cp", o, "-"), "\n"), "\n")...)
	}
	slices.Sort(all)
	return all
}

// linesOf are sums as a reduce writes them, sorted.
func linesOf(sums map[string]int) (all []string) {
	for k, n := range sums {
		all = append(all, fmt.Sprintf("%s\t%d", k, n))
	}
	slices.Sort(all)
	return all
}

// A generated CSV is grouped by a column, and joined with a table of a database, at several levels of verification: to the digests of one machine, to the
// sums of a plain program, mostly on the nodes that hold it. The results become rows of a table, twice, and the same ones.
func TestJobTables(t *testing.T) {
	t.Parallel()
	objects.Lock()
	defer objects.Unlock()
	size := 20 << 20
	if long() {
		size = 1 << 30
	}
	r, dir := random(t), t.TempDir()
	var customers strings.Builder
	customers.WriteString("id,country\n")
	country := map[int]string{}
	for id := range 1000 {
		if id%10 != 9 { // the others have sales, and are not in the table
			country[id] = fmt.Sprintf("country %d", r.IntN(40))
			fmt.Fprintf(&customers, "%d,%s\n", id, country[id])
		}
	}
	sales := filepath.Join(dir, "sales.csv")
	products, countries := map[string]int{}, map[string]int{}
	f, err := os.Create(sales)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for n, written := 0, 0; written < size; n++ {
		customer, product, cents := r.IntN(1000), fmt.Sprintf("product-%d", int(r.ExpFloat64()*50)), r.IntN(100_000)
		products[product] += cents
		if c := country[customer]; c != "" {
			countries[c] += cents
		}
		k, err := fmt.Fprintf(w, "%d,%d,%s,%d\n", n, customer, product, cents)
		if err != nil {
			t.Fatal(err)
		}
		written += k
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	customersFile := filepath.Join(dir, "customers.csv")
	if err := os.WriteFile(customersFile, []byte(customers.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	const db = "sim-jobs"
	mustCLI(t, "db", "create", db)
	mustCLI(t, "db", "sql", db, "CREATE TABLE customers(id int PRIMARY KEY, country text NOT NULL); CREATE TABLE totals(country text PRIMARY KEY, cents bigint NOT NULL)")
	mustCLI(t, "db", "import", db, "customers", customersFile)
	mustCLI(t, "mb", "stratos://tables")
	mustCLI(t, "cp", sales, "stratos://tables/in/sales.csv")

	program := []string{"--map", jobModules + "sales.wasm", "--reduce", jobModules + "sum.wasm", "--parts", "2"}
	group := append(slices.Clone(program), "--arg", "group")
	join := append(slices.Clone(program), "--arg", "join", "--arg", "/customers.csv")
	table := append(slices.Clone(join), "--file", "customers.csv=db://"+db+"/customers")
	query := append(slices.Clone(join), "--file", "customers.csv=db://"+db+"?query=SELECT id, country FROM customers ORDER BY id")
	for _, c := range []struct {
		name   string
		here   []string // on this machine
		there  []string // flags of the same on the network
		want   map[string]int
		levels []string
	}{
		{"group", group, group, products, []string{"receipt", "pair"}},
		{"join", append(slices.Clone(join), "--file", "customers.csv="+customersFile), table, countries, []string{"receipt"}},
		{"query", table, query, countries, []string{"receipt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := runJob(t, append(slices.Clone(c.here), sales, "-o", filepath.Join(dir, c.name))...)
			once := uint64(0)
			for _, level := range c.levels {
				v := runJob(t, append(slices.Clone(c.there), "stratos://tables/in/", "-o", "stratos://tables/"+c.name+"-"+level, "--level", level)...)
				t.Logf("%s: %+v", level, v)
				if v.Results != here.Results {
					t.Errorf("%s: results %s, on this machine %s", level, v.Results, here.Results)
				}
				if once == 0 {
					once = v.Read
				}
				if v.Near*10 < once*8 {
					t.Errorf("%s: %d bytes were read where they lie, of %d that one run reads", level, v.Near, once)
				}
				if got, want := resultLines(t, v), linesOf(c.want); !slices.Equal(got, want) {
					t.Fatalf("%s: %d lines, want %d", level, len(got), len(want))
				}
			}
		})
	}
	t.Run("into a table", func(t *testing.T) {
		flags := append(slices.Clone(table), "stratos://tables/in/", "--level", "receipt", "--into", "db://"+db+"/totals")
		for i := range 2 {
			v := runJob(t, append(slices.Clone(flags), "-o", fmt.Sprintf("stratos://tables/into-%d", i))...)
			if v.Loaded != len(countries) || len(v.Tables) != 1 || v.Tables[0].Rows != 900 || v.Tables[0].Height == 0 {
				t.Fatalf("%+v", v)
			}
			got := strings.Split(strings.TrimSpace(mustCLI(t, "db", "export", db, "totals", "--format", "text")), "\n")
			slices.Sort(got)
			if want := linesOf(countries); !slices.Equal(got, want) {
				t.Fatalf("time %d: %d rows, want %d: %q", i, len(got), len(want), got[0])
			}
		}
	})
	t.Run("rows as input", func(t *testing.T) {
		script := filepath.Join(dir, "count.js")
		if err := os.WriteFile(script, []byte(`for (const l of lines()) { const [id, country] = l.split("\t"); print(country + "\t1") }; console.error("done")`), 0o600); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		for c := range maps.Values(country) {
			want[c]++
		}
		flags := []string{"--map", script, "--reduce", jobModules + "sum.js", "db://" + db + "/customers"}
		here := runJob(t, append(slices.Clone(flags), "-o", filepath.Join(dir, "rows"))...)
		v := runJob(t, append(slices.Clone(flags), "-o", "stratos://tables/rows", "--level", "receipt")...)
		if got := resultLines(t, v); v.Results != here.Results || !slices.Equal(got, linesOf(want)) {
			t.Fatalf("results %s and %s, %d lines", v.Results, here.Results, len(got))
		}
		if log := mustCLI(t, "logs", v.Job); log != "map 0: done\n" {
			t.Errorf("the log: %q", log)
		}
		var line struct {
			Stage, Text string
			Node        mesh.NodeID
		}
		if log := mustCLI(t, "logs", v.Job, "--json", "-n", "1"); json.Unmarshal([]byte(log), &line) != nil || line.Stage != "map" || line.Text != "done" || line.Node == (mesh.NodeID{}) {
			t.Errorf("the log as JSON: %q", log)
		}
		objects := filepath.Join(dir, "objects.js")
		if err := os.WriteFile(objects, []byte(`for (const l of lines()) { const r = JSON.parse(l); print(r.country + "\t" + r.n) }`), 0o600); err != nil {
			t.Fatal(err)
		}
		sums := strings.Split(strings.TrimSpace(mustCLI(t, "run", "--map", objects, "--rows", "jsonl", "db://"+db+"?query=SELECT country, count(*) AS n FROM customers GROUP BY country")), "\n")
		slices.Sort(sums)
		if !slices.Equal(sums, linesOf(want)) {
			t.Errorf("a query as objects: %d lines, want %d", len(sums), len(want))
		}
	})
	for _, c := range []struct {
		kind mesh.Kind
		say  string
		args []string
	}{
		{mesh.NotFound, "has no table nothing", append(slices.Clone(table), "stratos://tables/in/", "-o", "stratos://tables/no", "--into", "db://"+db+"/nothing")},
		{mesh.NotFound, "has no table nothing", append(slices.Clone(join), "--file", "customers.csv=db://"+db+"/nothing", "stratos://tables/in/", "-o", "stratos://tables/no")},
		{mesh.Invalid, `has no column "what"`, append(slices.Clone(table), "stratos://tables/in/", "-o", "stratos://tables/no", "--into", "db://"+db+"/totals", "--into-columns", "country,what")},
		{mesh.Invalid, `lack column "country" of the primary key`, append(slices.Clone(table), "stratos://tables/in/", "-o", "stratos://tables/no", "--into", "db://"+db+"/totals", "--into-columns", "cents")},
		{mesh.Invalid, "a query only reads", append(slices.Clone(join), "--file", "customers.csv=db://"+db+"?query=DELETE FROM customers", "stratos://tables/in/", "-o", "stratos://tables/no")},
		{mesh.Invalid, `column "id"`, append(slices.Clone(group), "stratos://tables/in/", "-o", "stratos://tables/bad", "--level", "receipt", "--into", "db://"+db+"/customers")},
	} {
		if _, errs, code := runCLI(t, append([]string{"run"}, c.args...)...); code != c.kind.ExitCode() || !strings.Contains(errs, c.say) {
			t.Errorf("%q: exit code %d: %s", c.args, code, errs)
		}
	}
}
