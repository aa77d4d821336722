package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratosmesh/stratos/mesh"
)

// next waits for a notification, or says what comes instead.
func next(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n, err := c.WaitForNotification(ctx)
	if err != nil {
		if e := code(err); len(e) == 5 {
			return e
		}
		return "gone"
	}
	return n.Channel + " " + n.Payload
}

func TestListen(t *testing.T) {
	w := newWorld(t, Options{})
	a, b := w.connect(""), w.connect("")
	do := func(c *pgx.Conn, sql string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	want := func(c *pgx.Conn, text string) {
		t.Helper()
		if got := next(t, c); got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
	channels := func(c *pgx.Conn, sql string) string {
		t.Helper()
		rows, err := c.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, " ")
	}
	w.db.notify("x", "before")
	do(a, "LISTEN x")
	do(b, `LISTEN "X"`)
	do(b, "LISTEN x")
	do(b, "LISTEN x")
	w.db.notify("x", "1")
	w.db.notify("X", "2")
	w.db.notify("other", "3")
	w.db.notify("x", "4")
	want(a, "x 1")
	want(a, "x 4")
	want(b, "x 1")
	want(b, "X 2")
	want(b, "x 4")
	if n := w.db.following(); n != 1 {
		t.Errorf("%d follow for two connections of a key", n)
	}
	if got := channels(b, "SELECT pg_listening_channels()") + "," + channels(b, "SELECT * FROM pg_catalog.pg_listening_channels() AS c"); got != "X x,X x" {
		t.Error(got)
	}

	// A transaction: nothing comes before it is over, and LISTEN is a part of it.
	do(a, "BEGIN")
	do(a, "LISTEN y")
	do(a, "SAVEPOINT s")
	do(a, "LISTEN z")
	do(a, "UNLISTEN x")
	do(a, "ROLLBACK TO s")
	w.db.notify("x", "5")
	w.db.notify("z", "6")
	w.db.notify("y", "7")
	want(b, "x 5") // so that it would have come
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	if n, err := a.WaitForNotification(ctx); err == nil {
		t.Errorf("within a transaction: %v", n)
	}
	cancel()
	if got := channels(a, "SELECT pg_listening_channels()"); got != "x" {
		t.Error(got)
	}
	do(a, "COMMIT")
	want(a, "x 5")
	want(a, "y 7")
	do(a, "BEGIN")
	do(a, "UNLISTEN *")
	do(a, "LISTEN q")
	do(a, "ROLLBACK")
	if got := channels(a, "select pg_listening_channels()"); got != "x y" {
		t.Error(got)
	}
	do(a, "UNLISTEN x; UNLISTEN y; LISTEN q; LISTEN y") // one transaction
	for range 2 {                                       // once the statement is prepared, once it is not
		rows, err := a.Query(t.Context(), "SELECT pg_listening_channels() AS c")
		if err != nil {
			t.Fatal(err)
		}
		if list, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || strings.Join(list, " ") != "q y" {
			t.Error(list, err)
		}
	}
	w.db.notify("x", "8")
	w.db.notify("q", "9")
	want(a, "q 9")
	want(b, "x 8")

	// Who listens no more is told nothing, and the last one ends it.
	do(a, "UNLISTEN *")
	do(b, "DISCARD ALL")
	deadline := time.Now().Add(10 * time.Second)
	for w.db.following() > 0 {
		if time.Now().After(deadline) {
			t.Fatal("it is followed on")
		}
		time.Sleep(time.Millisecond)
	}
	if got := channels(b, "SELECT pg_listening_channels()"); got != "" {
		t.Error(got)
	}
	do(a, "LISTEN x")
	w.db.notify("x", "10")
	want(a, "x 10")
}

// TestListenLate shows what comes while the client does something else: it is sent with the next answer.
func TestListenLate(t *testing.T) {
	w := newWorld(t, Options{})
	c := w.connect("&default_query_exec_mode=simple_protocol")
	var got []string
	if _, err := c.Exec(t.Context(), "LISTEN x"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		w.db.notify("x", fmt.Sprint(i))
	}
	for len(got) < 3 {
		if _, err := c.Exec(t.Context(), "SELECT v FROM t"); err != nil {
			t.Fatal(err)
		}
		for c.PgConn() != nil {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what has come already
			n, err := c.WaitForNotification(ctx)
			if err != nil {
				break
			}
			got = append(got, n.Payload)
		}
	}
	if strings.Join(got, "") != "012" {
		t.Error(got)
	}
}

// TestListenEnds shows connections that would miss something: they are ended, and know it.
func TestListenEnds(t *testing.T) {
	w := newWorld(t, Options{})
	slow, c := w.connect(""), w.connect("")
	for _, sql := range []string{"LISTEN x", "BEGIN"} {
		if _, err := slow.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxTold + 1 {
		w.db.notify("x", fmt.Sprint(i))
	}
	if got := next(t, slow); got != "53400" {
		t.Errorf("who does not read: %s", got)
	}
	if _, err := c.Exec(t.Context(), "LISTEN x"); err != nil {
		t.Fatal(err)
	}
	w.db.lose(mesh.Errorf(mesh.NotFound, "it is not kept any more"))
	if got := next(t, c); got != "08006" {
		t.Errorf("when the database does not answer: %s", got)
	}
	w.db.lose(nil)
	if c = w.connect(""); code(func() error { _, err := c.Exec(t.Context(), "LISTEN x"); return err }()) != "" {
		t.Error("a new connection does not listen")
	}
	w.db.notify("x", "again")
	if got := next(t, c); got != "x again" {
		t.Error(got)
	}
	done := make(chan string, 1)
	go func() { done <- next(t, c) }()
	w.stop()
	if got := <-done; got != "57P01" {
		t.Errorf("when the server stops: %s", got)
	}
}
