package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// assign coerces what is stored in a column.
func (c *compiler) assign(e *expr, rel *relation, col *column) (*expr, error) {
	if e.row != nil {
		return nil, c.refuse(e.at, "a row as a value")
	}
	if e.typ != postgres.Unknown && !canCast(e.typ, col.Type, postgres.Assignment) {
		out := e.fail("42804", "column \"%s\" is of type %s but expression is of type %s", col.Name, typeName(col.Type), typeName(e.typ))
		out.Hint = "You will need to rewrite or cast the expression."
		return nil, out
	}
	e, err := c.coerce(e, col.Type, col.Typmod, postgres.Assignment)
	if err == nil {
		c.plan(e)
	}
	return e, err
}

// defaultOf is what a column gets when nothing is given.
func (c *compiler) defaultOf(rel *relation, col *column) (*expr, error) {
	if col.Sequence != 0 {
		c.sequences = true
		name := "identity"
		if col.Identity == "" {
			name = "nextval" // as serial's default, which the right to its sequence is needed for
		}
		e := c.combine(-1, postgres.Int8, `"`+name+`"(`+strconv.FormatUint(uint64(col.Sequence), 10)+")")
		e.volatile, e.stable = true, true
		return c.coerce(e, col.Type, col.Typmod, postgres.Assignment)
	}
	if col.Default == "" {
		return c.constant(-1, col.Type, col.Typmod, nil), nil
	}
	var e *expr
	err := c.within(col.Default, func() (err error) {
		n, err := c.parseExpression(col.Default)
		if err != nil {
			return err
		}
		c.sql = "SELECT " + col.Default
		if e, err = c.expr(n, &scope{forbids: "DEFAULT expressions", noWin: "DEFAULT expressions"}); err != nil {
			return err
		}
		e, err = c.assign(e, rel, col)
		return err
	})
	return e, err
}

// A defaults computes each default once for a statement.
type defaults map[int]*expr

func (c *compiler) defaultIn(d defaults, rel *relation, col *column) (*expr, error) {
	if e := d[col.Number]; e != nil {
		return e, nil
	}
	e, err := c.defaultOf(rel, col)
	d[col.Number] = e
	return e, err
}

func (c *compiler) insert(s *pg.InsertStmt) (*engine.Translation, error) {
	t, err := c.target(s.Relation, "a")
	if err != nil {
		return nil, err
	}
	with := ""
	if s.WithClause != nil {
		if with, err = c.with(s.WithClause, nil); err != nil {
			return nil, err
		}
	}
	if s.Override == pg.OverridingKind_OVERRIDING_USER_VALUE {
		return nil, c.refuse(-1, "OVERRIDING USER VALUE")
	}
	live := t.rel.live()
	columns := live
	if len(s.Cols) > 0 {
		columns = nil
		for _, n := range s.Cols {
			r := n.GetResTarget()
			if len(r.Indirection) > 0 {
				return nil, c.refuse(r.Location, "writing a part of a column")
			}
			col := t.rel.columnNamed(r.Name)
			if col == nil {
				return nil, c.fail(r.Location, "42703", "column \"%s\" of relation \"%s\" does not exist", r.Name, t.rel.Name)
			}
			if slices.Contains(columns, col) {
				return nil, c.fail(r.Location, "42701", "column \"%s\" specified more than once", r.Name)
			}
			columns = append(columns, col)
		}
	}
	always := func(col *column) error {
		if col.Identity != "a" || s.Override == pg.OverridingKind_OVERRIDING_SYSTEM_VALUE {
			return nil
		}
		e := fail("428C9", "cannot insert a non-DEFAULT value into column \"%s\"", col.Name)
		e.Detail = "Column \"" + col.Name + "\" is an identity column defined as GENERATED ALWAYS."
		e.Hint = "Use OVERRIDING SYSTEM VALUE to override."
		return e
	}
	defaults := defaults{}
	sel := s.SelectStmt.GetSelectStmt()
	var rows [][]*expr // of columns
	var q *query
	given := columns
	switch {
	case sel == nil:
		given, rows = nil, [][]*expr{{}}
	case len(sel.ValuesLists) > 0 && len(sel.SortClause) == 0 && sel.LimitCount == nil && sel.LimitOffset == nil && sel.WithClause == nil:
		width := len(sel.ValuesLists[0].GetList().Items)
		for _, n := range sel.ValuesLists {
			items := n.GetList().Items
			if len(items) != width {
				return nil, c.fail(-1, "42601", "VALUES lists must all be the same length")
			}
			if given, err = fitting(columns, len(items), len(s.Cols) > 0); err != nil {
				return nil, err
			}
			row := make([]*expr, len(items))
			for i, item := range items {
				if item.GetSetToDefault() != nil {
					if row[i], err = c.defaultIn(defaults, t.rel, given[i]); err != nil {
						return nil, err
					}
					continue
				}
				if err := always(given[i]); err != nil {
					return nil, err
				}
				e, err := c.expr(item, &scope{forbids: "VALUES", noWin: "VALUES"})
				if err != nil {
					return nil, err
				}
				if row[i], err = c.assign(e, t.rel, given[i]); err != nil {
					return nil, err
				}
			}
			rows = append(rows, row)
		}
	default:
		if q, err = c.query(sel, nil); err != nil {
			return nil, err
		}
		if given, err = fitting(columns, len(q.columns), len(s.Cols) > 0); err != nil {
			return nil, err
		}
		for i := range q.columns {
			if err := always(given[i]); err != nil {
				return nil, err
			}
			if q.columns[i].e.typ == postgres.Unknown {
				if err := c.coerceColumn(q, i, given[i].Type, -1); err != nil {
					return nil, err
				}
			}
		}
	}
	// All columns are written, in their order.
	var names []string
	for _, col := range live {
		names = append(names, col.stored())
	}
	place := func(col *column) int { return slices.Index(given, col) }
	var b strings.Builder
	b.WriteString(with + "INSERT INTO " + t.rel.table() + " AS " + t.it.alias + "(" + strings.Join(names, ",") + ") ")
	upsert := s.OnConflictClause != nil
	var source strings.Builder
	many := q != nil || len(rows) > 1
	if q != nil {
		alias := c.alias()
		source.WriteString("SELECT ")
		for i, col := range live {
			if i > 0 {
				source.WriteByte(',')
			}
			var e *expr
			if n := place(col); n >= 0 {
				x := *q.columns[n].e
				x.sql, x.con, x.val, x.row = alias+"."+outputName(n), false, nil, nil
				e, err = c.assign(&x, t.rel, col)
			} else {
				e, err = c.defaultIn(defaults, t.rel, col)
			}
			if err != nil {
				return nil, err
			}
			source.WriteString(e.sql + " AS " + outputName(i))
		}
		source.WriteString(" FROM (" + q.render() + ") AS " + alias + " WHERE 1")
	} else {
		source.WriteString("VALUES ")
		for r, row := range rows {
			if r > 0 {
				source.WriteByte(',')
			}
			source.WriteByte('(')
			for i, col := range live {
				if i > 0 {
					source.WriteByte(',')
				}
				var e *expr
				if n := place(col); n >= 0 {
					e = row[n]
				} else if e, err = c.defaultIn(defaults, t.rel, col); err != nil {
					return nil, err
				}
				source.WriteString(e.sql)
			}
			if len(live) == 0 {
				return nil, c.refuse(-1, "a table without columns here")
			}
			source.WriteByte(')')
			if source.Len() > 4*maxText {
				return nil, fail("54001", "statement too complex: it is too large when it is compiled")
			}
		}
	}
	conflict := ""
	var changed []int
	var once string
	returning, out, err := c.returning(s.ReturningList, t)
	if err != nil {
		return nil, err
	}
	if upsert {
		if conflict, once, changed, err = c.onConflict(s.OnConflictClause, t, many); err != nil {
			return nil, err
		}
	}
	if t.read {
		c.need(t.rel, "r")
	}
	check, _, err := c.written(t, over(t.rel, "o", func(col *column) string { return "o." + outputName(slices.Index(live, col)) }), "a")
	if err != nil {
		return nil, err
	}
	if check != "" || once != "" {
		text := source.String()
		if q == nil {
			var list []string
			for i := range live {
				list = append(list, "column"+strconv.Itoa(i+1)+" AS "+outputName(i))
			}
			text = "SELECT " + strings.Join(list, ",") + " FROM (" + text + ")"
		}
		if check != "" { // each row is computed once, and looked at before it is proposed
			text = "SELECT * FROM (" + text + " LIMIT -1) AS o WHERE " + check
		}
		if once != "" {
			text = "SELECT * FROM (" + text + ") AS o WHERE " + once
		}
		source.Reset()
		source.WriteString(text)
		if once == "" && upsert {
			source.WriteString(" AND 1")
		}
	}
	b.WriteString(source.String() + conflict + returning)
	if changed != nil {
		c.identified(t.rel, "u", changed)
	}
	return c.write(b.String(), "INSERT 0 %d", out, c.writes(t.rel, changed, false)), nil
}

// fitting are the columns that so many values are for.
func fitting(columns []*column, n int, named bool) ([]*column, error) {
	if n > len(columns) {
		return nil, fail("42601", "INSERT has more expressions than target columns")
	}
	if named && n < len(columns) {
		return nil, fail("42601", "INSERT has more target columns than expressions")
	}
	return columns[:n], nil
}

// assignments compiles SET. It returns SQLite's text, which columns, and the expressions.
func (c *compiler) assignments(list []*pg.Node, t *target, sc *scope) (set []string, columns []int, of []*expr, err error) {
	defaults := defaults{}
	for _, n := range list {
		r := n.GetResTarget()
		if len(r.Indirection) > 0 {
			return nil, nil, nil, c.refuse(r.Location, "writing a part of a column")
		}
		col := t.rel.columnNamed(r.Name)
		if col == nil {
			return nil, nil, nil, c.fail(r.Location, "42703", "column \"%s\" of relation \"%s\" does not exist", r.Name, t.rel.Name)
		}
		if slices.Contains(columns, col.Number) {
			return nil, nil, nil, c.fail(r.Location, "42601", "multiple assignments to same column \"%s\"", r.Name)
		}
		value := r.Val
		if m := value.GetMultiAssignRef(); m != nil {
			switch x := m.Source.GetNode().(type) {
			case *pg.Node_RowExpr:
				if len(x.RowExpr.Args) != int(m.Ncolumns) {
					return nil, nil, nil, c.fail(r.Location, "42601", "number of columns does not match number of values")
				}
				value = x.RowExpr.Args[m.Colno-1]
			case *pg.Node_SubLink:
				// Once for each column, which gives the same unless it is random.
				e, err := c.fieldOf(x.SubLink, int(m.Colno), int(m.Ncolumns), sc)
				if err == nil {
					e, err = c.assign(e, t.rel, col)
				}
				if err != nil {
					return nil, nil, nil, err
				}
				columns, of = append(columns, col.Number), append(of, e)
				set = append(set, col.stored()+"="+e.sql)
				continue
			default:
				return nil, nil, nil, c.refuse(r.Location, "setting several columns by this")
			}
		}
		var e *expr
		if value.GetSetToDefault() != nil {
			e, err = c.defaultIn(defaults, t.rel, col)
		} else {
			if col.Identity == "a" {
				out := fail("428C9", "column \"%s\" can only be updated to DEFAULT", col.Name)
				out.Detail = "Column \"" + col.Name + "\" is an identity column defined as GENERATED ALWAYS."
				return nil, nil, nil, out
			}
			sc.forbids, sc.noWin = "UPDATE", "UPDATE"
			e, err = c.expr(value, sc)
			sc.forbids, sc.noWin = "", ""
			if err == nil {
				e, err = c.assign(e, t.rel, col)
			}
		}
		if err != nil {
			return nil, nil, nil, err
		}
		columns, of = append(columns, col.Number), append(of, e)
		set = append(set, col.stored()+"="+e.sql)
	}
	return set, columns, of, nil
}

func (c *compiler) update(s *pg.UpdateStmt) (*engine.Translation, error) {
	t, err := c.target(s.Relation, "w")
	if err != nil {
		return nil, err
	}
	with := ""
	if s.WithClause != nil {
		if with, err = c.with(s.WithClause, nil); err != nil {
			return nil, err
		}
	}
	tables, err := c.others(s.FromClause, t)
	if err != nil {
		return nil, err
	}
	set, columns, of, err := c.assignments(s.TargetList, t, t.sc)
	if err != nil {
		return nil, err
	}
	where, sub, err := c.condition(s.WhereClause, t.sc)
	if err != nil {
		return nil, err
	}
	for _, e := range of {
		sub = sub || e.sub
	}
	if err := c.noOthers(s.ReturningList, t); err != nil {
		return nil, err
	}
	returning, out, err := c.returning(s.ReturningList, t)
	if err != nil {
		return nil, err
	}
	if t.read {
		c.need(t.rel, "r")
	}
	scan, err := c.scanned(t, "w")
	if err != nil {
		return nil, err
	}
	sql := ""
	if !sub && len(tables) == 0 && !c.secured(t.rel) {
		sql = "UPDATE " + t.rel.table() + " AS " + t.it.alias + " SET " + strings.Join(set, ",")
		if where != "" {
			sql += " WHERE " + where
		}
	} else {
		// The new values are computed before anything is written, as PostgreSQL's statements see what was there before them.
		inner := "SELECT " + t.it.alias + ".rowid AS rid"
		set = nil
		for i, e := range of {
			inner += "," + e.sql + " AS " + outputName(i)
			set = append(set, t.rel.column(columns[i]).stored()+"=u."+outputName(i))
		}
		check, _, err := c.written(t, over(t.rel, "u", func(col *column) string {
			if i := slices.Index(columns, col.Number); i >= 0 {
				return "u." + outputName(i)
			}
			return "u." + col.stored()
		}), "w")
		if err != nil {
			return nil, err
		}
		if check != "" {
			for _, col := range t.rel.live() {
				inner += "," + t.it.alias + "." + col.stored() + " AS " + col.stored()
			}
		}
		inner += " FROM " + strings.Join(append([]string{scan}, tables...), ", ")
		if where != "" {
			inner += " WHERE " + where
		}
		alias := c.alias()
		sql = "UPDATE " + t.rel.table() + " AS " + alias + " SET " + strings.Join(set, ",") + " FROM (" + inner
		if check != "" {
			sql += " LIMIT -1" // computed once
		}
		sql += ") AS u WHERE " + alias + ".rowid = u.rid"
		if check != "" {
			sql += " AND " + check
		}
	}
	c.identified(t.rel, "u", columns)
	return c.write(with+sql+returning, "UPDATE %d", out, c.writes(t.rel, columns, false)), nil
}

// others are the tables of FROM and USING.
func (c *compiler) others(list []*pg.Node, t *target) (tables []string, err error) {
	for _, n := range list {
		sql, items, err := c.from(n, t.sc)
		if err != nil {
			return nil, err
		}
		t.sc.items = append(t.sc.items, items...)
		if err := c.distinctNames(t.sc.items); err != nil {
			return nil, err
		}
		tables = append(tables, sql)
	}
	return tables, nil
}

func (c *compiler) condition(n *pg.Node, sc *scope) (sql string, sub bool, err error) {
	if n == nil {
		return "", false, nil
	}
	if n.GetCurrentOfExpr() != nil {
		return "", false, c.refuse(-1, "WHERE CURRENT OF")
	}
	sc.forbids, sc.noWin = "WHERE", "WHERE"
	defer func() { sc.forbids, sc.noWin = "", "" }()
	e, err := c.expr(n, sc)
	if err != nil {
		return "", false, err
	}
	if e, err = c.toBool(e, "WHERE"); err != nil {
		return "", false, err
	}
	c.plan(e)
	c.pushDown(n, sc)
	found, err := c.byWords(n, sc, true)
	if err != nil {
		return "", false, err
	}
	return narrowed(e.sql, found), e.sub || len(found) > 0, nil
}

// noOthers refuses RETURNING of other tables' columns.
func (c *compiler) noOthers(list []*pg.Node, t *target) error {
	if len(list) == 0 || len(t.sc.items) == 1 {
		return nil
	}
	for _, n := range list {
		e := n.GetResTarget()
		if r := e.Val.GetColumnRef(); r != nil && r.Fields[len(r.Fields)-1].GetAStar() != nil {
			if len(r.Fields) == 1 {
				return c.refuse(r.Location, "RETURNING of other tables' columns")
			}
			continue
		}
		x, err := c.expr(e.Val, &scope{items: t.sc.items, forbids: "RETURNING", noWin: "RETURNING"})
		if err != nil {
			return err
		}
		for _, u := range x.uses {
			if !strings.HasPrefix(u.key, t.it.alias+".") {
				return c.refuse(u.at, "RETURNING of other tables' columns")
			}
		}
	}
	return nil
}

func (c *compiler) delete(s *pg.DeleteStmt) (*engine.Translation, error) {
	t, err := c.target(s.Relation, "d")
	if err != nil {
		return nil, err
	}
	with := ""
	if s.WithClause != nil {
		if with, err = c.with(s.WithClause, nil); err != nil {
			return nil, err
		}
	}
	tables, err := c.others(s.UsingClause, t)
	if err != nil {
		return nil, err
	}
	where, sub, err := c.condition(s.WhereClause, t.sc)
	if err != nil {
		return nil, err
	}
	if err := c.noOthers(s.ReturningList, t); err != nil {
		return nil, err
	}
	returning, out, err := c.returning(s.ReturningList, t)
	if err != nil {
		return nil, err
	}
	if t.read {
		c.need(t.rel, "r")
	}
	scan, err := c.scanned(t, "d")
	if err != nil {
		return nil, err
	}
	sql := "DELETE FROM " + t.rel.table() + " AS " + t.it.alias
	switch {
	case sub || len(tables) > 0 || c.secured(t.rel):
		alias := c.alias()
		sql = "DELETE FROM " + t.rel.table() + " AS " + alias + " WHERE " + alias + ".rowid IN (SELECT " + t.it.alias + ".rowid FROM " +
			strings.Join(append([]string{scan}, tables...), ", ")
		if where != "" {
			sql += " WHERE " + where
		}
		sql += ")"
	case where != "":
		sql += " WHERE " + where
	}
	c.identified(t.rel, "d", nil)
	return c.write(with+sql+returning, "DELETE %d", out, c.writes(t.rel, nil, true)), nil
}
