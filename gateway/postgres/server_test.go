package postgres

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type keyring struct{}

func (keyring) Key(_ context.Context, name string) (*Key, error) {
	if name != "STANNA" {
		return nil, mesh.Errorf(mesh.NotFound, "there is no access key %s", name)
	}
	return &Key{Name: name, Secret: "secret of anna"}, nil
}

type databases struct{ db *fake }

func (d databases) Open(_ context.Context, _ *Key, name string) (Database, error) {
	if name != "shop" {
		return nil, mesh.Errorf(mesh.NotFound, "there is no database %s", name)
	}
	return d.db, nil
}

// A world is a running server.
type world struct {
	t    *testing.T
	db   *fake
	addr string
	stop func()
}

func certificate(t *testing.T) tls.Certificate {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

func newWorld(t *testing.T, o Options) *world {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: &fake{waits: make(chan struct{}, 1)}, addr: l.Addr().String()}
	s, err := New(l, keyring{}, databases{w.db}, slog.New(slog.NewTextHandler(io.Discard, nil)), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) url(user, password, name, more string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable%s", user, strings.ReplaceAll(password, " ", "%20"), w.addr, name, more)
}

func (w *world) connect(more string) *pgx.Conn {
	w.t.Helper()
	c, err := pgx.Connect(w.t.Context(), w.url("STANNA", "secret of anna", "shop", more))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func (w *world) list(c *pgx.Conn) string {
	w.t.Helper()
	rows, err := c.Query(w.t.Context(), "SELECT v FROM t")
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestWhoConnects(t *testing.T) {
	w := newWorld(t, Options{PerKey: 2})
	for _, c := range []struct{ user, password, name, want string }{
		{"STANNA", "secret of anna", "shop", ""},
		{"STANNA", "another", "shop", "28P01"},
		{"STBERT", "secret of anna", "shop", "28P01"},
		{"STBERT", "", "shop", "28P01"},
		{strings.Repeat("A", 200), "x", "shop", "28P01"},
		{"STANNA", "secret of anna", "another", "3D000"},
	} {
		conn, err := pgx.Connect(t.Context(), w.url(c.user, c.password, c.name, ""))
		if code(err) != c.want {
			t.Errorf("%s, %q, %s: %v, want %q", c.user, c.password, c.name, err, c.want)
		}
		if err == nil {
			conn.Close(t.Context())
		}
	}
	a, b := w.connect(""), w.connect("")
	if _, err := pgx.Connect(t.Context(), w.url("STANNA", "secret of anna", "shop", "")); code(err) != "53300" {
		t.Errorf("one too many: %v", err)
	}
	a.Close(t.Context())
	b.Close(t.Context())
	for more, want := range map[string]string{"&timezone=Europe/Berlin": "", "&timezone=Nowhere": "22023", "&nonsense=1": "42704", "&client_encoding=latin1": "0A000",
		"&options=-c%20stratos.level%3Dfast": "", "&options=-c%20stratos.level%3Dslow": "0A000", "&server_version=16": "55P02", "&replication=database": "0A000"} {
		c, err := pgx.Connect(t.Context(), w.url("STANNA", "secret of anna", "shop", more))
		if code(err) != want {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
		if err == nil {
			w.list(c)
			c.Close(t.Context())
		}
	}
}

func TestTLS(t *testing.T) {
	cert := certificate(t)
	w := newWorld(t, Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	for _, more := range []string{"&sslmode=require", "&sslmode=require&channel_binding=require", "&sslmode=require&channel_binding=disable", "&sslmode=require&sslnegotiation=direct", "&sslmode=disable"} {
		u := strings.Replace(w.url("STANNA", "secret of anna", "shop", more), "sslmode=disable&", "", 1)
		c, err := pgx.Connect(t.Context(), u)
		if err != nil {
			t.Errorf("%s: %v", more, err)
			continue
		}
		w.list(c)
		if _, secured := c.PgConn().Conn().(*tls.Conn); secured != strings.Contains(more, "require") {
			t.Errorf("%s: TLS %v", more, secured)
		}
		c.Close(t.Context())
	}
	plain := newWorld(t, Options{})
	u := strings.Replace(plain.url("STANNA", "secret of anna", "shop", ""), "disable", "require", 1)
	if _, err := pgx.Connect(t.Context(), u); err == nil {
		t.Error("TLS without a certificate")
	}
}

// Each statement by itself: what reads is asked for at the connection's level, what writes goes on the log.
func TestAutocommit(t *testing.T) {
	w := newWorld(t, Options{})
	for _, mode := range []string{"", "&default_query_exec_mode=simple_protocol", "&default_query_exec_mode=exec", "&default_query_exec_mode=describe_exec"} {
		w.db.list, w.db.execs = nil, 0
		c := w.connect(mode)
		tag, err := c.Exec(t.Context(), "INSERT INTO t (v) VALUES ('a')")
		if err != nil || tag.String() != "INSERT 0 1" {
			t.Errorf("%s: %s, %v", mode, tag, err)
		}
		if mode != "&default_query_exec_mode=simple_protocol" {
			if _, err := c.Exec(t.Context(), "INSERT INTO t (v) VALUES ($1), ($2)", "b", "c"); err != nil {
				t.Errorf("%s: %v", mode, err)
			}
			var n int
			if err := c.QueryRow(t.Context(), "SELECT $1::int4", 42).Scan(&n); err != nil || n != 42 {
				t.Errorf("%s: %d, %v", mode, n, err)
			}
			if got := w.list(c); got != "a b c" || w.db.count() != 2 {
				t.Errorf("%s: %s, %d programs on the log", mode, got, w.db.execs)
			}
		}
		if _, err := c.Exec(t.Context(), "FAIL 22012"); code(err) != "22012" {
			t.Errorf("%s: %v", mode, err)
		}
		if _, err := c.Exec(t.Context(), "SET stratos.level = fast"); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if w.list(c); w.db.level != Fast {
			t.Errorf("%s: asked at level %s", mode, w.db.level)
		}
	}
}

func TestTransactions(t *testing.T) {
	w := newWorld(t, Options{})
	c, other := w.connect(""), w.connect("")
	do := func(sql, want string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), sql); code(err) != want {
			t.Errorf("%s: %v, want %q", sql, err, want)
		}
	}
	status := func(want byte) {
		t.Helper()
		if got := c.PgConn().TxStatus(); got != want {
			t.Errorf("status %c, want %c", got, want)
		}
	}
	do("BEGIN", "")
	status('T')
	do("INSERT INTO t (v) VALUES ('a')", "")
	if got := w.list(c) + "|" + w.list(other); got != "a|" {
		t.Errorf("within and beside the transaction: %s", got)
	}
	do("SAVEPOINT s", "")
	do("INSERT INTO t (v) VALUES ('b')", "")
	do("FAIL 22012", "22012")
	status('E')
	do("SELECT v FROM t", "25P02")
	do("ROLLBACK TO s", "")
	status('T')
	do("INSERT INTO t (v) VALUES ('c')", "")
	do("RELEASE s", "")
	do("ROLLBACK TO s", "3B001")
	do("COMMIT", "") // of what has failed
	status('I')
	if w.db.count() != 0 || w.db.String() != "" {
		t.Errorf("it happened: %s", w.db)
	}

	do("BEGIN", "")
	do("INSERT INTO t (v) VALUES ('a')", "")
	do("SAVEPOINT s", "")
	do("INSERT INTO t (v) VALUES ('b')", "")
	do("ROLLBACK TO SAVEPOINT s", "")
	do("INSERT INTO t (v) VALUES ('c')", "")
	do("COMMIT", "")
	if w.db.count() != 1 || w.db.String() != "a c" {
		t.Errorf("got %s in %d programs", w.db, w.db.execs)
	}

	// What was seen must still be so.
	do("BEGIN", "")
	w.list(c)
	do("INSERT INTO t (v) VALUES ('d')", "")
	if _, err := other.Exec(t.Context(), "INSERT INTO t (v) VALUES ('e')"); err != nil {
		t.Fatal(err)
	}
	do("COMMIT", "40001")
	status('I')
	do("BEGIN ISOLATION LEVEL REPEATABLE READ", "")
	w.list(c)
	if _, err := other.Exec(t.Context(), "INSERT INTO t (v) VALUES ('f')"); err != nil {
		t.Fatal(err)
	}
	do("SELECT v FROM t", "40001")
	do("ROLLBACK", "")
	do("BEGIN", "") // which only reads, and may
	before := w.list(c)
	if _, err := other.Exec(t.Context(), "INSERT INTO t (v) VALUES ('g')"); err != nil {
		t.Fatal(err)
	}
	if after := w.list(c); after != before+" g" {
		t.Errorf("%s, then %s", before, after)
	}
	execs := w.db.count()
	do("COMMIT", "")
	if w.db.count() != execs {
		t.Error("what only read went on the log")
	}

	do("BEGIN READ ONLY", "")
	do("INSERT INTO t (v) VALUES ('h')", "25006")
	do("ROLLBACK", "")
	do("SET default_transaction_read_only = on", "")
	do("DELETE FROM t", "25006")
	do("RESET default_transaction_read_only", "")
	do("BEGIN; DELETE FROM t; ROLLBACK", "")
	status('I')
	if w.db.String() == "" {
		t.Error("a text that ends in ROLLBACK has happened")
	}
	do("COMMIT", "") // a warning
	do("SAVEPOINT s", "25P01")
	do("BEGIN; COMMIT AND CHAIN", "")
	status('T')
	do("ROLLBACK", "")
}

// A text, or a pipeline, of several statements is one program.
func TestBatches(t *testing.T) {
	w := newWorld(t, Options{})
	c := w.connect("")
	text := func(sql string) (tags []string, err error) {
		r := c.PgConn().Exec(t.Context(), sql)
		for r.NextResult() {
			tag, _ := r.ResultReader().Close()
			tags = append(tags, tag.String())
		}
		return tags, r.Close()
	}
	tags, err := text("INSERT INTO t (v) VALUES ('a;b'); SELECT v FROM t; -- nothing;\n INSERT INTO t (v) VALUES ('c');;")
	if err != nil || fmt.Sprint(tags) != "[INSERT 0 1 SELECT 1 INSERT 0 1]" || w.db.count() != 1 || w.db.String() != "a;b c" {
		t.Errorf("%v, %v, %d programs: %s", tags, err, w.db.execs, w.db)
	}
	tags, err = text("INSERT INTO t (v) VALUES ('d'); FAIL 22012; SELECT v FROM t")
	if code(err) != "22012" || fmt.Sprint(tags[:1]) != "[INSERT 0 1]" || w.db.String() != "a;b c" {
		t.Errorf("%v, %v: %s", tags, err, w.db)
	}
	var e *pgconn.PgError
	if errors.As(err, &e); e.Position != 33 {
		t.Errorf("the error is at %d", e.Position)
	}
	if tags, err = text("  ; -- nothing"); err != nil || len(tags) > 1 {
		t.Errorf("nothing: %v, %v", tags, err)
	}
	before := w.db.count()
	if tags, err = text("INSERT INTO t (v) VALUES ('x'); SET application_name = 'y'; SHOW application_name; INSERT INTO t (v) VALUES ('y')"); err != nil || w.db.String() != "a;b c x y" || w.db.count() != before+1 {
		t.Errorf("with a setting between: %v, %v: %s", tags, err, w.db)
	}

	before = w.db.count()
	b := &pgx.Batch{}
	for i := range 5 {
		b.Queue("INSERT INTO t (v) VALUES ($1)", fmt.Sprint(i))
	}
	b.Queue("SELECT v FROM t")
	r := c.SendBatch(t.Context(), b)
	for range 5 {
		if _, err := r.Exec(); err != nil {
			t.Error(err)
		}
	}
	rows, err := r.Query()
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err := errors.Join(err, r.Close()); err != nil || len(all) != 9 || w.db.count() != before+1 {
		t.Errorf("%v, %v, %d programs", all, err, w.db.execs-before)
	}
	b = &pgx.Batch{}
	b.Queue("INSERT INTO t (v) VALUES ($1)", "no")
	b.Queue("FAIL 22012")
	b.Queue("INSERT INTO t (v) VALUES ($1)", "no")
	if err := c.SendBatch(t.Context(), b).Close(); code(err) != "22012" || strings.Contains(w.db.String(), "no") {
		t.Errorf("a batch that fails: %v: %s", err, w.db)
	}
}

func TestCopy(t *testing.T) {
	w := newWorld(t, Options{})
	c := w.connect("")
	in := func(sql, data, want string) {
		t.Helper()
		w.db.mu.Lock()
		w.db.list = nil
		w.db.mu.Unlock()
		if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(data), sql); code(err) != "" {
			if code(err) != want {
				t.Errorf("%s: %v, want %s", sql, err, want)
			}
			return
		}
		if got := fmt.Sprintf("%q", w.db.list); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	in("COPY t FROM STDIN", "a\nb\\tc\\\\\\n\\x41\\101\n", `["a" "b\tc\\\nAA"]`)
	in("COPY t (v) FROM STDIN", "a\r\nb", `["a" "b"]`)
	in("COPY t FROM STDIN", "a\n\\.\nb\n", `["a"]`)
	in("COPY t FROM STDIN", "a\tb\n", "22P04")
	in("COPY t FROM STDIN WITH (FORMAT csv, HEADER)", "v\na\n\"b, \"\"c\"\"\nd\"\n\"\"\n", `["a" "b, \"c\"\nd" ""]`)
	in("copy t from stdin csv header quote '''' delimiter ';'", "v\n'a;b'\n", `["a;b"]`)
	in("COPY t FROM STDIN WITH (FORMAT csv, HEADER match)", "w\na\n", "22P04")
	in("COPY t FROM STDIN CSV", "\"a\n", "22P04")
	in("COPY t FROM STDIN WITH (nonsense 1)", "", "42601")
	in("COPY t FROM STDIN", "\xff\n", "22021")
	in("COPY t FROM '/etc/passwd'", "", "0A000")
	in("COPY t FROM STDIN (FREEZE)", "", "[]")
	if got := w.list(c); got != "" {
		t.Errorf("the connection goes on: %s", got)
	}
	n, err := c.CopyFrom(t.Context(), pgx.Identifier{"t"}, []string{"v"}, pgx.CopyFromSlice(3000, func(i int) ([]any, error) { return []any{fmt.Sprint(i)}, nil })) // binary
	if err != nil || n != 3000 || len(w.db.list) != 3000 || w.db.list[2999] != "2999" {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(strings.Repeat("x", 9<<20)), "COPY t FROM STDIN"); code(err) != "54000" {
		t.Errorf("too long a line: %v", err)
	}
	w.db.list = []string{"a\tb", "c,\"d\"", `\.`}
	for sql, want := range map[string]string{
		"COPY t TO STDOUT": "a\\tb\nc,\"d\"\n\\\\.\n",
		"COPY (SELECT v FROM t) TO STDOUT CSV HEADER":                 "v\na\tb\n\"c,\"\"d\"\"\"\n\"\\.\"\n",
		"COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE *, DELIMITER ';')": "\"a\tb\"\n\"c,\"\"d\"\"\"\n\"\\.\"\n",
		"COPY t TO STDOUT (FORMAT binary)":                            "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x03a\tb\x00\x01\x00\x00\x00\x05c,\"d\"\x00\x01\x00\x00\x00\x02\\.\xff\xff",
	} {
		var b bytes.Buffer
		if _, err := c.PgConn().CopyTo(t.Context(), &b, sql); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v, want %q", sql, b.String(), err, want)
		}
	}
	// In a transaction it is a part of it.
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Conn().PgConn().CopyFrom(t.Context(), strings.NewReader("x\n"), "COPY t FROM STDIN"); err != nil {
		t.Error(err)
	}
	if got := w.list(c); !strings.HasSuffix(got, " x") {
		t.Errorf("within: %q", got)
	}
	if err := tx.Rollback(t.Context()); err != nil || slices.Contains(w.db.list, "x") {
		t.Errorf("after it: %v", err)
	}
}

func TestCursors(t *testing.T) {
	w := newWorld(t, Options{})
	for i := range 10 {
		w.db.list = append(w.db.list, fmt.Sprint(i))
	}
	c := w.connect("")
	do := func(sql, want string) {
		t.Helper()
		var got []string
		r := c.PgConn().Exec(t.Context(), sql)
		for r.NextResult() {
			for r.ResultReader().NextRow() {
				got = append(got, string(r.ResultReader().Values()[0]))
			}
		}
		if err := r.Close(); err != nil {
			got = append(got, code(err))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", sql, s, want)
		}
	}
	do("DECLARE k CURSOR FOR SELECT v FROM t", "25P01")
	do("BEGIN; DECLARE k SCROLL CURSOR FOR SELECT v FROM t", "")
	for _, s := range [][2]string{{"FETCH k", "0"}, {"FETCH 3 FROM k", "1 2 3"}, {"FETCH RELATIVE 2 k", "5"}, {"FETCH PRIOR FROM k", "4"}, {"MOVE FORWARD 2 IN k", ""}, {"FETCH k", "7"},
		{"FETCH ALL IN k", "8 9"}, {"FETCH k", ""}, {"FETCH BACKWARD 2 k", "9 8"}, {"FETCH ABSOLUTE 3 k", "2"}, {"FETCH LAST k", "9"}, {"FETCH FIRST k", "0"}, {"FETCH BACKWARD ALL k", ""},
		{"FETCH 0 k", ""}, {"FETCH FORWARD 1 k", "0"}, {"FETCH ABSOLUTE -2 k", "8"}, {"FETCH 1 FROM nobody", "34000"}} {
		do(s[0], s[1])
		if s[1] == "34000" {
			break
		}
	}
	do("ROLLBACK", "")
	do("DECLARE h CURSOR WITH HOLD FOR SELECT v FROM t", "")
	do("FETCH 2 FROM h", "0 1")
	do("CLOSE h", "")
	do("FETCH 2 FROM h", "34000")
	// Portals with a limit, as drivers fetch.
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do("PREPARE p AS SELECT v FROM t; EXECUTE p", "0 1 2 3 4 5 6 7 8 9")
	do("PREPARE q (int4) AS SELECT $1::int4; EXECUTE q (7)", "7")
	do("DEALLOCATE ALL", "")
	do("EXECUTE p", "26000")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, Options{StatementTime: time.Hour})
	c := w.connect("")
	done := make(chan error)
	go func() {
		_, err := c.Exec(context.Background(), "WAIT")
		done <- err
	}()
	<-w.db.waits
	if err := c.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; code(err) != "57014" || !strings.Contains(err.Error(), "user request") {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := c.Exec(t.Context(), "SET statement_timeout = '50ms'"); err != nil {
		t.Error(err)
	}
	go func() { <-w.db.waits }()
	if _, err := c.Exec(t.Context(), "WAIT"); code(err) != "57014" || !strings.Contains(err.Error(), "statement timeout") {
		t.Errorf("too long: %v", err)
	}
	if _, err := c.Exec(t.Context(), "SET idle_in_transaction_session_timeout = '50ms'; BEGIN"); err != nil {
		t.Error(err)
	}
	if _, err := c.PgConn().Conn().Read(make([]byte, 1)); err != nil { // it is told
		t.Error(err)
	}
	if _, err := c.Exec(t.Context(), "SELECT v FROM t"); err == nil {
		t.Error("the connection goes on after its transaction waited too long")
	}
	idle := w.connect("")
	w.list(idle)
	w.stop()
	if _, err := idle.Exec(t.Context(), "SELECT v FROM t"); err == nil {
		t.Error("the server goes on")
	}
	if w.db.closed != 2 {
		t.Errorf("%d databases were closed, want 2", w.db.closed)
	}
}
