package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
)

// Exit codes besides those of mesh.Kind, and what they are called; "stratos exit-codes" lists all.
const (
	exitUsage       = 2
	exitInterrupted = 130
	usageKind       = "usage"
	interruptedKind = "interrupted"
)

// An env is what every command gets: streams, settings, and the few things that are opened by most of them.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	name           string // how the program was called
	json           bool   // --json
	grant          string // --grant
	interrupted    string // what a person may do after an interrupt of this command

	cfg    *config.Config // set when the command begins
	lines  *bufio.Reader  // of stdin, once something was read
	usable bool           // the command line made sense
}

// run executes one command line and returns the exit code.
func (e *env) run(ctx context.Context, args []string) int {
	root := newRootCommand(e)
	root.SetArgs(args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case !e.usable:
		e.json = e.json || slices.Contains(args, "--json") // which may stand behind what could not be read
		e.fail(devnet.Failure{Kind: usageKind, Code: exitUsage, Text: err.Error(), Hint: "see: " + cmd.CommandPath() + " --help"})
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		e.fail(devnet.Failure{Kind: interruptedKind, Code: exitInterrupted, Text: "interrupted", Hint: e.interrupted})
		return exitInterrupted
	}
	var usage *usageError
	if errors.As(err, &usage) {
		e.fail(devnet.Failure{Kind: usageKind, Code: exitUsage, Text: err.Error(), Hint: cmp.Or(mesh.HintOf(err), "see: "+cmd.CommandPath()+" --help")})
		return exitUsage
	}
	f := failureOf(err)
	e.fail(f)
	return f.Code
}

// A usageError is of a command line that makes no sense, which only the command could tell.
type usageError struct{ error }

func (u *usageError) Unwrap() error { return u.error }

func failureOf(err error) devnet.Failure {
	f := devnet.FailureOf(err)
	var sql *database.Error
	var unknown *database.UnknownError
	if errors.As(err, &sql) {
		f.SQLState = sql.Code
	}
	if errors.As(err, &unknown) {
		f.Program = unknown.ID.String()
	}
	return f
}

// fail reports why the command failed.
func (e *env) fail(f devnet.Failure) {
	if e.json {
		_ = json.NewEncoder(e.stderr).Encode(map[string]devnet.Failure{"error": f})
		return
	}
	fmt.Fprintf(e.stderr, "stratos: %s\n", visible(f.Text, '\n'))
	if f.Hint != "" {
		fmt.Fprintf(e.stderr, "next: %s\n", visible(f.Hint, '\n'))
	}
}

// visible writes a text with names that others chose so that a terminal shows them and obeys nothing in them: control
// characters, but for those allowed, and such as turn the direction of writing are escaped as in Go.
func visible(s string, allowed ...rune) string {
	hidden := func(r rune) bool {
		return (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError) && !slices.Contains(allowed, r)
	}
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if q := strconv.QuoteRuneToASCII(r); hidden(r) {
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// begin reads the settings. It runs before every command, when flags and arguments have been found in order.
func (e *env) begin(cmd *cobra.Command, _ []string) error {
	e.usable = true
	fallback, homeErr := home.Default()
	cfg, err := config.Load(cmd.Flags(), e.environ, fallback)
	if err != nil {
		return err
	}
	if cfg.Get(config.Home) == "" {
		return homeErr
	}
	e.cfg = cfg
	return nil
}

// print shows a result: as one JSON object with --json, else as human writes it.
func (e *env) print(v any, human func(w io.Writer)) error {
	if !e.json {
		var b strings.Builder
		human(&b)
		_, err := io.WriteString(e.stdout, visible(b.String(), '\n'))
		return err
	}
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("show the result: %w", err)
	}
	return nil
}

// count is a number of things.
func count[N int | uint32 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// say tells a person, not a program, what is going on.
func (e *env) say(format string, args ...any) {
	if !e.json {
		fmt.Fprintln(e.stderr, visible(fmt.Sprintf(format, args...), '\n'))
	}
}

// home opens the home.
func (e *env) home() (home.Home, error) { return home.Open(e.cfg.Get(config.Home)) }

// wallet opens the accounts of the home.
func (e *env) wallet() (wallet.Store, error) {
	h, err := e.home()
	return wallet.OpenStore(h.Keys()), err
}

// chain connects to the value layer that the profile names.
func (e *env) chain(ctx context.Context) (*chain.Client, error) {
	h, err := e.home()
	if err != nil {
		return nil, err
	}
	p, err := h.Profile()
	if err != nil {
		return nil, err
	}
	return chain.Dial(ctx, p.Endpoints.Eth, p.EVMChainID)
}

// account returns the account that acts: that of --account, or of the settings, or of the profile.
func (e *env) account(store wallet.Store) (wallet.Entry, error) {
	if e.grant != "" {
		return wallet.Entry{}, mesh.WithHint(mesh.Errorf(mesh.Invalid, "this is for an account to do, not under a grant"), "leave --grant away")
	}
	name := e.cfg.Get(config.Account)
	if name == "" {
		h, err := e.home()
		if err != nil {
			return wallet.Entry{}, err
		}
		if p, err := h.Profile(); err == nil {
			name = p.Account
		}
	}
	if name == "" {
		return wallet.Entry{}, mesh.WithHint(mesh.Errorf(mesh.Invalid, "no account is named"), "name one with --account; see: stratos wallet list")
	}
	return store.Find(name)
}

// key unlocks an account.
func (e *env) key(ctx context.Context, store wallet.Store, entry wallet.Entry) (wallet.Key, error) {
	password := ""
	if !entry.Open {
		var err error
		if password, err = e.password(ctx, "Password of "+entry.Name, false); err != nil {
			return wallet.Key{}, err
		}
	}
	return store.Unlock(entry.Name, password)
}

// password reads the password: the first line of --password-file, else what a person types; twice for a new one.
func (e *env) password(ctx context.Context, prompt string, fresh bool) (string, error) {
	if path := e.cfg.Get(config.PasswordFile); path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "password file: %w", err), "mend --password-file")
		}
		line, _, _ := strings.Cut(string(b), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	}
	first, err := e.secret(ctx, prompt, "--password-file")
	if err != nil || !fresh {
		return first, err
	}
	again, err := e.secret(ctx, "Again", "--password-file")
	if err == nil && again != first {
		err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "the two passwords differ"), "try again")
	}
	return first, err
}

// secret asks for something that is not shown while it is typed. Without a terminal it fails and names flag instead.
func (e *env) secret(ctx context.Context, prompt, flag string) (string, error) {
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s: there is no terminal to ask on", strings.ToLower(prompt)), "give it with %s", flag)
	}
	fd := int(f.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", mesh.Errorf(mesh.Internal, "read from the terminal: %w", err)
	}
	fmt.Fprint(e.stderr, prompt+": ")
	defer fmt.Fprintln(e.stderr)
	type typed struct {
		text []byte
		err  error
	}
	done := make(chan typed, 1)
	// Reading from a terminal cannot be broken off. After an interrupt the goroutine ends with the program, which is next.
	go func() {
		b, err := term.ReadPassword(fd)
		done <- typed{b, err}
	}()
	select {
	case t := <-done:
		if t.err != nil {
			return "", mesh.Errorf(mesh.Internal, "read from the terminal: %w", t.err)
		}
		return string(t.text), nil
	case <-ctx.Done():
		_ = term.Restore(fd, state) // so that the shell shows what is typed
		return "", ctx.Err()
	}
}

// printLine shows one of many results as a line of JSON.
func (e *env) printLine(v any) error { return json.NewEncoder(e.stdout).Encode(v) }

// secretLine reads a secret that a person types, or the next line of standard input when nobody is there to type.
func (e *env) secretLine(ctx context.Context, prompt string) (string, error) {
	if f, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return e.secret(ctx, prompt, "standard input")
	}
	if e.lines == nil {
		e.lines = bufio.NewReader(io.LimitReader(e.stdin, 64<<10))
	}
	line, err := e.lines.ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s: nothing on standard input", strings.ToLower(prompt)), "pipe one line in")
	}
	return strings.TrimSpace(line), nil
}
