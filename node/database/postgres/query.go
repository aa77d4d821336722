package postgres

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// A query is a SELECT, VALUES or set operation whose columns may still be coerced.
type query struct {
	c       *compiler
	columns []output
	with    string // common table expressions before it
	// A SELECT:
	distinct bool
	tables   string
	where    string
	group    string
	having   string
	orders   []string
	// VALUES: rows of expressions; columns hold the first.
	values [][]*expr
	// A set operation of two.
	operator    string
	all         bool // INTERSECT ALL and EXCEPT ALL: equal rows are told apart by numbers
	left, right *query
	limit       string
	one         bool // it gives one row at most
	uses        []use
	volatile    bool
}

// An output is a column of a query.
type output struct {
	name string
	e    *expr
	node *pg.Node // in a select list, of what it is made; nil: a column of a table
}

// same tells whether two outputs are the same expression, as it was written.
func (o output) same(p output) bool {
	column := func(n *pg.Node) bool { return n == nil || n.GetColumnRef() != nil }
	if o.e.sql != p.e.sql || column(o.node) != column(p.node) {
		return false
	}
	return column(o.node) || proto.Equal(unplaced(o.node), unplaced(p.node))
}

func outputName(i int) string { return "k" + strconv.Itoa(i+1) }

// list of columns with their names.
func (q *query) list(columns []output) string {
	var b strings.Builder
	for i, o := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(o.e.sql)
		if q.distinct {
			b.WriteString(collate(o.e.typ))
		}
		b.WriteString(" AS " + outputName(i))
	}
	if len(columns) == 0 {
		return "NULL AS k0"
	}
	return b.String()
}

// render writes the query as SQLite's.
func (q *query) render() string {
	var b strings.Builder
	b.WriteString(q.with)
	switch {
	case q.all:
		b.WriteString("SELECT ")
		for i := range q.columns {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("q." + outputName(i) + " AS " + outputName(i))
		}
		b.WriteString(" FROM (" + q.leg(q.left, true) + " " + q.operator + " " + q.leg(q.right, false) + ") AS q")
	case q.operator != "":
		b.WriteString(q.leg(q.left, true) + " " + q.operator + " " + q.leg(q.right, false))
	case q.values != nil:
		b.WriteString(q.renderValues())
	default:
		b.WriteString("SELECT ")
		if q.distinct {
			b.WriteString("DISTINCT ")
		}
		b.WriteString(q.list(q.columns))
		if q.tables != "" {
			b.WriteString(" FROM " + q.tables)
		}
		if q.where != "" {
			b.WriteString(" WHERE " + q.where)
		}
		if q.group != "" {
			b.WriteString(" GROUP BY " + q.group)
		}
		if q.having != "" {
			b.WriteString(" HAVING " + q.having)
		}
	}
	if len(q.orders) > 0 {
		b.WriteString(" ORDER BY " + strings.Join(q.orders, ","))
	}
	b.WriteString(q.limit)
	return b.String()
}

func (q *query) renderValues() string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i := range q.columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("v.column" + strconv.Itoa(i+1) + " AS " + outputName(i))
	}
	b.WriteString(" FROM (VALUES ")
	for i, row := range q.values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for j, e := range row {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(e.sql)
		}
		b.WriteByte(')')
	}
	b.WriteString(") AS v")
	return b.String()
}

// leg is one side of a set operation: SQLite knows no parentheses there.
func (q *query) leg(l *query, first bool) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, o := range l.columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("q." + outputName(i))
		if first {
			b.WriteString(collate(o.e.typ))
		}
		b.WriteString(" AS " + outputName(i))
	}
	if len(l.columns) == 0 {
		b.WriteString("NULL AS k0")
	}
	if q.all {
		var keys []string
		for i, o := range l.columns {
			keys = append(keys, "q."+outputName(i)+collate(o.e.typ))
		}
		b.WriteString(",row_number() OVER (PARTITION BY " + strings.Join(keys, ",") + ") AS n")
	}
	b.WriteString(" FROM (" + l.render() + ") AS q")
	return b.String()
}

// coerceColumn changes the type of a column of a query.
func (c *compiler) coerceColumn(q *query, i int, to oid, mod int32) error {
	if q.columns[i].e.typ == to && (mod < 0 || q.columns[i].e.mod == mod) {
		return nil
	}
	switch {
	case q.values != nil:
		for _, row := range q.values {
			e, err := c.coerce(row[i], to, mod, columnContext(q.columns[i].e.typ))
			if err != nil {
				return err
			}
			row[i] = e
		}
		e := *q.values[0][i]
		e.typ, e.mod = to, mod
		q.columns[i].e = &e
		return nil
	case q.operator != "" || q.distinct || q.orders != nil:
		if q.operator != "" && q.columns[i].e.typ == postgres.Unknown {
			return nil
		}
		// Around it, because what is equal, or in order, is by its own type.
		return c.around(q, i, to, mod)
	}
	e, err := c.coerce(q.columns[i].e, to, mod, columnContext(q.columns[i].e.typ))
	if err != nil {
		return err
	}
	q.columns[i].e = e
	return nil
}

// columnContext lets what is shown as a text become one.
func columnContext(from oid) postgres.Context {
	if shownAsText(from) {
		return postgres.Explicit
	}
	return postgres.Implicit
}

// around wraps a query so that a column is of another type.
func (c *compiler) around(q *query, i int, to oid, mod int32) error {
	in := *q
	alias := c.alias()
	out := query{c: c, tables: "(" + in.render() + ") AS " + alias, one: q.one, uses: q.uses, volatile: q.volatile}
	for j, o := range q.columns {
		e := *o.e
		e.sql, e.con, e.val = alias+"."+outputName(j), false, nil
		if j == i {
			x, err := c.coerce(&e, to, mod, columnContext(q.columns[i].e.typ))
			if err != nil {
				return err
			}
			e = *x
		}
		out.columns = append(out.columns, output{name: o.name, e: &e})
	}
	*q = out
	return nil
}

// settleUnknown makes texts of columns without a type.
func (c *compiler) settleUnknown(q *query) error {
	for i := range q.columns {
		if q.columns[i].e.row != nil || q.columns[i].e.typ == postgres.Record {
			return c.refuse(q.columns[i].e.at, "a row as a value")
		}
		if q.columns[i].e.typ == postgres.Unknown {
			if err := c.coerceColumn(q, i, postgres.Text, -1); err != nil {
				return err
			}
		}
	}
	return nil
}

// query compiles any SELECT.
func (c *compiler) query(s *pg.SelectStmt, outer *scope) (q *query, err error) {
	if s == nil {
		return nil, c.refuse(-1, "this as a query")
	}
	if c.aliases > 20_000 {
		return nil, fail("54001", "statement too complex")
	}
	if s.IntoClause != nil {
		return nil, c.refuse(-1, "SELECT INTO")
	}
	before := len(c.ctes)
	with := ""
	if s.WithClause != nil {
		if with, err = c.with(s.WithClause, outer); err != nil {
			return nil, err
		}
		defer func() { c.ctes = c.ctes[:before] }()
	}
	switch {
	case s.Op != pg.SetOperation_SETOP_NONE:
		q, err = c.setOperation(s, outer)
	case len(s.ValuesLists) > 0:
		q, err = c.valuesQuery(s, outer)
	default:
		q, err = c.selectQuery(s, outer)
	}
	if err != nil {
		return nil, err
	}
	if len(s.LockingClause) > 0 {
		if err := c.locking(s, q); err != nil {
			return nil, err
		}
	}
	if with != "" {
		if q.with != "" {
			return nil, c.refuse(-1, "WITH here")
		}
		q.with = with
	}
	return q, nil
}

// locking looks at FOR UPDATE and its like. A program is alone with the database, so that there is nothing to lock.
func (c *compiler) locking(s *pg.SelectStmt, q *query) error {
	word := map[pg.LockClauseStrength]string{pg.LockClauseStrength_LCS_FORUPDATE: "FOR UPDATE", pg.LockClauseStrength_LCS_FORNOKEYUPDATE: "FOR NO KEY UPDATE",
		pg.LockClauseStrength_LCS_FORSHARE: "FOR SHARE", pg.LockClauseStrength_LCS_FORKEYSHARE: "FOR KEY SHARE"}[s.LockingClause[0].GetLockingClause().GetStrength()]
	aggregated := false
	for _, o := range q.columns {
		aggregated = aggregated || o.e.aggs || o.e.windows || o.e.srf != nil
	}
	if s.Op != pg.SetOperation_SETOP_NONE || len(s.ValuesLists) > 0 || len(s.DistinctClause) > 0 || len(s.GroupClause) > 0 || s.HavingClause != nil || aggregated {
		return fail("0A000", "%s is not allowed with set operations, VALUES, DISTINCT, GROUP BY, HAVING, aggregates, window functions and functions that give rows", word)
	}
	for _, n := range s.LockingClause {
		for _, r := range n.GetLockingClause().LockedRels {
			name := r.GetRangeVar().GetRelname()
			found := false
			for _, f := range s.FromClause {
				found = found || fromNames(f, name)
			}
			if !found {
				return c.fail(r.GetRangeVar().GetLocation(), "42P01", "relation \"%s\" in %s clause not found in FROM clause", name, word)
			}
		}
	}
	if c.limited() {
		for _, n := range s.FromClause {
			if err := c.lockable(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockable wants the right to write to what a role locks, though nothing is.
func (c *compiler) lockable(n *pg.Node) error {
	switch x := n.GetNode().(type) {
	case *pg.Node_JoinExpr:
		return errors.Join(c.lockable(x.JoinExpr.Larg), c.lockable(x.JoinExpr.Rarg))
	case *pg.Node_RangeVar:
		r := c.cat.find(x.RangeVar.Schemaname, x.RangeVar.Relname)
		if r == nil || x.RangeVar.Schemaname == "" && c.cte(x.RangeVar.Relname) != nil {
			return nil
		}
		if c.secured(r) {
			return c.refuse(x.RangeVar.Location, "locking rows of a table with row security")
		}
		c.need(r, "w")
	}
	return nil
}

// fromNames tells whether a node of FROM has a name.
func fromNames(n *pg.Node, name string) bool {
	switch x := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		if x.RangeVar.Alias != nil {
			return x.RangeVar.Alias.Aliasname == name
		}
		return x.RangeVar.Relname == name
	case *pg.Node_RangeSubselect:
		return x.RangeSubselect.Alias.GetAliasname() == name
	case *pg.Node_JoinExpr:
		return fromNames(x.JoinExpr.Larg, name) || fromNames(x.JoinExpr.Rarg, name)
	}
	return false
}

func (c *compiler) valuesQuery(s *pg.SelectStmt, outer *scope) (*query, error) {
	q := &query{c: c}
	sc := &scope{outer: outer, forbids: "VALUES", noWin: "VALUES"}
	for _, n := range s.ValuesLists {
		row, err := c.exprs(n.GetList().Items, sc)
		if err != nil {
			return nil, err
		}
		if len(q.values) > 0 && len(row) != len(q.values[0]) {
			return nil, c.fail(-1, "42601", "VALUES lists must all be the same length")
		}
		for _, e := range row {
			q.use(e)
		}
		q.values = append(q.values, row)
	}
	for i := range q.values[0] {
		var list []*expr
		for _, row := range q.values {
			list = append(list, row[i])
		}
		typ, err := commonType("VALUES", list)
		if err != nil {
			return nil, err
		}
		allUnknown := true
		for _, e := range list {
			allUnknown = allUnknown && e.typ == postgres.Unknown
		}
		mod := list[0].mod
		for j, row := range q.values {
			if !allUnknown {
				if row[i], err = c.coerce(list[j], typ, -1, postgres.Implicit); err != nil {
					return nil, err
				}
				if row[i].mod != mod && !(row[i].con && row[i].val == nil) {
					mod = -1
				}
			}
		}
		e := *q.values[0][i]
		e.mod, e.con, e.val = mod, false, nil
		if !allUnknown {
			e.typ = typ
		}
		if allUnknown {
			e.param = 0
		}
		q.columns = append(q.columns, output{name: "column" + strconv.Itoa(i+1), e: &e})
	}
	q.one = len(q.values) == 1
	if len(s.SortClause) > 0 || s.LimitCount != nil || s.LimitOffset != nil {
		if err := c.settleUnknown(q); err != nil {
			return nil, err
		}
		return c.ordered(q, s, outer)
	}
	return q, nil
}

func (c *compiler) setOperation(s *pg.SelectStmt, outer *scope) (*query, error) {
	l, err := c.query(s.Larg, outer)
	if err != nil {
		return nil, err
	}
	r, err := c.query(s.Rarg, outer)
	if err != nil {
		return nil, err
	}
	word := map[pg.SetOperation]string{pg.SetOperation_SETOP_UNION: "UNION", pg.SetOperation_SETOP_INTERSECT: "INTERSECT", pg.SetOperation_SETOP_EXCEPT: "EXCEPT"}[s.Op]
	if len(l.columns) != len(r.columns) {
		return nil, c.fail(-1, "42601", "each %s query must have the same number of columns", word)
	}
	if len(l.columns) == 0 {
		return nil, c.refuse(-1, "a set operation without columns")
	}
	q := &query{c: c, operator: word, left: l, right: r, uses: append(slices.Clone(l.uses), r.uses...), volatile: l.volatile || r.volatile}
	if s.All {
		if q.all = word != "UNION"; !q.all {
			q.operator += " ALL"
		}
	}
	for i := range l.columns {
		x, y := l.columns[i].e, r.columns[i].e
		if x.row != nil || y.row != nil {
			return nil, c.refuse(-1, "a row as a value")
		}
		typ, err := commonType(word, []*expr{x, y})
		if err != nil {
			return nil, err
		}
		if err := c.coerceColumn(l, i, typ, -1); err != nil {
			return nil, err
		}
		if err := c.coerceColumn(r, i, typ, -1); err != nil {
			return nil, err
		}
		if (!s.All || q.all) && !ordered(typ) {
			return nil, c.fail(-1, "42883", "could not identify an equality operator for type %s", typeName(typ))
		}
		mod := int32(-1)
		if x.mod == y.mod && x.typ == y.typ {
			mod = x.mod
		}
		q.columns = append(q.columns, output{name: l.columns[i].name, e: &expr{c: c, at: -1, sql: outputName(i), typ: typ, mod: mod, uses: []use{{}}}})
	}
	if len(s.SortClause) > 0 || s.LimitCount != nil || s.LimitOffset != nil {
		return c.ordered(q, s, outer)
	}
	return q, nil
}
