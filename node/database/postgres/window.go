package postgres

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// A window is what OVER says.
type window struct {
	sql     string
	of      []*expr
	sliding bool // its frame loses rows
	orders  int
	def     *pg.WindowDef
}

// Bits of a frame, as PostgreSQL has them.
const (
	frameNonDefault         = 0x1
	frameRange              = 0x2
	frameRows               = 0x4
	frameGroups             = 0x8
	frameBetween            = 0x10
	frameStartUnbounded     = 0x20
	frameEndUnboundedBefore = 0x40
	frameStartUnboundedAft  = 0x80
	frameEndUnbounded       = 0x100
	frameStartCurrent       = 0x200
	frameEndCurrent         = 0x400
	frameStartBefore        = 0x800
	frameEndBefore          = 0x1000
	frameStartAfter         = 0x2000
	frameEndAfter           = 0x4000
	frameExcludeCurrent     = 0x8000
	frameExcludeGroup       = 0x10000
	frameExcludeTies        = 0x20000
)

func (c *compiler) namedWindows(s *pg.SelectStmt, sc *scope) error {
	sc.windows = map[string]*window{}
	for _, n := range s.WindowClause {
		d := n.GetWindowDef()
		if sc.windows[d.Name] != nil {
			return c.fail(d.Location, "42P20", "window \"%s\" is already defined", d.Name)
		}
		sc.windows[d.Name] = &window{def: d}
	}
	return nil
}

// window compiles OVER.
func (c *compiler) window(d *pg.WindowDef, s *scope) (*window, error) {
	if d.Name != "" {
		w := s.windows[d.Name]
		if w == nil {
			return nil, c.fail(d.Location, "42704", "window \"%s\" does not exist", d.Name)
		}
		d = w.def
	}
	partition, order := d.PartitionClause, d.OrderClause
	if d.Refname != "" {
		w := s.windows[d.Refname]
		if w == nil {
			return nil, c.fail(d.Location, "42704", "window \"%s\" does not exist", d.Refname)
		}
		base := w.def
		if base.Refname != "" {
			return nil, c.refuse(d.Location, "a window of a window of a window")
		}
		switch {
		case len(partition) > 0:
			return nil, c.fail(d.Location, "42P20", "cannot override PARTITION BY clause of window \"%s\"", d.Refname)
		case len(order) > 0 && len(base.OrderClause) > 0:
			return nil, c.fail(d.Location, "42P20", "cannot override ORDER BY clause of window \"%s\"", d.Refname)
		case base.FrameOptions&frameNonDefault != 0:
			return nil, c.fail(d.Location, "42P20", "cannot copy window \"%s\" because it has a frame clause", d.Refname)
		}
		partition = base.PartitionClause
		if len(order) == 0 {
			order = base.OrderClause
		}
	}
	w := &window{orders: len(order)}
	noWin := s.noWin
	s.noWin = "window definitions"
	defer func() { s.noWin = noWin }()
	var ps, os []string
	for _, n := range partition {
		e, err := c.expr(n, s)
		if err != nil {
			return nil, err
		}
		if e, err = c.resolveUnknown(e); err != nil {
			return nil, err
		}
		if !ordered(e.typ) || e.row != nil {
			return nil, e.fail("42883", "could not identify an equality operator for type %s", typeName(e.typ))
		}
		w.of = append(w.of, e)
		ps = append(ps, e.collated())
	}
	for _, n := range order {
		b := n.GetSortBy()
		e, err := c.expr(b.Node, s)
		if err != nil {
			return nil, err
		}
		if e, err = c.resolveUnknown(e); err != nil {
			return nil, err
		}
		if e.row != nil {
			return nil, c.refuse(e.at, "ORDER BY a row")
		}
		text, err := c.sortKey(b, e)
		if err != nil {
			return nil, err
		}
		w.of = append(w.of, e)
		os = append(os, text)
	}
	sql := ""
	if len(ps) > 0 {
		sql = "PARTITION BY " + strings.Join(ps, ",")
	}
	if len(os) > 0 {
		sql += " ORDER BY " + strings.Join(os, ",")
	}
	frame, err := c.frame(d, w)
	if err != nil {
		return nil, err
	}
	w.sql = "(" + sql + frame + ")"
	return w, nil
}

func (c *compiler) frame(d *pg.WindowDef, w *window) (string, error) {
	o := d.FrameOptions
	if o&frameNonDefault == 0 {
		return "", nil
	}
	mode := " RANGE"
	switch {
	case o&frameRows != 0:
		mode = " ROWS"
	case o&frameGroups != 0:
		mode = " GROUPS"
		if w.orders == 0 {
			return "", c.fail(d.Location, "42P20", "GROUPS mode requires an ORDER BY clause")
		}
	}
	offset := func(n *pg.Node, word string) (string, error) {
		if mode == " RANGE" {
			return "", c.refuse(d.Location, "RANGE with a distance")
		}
		e, err := c.expr(n, &scope{forbids: "window frames", noWin: "window frames"})
		if err != nil {
			return "", err
		}
		if e, err = c.coerce(e, postgres.Int8, -1, postgres.Implicit); err != nil {
			return "", err
		}
		if !e.con {
			return "", c.refuse(d.Location, "a distance that is no constant")
		}
		if e.val == nil {
			return "", c.fail(d.Location, "22004", "frame %s offset must not be null", word)
		}
		if e.val.(int64) < 0 {
			return "", c.fail(d.Location, "22013", "frame %s offset must not be negative", word)
		}
		return strconv.FormatInt(e.val.(int64), 10), nil
	}
	var start, end string
	var err error
	switch {
	case o&frameStartUnbounded != 0:
		start = "UNBOUNDED PRECEDING"
	case o&frameStartCurrent != 0:
		start = "CURRENT ROW"
	case o&frameStartBefore != 0:
		start, err = offset(d.StartOffset, "starting")
		start += " PRECEDING"
	case o&frameStartAfter != 0:
		start, err = offset(d.StartOffset, "starting")
		start += " FOLLOWING"
	}
	if err != nil {
		return "", err
	}
	w.sliding = o&frameStartUnbounded == 0
	switch {
	case o&frameEndUnbounded != 0:
		end = "UNBOUNDED FOLLOWING"
	case o&frameEndCurrent != 0:
		end = "CURRENT ROW"
	case o&frameEndBefore != 0:
		end, err = offset(d.EndOffset, "ending")
		end += " PRECEDING"
	case o&frameEndAfter != 0:
		end, err = offset(d.EndOffset, "ending")
		end += " FOLLOWING"
	}
	if err != nil {
		return "", err
	}
	sql := mode + " BETWEEN " + start + " AND " + end
	switch {
	case o&frameExcludeCurrent != 0:
		sql += " EXCLUDE CURRENT ROW"
	case o&frameExcludeGroup != 0:
		sql += " EXCLUDE GROUP"
	case o&frameExcludeTies != 0:
		sql += " EXCLUDE TIES"
	}
	return sql, nil
}

func (c *compiler) windowFunction(name string, f *pg.FuncCall, s *scope) (*expr, error) {
	at := f.Location
	switch {
	case f.Over == nil:
		return nil, c.fail(at, "42809", "window function %s requires an OVER clause", name)
	case s == nil || s.noWin != "" || s.forbids != "":
		what := "this clause"
		if s != nil && s.noWin != "" {
			what = s.noWin
		}
		return nil, c.fail(at, "42P20", "window functions are not allowed in %s", what)
	case s.inAgg:
		return nil, c.fail(at, "42803", "aggregate function calls cannot contain window function calls")
	case f.AggFilter != nil:
		return nil, c.fail(at, "0A000", "FILTER is not implemented for non-aggregate window functions")
	case f.AggDistinct:
		return nil, c.fail(at, "0A000", "DISTINCT is not implemented for window functions")
	case len(f.AggOrder) > 0:
		return nil, c.fail(at, "0A000", "aggregate ORDER BY is not implemented for window functions")
	}
	args, err := c.exprs(f.Args, s)
	if err != nil {
		return nil, err
	}
	for _, a := range args {
		if a.windows {
			return nil, c.fail(at, "42P20", "window function calls cannot be nested")
		}
	}
	least, most := 0, 0
	switch name {
	case "ntile", "first_value", "last_value":
		least, most = 1, 1
	case "nth_value":
		least, most = 2, 2
	case "lag", "lead":
		least, most = 1, 3
	}
	given := make([]oid, len(args))
	for i, a := range args {
		given[i] = a.typ
	}
	if len(args) < least || len(args) > most {
		return nil, c.noFunction(at, name, given, 0)
	}
	result := windowFunctions[name]
	if result == 0 {
		if args[0].typ == postgres.Unknown || args[0].row != nil {
			return nil, c.refuse(at, "%s of a value without a type", name)
		}
		result = args[0].typ
	}
	positive := func(i int, code, text string, least int64) error {
		e, err := c.coerce(args[i], postgres.Int4, -1, postgres.Implicit)
		if err != nil {
			return c.noFunction(at, name, given, 0)
		}
		if !e.con || e.val == nil {
			return c.refuse(at, "%s by what is no constant", name)
		}
		if e.val.(int64) < least {
			if code == "" {
				return c.refuse(at, "%s by a negative number", name)
			}
			return fail(code, "%s", text)
		}
		args[i] = e
		return nil
	}
	switch name {
	case "ntile":
		err = positive(0, "22014", "argument of ntile must be greater than zero", 1)
	case "nth_value":
		err = positive(1, "22016", "argument of nth_value must be greater than zero", 1)
	case "lag", "lead":
		if len(args) > 1 {
			err = positive(1, "", "", 0)
		}
		if err == nil && len(args) == 3 {
			typ, e := commonType(name, []*expr{args[0], args[2]})
			if e != nil {
				return nil, c.noFunction(at, name, given, 0)
			}
			result = typ
			if args[0], err = c.coerce(args[0], typ, -1, postgres.Implicit); err == nil {
				args[2], err = c.coerce(args[2], typ, -1, postgres.Implicit)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, a := range args {
		texts = append(texts, a.sql)
	}
	w, err := c.window(f.Over, s)
	if err != nil {
		return nil, err
	}
	e := c.combine(at, result, name+"("+strings.Join(texts, ",")+") OVER "+w.sql, append(args, w.of...)...)
	e.windows = true
	return e, nil
}
