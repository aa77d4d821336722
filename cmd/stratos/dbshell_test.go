package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
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
