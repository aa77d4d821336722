package databases

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A shelf has the databases one, of dialect sqlite, and two, of dialect postgres. Nobody answers for them.
type shelf struct {
	t      *testing.T
	opened int
	left   int
}

func (s *shelf) Key(_ context.Context, name string) (*Key, error) {
	switch name {
	case "ANY":
		return &Key{Name: name, Secret: "s"}, nil
	case "ONE":
		return &Key{Name: name, Secret: "s", Database: "one"}, nil
	case "AWAY":
		return nil, mesh.Errorf(mesh.Unavailable, "nobody answers")
	}
	return nil, mesh.Errorf(mesh.NotFound, "no such key")
}

func (s *shelf) Open(_ context.Context, _ *Key, name string) (*database.DB, func(), error) {
	dialect := map[string]string{"one": "sqlite", "two": "postgres"}[name]
	if dialect == "" {
		return nil, nil, mesh.Errorf(mesh.NotFound, "no database %q", name)
	}
	members := make([]database.Member, 4)
	for i := range members {
		members[i].Key[0] = byte(i)
	}
	db, err := database.Open(mesh.DatabaseID{}, name, database.Cell{Members: members}, database.Session{Key: make([]byte, 64)}, database.Options{Dialect: dialect})
	if err != nil {
		s.t.Fatal(err)
	}
	s.opened++
	return db, func() { s.left++ }, nil
}

// serve runs a server, and returns how to ask it.
func serve(t *testing.T, o Options) (*shelf, func(method, path, token, body string) (int, string, http.Header)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	store := &shelf{t: t}
	s, err := New(l, store, slog.New(slog.DiscardHandler), o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Run(context.Background()) }()
	c := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if store.opened != store.left {
			t.Errorf("%d databases were opened, %d left", store.opened, store.left)
		}
	})
	return store, func(method, path, token, body string) (int, string, http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		a, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(a.Body)
		if err := a.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(b), a.Header
	}
}

const closing = `{"requests":[{"type":"get_autocommit"},{"type":"close"}]}`

func TestRequests(t *testing.T) {
	store, ask := serve(t, Options{BodyBytes: 1000})
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		want                            string
	}{
		{"speaks it", "GET", "/one/v3", "", "", 200, ""},
		{"speaks it without a name", "GET", "/v2", "", "", 200, ""},
		{"no protobuf", "GET", "/one/v3-protobuf", "", "", 404, "there is nothing at"},
		{"a browser asks", "OPTIONS", "/one/v3/pipeline", "", "", 204, ""},
		{"works", "POST", "/one/v3/pipeline", "ANY.s", closing, 200, `{"baton":null,"base_url":null,"results":[{"type":"ok","response":{"type":"get_autocommit","is_autocommit":true}},{"type":"ok","response":{"type":"close"}}]}`},
		{"by its key", "POST", "/v2/pipeline", "ONE.s", closing, 200, `"is_autocommit":true`},
		{"whose?", "POST", "/v2/pipeline", "ANY.s", closing, 400, "the URL names none"},
		{"another's name", "POST", "/three/v2/pipeline", "ANY.s", closing, 404, "no database"},
		{"another dialect", "POST", "/two/v2/pipeline", "ANY.s", closing, 400, "dialect postgres"},
		{"no token", "POST", "/one/v2/pipeline", "", closing, 401, "no token"},
		{"no such key", "POST", "/one/v2/pipeline", "NONE.s", closing, 401, "no token"},
		{"another secret", "POST", "/one/v2/pipeline", "ANY.x", closing, 401, "no token"},
		{"no secret", "POST", "/one/v2/pipeline", "ANY", closing, 401, "no token"},
		{"nobody knows keys", "POST", "/one/v2/pipeline", "AWAY.s", closing, 503, "nobody answers"},
		{"GET", "GET", "/one/v2/pipeline", "ANY.s", "", 405, "POST"},
		{"no path", "POST", "/one", "ANY.s", "", 404, "nothing at"},
		{"too long", "POST", "/one/v2/pipeline", "ANY.s", strings.Repeat(" ", 1001), 429, "more than 1000 bytes"},
		{"no JSON", "POST", "/one/v2/pipeline", "ANY.s", "{", 400, "no message of Hrana"},
		{"a false baton", "POST", "/one/v2/pipeline", "ANY.s", `{"baton":"00","requests":[]}`, 400, "expired"},
		{"nothing known", "POST", "/one/v2/pipeline", "ANY.s", `{"requests":[{"type":"dance"},{"type":"execute"},{"type":"batch"},{"type":"sequence"},{"type":"close"},{"type":"get_autocommit"}]}`, 200, "the stream is closed"},
		{"no statement", "POST", "/one/v2/pipeline", "ANY.s", `{"requests":[{"type":"execute","stmt":{"sql":" -- "}},{"type":"execute","stmt":{"sql":"SELECT 1; SELECT 2"}},{"type":"close"}]}`, 200, "2 statements"},
		{"parameters", "POST", "/one/v2/pipeline", "ANY.s", `{"requests":[{"type":"execute","stmt":{"sql":"SELECT ?","args":[{"type":"null"},{"type":"null"}]}},{"type":"close"}]}`, 200, "2 arguments"},
		{"names", "POST", "/one/v2/pipeline", "ANY.s", `{"requests":[{"type":"execute","stmt":{"sql":"SELECT :a","named_args":[{"name":"b","value":{"type":"null"}}]}},{"type":"close"}]}`, 200, "no parameter"},
		{"a feed of nothing", "GET", "/two/changes", "ANY.s", "", 400, "of one publication, or of channels"},
		{"a feed of both", "GET", "/two/changes?publication=p&channel=c", "ANY.s", "", 400, "of one publication, or of channels"},
		{"a feed of what?", "GET", "/two/changes?table=t", "ANY.s", "", 400, "no parameter of a feed"},
		{"a feed from nowhere", "GET", "/two/changes?publication=p&from=x", "ANY.s", "", 400, "no position"},
		{"a feed is no POST", "POST", "/two/changes?publication=p", "ANY.s", "", 405, "GET"},
		{"a feed of dialect sqlite", "GET", "/changes?publication=p", "ONE.s", "", 400, "has no feeds"},
		{"a feed of no database", "GET", "/three/changes?publication=p", "ANY.s", "", 404, "no database"},
		{"a feed without a token", "GET", "/two/changes?publication=p", "", "", 401, "no token"},
		{"no batch", "POST", "/one/v3/cursor", "ANY.s", `{}`, 400, "without a batch"},
	} {
		status, body, h := ask(c.method, c.path, c.token, c.body)
		if status != c.status || !strings.Contains(body, c.want) || h.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	if store.opened > 4 { // by ANY one and two, by ONE one; three is none
		t.Errorf("opened %d times", store.opened)
	}
}

// A stream goes on with the baton that the last answer gave, and with no other; stored texts and transactions are its own.
func TestStreams(t *testing.T) {
	_, ask := serve(t, Options{StreamsPerKey: 2, StreamTime: 50 * time.Millisecond})
	begin := `{"requests":[{"type":"store_sql","sql_id":1,"sql":"BEGIN"},{"type":"execute","stmt":{"sql_id":1}},{"type":"get_autocommit"}]}`
	baton := func(body string) string {
		_, rest, _ := strings.Cut(body, `"baton":"`)
		b, _, _ := strings.Cut(rest, `"`)
		return b
	}
	_, body, _ := ask("POST", "/one/v3/pipeline", "ANY.s", begin)
	b := baton(body)
	if b == "" || !strings.Contains(body, `"is_autocommit":false`) {
		t.Fatalf("%s", body)
	}
	if status, body, _ := ask("POST", "/one/v3/pipeline", "ONE.s", `{"baton":"`+b+`","requests":[]}`); status != 400 {
		t.Errorf("another key's stream: %d %s", status, body)
	}
	_, body, _ = ask("POST", "/one/v3/pipeline", "ANY.s", `{"baton":"`+b+`","requests":[{"type":"execute","stmt":{"sql_id":1}},{"type":"execute","stmt":{"sql":"SAVEPOINT a"}},{"type":"execute","stmt":{"sql":"ROLLBACK TO a"}},
		{"type":"execute","stmt":{"sql":"RELEASE a"}},{"type":"execute","stmt":{"sql":"RELEASE a"}},{"type":"execute","stmt":{"sql":"COMMIT"}},{"type":"execute","stmt":{"sql":"COMMIT"}},{"type":"get_autocommit"},
		{"type":"close_sql","sql_id":1},{"type":"execute","stmt":{"sql_id":1}}]}`)
	for _, want := range []string{"within a transaction", "no such savepoint: A", "no transaction is active", `"is_autocommit":true`, "no text is stored under id 1"} {
		if strings.Count(body, want) != 1 {
			t.Errorf("%q: %s", want, body)
		}
	}
	if status, _, _ := ask("POST", "/one/v3/pipeline", "ANY.s", `{"baton":"`+b+`","requests":[]}`); status != 400 {
		t.Errorf("the same baton twice: %d", status)
	}
	b = baton(body)
	if _, body, _ := ask("POST", "/one/v3/pipeline", "ANY.s", begin); baton(body) == "" {
		t.Errorf("a second stream: %s", body)
	}
	if status, body, _ := ask("POST", "/one/v3/pipeline", "ANY.s", begin); status != 503 {
		t.Errorf("a third stream: %d %s", status, body)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if status, _, _ := ask("POST", "/one/v3/pipeline", "ANY.s", begin); status == 200 {
			break // the others have expired
		}
		if time.Now().After(deadline) {
			t.Fatal("streams do not expire")
		}
		time.Sleep(20 * time.Millisecond) // as often as an address may ask
	}
	if status, body, _ := ask("POST", "/one/v3/pipeline", "ANY.s", `{"baton":"`+b+`","requests":[]}`); status != 400 {
		t.Errorf("a stream that has expired: %d %s", status, body)
	}
}
