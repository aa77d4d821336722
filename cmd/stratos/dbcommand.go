package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// A shellCommand is what begins with a backslash.
type shellCommand struct {
	name, argument, what string
	run                  func(s *shell, argument string) error
}

func shellCommands() []shellCommand {
	list := func(kinds string) func(*shell, string) error {
		return func(s *shell, pattern string) error { return s.list(kinds, pattern) }
	}
	return []shellCommand{
		{"d", "[NAME]", "what a table, view, index or sequence is made of; without a name, which there are", func(s *shell, name string) error {
			if name == "" {
				return s.list("rvS", "")
			}
			return s.describe(name)
		}},
		{"dt", "[PATTERN]", "tables; * stands for anything", list("r")},
		{"dv", "[PATTERN]", "views", list("v")},
		{"di", "[PATTERN]", "indexes", list("i")},
		{"ds", "[PATTERN]", "sequences", list("S")},
		{"level", "[LEVEL]", "how many replicas must agree on what is read: fast, default, ordered", (*shell).setLevel},
		{"timing", "[on|off]", "show how long statements take", func(s *shell, a string) error { return s.toggle(&s.timing, "Timing", a) }},
		{"x", "[on|off]", "show a line a value", func(s *shell, a string) error { return s.toggle(&s.expanded, "Expanded display", a) }},
		{"i", "FILE", "run the statements of a file", (*shell).include},
		{"?", "", "this list", func(s *shell, _ string) error { s.help(); return nil }},
		{"q", "", "end", func(*shell, string) error { return errQuit }},
	}
}

// command runs a line that began with a backslash.
func (s *shell) command(line string) error {
	name, argument, _ := strings.Cut(line, " ")
	name, argument = strings.TrimSuffix(name, ";"), strings.TrimSuffix(strings.TrimSpace(argument), ";")
	for _, c := range shellCommands() {
		if c.name != name {
			continue
		}
		if argument != "" && c.argument == "" {
			return mesh.Errorf(mesh.Invalid, `\%s takes nothing more`, name)
		}
		return c.run(s, argument)
	}
	return mesh.WithHint(mesh.Errorf(mesh.Invalid, `there is no \%s`, name), `see: \?`)
}

func (s *shell) help() {
	t := tabwriter.NewWriter(s.env.stdout, 0, 0, 2, ' ', 0)
	for _, c := range shellCommands() {
		fmt.Fprintf(t, "\\%s %s\t%s\n", c.name, c.argument, c.what)
	}
	t.Flush() // to a terminal; what it cannot show is lost
	fmt.Fprintln(s.env.stdout, "\nAll else is SQL, up to a semicolon.")
}

func (s *shell) setLevel(name string) error {
	if name != "" {
		l, err := database.ParseLevel(name)
		if err != nil {
			return err
		}
		if err := s.session.setLevel(context.Background(), l); err != nil {
			return err
		}
		s.level = l
	}
	fmt.Fprintf(s.env.stdout, "Level is %s.\n", s.level)
	return nil
}

func (s *shell) toggle(v *bool, what, to string) error {
	switch to {
	case "":
		*v = !*v
	case "on", "off":
		*v = to == "on"
	default:
		return mesh.Errorf(mesh.Invalid, "%q is neither on nor off", to)
	}
	fmt.Fprintf(s.env.stdout, "%s is %s.\n", what, map[bool]string{true: "on", false: "off"}[*v])
	return nil
}

// maxIncluded is how deep files may include files.
const maxIncluded = 16

func (s *shell) include(path string) error {
	if path == "" {
		return mesh.Errorf(mesh.Invalid, `\i needs the name of a file`)
	}
	if s.depth == maxIncluded {
		return mesh.Errorf(mesh.Invalid, "files that include files, %d deep", maxIncluded)
	}
	f, err := os.Open(path)
	if err != nil {
		return mesh.Errorf(mesh.NotFound, "the file with SQL: %w", err)
	}
	defer f.Close()
	s.depth++
	defer func() { s.depth-- }()
	if err := s.read(f); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// list shows what there is of some kinds, as pg_class calls them.
func (s *shell) list(kinds, pattern string) error {
	like := strings.NewReplacer(`\`, `\\`, "_", `\_`, "%", `\%`, "*", "%", "?", "_").Replace(pattern)
	if like == "" {
		like = "%"
	}
	c := catalogOf(s.db.Dialect())
	var in []string
	for _, k := range kinds {
		in = append(in, literal(c.kinds[string(k)]))
	}
	a, err := s.ask(fmt.Sprintf(c.list, strings.Join(in, ", "), literal(like)))
	if err != nil {
		return err
	}
	if len(a[0].table.rows) == 0 {
		fmt.Fprintln(s.env.stdout, "There is none.")
		return nil
	}
	s.show(a[0])
	return nil
}

// describe shows columns, and what hangs on a relation.
func (s *shell) describe(name string) error {
	c := catalogOf(s.db.Dialect())
	for i, q := range c.describe {
		a, err := s.ask(fmt.Sprintf(q.sql, literal(name)))
		if err != nil {
			return err
		}
		t := a[0].table
		if i == 0 && len(t.rows) == 0 {
			return mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no relation %q", name), `see: \d`)
		}
		if q.title == "" {
			s.show(a[0])
		} else if len(t.rows) > 0 {
			fmt.Fprintln(s.env.stdout, q.title+":")
			for _, row := range t.rows {
				fmt.Fprintln(s.env.stdout, "    "+strings.ReplaceAll(visible(strings.Join(row, " "), '\n'), "\n", "\n    "))
			}
		}
	}
	return nil
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// A sqlCatalog is how a dialect is asked what there is.
type sqlCatalog struct {
	names    string            // of tables and columns
	kinds    map[string]string // by those of pg_class
	list     string            // of kinds, like a pattern
	describe []sqlDescription  // the first has a row a column
}

type sqlDescription struct{ title, sql string }

func catalogOf(dialect string) *sqlCatalog {
	if dialect == wiredatabase.Postgres {
		return &postgresCatalog
	}
	return &sqliteCatalog
}

var postgresCatalog = sqlCatalog{
	names: `SELECT c.relname, a.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v', 'S')`,
	kinds: map[string]string{"r": "r", "v": "v", "i": "i", "S": "S"},
	list: `SELECT n.nspname AS "Schema", c.relname AS "Name", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'i' THEN 'index' ELSE 'sequence' END AS "Type"
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN (%s) AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname LIKE %s ORDER BY 1, 2`,
	describe: []sqlDescription{
		{"", `SELECT a.attname AS "Column", pg_catalog.format_type(a.atttypid, a.atttypmod) AS "Type", CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS "Nullable",
			CASE a.attidentity WHEN 'a' THEN 'generated always as identity' WHEN 'd' THEN 'generated by default as identity'
			ELSE coalesce((SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum), '') END AS "Default"
			FROM pg_catalog.pg_attribute a WHERE a.attrelid = %s::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`},
		{"Indexes", `SELECT pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index i WHERE i.indrelid = %s::pg_catalog.regclass ORDER BY 1`},
		{"Constraints", `SELECT '"' || c.conname || '"', pg_catalog.pg_get_constraintdef(c.oid) FROM pg_catalog.pg_constraint c WHERE c.conrelid = %s::pg_catalog.regclass ORDER BY 1`},
		{"Referenced by", `SELECT 'table "' || r.relname || '" constraint "' || c.conname || '"', pg_catalog.pg_get_constraintdef(c.oid)
			FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class r ON r.oid = c.conrelid WHERE c.confrelid = %s::pg_catalog.regclass AND c.contype = 'f' ORDER BY 1`},
		{"View", `SELECT pg_catalog.pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c WHERE c.oid = %s::pg_catalog.regclass AND c.relkind = 'v'`},
	},
}

var sqliteCatalog = sqlCatalog{
	names: `SELECT s.name, t.name FROM sqlite_schema s, pragma_table_info(s.name) t WHERE s.type IN ('table', 'view')`,
	kinds: map[string]string{"r": "table", "v": "view", "i": "index", "S": "none"},
	list:  `SELECT name AS "Name", type AS "Type", tbl_name AS "Table" FROM sqlite_schema WHERE type IN (%s) AND name LIKE %s ESCAPE '\' ORDER BY 1`,
	describe: []sqlDescription{
		{"", `SELECT name AS "Column", type AS "Type", CASE WHEN "notnull" THEN 'not null' ELSE '' END AS "Nullable", dflt_value AS "Default" FROM pragma_table_info(%s)`},
		{"Made by", `SELECT sql || ';' FROM sqlite_schema WHERE tbl_name = %s AND sql IS NOT NULL ORDER BY type DESC, name`},
	},
}
