package sim_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
)

// A told event is what a feed says, as events and as lines.
type told struct {
	Position, Kind, Table string
	New                   struct{ N int }
	Channel, Payload      string
}

// feedKey makes an access key for a database, and returns the feed's address and the token.
func feedKey(t *testing.T, name, label string) (url, token string) {
	t.Helper()
	var rec struct {
		ID      string `json:"access_key_id"`
		Secret  string `json:"secret_access_key"`
		Changes string
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "keys", "create", label, "--database", name, "--format", "json")), &rec); err != nil || rec.Changes == "" {
		t.Fatalf("%+v, %v", rec, err)
	}
	return rec.Changes, rec.ID + "." + rec.Secret
}

// follow reads events until n have come, and asks again where it was when the answer ends.
func follow(ctx context.Context, url, token, from string, n int) (all []told, requests int, err error) {
	last := ""
	for ctx.Err() == nil && len(all) < n {
		err = func() error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"&from="+from, nil)
			if err != nil {
				return err
			}
			r.Header.Set("Authorization", "Bearer "+token)
			if last != "" {
				r.Header.Set("Last-Event-ID", last)
			}
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			defer a.Body.Close()
			if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" {
				return fmt.Errorf("status %d", a.StatusCode)
			}
			requests++
			id := ""
			for s := bufio.NewScanner(a.Body); s.Scan(); {
				line := s.Text()
				switch {
				case strings.HasPrefix(line, "id: "):
					id = line[4:]
				case strings.HasPrefix(line, "data: "):
					var e told
					if err := json.Unmarshal([]byte(line[6:]), &e); err != nil {
						return err
					}
					if all = append(all, e); len(all) == n {
						return nil
					}
				case line == "" && id != "":
					last = id
				}
			}
			return fmt.Errorf("the answer ended")
		}()
		if err != nil {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	return all, requests, err
}

// A feed over HTTP: every change once and in order, though the gateway and a replica are killed under it.
func TestFeed(t *testing.T) {
	const name, n = "sim-feed", 60
	mustCLI(t, "db", "create", name)
	mustCLI(t, "db", "sql", name, "CREATE TABLE t (n int PRIMARY KEY, v text); CREATE TABLE other (n int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t")
	url, token := feedKey(t, name, "feed-app")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	type result struct {
		all      []told
		requests int
		err      error
	}
	got := make(chan result, 1)
	go func() {
		all, requests, err := follow(ctx, url+"?publication=p", token, "oldest", n)
		got <- result{all, requests, err}
	}()
	db := openDatabase(t, shared.client(t, "alice", 0, client.Options{}), name)
	up := func() {}
	for i := range n {
		switch i {
		case n / 4:
			up = shared.down(t, "gateway-0")
		case n / 3:
			up()
		case n / 2:
			killSome(t)
		}
		if _, err := db.Exec(t.Context(), database.Program{Statements: []database.Statement{database.SQL("INSERT INTO other VALUES (" + fmt.Sprint(i) + ")"), database.SQL("INSERT INTO t VALUES (" + fmt.Sprint(i) + ", 'x')")}}); err != nil {
			t.Fatal(err)
		}
	}
	r := <-got
	var numbers []int
	for _, e := range r.all {
		if e.Kind != "insert" || e.Table != "t" {
			t.Errorf("%+v", e)
		}
		numbers = append(numbers, e.New.N)
	}
	if want := slices.Sorted(slices.Values(numbers)); len(numbers) != n || !slices.Equal(numbers, want) || len(slices.Compact(want)) != n || r.requests < 2 {
		t.Fatalf("%d requests told %v: %v", r.requests, numbers, r.err)
	}
	// From any position, what follows.
	if rest, _, err := follow(ctx, url+"?publication=p", token, r.all[n-4].Position, 3); err != nil || rest[0].New.N != n-3 || rest[2].New.N != n-1 {
		t.Errorf("%v, %v", rest, err)
	}
	// What is new comes at once.
	quick := make(chan result, 1)
	go func() {
		all, _, err := follow(ctx, url+"?publication=p", token, r.all[n-1].Position, 1)
		quick <- result{all: all, err: err}
	}()
	time.Sleep(time.Second) // it waits by then
	began := time.Now()
	if _, err := db.Exec(t.Context(), database.Program{Statements: []database.Statement{database.SQL("UPDATE t SET v = 'y' WHERE n = 5")}}); err != nil {
		t.Fatal(err)
	}
	done := time.Now()
	if q := <-quick; q.err != nil || q.all[0].Kind != "update" {
		t.Errorf("%+v", q)
	}
	t.Logf("written in %v, told %v later", done.Sub(began), time.Since(done))
	for path, status := range map[string]int{"?publication=nosuch": http.StatusNotFound, "?publication=p&from=1.1.1": http.StatusBadRequest, "": http.StatusBadRequest} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if a.Body.Close(); a.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, status)
		}
	}
	mustCLI(t, "db", "drop", name, "--yes")
}

// LISTEN and NOTIFY through a gateway, as PostgreSQL's clients have them.
func TestListen(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	const name = "sim-listen"
	mustCLI(t, "db", "create", name)
	url := strings.TrimSpace(mustCLI(t, "keys", "create", "listen-app", "--database", name, "--format", "url"))
	a, b := connect(t, url), connect(t, url)
	next := func(c *pgx.Conn) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n.Channel + " " + n.Payload
	}
	execute(t, b, "NOTIFY jobs, 'before'")
	execute(t, a, "LISTEN jobs")
	execute(t, b, "LISTEN jobs")
	execute(t, b, "SELECT pg_notify('jobs', 'one'), pg_notify('none', 'x')")
	execute(t, b, "BEGIN")
	execute(t, b, "NOTIFY jobs, 'two'")
	execute(t, b, "NOTIFY jobs, 'two'")
	execute(t, b, "SAVEPOINT s")
	execute(t, b, "NOTIFY jobs, 'undone'")
	execute(t, b, "ROLLBACK TO s")
	execute(t, b, "COMMIT")
	execute(t, b, "BEGIN; NOTIFY jobs, 'lost'; ROLLBACK")
	killSome(t) // of whichever cell; one of four may end
	execute(t, b, "NOTIFY jobs, 'three'")
	for _, c := range []*pgx.Conn{a, b} {
		for _, want := range []string{"jobs one", "jobs two", "jobs three"} {
			if got := next(c); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	time.Sleep(time.Second) // it waits by then
	began := time.Now()
	execute(t, b, "NOTIFY jobs, 'quick'")
	done := time.Now()
	next(a)
	t.Logf("notified in %v, told %v later", done.Sub(began), time.Since(done))
	mustCLI(t, "db", "drop", name, "--yes")
}

// The command line follows, and says how to go on.
func TestWatch(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	const name = "sim-watch"
	mustCLI(t, "db", "create", name)
	mustCLI(t, "db", "sql", name, "CREATE TABLE t (n int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t; INSERT INTO t VALUES (1), (2); NOTIFY c, 'x'")
	watch := func(lines int, args ...string) (all []string, rest string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := stratos(ctx, append([]string{"db", "watch", name}, args...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var errors strings.Builder
		cmd.Stderr = &errors
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(out); len(all) < lines && s.Scan(); {
			all = append(all, s.Text())
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("%v: %s", err, errors.String())
		}
		return all, errors.String()
	}
	all, rest := watch(2, "p", "--from", "oldest")
	if len(all) != 2 || !strings.HasSuffix(all[0], `  insert    public.t  {"n": 1}`) || !strings.Contains(rest, "--from ") {
		t.Fatalf("%q, %s", all, rest)
	}
	at, _, _ := strings.Cut(all[0], " ")
	all, _ = watch(1, "p", "--from", at, "--json")
	var e told
	if len(all) != 1 || json.Unmarshal([]byte(all[0]), &e) != nil || e.New.N != 2 || e.Kind != "insert" {
		t.Errorf("%q", all)
	}
	if all, _ = watch(1, "--channel", "c", "--from", "oldest"); len(all) != 1 || !strings.HasSuffix(all[0], "  c  x") {
		t.Errorf("%q", all)
	}
	if _, errOut, code := runCLI(t, "db", "watch", name, "nosuch"); code == 0 || !strings.Contains(errOut, "CREATE PUBLICATION nosuch") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	mustCLI(t, "db", "drop", name, "--yes")
}
