package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // which a GROUP BY is compared with

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// batchRows are the rows of a program where rows come in batches.
const batchRows = 100

// groupRows are the rows of the table that is grouped.
const groupRows = 1_000_000

// throughCell measures a database of dialect postgres with the Go client, one figure after the other, each for a time; pgbench comes
// through the gateway, if it is installed. open makes a client with a session of its own.
func throughCell(n *network, p *home.Profile, open func() (*client.Client, error), f *Figures, each time.Duration) error {
	ctx := context.Background()
	const name, clients = "bench", 16
	var dbs []*database.DB
	for i := range clients {
		c, err := open()
		if err != nil {
			return err
		}
		defer c.Close()
		if i == 0 {
			if err := c.CreateDatabase(ctx, name, client.DatabaseOptions{}); err != nil {
				return err
			}
		}
		db, err := opened(ctx, c, name)
		if err != nil {
			return err
		}
		dbs = append(dbs, db)
	}
	if err := dbs[0].Ready(ctx, nil); err != nil {
		return err
	}
	time.Sleep(65 * time.Second) // what a replica needs when nobody asks for a minute
	replicas, err := n.replicas(ctx)
	if err != nil {
		return err
	}
	d := f.Databases
	for _, pid := range replicas {
		d["idle_replica_mib"] = max(d["idle_replica_mib"], float64(status(pid, "VmRSS"))/1024)
		d["idle_replica_own_mib"] = max(d["idle_replica_own_mib"], float64(status(pid, "RssAnon"))/1024) // without the program, which all share
	}
	if _, err := dbs[0].Exec(ctx, database.Program{Statements: []database.Statement{database.SQL("CREATE TABLE t(id bigint PRIMARY KEY, v text)"), database.SQL("CREATE TABLE g(k int, v int)")}}); err != nil {
		return err
	}
	var id atomic.Int64
	insert := func(db *database.DB, rows int) error {
		var b strings.Builder
		var args []any
		b.WriteString("INSERT INTO t VALUES ")
		for i := range rows {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "($%d,$%d)", 2*i+1, 2*i+2)
			args = append(args, id.Add(1), "a text as it may stand in a row")
		}
		st := database.SQL(b.String(), args...)
		_, err := db.Exec(ctx, database.Program{Statements: []database.Statement{st}})
		return err
	}
	var idle []time.Duration
	for until := time.Now().Add(each); time.Now().Before(until) || len(idle) < 20; {
		time.Sleep(20 * time.Millisecond) // so that each finds the cell idle
		began := time.Now()
		if err := insert(dbs[0], 1); err != nil {
			return err
		}
		idle = append(idle, time.Since(began))
	}
	slices.Sort(idle)
	d["commit_ms_p50"], d["commit_ms_p99"] = idle[len(idle)/2].Seconds()*1000, idle[len(idle)*99/100].Seconds()*1000
	for _, workers := range []int{1, 16, 256} {
		cpu, sent := cpuOf(replicas), loopback()
		done, rate, err := during(each, workers, func(i int) error { return insert(dbs[i%clients], 1) })
		if err != nil {
			return err
		}
		d[fmt.Sprintf("inserts_per_s_%d", workers)] = rate
		d[fmt.Sprintf("insert_cpu_ms_%d", workers)] = (cpuOf(replicas) - cpu) * 1000 / done
		d[fmt.Sprintf("insert_kb_%d", workers)] = float64(loopback()-sent) / 1000 / done
	}
	_, rate, err := during(each, 16, func(i int) error { return insert(dbs[i%clients], batchRows) })
	if err != nil {
		return err
	}
	d["batched_rows_per_s"] = rate * batchRows
	for _, level := range []database.Level{database.Fast, database.Default, database.Ordered} {
		_, rate, err := during(each, 16, func(i int) error {
			o, err := dbs[i%clients].Query(ctx, level, database.SQL("SELECT v FROM t WHERE id = $1", 1+id.Load()*int64(i%97)/97))
			if err == nil && len(o.Results[0].Rows) != 1 {
				err = errors.New("a row is not there")
			}
			return err
		})
		if err != nil {
			return err
		}
		d["point_reads_per_s_"+level.String()] = rate
	}
	if err := grouped(ctx, dbs[0], d); err != nil {
		return err
	}
	for _, pid := range replicas {
		d["replica_mib"] = max(d["replica_mib"], float64(status(pid, "VmRSS"))/1024)
	}
	c, err := open()
	if err != nil {
		return err
	}
	defer c.Close()
	return pgbench(ctx, c, p, name, d, each)
}

func opened(ctx context.Context, c *client.Client, name string) (*database.DB, error) {
	for until := time.Now().Add(time.Minute); ; {
		db, err := c.OpenDatabase(ctx, name, database.Options{})
		if mesh.KindOf(err) != mesh.Unavailable || err == nil || time.Now().After(until) {
			return db, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// grouped measures a GROUP BY over many rows at each level, and what plain SQLite takes for it.
func grouped(ctx context.Context, db *database.DB, d map[string]float64) error {
	const part = 100_000
	for i := 0; i < groupRows; i += part {
		if _, err := db.Exec(ctx, database.Program{Statements: []database.Statement{database.SQL(fmt.Sprintf("INSERT INTO g SELECT x %% 1000, x FROM generate_series(%d, %d) AS s(x)", i, i+part-1))}}); err != nil {
			return err
		}
	}
	const query = "SELECT k, count(*), sum(v) FROM g GROUP BY k ORDER BY k"
	for _, level := range []database.Level{database.Fast, database.Default} {
		began := time.Now()
		if _, err := db.Query(ctx, level, database.SQL(query)); err != nil {
			return err
		}
		d["group_by_s_"+level.String()] = time.Since(began).Seconds()
	}
	plain, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return err
	}
	defer plain.Close()
	plain.SetMaxOpenConns(1)
	if _, err := plain.Exec(fmt.Sprintf("CREATE TABLE g(k INTEGER, v INTEGER); WITH RECURSIVE s(x) AS (SELECT 0 UNION ALL SELECT x+1 FROM s WHERE x < %d) INSERT INTO g SELECT x %% 1000, x FROM s", groupRows-1)); err != nil {
		return err
	}
	began := time.Now()
	rows, err := plain.Query(query)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	d["group_by_s_sqlite"] = time.Since(began).Seconds()
	return errors.Join(rows.Err(), rows.Close())
}

var pgbenchRate = regexp.MustCompile(`tps = ([0-9.]+)`)

// pgbench runs PostgreSQL's own benchmark through the gateway.
func pgbench(ctx context.Context, c *client.Client, p *home.Profile, name string, d map[string]float64, each time.Duration) error {
	program := "/usr/lib/postgresql/15/bin/pgbench"
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("pgbench"); err != nil {
			return nil // its figures are left out
		}
	}
	shared, _, err := c.Access().Share(client.Terms{Prefix: grant.Database(name) + "/", Operations: grant.Read | grant.Write})
	if err != nil {
		return err
	}
	k, err := c.PublishKey(ctx, shared, []mesh.PublicKey{p.Gateways[0].Key})
	if err != nil {
		return err
	}
	url := strings.Replace(p.Gateways[0].Postgres, "postgres://", "postgres://"+k.Name+":"+k.Secret+"@", 1) + "/" + name
	run := func(level string, args ...string) (time.Duration, float64, error) {
		cmd := exec.CommandContext(ctx, program, append(args, url)...)
		cmd.Env = append(os.Environ(), "PGOPTIONS=-c stratos.level="+level)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, 0, fmt.Errorf("pgbench %s: %w\n%s", args, err, out)
		}
		rate := 0.0
		if m := pgbenchRate.FindSubmatch(out); m != nil {
			rate, err = strconv.ParseFloat(string(m[1]), 64)
		}
		return time.Since(began), rate, err
	}
	took, _, err := run("default", "-q", "-i", "-s", "1")
	if err != nil {
		return err
	}
	d["pgbench_init_s"] = took.Seconds()
	seconds := strconv.Itoa(max(int(each.Seconds()), 1))
	for _, b := range []struct {
		name, level string
		args        []string
	}{
		{"pgbench_tpcb_tps", "default", []string{"-n", "-c", "8", "-j", "2", "--max-tries=0"}},
		{"pgbench_select_tps_default", "default", []string{"-n", "-S", "-M", "prepared", "-c", "16", "-j", "2"}},
		{"pgbench_select_tps_fast", "fast", []string{"-n", "-S", "-M", "prepared", "-c", "16", "-j", "2"}},
	} {
		if _, d[b.name], err = run(b.level, append(b.args, "-T", seconds)...); err != nil {
			return err
		}
	}
	return nil
}

// replicas are the processes of replicas, as their nodes tell them.
func (n *network) replicas(ctx context.Context) (pids []int, err error) {
	homes, err := filepath.Glob(filepath.Join(n.home, "node-*"))
	if err != nil {
		return nil, err
	}
	for _, h := range homes {
		c, err := node.ReadConfig(h)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Status+"/status", nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		var s node.Status
		err = json.NewDecoder(resp.Body).Decode(&s)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
		for _, r := range s.Replicas {
			pids = append(pids, r.PID)
		}
	}
	if len(pids) < wiredatabase.Replicas(1) {
		return nil, fmt.Errorf("only %d replicas run", len(pids))
	}
	return pids, nil
}

// loopback is how many bytes have crossed it, of all processes.
func loopback() (n int64) {
	b, _ := os.ReadFile("/proc/net/dev") // 0 where there is none
	for line := range strings.Lines(string(b)) {
		if name, rest, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "lo" {
			n, _ = strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return n
}

// during calls f, again and again, from so many workers for a time, and returns how often, and how often a second after a fifth of it, when
// connections are open. i counts the calls.
func during(d time.Duration, workers int, f func(i int) error) (calls, perSecond float64, err error) {
	first, _, err := counted(d/5, workers, f)
	if err != nil {
		return first, 0, err
	}
	calls, perSecond, err = counted(d*4/5, workers, f)
	return first + calls, perSecond, err
}

// counted calls f for a time.

func counted(d time.Duration, workers int, f func(i int) error) (calls, perSecond float64, err error) {
	var n atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, workers)
	began := time.Now()
	for range workers {
		all.Go(func() {
			for time.Since(began) < d {
				if err := f(int(n.Add(1))); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return float64(n.Load()), float64(n.Load()) / time.Since(began).Seconds(), <-errs
}
