package sim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/report"
)

// Who has little ozone writes until it is used up, and reads then still; with more he writes again. What was paid is what the nodes of
// the cell have earned, in reports that the value layer settles, and what he has not used comes back when the database is dropped.
func TestDatabaseIsPaid(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	const name, account = "sim-paid", "erna"
	as := func(args ...string) []string {
		return append(args, "--account", account, "--password-file", os.DevNull)
	}
	mustCLI(t, "wallet", "new", account, "--light", "--password-file", os.DevNull)
	prepay := func(amount string) {
		t.Helper()
		mustCLI(t, "prepay", "--for", account, amount, "--account", "alice")
	}
	prepay("0.00004stos") // some 40 MB of traffic
	until(t, "the prepay on the meta layer", func() (bool, error) {
		out, errOut, code := runCLI(t, as("db", "create", name)...)
		return code == 0, errors.New(out + errOut)
	})
	url := strings.TrimSpace(mustCLI(t, as("keys", "create", "erna-app", "--database", name, "--format", "url")...))
	pg := connect(t, url)
	execute(t, pg, "CREATE TABLE t(n int)")
	const insert = "INSERT INTO t SELECT generate_series(1, 5000)"
	var failed *pgconn.PgError
	rows := 0
	for ; rows < 100*5000; rows += 5000 {
		if _, err := pg.Exec(t.Context(), insert); err == nil {
			continue
		} else if !errors.As(err, &failed) {
			t.Fatal(err)
		}
		break
	}
	if failed == nil || failed.Code != "53000" || !strings.Contains(failed.Message, "read-only") || !strings.Contains(failed.Hint, "stratos prepay") || rows == 0 {
		t.Fatalf("after %d rows: %+v", rows, failed)
	}
	t.Logf("%d rows until the ozone was used up", rows)
	for _, sql := range []string{"DELETE FROM t", "DROP TABLE t", "INSERT INTO t VALUES (1)"} {
		if _, err := pg.Exec(t.Context(), sql); sqlState(err) != "53000" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, level := range []string{"fast", "default"} {
		n := 0
		execute(t, pg, "SET stratos.level = "+level)
		if err := pg.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n != rows {
			t.Errorf("%s: %d rows of %d, %v", level, n, rows, err)
		}
	}
	if out, errOut, code := runCLI(t, as("db", "sql", name, "INSERT INTO t VALUES (1)")...); code != mesh.Exhausted.ExitCode() || !strings.Contains(errOut, "read-only") || !strings.Contains(errOut, "stratos prepay") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	type paid struct {
		State      string
		UsedNoz    uint64 `json:"used_noz"`
		SettledNoz uint64 `json:"settled_noz"`
		Allowance  uint64 `json:"allowance_noz"`
	}
	list := func() (d paid) {
		t.Helper()
		var v struct{ Databases []paid }
		if err := json.Unmarshal([]byte(mustCLI(t, as("db", "list", "--json")...)), &v); err != nil || len(v.Databases) != 1 {
			t.Fatal(v, err)
		}
		return v.Databases[0]
	}
	until(t, "the certificate to be settled", func() (bool, error) {
		d := list()
		return d.State == "read-only" && d.UsedNoz >= d.Allowance && d.SettledNoz > d.Allowance/2, fmt.Errorf("%+v", d)
	})
	if out := mustCLI(t, as("db", "stats", name)...); !strings.Contains(out, "is settled") || !strings.Contains(out, "read-only") {
		t.Errorf("db stats shows\n%s", out)
	}

	prepay("0.0002stos")
	until(t, "the database to be writable again", func() (bool, error) {
		_, err := pg.Exec(t.Context(), "INSERT INTO t VALUES (1)")
		return err == nil, err
	})
	if d := list(); d.State != "open" {
		t.Errorf("%+v", d)
	}

	c := shared.client(t, account, 0, client.Options{})
	d, err := c.Database(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	db := openDatabase(t, c, name)
	var anchored struct {
		Database, Content string
		LogHeight         uint64 `json:"log_height"`
	}
	mustCLI(t, "wallet", "send", account, "0.1stos") // for gas
	if err := json.Unmarshal([]byte(mustCLI(t, as("db", "anchor", name, "--json")...)), &anchored); err != nil {
		t.Fatal(err)
	}
	if a := query(t, shared.chain(t), abi.SDD(), "anchorOf", [16]byte(d.ID)); a[0] != common.Address(d.Owner) || a[2] != anchored.LogHeight || fmt.Sprintf("%x", a[6]) != anchored.Content || anchored.LogHeight == 0 {
		t.Errorf("the chain has %v, told was %+v", a, anchored)
	}
	before := d.Settled
	mustCLI(t, as("db", "drop", name, "--yes")...)
	until(t, "the rest to come back", func() (bool, error) {
		b, err := c.Balance(t.Context(), c.Access().Account())
		return err == nil && b.Leased == 0 && b.Debited > before, fmt.Errorf("%+v, %w", b, err)
	})
	members := map[mesh.NodeID]bool{}
	for _, m := range db.Cell().Members {
		members[m.Node] = true
	}
	value := shared.chain(t)
	until(t, "the reports of it", func() (bool, error) {
		var debits, fees mesh.Noz
		for e := range query(t, value, abi.Pot(), "epoch")[1].(uint64) {
			rep, err := c.Report(t.Context(), mesh.Epoch(e))
			if mesh.KindOf(err) == mesh.NotFound && err != nil {
				continue
			}
			if err != nil {
				return false, err
			}
			var nodes []mesh.NodeID
			for _, page := range rep.Pages[2*report.Database] {
				for _, v := range page.Volumes {
					nodes = append(nodes, v.Node)
				}
			}
			for kind := range report.Kinds {
				for _, page := range rep.Pages[2*kind+1] {
					for _, d := range page.Debits {
						if d.Account != c.Access().Account() {
							continue
						}
						fees += d.Fees
						if kind != report.Database && d.Noz > 0 {
							t.Fatalf("epoch %d debits %s of kind %d", e, d.Noz, kind)
						}
						debits += d.Noz
						for _, s := range d.Shares {
							if !members[nodes[s.Node]] {
								t.Fatalf("epoch %d pays node %s, which has no replica", e, nodes[s.Node])
							}
						}
					}
				}
			}
		}
		b, err := c.Balance(t.Context(), c.Access().Account())
		return err == nil && fees > 0 && debits >= before && b.Debited == debits+fees, fmt.Errorf("%d debited, %d of fees: %+v, %w", debits, fees, b, err)
	})
	until(t, "the value layer's debit", func() (bool, error) {
		b, err := c.Balance(t.Context(), c.Access().Account())
		debited := query(t, value, abi.SDS(), "ozoneOf", common.Address(c.Access().Account()))[1].(uint64)
		return err == nil && mesh.Noz(debited) == b.Debited, err
	})
}
