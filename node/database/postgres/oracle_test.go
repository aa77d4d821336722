package postgres_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	pgoracle "github.com/stratosmesh/stratos/internal/oracle"
	"github.com/stratosmesh/stratos/node/database/engine"
)

// oracle is a PostgreSQL 15 of its own: locale C, UTC, reachable by a socket only.
type oracle struct{ conn *pgconn.PgConn }

func startOracle(t *testing.T) *oracle {
	t.Helper()
	return &oracle{pgoracle.Start(t, "max_parallel_workers_per_gather=0", "statement_timeout=20s", "enable_hashagg=off")}
}

// ask runs a statement by the extended protocol, as clients do.
func (o *oracle) ask(t *testing.T, sql string) answer {
	t.Helper()
	return o.read(t, sql, o.conn.ExecParams(t.Context(), sql, nil, nil, nil, nil))
}

func (o *oracle) read(t *testing.T, sql string, r *pgconn.ResultReader) (a answer) {
	t.Helper()
	for r.NextRow() {
		var out []string
		for _, v := range r.Values() {
			if v == nil {
				out = append(out, null)
			} else {
				out = append(out, string(v))
			}
		}
		a.rows = append(a.rows, out)
	}
	for _, f := range r.FieldDescriptions() {
		a.columns = append(a.columns, fmt.Sprintf("%s:%d", f.Name, f.DataTypeOID))
	}
	tag, err := r.Close()
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return answer{code: e.Code, text: e.Message, at: int(e.Position), names: [3]string{e.TableName, e.ColumnName, e.ConstraintName}}
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	a.tag = tag.String()
	return a
}

// script reads the statements of a file; each ends with a semicolon at the end of a line.
func script(t testing.TB, name string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "--") || strings.TrimSpace(l) == "" {
			continue
		}
		if strings.HasPrefix(l, "as ") { // of roles.sql
			list = append(list, l)
			continue
		}
		lines = append(lines, l)
		if strings.HasSuffix(l, ";") {
			list = append(list, strings.TrimSuffix(strings.Join(lines, "\n"), ";"))
			lines = nil
		}
	}
	return list
}

// orderCounts tells whether the rows of a statement have an order.
func orderCounts(sql string) bool {
	i := strings.LastIndex(strings.ToLower(sql), "order by")
	return i >= 0 && strings.Count(sql[:i], "(") == strings.Count(sql[:i], ")")
}

// TestScript runs the statements that people wrote on both.
func TestScript(t *testing.T) {
	o := startOracle(t)
	us := open(t, engine.Options{})
	refused := 0
	list := append(script(t, "script.sql"), slices.Concat(script(t, "define.sql"), script(t, "catalog.sql"), script(t, "orm.sql"), script(t, "publication.sql"))...)
	for _, sql := range list {
		a, b := answerOf(us.exec(t, sql)), o.ask(t, sql)
		switch {
		case agree(a, b, orderCounts(sql)):
			if a.code != "" && a.text != b.text {
				t.Logf("another text: %s\n  ours:   %s\n  theirs: %s", sql, a.text, b.text)
			}
			if a.at != 0 && a.at != b.at || a.names != b.names && a.code[:2] == "23" {
				t.Logf("another place: %s\n  %s\n  ours:   %d %v\n  theirs: %d %v", sql, a.text, a.at, a.names, b.at, b.names)
			}
		case a.code == "0A000" && !strings.Contains(sql, "must not be refused"):
			refused++
			t.Logf("refused: %s: %s (there: %s)", sql, a.text, b)
			if b.code == "" && !strings.HasPrefix(b.tag, "SELECT") {
				t.Logf("  the databases may differ from here on")
			}
		default:
			t.Errorf("%s\n  ours:   %s\n  theirs: %s", sql, a, b)
		}
	}
	t.Logf("%d statements, %d refused", len(list), refused)
}

var (
	oracleSeed  = flag.Uint64("oracle.seed", 1, "seed of the statements; 0 takes one from the clock")
	oracleCount = flag.Int("oracle.count", 3_000, "how many statements")
	oracleLazy  = flag.Bool("oracle.lazy", false, "show what fails in one only")
	oracleShow  = flag.Int("oracle.show", 20, "how many differences are shown")
)

// TestOracle runs random statements on both. Each schema is new after some hundred of them.
func TestOracle(t *testing.T) {
	o := startOracle(t)
	seed := *oracleSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	t.Logf("seed %d: go test -run TestOracle -oracle.seed=%d", seed, seed)
	random := rand.New(rand.NewPCG(seed, 2))
	var us *ours
	var g *generator
	done, refused, failed, errors, shown, others, lazy := 0, 0, 0, 0, 0, 0, 0
	why := map[string]int{}
	var records []record
	fresh := true
	for done < *oracleCount && !t.Failed() || done < *oracleCount && shown < *oracleShow {
		if g == nil || done%400 > 390 && g.n > 0 && len(g.tables) > 5 {
			us, g, fresh = open(t, engine.Options{}), &generator{r: random}, true
			o.ask(t, "DROP SCHEMA public CASCADE")
			o.ask(t, "CREATE SCHEMA public")
		}
		for _, sql := range g.next() {
			done++
			b := o.ask(t, sql)
			a := answerOf(us.exec(t, sql))
			if len(records) < recordedStatements && len(b.rows) <= 60 {
				records = append(records, recordOf(sql, fresh, a, b))
				fresh = false
			}
			if b.code != "" {
				errors++
			}
			switch {
			case b.code == "57014" || a.code == "53400":
				t.Logf("too long: %s", sql)
			case agree(a, b, orderCounts(sql)):
			case strings.HasPrefix(a.code, "2") && strings.HasPrefix(b.code, "2"):
				others++ // of several rows that fail, another was first
			case a.code == "" && strings.HasPrefix(b.code, "22") || b.code == "" && strings.HasPrefix(a.code, "22"):
				lazy++ // where rows are not needed, which is not told
				if !strings.HasPrefix(sql, "SELECT") && !strings.HasPrefix(sql, "WITH") {
					g = nil
				}
				if *oracleLazy {
					t.Logf("%s\n  ours:   %s\n  theirs: %s", sql, a, b)
				}
			case a.code == "0A000":
				refused++
				why[a.text]++
				if b.code == "" && !strings.HasPrefix(b.tag, "SELECT") {
					g = nil // the databases differ now
				}
			default:
				failed++
				if shown++; shown <= *oracleShow {
					t.Errorf("%s\n  ours:   %s\n  theirs: %s", sql, a, b)
				}
				if (a.code == "") != (b.code == "") || a.tag != b.tag {
					g = nil
				}
			}
			if g == nil {
				break
			}
		}
	}
	t.Logf("%d statements, of which %d are errors there; %d differ, %d fail by another row, %d fail in one only, %d (%.2f%%) refused", done, errors, failed, others, lazy, refused, float64(refused)*100/float64(done))
	if *update {
		writeRecords(t, recordsPath, records)
	}
	var reasons []string
	for w, n := range why {
		reasons = append(reasons, fmt.Sprintf("%5d %s", n, w))
	}
	slices.Sort(reasons)
	slices.Reverse(reasons)
	for i, r := range reasons {
		if i < 25 {
			t.Log(r)
		}
	}
}

// askWith runs a statement with parameters as texts.
func (o *oracle) askWith(t *testing.T, sql string, values [][]byte) answer {
	t.Helper()
	return o.read(t, sql, o.conn.ExecParams(t.Context(), sql, values, nil, nil, nil))
}
