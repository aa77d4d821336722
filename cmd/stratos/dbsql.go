package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// maxSQL bounds what is read of a file or of standard input: more is no program.
const maxSQL = 1 << 20

func newDatabaseSQLCommand(e *env) *cobra.Command {
	var file, level, id string
	var params []string
	cmd := &cobra.Command{
		Use:   "sql NAME [SQL]",
		Short: "Run SQL in a database",
		Long: `Runs statements, divided by semicolons, as one program: all or none. They are given as an argument, in a file, or on standard input.

Statements that only read are answered by the replicas at the level given: "fast" takes one replica's word, "default" the same answer
of f+1 of 3f+1 replicas, "ordered" lets them take their turn on the log, so that they see everything that anybody has written before.
Others go through the log in any case, and their outcome is what f+1 replicas have signed.

Parameters stand for $1, $2 and so on of a single statement, in dialect sqlite for ?1 and ?2: 42 is an integer, 4.2 a real, null NULL,
x'0aff' a blob, and all else, or what stands in single quotes, a text, which may be any value that PostgreSQL reads.`,
		Example: `  stratos db sql shop "CREATE TABLE t(id serial PRIMARY KEY, name text); INSERT INTO t(name) VALUES('ink')"
  stratos db sql shop 'SELECT * FROM t WHERE name = $1' --param ink
  stratos db sql shop --file schema.sql
  stratos db sql shop "SELECT count(*) FROM t" --level ordered --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := database.ParseLevel(level)
			if err != nil {
				return &usageError{err}
			}
			text, err := e.sqlText(args[1:], file)
			if err != nil {
				return err
			}
			p := database.Program{}
			if id != "" {
				if p.ID, err = database.ParseID(id); err != nil {
					return err
				}
			}
			var values []any
			for _, s := range params {
				v, err := parameter(s)
				if err != nil {
					return err
				}
				values = append(values, v)
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				for _, s := range database.Split(db.Dialect(), text) {
					p.Statements = append(p.Statements, database.SQL(s))
				}
				if len(values) > 0 && len(p.Statements) != 1 {
					return mesh.WithHint(mesh.Errorf(mesh.Invalid, "parameters are for a single statement, and there are %d", len(p.Statements)), "run them one by one")
				}
				if len(values) > 0 {
					p.Statements[0].Parameters = values
				}
				o, err := db.Do(cmd.Context(), l, p)
				if e.sayEvidence(cmd.Context(), db, 0); err != nil {
					return explained(err, len(p.Statements))
				}
				return e.print(viewOutcome(o), func(w io.Writer) { writeOutcome(w, o) })
			})
		},
	}
	cmd.Flags().StringVar(&level, "level", "default", "of statements that only read: fast, default or ordered")
	cmd.Flags().StringVar(&file, "file", "", "file with the statements")
	cmd.Flags().StringArrayVar(&params, "param", nil, "parameter of the statement, in order; may be given more than once")
	cmd.Flags().StringVar(&id, "id", "", "of a program that was sent less than ten minutes ago and of which nobody knows what became: it is run once; another one under it is refused")
	return cmd
}

// sqlText returns the statements that were given in one of three ways.
func (e *env) sqlText(args []string, file string) (string, error) {
	var in io.Reader
	switch {
	case len(args) > 0 && file != "":
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "there is SQL as an argument and in a file"), "leave one of them away")
	case len(args) > 0:
		return args[0], nil
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", mesh.Errorf(mesh.NotFound, "the file with SQL: %w", err)
		}
		defer f.Close()
		in = f
	default:
		if f, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "there is no SQL to run"), "give it as an argument, with --file, or on standard input")
		}
		in = e.stdin
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSQL+1))
	if err != nil {
		return "", mesh.Errorf(mesh.Invalid, "reading the SQL: %w", err)
	}
	if len(b) > maxSQL {
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "there are more than %d bytes of SQL", maxSQL), "divide them")
	}
	return string(b), nil
}

// parameter reads a value as SQL writes it, and takes what is none for a text.
func parameter(s string) (any, error) {
	if strings.EqualFold(s, "null") {
		return nil, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && strings.ContainsAny(s, "0123456789") && !strings.ContainsAny(s, "xXpP_") {
		return f, nil
	}
	if len(s) >= 3 && (s[0] == 'x' || s[0] == 'X') && s[1] == '\'' && s[len(s)-1] == '\'' {
		b, err := hex.DecodeString(s[2 : len(s)-1])
		if err != nil {
			return nil, mesh.Errorf(mesh.Invalid, "the parameter %.40s is no blob: %w", s, err)
		}
		return b, nil
	}
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return strings.ReplaceAll(s[1:len(s)-1], "''", "'"), nil
	}
	return s, nil
}

// explained says which of several statements failed, and how to go on when nobody knows what became of them.
func explained(err error, statements int) error {
	var failed *database.Error
	var unknown *database.UnknownError
	if errors.As(err, &unknown) {
		return mesh.WithHint(err, "run the same again within ten minutes, with --id %s: it is applied once", unknown.ID)
	}
	if !errors.As(err, &failed) || statements < 2 || failed.SQL == "" {
		return err
	}
	sql := strings.Join(strings.Fields(failed.SQL), " ")
	if utf8.RuneCountInString(sql) > 60 {
		sql = string([]rune(sql)[:60]) + "..."
	}
	return mesh.Errorf(mesh.KindOf(err), "statement %d, %s: %w", failed.Statement+1, sql, err)
}

// reportTime is how long a command waits for the network to have evidence.
const reportTime = 10 * time.Second

// sayEvidence tells a person which replicas were caught lying, but for the first told, and whether the network knows. It returns how
// many there are.
func (e *env) sayEvidence(ctx context.Context, db *database.DB, told int) int {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	if err := db.Reported(ctx); err != nil {
		e.say("note: %v", err)
	}
	lies := db.Evidence()
	for _, v := range lies[min(told, len(lies)):] {
		e.say("note: replica %s at %s signed an answer that %d others contradict; it was not believed", v.Liar.Node, v.Liar.Address, db.Cell().Faults()+1)
		if v.Handed {
			e.say("note: the network has the proof; see: stratos node status")
		} else if v.Failed != nil {
			e.say("note: the proof could not be handed in: %v", v.Failed)
		}
	}
	return len(lies)
}

type outcomeView struct {
	Results []resultView   `json:"results"`
	Height  int64          `json:"height"`
	Usage   database.Usage `json:"usage"`
}

type resultView struct {
	Columns   []database.Column `json:"columns"`
	Rows      [][]any           `json:"rows"`
	Changed   uint64            `json:"changed"`
	LastRowID int64             `json:"last_row_id,omitempty"`
	Tag       string            `json:"tag,omitempty"`
}

// viewOutcome is an outcome in JSON: a blob is {"blob": "hex"}, an infinite number a text.
func viewOutcome(o *database.Outcome) outcomeView {
	v := outcomeView{Results: []resultView{}, Height: o.Height, Usage: o.Usage}
	for _, r := range o.Results {
		out := resultView{Columns: append([]database.Column{}, r.Columns...), Rows: [][]any{}, Changed: r.Changed, LastRowID: r.LastRowID, Tag: r.Tag}
		for _, row := range r.Rows {
			cells := slices.Clone(row)
			for i, c := range cells {
				switch c := c.(type) {
				case []byte:
					cells[i] = map[string]string{"blob": hex.EncodeToString(c)}
				case float64:
					if math.IsInf(c, 0) {
						cells[i] = realText(c)
					}
				}
			}
			out.Rows = append(out.Rows, cells)
		}
		v.Results = append(v.Results, out)
	}
	return v
}
