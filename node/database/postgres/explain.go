package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/node/database/engine"
)

// An explainer knows what a statement could violate, to say which constraint an error of SQLite's means.
type explainer struct {
	cat     *catalog
	makes   bool // it changes the schema
	foreign []foreign
}

// foreign is a foreign key that a statement may violate: as the table that references, or as the one that is referenced.
type foreign struct {
	table      *relation
	k          *constraint
	referenced *relation // nil: as the table that references
}

func (x *explainer) explain(code int, text string) *engine.Error {
	if code&0xff != 19 {
		return nil
	}
	switch code >> 8 {
	case 3:
		return x.foreignError()
	case 6, 8, 10:
	default:
		return nil
	}
	if i := x.index(text); i != nil {
		e := fail("23505", "duplicate key value violates unique constraint \"%s\"", i.Name)
		if x.makes {
			e.Text = "could not create unique index \"" + i.Name + "\""
		}
		if t := x.cat.byOID[i.Index.Table]; t != nil {
			e.Table = t.Name
		}
		e.Constraint = i.Name
		return e
	}
	return fail("23505", "duplicate key value violates a unique constraint")
}

// index finds what "UNIQUE constraint failed: ..." names: an index of expressions, or the columns of a table.
func (x *explainer) index(text string) *relation {
	_, what, _ := strings.Cut(text, "failed: ")
	if name, ok := strings.CutPrefix(what, "index '"); ok {
		n, _ := strconv.ParseUint(strings.Trim(name, "i'"), 10, 32)
		if r := x.cat.byOID[uint32(n)]; r != nil && r.Index != nil {
			return r
		}
		return nil
	}
	table, _, _ := strings.Cut(what, ".")
	n, _ := strconv.ParseUint(strings.TrimLeft(table, "tn"), 10, 32)
	t := x.cat.byOID[uint32(n)]
	if t == nil {
		return nil
	}
	var columns []string
	for _, c := range strings.Split(what, ", ") {
		_, c, _ := strings.Cut(c, ".")
		columns = append(columns, c)
	}
	for _, r := range x.cat.indexes(t.OID) {
		if !r.Index.Unique || len(r.Index.Keys) != len(columns) {
			continue
		}
		same := true
		for i, k := range r.Index.Keys {
			same = same && k.Column > 0 && t.column(k.Column).stored() == columns[i]
		}
		if same {
			return r
		}
	}
	return nil
}

// foreignError names the constraint, or all that it may be: SQLite does not say which it was.
func (x *explainer) foreignError() *engine.Error {
	if len(x.foreign) != 1 {
		var list []string
		for _, f := range x.foreign {
			list = append(list, fmt.Sprintf("\"%s\" on table \"%s\"", f.k.Name, f.table.Name))
		}
		e := fail("23503", "a row that a foreign key needs is not there, or is still referenced")
		if len(list) > 0 {
			e.Detail = "The key is one of " + strings.Join(list, ", ") + "."
		}
		return e
	}
	f := x.foreign[0]
	e := fail("23503", "insert or update on table \"%s\" violates foreign key constraint \"%s\"", f.table.Name, f.k.Name)
	if f.referenced != nil {
		e.Text = "update or delete on table \"" + f.referenced.Name + "\" violates foreign key constraint \"" + f.k.Name + "\" on table \"" + f.table.Name + "\""
	}
	e.Table, e.Constraint = f.table.Name, f.k.Name
	return e
}

// writes is for a statement that writes these columns of a table (nil: all), or deletes rows.
func (c *compiler) writes(r *relation, columns []int, deletes bool) *explainer {
	x := &explainer{cat: c.cat}
	meets := func(list []int) bool {
		return columns == nil || slices.ContainsFunc(list, func(n int) bool { return slices.Contains(columns, n) })
	}
	for _, k := range r.Constraints {
		if k.Kind == "f" && !deletes && meets(k.Columns) {
			x.foreign = append(x.foreign, foreign{table: r, k: k})
		}
	}
	for _, t := range c.cat.all() {
		for _, k := range t.Constraints {
			if k.References == r.OID && (deletes || columns != nil && meets(k.ReferencedColumns)) {
				x.foreign = append(x.foreign, foreign{table: t, k: k, referenced: r})
			}
		}
	}
	return x
}
