package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/client/database"
	gateway "github.com/stratosmesh/stratos/gateway/postgres"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A recordedSession notes what it is asked. FAIL fails, WAIT waits until it is given up.
type recordedSession struct {
	sql   []string
	level database.Level
	waits chan struct{}
}

func (r *recordedSession) run(ctx context.Context, sql string, _ io.Writer) ([]answer, error) {
	r.sql = append(r.sql, sql)
	switch sql {
	case "FAIL":
		return nil, &database.Error{Code: sqlstate.SyntaxError, Text: "it fails"}
	case "WAIT":
		r.waits <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []answer{{tag: "DONE"}}, nil
}

func (r *recordedSession) setLevel(_ context.Context, l database.Level) error {
	r.level = l
	return nil
}
func (r *recordedSession) mark() string { return "" }
func (r *recordedSession) Close() error { return nil }

func newTestShell(t *testing.T) (*shell, *recordedSession, *strings.Builder) {
	t.Helper()
	members := make([]database.Member, 4)
	for i := range members {
		members[i].Key[0] = byte(i)
	}
	key := make([]byte, 64)
	db, err := database.Open(mesh.DatabaseID{}, "shop", database.Cell{Members: members}, database.Session{Key: key}, database.Options{Dialect: "postgres"})
	if err != nil {
		t.Fatal(err)
	}
	out := new(strings.Builder)
	r := &recordedSession{waits: make(chan struct{}, 1)}
	return &shell{env: &env{stdout: out, stderr: out}, db: db, session: r, signals: make(chan os.Signal, 1)}, r, out
}

func TestShellStatements(t *testing.T) {
	s, r, _ := newTestShell(t)
	text := "-- a comment\nselect 1; select\n  ';' ;\n\n/* and; */\nselect $$\n;$$\n; select 3"
	if err := s.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"select 1", "select\n  ';'", "select $$\n;$$", "select 3"}; !slices.Equal(r.sql, want) {
		t.Errorf("ran %q", r.sql)
	}
}

func TestShellEndsAtAnError(t *testing.T) {
	s, r, _ := newTestShell(t)
	err := s.read(strings.NewReader("select 1;\nFAIL;\nselect 2;"))
	if err == nil || !strings.Contains(err.Error(), "line 2: it fails") || len(r.sql) != 2 {
		t.Errorf("%v after %q", err, r.sql)
	}
}

func TestShellCommands(t *testing.T) {
	s, r, out := newTestShell(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.sql"), []byte("select 'included';\n\\i "+filepath.Join(dir, "b.sql")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.sql"), []byte("select 'deeper'"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "loop.sql"), []byte("\\i "+filepath.Join(dir, "loop.sql")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`\timing`, `\x on`, `\level fast`, `\i ` + filepath.Join(dir, "a.sql"), `\?`} {
		if err := s.take(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if !s.timing || !s.expanded || r.level != database.Fast || !slices.Equal(r.sql, []string{"select 'included'", "select 'deeper'"}) {
		t.Errorf("timing %v, expanded %v, level %v, ran %q", s.timing, s.expanded, r.level, r.sql)
	}
	if !strings.Contains(out.String(), `\dt [PATTERN]`) {
		t.Errorf("help: %s", out)
	}
	for line, want := range map[string]string{`\foo`: `there is no \foo`, `\x maybe`: "neither on nor off", `\level much`: "no level", `\i`: "needs the name", `\i /nowhere/x`: "no such file",
		`\i ` + filepath.Join(dir, "loop.sql"): "16 deep", `\q now`: "takes nothing"} {
		if err := s.take(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if err := s.take(`\q`); err != errQuit {
		t.Errorf(`\q: %v`, err)
	}
}

func TestShellInterrupt(t *testing.T) {
	for _, c := range []struct {
		signal os.Signal
		quits  bool
	}{{os.Interrupt, false}, {syscall.SIGTERM, true}} {
		s, r, _ := newTestShell(t)
		ended := make(chan error)
		go func() { ended <- s.statement("WAIT") }()
		<-r.waits
		s.signals <- c.signal
		if err := <-ended; (err == errQuit) != c.quits || err == nil {
			t.Errorf("%v: %v", c.signal, err)
		}
	}
	s, _, _ := newTestShell(t)
	s.signals <- os.Interrupt // of what came before
	if err := s.statement("select 1"); err != nil {
		t.Errorf("a late interrupt: %v", err)
	}
}

func TestShellCompletes(t *testing.T) {
	s, _, _ := newTestShell(t)
	s.names = []string{"items", "item_id", "Ünder"}
	for _, c := range []struct {
		line, head string
		want       []string
	}{
		{"select it", "select ", []string{"items", "item_id"}},
		{"SEL", "", []string{"SELECT"}},
		{"sel", "", []string{"select"}},
		{`\ti`, "", []string{`\timing`}},
		{"select ", "select ", nil},
		{"é, ün", "é, ", []string{"Ünder"}},
	} {
		if head, got, _ := s.complete(c.line, len([]rune(c.line))); head != c.head || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %q", c.line, head, got)
		}
	}
}

// A slowDatabase answers questions when they are given up.
type slowDatabase struct{ gateway.Database }

func (slowDatabase) Close() error { return nil }

func (slowDatabase) Query(ctx context.Context, _ gateway.Level, p gateway.Program) (*wirepb.Outcome, error) {
	if strings.Contains(p.Statements[0].Sql, "slow") {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return &wirepb.Outcome{Results: []*wirepb.Result{{Tag: "SELECT 0"}}}, nil
}

func (d slowDatabase) Key(context.Context, string) (*gateway.Key, error) {
	return &gateway.Key{Name: "k", Secret: "s"}, nil
}

func (d slowDatabase) Open(context.Context, *gateway.Key, string) (gateway.Database, error) {
	return d, nil
}

// A session outlives a statement that is given up.
func TestSessionOutlivesAnInterrupt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := gateway.New(l, slowDatabase{}, slowDatabase{}, slog.New(slog.DiscardHandler), gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Run(context.Background()) }()
	conn, err := connectSession(t.Context(), "postgresql://k:s@"+l.Addr().String()+"/shop?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	session := &postgresSession{conn: conn}
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, interrupt)
	var failed *database.Error
	if _, err := session.run(ctx, "SELECT slow", nil); !errors.As(err, &failed) || failed.Code != "57014" {
		t.Errorf("given up: %v", err)
	}
	if all, err := session.run(t.Context(), "SELECT 1", nil); err != nil || len(all) != 1 || all[0].tag != "SELECT 0" {
		t.Errorf("afterwards: %v, %v", all, err)
	}
	if err := errors.Join(conn.Close(t.Context()), s.Close(), <-ended); err != nil {
		t.Error(err)
	}
}

// What is told of a statement that was given up, by what became of it.
func TestShellGivesUp(t *testing.T) {
	s, _, _ := newTestShell(t)
	for _, c := range []struct {
		err        error
		text, hint string
	}{
		{&database.Error{Code: "57014", Text: "canceling statement due to user request"}, "nothing of it happened", ""},
		{&database.Error{Code: "08007"}, "not known yet", "look whether"},
		{&database.UnknownError{Err: context.Canceled}, "not known yet", "look whether"},
	} {
		if err := s.givenUp(c.err); !strings.Contains(err.Error(), c.text) || !strings.HasPrefix(mesh.HintOf(err), c.hint) || c.hint == "" && mesh.HintOf(err) != "" {
			t.Errorf("%v: %v, next %q", c.err, err, mesh.HintOf(err))
		}
	}
}
