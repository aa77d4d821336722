package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

func newDatabaseShellCommand(e *env) *cobra.Command {
	var level string
	cmd := &cobra.Command{
		Use:   "shell NAME",
		Short: "Type SQL and see what it gives",
		Long: `Runs statements as they are typed, each when its semicolon comes. BEGIN, COMMIT and ROLLBACK work as in psql in a database of dialect
postgres; in one of dialect sqlite each statement is a program of its own. \? lists what else can be typed.

Ctrl-C gives up the line, or the statement that runs; Ctrl-D ends. What comes from a file or a pipe ends at the first error.`,
		Example: "  stratos db shell shop\n  stratos db shell shop < schema.sql",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := database.ParseLevel(level)
			if err != nil {
				return &usageError{err}
			}
			if e.json {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "a shell is for people"), "run: stratos db sql %s 'SQL' --json", args[0])
			}
			return e.withClient(cmd.Context(), func(c *client.Client) (err error) {
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				s, err := openSession(cmd.Context(), db)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, s.Close()) }()
				if err := s.setLevel(cmd.Context(), l); err != nil {
					return err
				}
				return (&shell{env: e, db: db, session: s, level: l}).run()
			})
		},
	}
	cmd.Flags().StringVar(&level, "level", "default", "of statements that only read: fast, default or ordered")
	return cmd
}

// A shell runs what is typed.
type shell struct {
	env     *env
	db      *database.DB
	session sqlSession
	level   database.Level

	timing, expanded bool

	text     strings.Builder // of a statement that goes on
	told     int             // lies that were told of
	names    []string        // of tables and columns, for who completes them
	depth    int             // of files that include files
	signals  chan os.Signal
	terminal *liner.State // nil: nobody types
}

// errQuit ends the shell without an error.
var errQuit = errors.New("quit")

func (s *shell) run() error {
	s.signals = make(chan os.Signal, 1)
	signal.Notify(s.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(s.signals)
	var err error
	if in, ok := s.env.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		err = s.converse()
	} else {
		err = s.read(s.env.stdin)
	}
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}

// historyFile, in the home, holds what was typed.
const historyFile = "db_history"

// converse talks to a person.
func (s *shell) converse() (err error) {
	s.terminal = liner.NewLiner()
	defer func() { err = errors.Join(err, s.terminal.Close()) }()
	s.terminal.SetCtrlCAborts(true)
	s.terminal.SetTabCompletionStyle(liner.TabPrints)
	s.terminal.SetWordCompleter(s.complete)
	h, err := s.env.home()
	if err != nil {
		return err
	}
	path := h.Path(historyFile)
	if f, err := os.Open(path); err == nil {
		_, err = s.terminal.ReadHistory(f)
		if err := errors.Join(err, f.Close()); err != nil {
			s.env.say("note: what was typed before cannot be read: %v", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.env.say("note: what was typed before cannot be read: %v", err)
	}
	defer func() { err = errors.Join(err, s.remember(path)) }()
	fmt.Fprintf(s.env.stdout, "Database %s, dialect %s, on %s. Type \\? for help.\n", s.db.Name(), s.db.Dialect(), count(len(s.db.Cell().Members), "replica"))
	for {
		prompt := s.db.Name() + "=" + s.session.mark() + "> "
		if s.text.Len() > 0 {
			prompt = s.db.Name() + "-" + s.session.mark() + "> "
		}
		line, err := s.prompt(prompt)
		switch {
		case errors.Is(err, errQuit):
			return nil
		case errors.Is(err, liner.ErrPromptAborted):
			s.text.Reset()
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.env.stdout)
			return nil
		case err != nil:
			return mesh.Errorf(mesh.Internal, "reading from the terminal: %w", err)
		}
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, " ") {
			s.terminal.AppendHistory(line)
		}
		switch err := s.take(line); {
		case errors.Is(err, errQuit):
			return nil
		case err != nil:
			s.env.fail(failureOf(err))
		}
	}
}

// prompt reads a line. An interrupt discards what was typed: a terminal that can be moved about in makes a key of it; from others, as
// from anybody else, it is a signal, and a new prompt waits for the same reading, which cannot be broken off. Other signals end the shell.
func (s *shell) prompt(text string) (string, error) {
	type typed struct {
		line string
		err  error
	}
	read := make(chan typed, 1)
	go func() {
		line, err := s.terminal.Prompt(text)
		read <- typed{line, err}
	}()
	for {
		select {
		case t := <-read:
			return t.line, t.err
		case sig := <-s.signals:
			if sig != os.Interrupt {
				return "", errQuit
			}
			s.text.Reset()
			fmt.Fprintf(s.env.stdout, "\n%s=%s> ", s.db.Name(), s.session.mark())
		}
	}
}

// remember keeps what was typed for the next time, readable by its owner only.
func (s *shell) remember(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = s.terminal.WriteHistory(f)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return mesh.Errorf(mesh.Internal, "keeping what was typed: %w", err)
	}
	return nil
}

// read runs a file or a pipe, up to the first error.
func (s *shell) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxSQL)
	for n := 1; lines.Scan(); n++ {
		if err := s.take(lines.Text()); err != nil {
			if errors.Is(err, errQuit) {
				return err
			}
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return mesh.Errorf(mesh.Invalid, "reading the SQL: %w", err)
	}
	rest := s.text.String()
	s.text.Reset()
	if _, rest = database.Cut(s.db.Dialect(), rest); rest == "" {
		return nil
	}
	return s.statement(rest)
}

// take takes a line.
func (s *shell) take(line string) error {
	if trimmed := strings.TrimSpace(line); s.text.Len() == 0 && strings.HasPrefix(trimmed, `\`) {
		return s.command(trimmed[1:])
	}
	s.text.WriteString(line + "\n")
	if s.text.Len() > maxSQL {
		s.text.Reset()
		return mesh.Errorf(mesh.Invalid, "a statement of more than %d bytes", maxSQL)
	}
	if !strings.Contains(line, ";") {
		if _, rest := database.Cut(s.db.Dialect(), s.text.String()); rest == "" && !strings.Contains(s.text.String(), "/*") {
			s.text.Reset() // comments and empty lines
		}
		return nil
	}
	all, rest := database.Cut(s.db.Dialect(), s.text.String())
	s.text.Reset()
	if rest != "" {
		s.text.WriteString(rest + "\n")
	}
	for _, sql := range all {
		if err := s.statement(sql); err != nil {
			return err
		}
	}
	return nil
}

// statement runs one statement and shows what it gives.
func (s *shell) statement(sql string) error {
	began := time.Now()
	all, err := s.ask(sql)
	for _, a := range all {
		s.show(a)
	}
	s.told = s.env.sayEvidence(context.Background(), s.db, s.told)
	if s.timing {
		fmt.Fprintf(s.env.stdout, "Time: %.3f ms\n", float64(time.Since(began).Microseconds())/1000)
	}
	if k := database.Keyword(sql); k == "CREATE" || k == "ALTER" || k == "DROP" {
		s.names = nil
	}
	return err
}

// ask runs a statement, until it is done or somebody interrupts it.
func (s *shell) ask(sql string) ([]answer, error) {
	select {
	case <-s.signals: // was meant for what came before
	default:
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type reply struct {
		all []answer
		err error
	}
	replied := make(chan reply, 1)
	go func() {
		all, err := s.session.run(ctx, sql, s.env.stdout)
		replied <- reply{all, err}
	}()
	for {
		select {
		case r := <-replied:
			if ctx.Err() != nil && r.err != nil {
				return nil, s.givenUp(r.err)
			}
			return r.all, r.err
		case sig := <-s.signals:
			cancel()
			if sig != os.Interrupt {
				<-replied
				return nil, errQuit
			}
		}
	}
}

// givenUp is what a person is told of a statement that was interrupted and failed.
func (s *shell) givenUp(err error) error {
	text, hint := "the statement was given up, and nothing of it happened", ""
	if unknown(err) {
		text, hint = "the statement was given up; whether it was applied is not known yet", "look whether it was, in two minutes at most"
	}
	if s.session.mark() == "!" {
		text += "; the transaction is aborted"
		hint = "end it with ROLLBACK"
	}
	err = mesh.Errorf(mesh.Unavailable, "%s", text)
	if hint != "" {
		err = mesh.WithHint(err, "%s", hint)
	}
	return err
}

func (s *shell) show(a answer) {
	var b strings.Builder
	switch {
	case a.table == nil:
		fmt.Fprintln(&b, a.tag)
	case s.expanded:
		a.table.expand(&b)
	default:
		a.table.write(&b)
	}
	io.WriteString(s.env.stdout, visible(b.String(), '\n'))
}

// complete completes a word of SQL, or a name.
func (s *shell) complete(line string, pos int) (head string, completions []string, tail string) {
	runes := []rune(line)
	from := pos
	for from > 0 && (unicode.IsLetter(runes[from-1]) || unicode.IsDigit(runes[from-1]) || strings.ContainsRune(`_\`, runes[from-1])) {
		from--
	}
	word := string(runes[from:pos])
	if word == "" {
		return line, nil, ""
	}
	if s.names == nil {
		s.names = s.known()
	}
	var all []string
	if strings.HasPrefix(word, `\`) {
		for _, c := range shellCommands() {
			all = append(all, `\`+c.name)
		}
	} else {
		all = append(append(all, s.names...), sqlWords...)
	}
	seen := map[string]bool{}
	for _, c := range all {
		if len(c) >= len(word) && strings.EqualFold(c[:len(word)], word) && !seen[c] {
			seen[c] = true
			if word == strings.ToLower(word) && strings.ToUpper(c) == c {
				c = strings.ToLower(c)
			}
			completions = append(completions, c)
		}
	}
	return string(runes[:from]), completions, string(runes[pos:])
}

// completionTime bounds how long somebody waits who has pressed the key.
const completionTime = time.Second

// known are the names of tables and their columns. None is no error: nothing is completed then.
func (s *shell) known() []string {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	names := []string{}
	o, err := s.db.Query(ctx, database.Fast, database.SQL(catalogOf(s.db.Dialect()).names))
	if err != nil {
		return names
	}
	for _, row := range o.Results[0].Rows {
		for _, v := range row {
			if name, ok := v.(string); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// sqlWords are completed besides names.
var sqlWords = strings.Fields(`ADD ALTER AND AS ASC BEGIN BETWEEN BY CASE CHECK COLUMN COMMIT CONSTRAINT CREATE DEFAULT DELETE DESC DISTINCT DROP ELSE END
	EXCEPT EXISTS FALSE FOREIGN FROM GROUP HAVING IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LEFT LIKE LIMIT NOT NULL OFFSET ON OR ORDER
	OUTER PRIMARY REFERENCES RETURNING ROLLBACK SAVEPOINT SELECT SET TABLE THEN TRUE UNION UNIQUE UPDATE USING VALUES VIEW WHEN WHERE WITH`)
