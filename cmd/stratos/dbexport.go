package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

func newDatabaseExportCommand(e *env) *cobra.Command {
	var query, format, output, level string
	cmd := &cobra.Command{
		Use:   "export NAME [TABLE]",
		Short: "Write the rows of a table, or of a query, as CSV or JSON",
		Long: `Writes rows to standard output, or to a file that is there when it is whole. CSV is as PostgreSQL writes it, so that "stratos db
import" reads the same rows; json is an array of objects, jsonl an object a line.`,
		Example: `  stratos db export shop items > items.csv
  stratos db export shop --query 'SELECT name, sum(price) FROM items GROUP BY name' --format jsonl -o sums.jsonl`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := database.ParseLevel(level)
			if err != nil {
				return err
			}
			switch {
			case (len(args) == 2) == (query != ""):
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "either a table or --query says what to write"), "see: stratos db export --help")
			case query == "":
				query = "SELECT * FROM " + relation(args[1])
			}
			if format == "" {
				format = "csv"
				if ext := strings.TrimPrefix(filepath.Ext(output), "."); ext == "json" || ext == "jsonl" {
					format = ext
				}
			}
			if format != "csv" && format != "json" && format != "jsonl" {
				return mesh.Errorf(mesh.Invalid, "--format is %q, want csv, json or jsonl", format)
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				all := database.Split(db.Dialect(), query)
				if len(all) != 1 {
					return mesh.Errorf(mesh.Invalid, "--query has %d statements, want one", len(all))
				}
				o, err := db.Do(cmd.Context(), l, database.Program{Statements: []database.Statement{database.SQL(all[0])}})
				if e.sayEvidence(cmd.Context(), db, 0); err != nil {
					return err
				}
				r := o.Results[0]
				if len(r.Columns) == 0 {
					return mesh.Errorf(mesh.Invalid, "the query gives no rows: it did %s", done(r))
				}
				x := exporter{r, db.Dialect() == wiredatabase.Postgres}
				if output == "" || output == "-" {
					return x.write(e.stdout, format)
				}
				if err := intoFile(output, func(w io.Writer) error { return x.write(w, format) }); err != nil {
					return err
				}
				return e.print(map[string]any{"file": output, "rows": len(r.Rows)}, func(w io.Writer) { fmt.Fprintf(w, "exported %s to %s\n", count(len(r.Rows), "row"), output) })
			})
		},
	}
	cmd.Flags().StringVar(&query, "query", "", "SQL that gives the rows, instead of a table")
	cmd.Flags().StringVar(&format, "format", "", "csv, json or jsonl; default: by the file's name, else csv")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; default standard output")
	cmd.Flags().StringVar(&level, "level", "default", "how many replicas must agree: fast, default or ordered")
	return cmd
}

// intoFile writes what a person wants to have at a path: a file that is there only when it is whole, or a device.
func intoFile(path string, write func(io.Writer) error) error {
	return writing(path, atomicfile.Output(path, 0o666, write))
}

// writing makes of what a system says of a path what a person is told; other errors it leaves as they are.
func writing(path string, err error) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "there is no room for %s: %w", path, err), "make room, or write elsewhere")
	case errors.As(err, &file), errors.As(err, &link):
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "writing %s: %w", path, err), "name a file in a folder that is there and may be written to")
	}
	return err
}

// An exporter writes a result.
type exporter struct {
	result   database.Result
	postgres bool
}

func (x exporter) write(to io.Writer, format string) error {
	w := bufio.NewWriter(to)
	if format == "csv" {
		x.csv(w)
		return w.Flush()
	}
	before, between, after := "", "\n", "\n"
	if format == "json" {
		before, between, after = "[\n", ",\n", "\n]\n"
	}
	if len(x.result.Rows) == 0 && format == "jsonl" {
		return nil
	}
	w.WriteString(before)
	for i, row := range x.result.Rows {
		if i > 0 {
			w.WriteString(between)
		}
		if err := x.object(w, row); err != nil {
			return err
		}
	}
	w.WriteString(after)
	return w.Flush()
}

func (x exporter) csv(w *bufio.Writer) {
	field := func(i int, s string, text bool) {
		if i > 0 {
			w.WriteByte(',')
		}
		if text && (s == "" || s == `\.` || strings.ContainsAny(s, ",\"\r\n")) {
			s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
		w.WriteString(s)
	}
	for i, c := range x.result.Columns {
		field(i, c.Name, true)
	}
	w.WriteByte('\n')
	for _, row := range x.result.Rows {
		for i, v := range row {
			field(i, cellText(v), v != nil)
		}
		w.WriteByte('\n')
	}
}

// object writes a row with its columns in order.
func (x exporter) object(w *bufio.Writer, row []any) error {
	for i, v := range row {
		w.WriteByte("{,"[min(i, 1)])
		name, err := json.Marshal(x.result.Columns[i].Name)
		if err != nil {
			return mesh.Errorf(mesh.Internal, "the name of a column: %w", err)
		}
		w.Write(name)
		w.WriteByte(':')
		b, err := json.Marshal(x.jsonValue(i, v))
		if err != nil {
			return mesh.Errorf(mesh.Internal, "a value as JSON: %w", err)
		}
		w.Write(b)
	}
	w.WriteByte('}')
	return nil
}

// jsonValue is a value as JSON has it: numbers and JSON are themselves, what JSON has no word for is the text that SQL writes.
func (x exporter) jsonValue(column int, v any) any {
	switch v := v.(type) {
	case string:
		if t := x.result.Columns[column].Type; x.postgres && (t == "json" || t == "jsonb" || t == "numeric" || strings.HasPrefix(t, "numeric(")) && json.Valid([]byte(v)) {
			return json.RawMessage(v)
		}
		return v
	case []byte:
		return cellText(v)
	case float64:
		if b, err := json.Marshal(v); err == nil {
			return json.RawMessage(b)
		}
		return realText(v)
	}
	return v
}
