package engine

import (
	"slices"
	"strconv"
	"strings"
)

// A schema is what programs must be measured by: how much a name stands for.
type schema struct {
	objects []object
	count   int // with the indexes that SQLite makes itself
	weights map[string]int
}

type object struct{ kind, name, table, sql string }

func (c *conn) readSchema() (*schema, error) {
	if c.schema != nil {
		return c.schema, nil
	}
	// SQLite reads its own schema within the limits of a program, which differ; here it has all.
	c.length(ownLength)
	rows, err := c.query("SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY rowid")
	if err != nil {
		return nil, err
	}
	s := &schema{weights: map[string]int{}, count: len(rows)}
	of := map[string][]string{} // the SQL that stands for a name
	for _, r := range rows {
		var o object
		for i, to := range []*string{&o.kind, &o.name, &o.table, &o.sql} {
			*to, _ = r[i].(string)
		}
		s.objects = append(s.objects, o)
		switch o.kind {
		case "view":
			of[lowerASCII(o.name)] = append(of[lowerASCII(o.name)], o.sql)
		case "trigger": // fires for a statement on its table or view
			of[lowerASCII(o.table)] = append(of[lowerASCII(o.table)], o.sql)
		}
	}
	var weigh func(name string) int
	weigh = func(name string) int {
		if w, ok := s.weights[name]; ok {
			return w
		}
		s.weights[name] = 1 // a name within itself
		w := 1
		for _, sql := range of[name] {
			tokens(sql, func(kind tokenKind, t string, _ int) bool {
				n := 1
				if len(of[t]) > 0 && kind <= tokenQuoted {
					n = weigh(t)
				}
				w = min(w+n, 1<<30)
				return true
			})
		}
		s.weights[name] = w
		return w
	}
	for _, o := range s.objects { // in this order, because of names that stand within each other
		for _, name := range []string{lowerASCII(o.name), lowerASCII(o.table)} {
			if len(of[name]) > 0 {
				weigh(name)
			}
		}
	}
	c.schema = s
	return s, nil
}

func (s *schema) weight(name string) int {
	if w, ok := s.weights[name]; ok {
		return w
	}
	return 1
}

// checkSchema looks at what a program made of the schema before: columns that SQLite named by chance, which it does from
// the fifth of the same name on, and tables whose rows no statement could put in order any more.
func (c *conn) checkSchema(before *schema) (code, text string, err error) {
	guarded := c.c.guarded
	defer func() { c.c.guarded = guarded }()
	now, err := c.readSchema()
	if err != nil {
		return "", "", err
	}
	if now.count > c.limits.Objects {
		return codeTooBig, "more than " + strconv.Itoa(c.limits.Objects) + " tables, indexes, views and triggers", nil
	}
	c.c.guarded = 0
	for _, o := range now.objects {
		if strings.HasPrefix(lowerASCII(o.name), "_stratos_") && !slices.Contains(before.objects, o) { // by ALTER TABLE, which does not ask
			return codeRefused, "names that begin with _stratos_ are refused", nil
		}
		if o.kind != "view" && (o.kind != "table" || slices.Contains(before.objects, o)) {
			continue
		}
		s, rc := c.compile("SELECT * FROM main."+quoteName(o.name), c.limits.Effort)
		if rc != rcOK {
			if ofFile(rc, s.flags, false) {
				return "", "", fileError("reading the schema", rc, c.message())
			}
			continue // a view of what is gone
		}
		names := s.columnNames()
		s.finalize()
		if n := slices.IndexFunc(names, named); n >= 0 {
			return "42701", "column " + names[n] + " of " + o.name + " is one of five or more of the same name", nil
		}
		if o.kind == "table" && rowID(names) == "" {
			return "42P16", "table " + o.name + " must leave one of the names rowid, oid and _rowid_ free", nil
		}
	}
	return "", "", nil
}

// named tells whether SQLite may have made up the name of a column with a random number.
func named(column string) bool {
	_, n, ok := strings.Cut(column[max(strings.LastIndexByte(column, ':'), 0):], ":")
	v, err := strconv.ParseUint(n, 10, 64)
	return ok && err == nil && v > 4
}

// rowID is a name by which the row id of a table with these columns can be had.
func rowID(columns []string) string {
	for _, name := range []string{"rowid", "oid", "_rowid_"} {
		if !slices.ContainsFunc(columns, func(c string) bool { return lowerASCII(c) == name }) {
			return name
		}
	}
	return ""
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
