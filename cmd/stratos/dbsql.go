package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
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
				return err
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
			for _, s := range database.Split(text) {
				p.Statements = append(p.Statements, database.SQL(s))
			}
			if len(params) > 0 && len(p.Statements) != 1 {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "parameters are for a single statement, and there are %d", len(p.Statements)), "run them one by one")
			}
			for _, s := range params {
				v, err := parameter(s)
				if err != nil {
					return err
				}
				p.Statements[0].Parameters = append(p.Statements[0].Parameters, v)
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				o, err := runSQL(cmd.Context(), db, l, p)
				if e.sayEvidence(db); err != nil {
					return explained(err, len(p.Statements))
				}
				return e.print(viewOutcome(o), func(w io.Writer) { writeOutcome(w, o) })
			})
		},
	}
	cmd.Flags().StringVar(&level, "level", "default", "of statements that only read: fast, default or ordered")
	cmd.Flags().StringVar(&file, "file", "", "file with the statements")
	cmd.Flags().StringArrayVar(&params, "param", nil, "parameter of the statement, in order; may be given more than once")
	cmd.Flags().StringVar(&id, "id", "", "of a program that was sent less than ten minutes ago and of which nobody knows what became: it is run once")
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

// runSQL runs statements: as a question if they only read, else, or when their order or id was asked for, on the log.
func runSQL(ctx context.Context, db *database.DB, l database.Level, p database.Program) (*database.Outcome, error) {
	if l == database.Fast && slices.ContainsFunc(p.Statements, func(s database.Statement) bool {
		k := database.Keyword(s.SQL)
		return k != "SELECT" && k != "VALUES"
	}) {
		l = database.Default // whether it only reads is not for one replica to say: it could feign to have written
	}
	if l != database.Ordered && p.ID == (database.ID{}) {
		o, err := db.Query(ctx, l, p.Statements...)
		var failed *database.Error
		if !errors.As(err, &failed) || failed.Code != wiredatabase.CodeReadOnly {
			return o, err
		}
	}
	return db.Exec(ctx, p)
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

// sayEvidence tells a person which replicas were caught lying.
func (e *env) sayEvidence(db *database.DB) {
	for _, v := range db.Evidence() {
		e.say("note: replica %s at %s signed an answer that %d others contradict; it was not believed", v.Liar.Node, v.Liar.Address, db.Cell().Faults()+1)
	}
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

// writeOutcome shows results as psql does: a table with its count of rows, and of other statements how many rows they changed.
func writeOutcome(w io.Writer, o *database.Outcome) {
	for i, r := range o.Results {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if len(r.Columns) > 0 {
			writeTable(w, r)
		} else if r.Tag != "" {
			fmt.Fprintln(w, r.Tag)
		} else if r.Changed > 0 {
			fmt.Fprintf(w, "%s changed\n", count(r.Changed, "row"))
		} else {
			fmt.Fprintln(w, "done")
		}
	}
}

func writeTable(w io.Writer, r database.Result) {
	widths, numbers := make([]int, len(r.Columns)), make([]bool, len(r.Columns))
	head := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		head[i] = visible(c.Name)
		widths[i], numbers[i] = utf8.RuneCountInString(head[i]), len(r.Rows) > 0
	}
	var lines [][]string
	for _, row := range r.Rows {
		line := make([]string, len(widths))
		for i := range min(len(row), len(widths)) {
			line[i] = cellText(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]))
			switch row[i].(type) {
			case nil, int64, float64:
			default:
				numbers[i] = false
			}
		}
		lines = append(lines, line)
	}
	for i, h := range head {
		free := widths[i] - utf8.RuneCountInString(h)
		head[i] = strings.Repeat(" ", free/2) + h + strings.Repeat(" ", free-free/2)
	}
	writeLine(w, head)
	for i, n := range widths {
		if i > 0 {
			io.WriteString(w, "+")
		}
		io.WriteString(w, strings.Repeat("-", n+2))
	}
	fmt.Fprintln(w)
	for _, line := range lines {
		for i, s := range line {
			if free := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s)); numbers[i] {
				line[i] = free + s
			} else {
				line[i] = s + free
			}
		}
		writeLine(w, line)
	}
	fmt.Fprintf(w, "(%s)\n", count(len(r.Rows), "row"))
}

func writeLine(w io.Writer, cells []string) {
	fmt.Fprintln(w, strings.TrimRight(" "+strings.Join(cells, " | "), " "))
}

// cellText shows a value in a table; NULL is empty.
func cellText(v any) string {
	switch v := v.(type) {
	case bool:
		return map[bool]string{true: "t", false: "f"}[v]
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return realText(v)
	case string:
		return visible(v)
	case []byte:
		return `\x` + hex.EncodeToString(v)
	}
	return ""
}

func realText(f float64) string {
	if math.IsInf(f, 0) {
		return map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
