package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// A GIN index of a tsvector is a table of the same file:
//
//	s and its OID (lexeme, row): a word of the vector of a row, by rowid
//
// Triggers of the table keep it: x, the index's OID, and i, u or d. A condition vector @@ query that all of a WHERE, or of a join's ON, depends on gets a
// second one beside it, which takes from the index the rows that have a word of the query that fewest have, and of those the ones
// that have the other words too. The first one then looks at each row that is left: phrases, weights and what is negated.
const (
	gin    = "gin"
	ginOID = int64(2742) // of pg_am

	// counted is up to how many rows of a word are counted to find the rarest.
	counted = 1024
	// maxWordText is as long as any word of a vector, in characters of four bytes.
	maxWordText = 2046/4 + 1
)

func (r *relation) words() string { return "s" + strconv.FormatUint(uint64(r.OID), 10) }

func (i *index) inverted() bool { return i.Method == gin }

// ginKey refuses what no GIN index has, and what none has here. p is its only key, of a type.
func (c *compiler) ginKey(s *pg.IndexStmt, p *pg.IndexElem, typ oid) error {
	switch {
	case s.Unique:
		return fail("0A000", "access method \"gin\" does not support unique indexes")
	case p.Ordering != pg.SortByDir_SORTBY_DEFAULT:
		return fail("0A000", "access method \"gin\" does not support ASC/DESC options")
	case p.NullsOrdering != pg.SortByNulls_SORTBY_NULLS_DEFAULT:
		return fail("0A000", "access method \"gin\" does not support NULLS FIRST/LAST options")
	case typ == postgres.JSONB || typeOf(typ).Elem != 0:
		return c.refuse(-1, "a GIN index of type %s", typeName(typ))
	case typ != postgres.TSVector:
		return fail("42704", "data type %s has no default operator class for access method \"gin\"", typeName(typ))
	case len(s.IndexParams) > 1, s.WhereClause != nil:
		return c.refuse(-1, "a GIN index of several columns, or with a condition,")
	}
	return nil
}

// keySQL is what an index is by, with a prefix before columns.
func (c *compiler) keySQL(r *relation, k indexKey, prefix string) (sql string, err error) {
	if k.Column > 0 {
		return prefix + r.column(k.Column).stored(), nil
	}
	err = c.within(k.Expression, func() error {
		n, err := c.parseExpression(k.Expression)
		if err != nil {
			return err
		}
		x, err := c.keep(n, tableScope(r, prefix, "index expressions"))
		if err == nil {
			x, err = c.resolveUnknown(x)
		}
		if err == nil {
			sql = x.sql
		}
		return err
	})
	return sql, err
}

// makeWords makes the table of a GIN index and fills it.
func (c *compiler) makeWords(e *edit, r, i *relation) error {
	sql, err := c.keySQL(r, i.Index.Keys[0], "t.")
	if err != nil {
		return err
	}
	e.do("CREATE TABLE " + i.words() + "(lexeme TEXT NOT NULL, row INTEGER NOT NULL, PRIMARY KEY(lexeme, row)) STRICT, WITHOUT ROWID")
	e.do("INSERT INTO " + i.words() + " SELECT w.value, t.rowid FROM " + r.table() + ` AS t CROSS JOIN json_each("words"(` + sql + ")) AS w")
	return nil
}

// dropIndex drops an index of SQLite's, or the table that is one.
func (e *edit) dropIndex(i *relation) {
	if i.Index.inverted() {
		e.do("DROP TABLE " + i.words())
	} else {
		e.do("DROP INDEX " + i.index())
	}
	e.drop(i)
}

// inverted are the GIN indexes of a table.
func (c *catalog) inverted(table uint32) []*relation {
	return slices.DeleteFunc(c.indexes(table), func(i *relation) bool { return !i.Index.inverted() })
}

func ginTriggers(i *relation) [3]string {
	name := "x" + strconv.FormatUint(uint64(i.OID), 10)
	return [3]string{name + "i", name + "u", name + "d"}
}

// keepWords makes the triggers that keep GIN indexes, of tables that have new ones, and again of those that were changed: what changes
// a table's shape does not pass them.
func (c *compiler) keepWords(e *edit) error {
	changed := len(e.steps) > 0
	var drops, makes []engine.Step
	for _, r := range e.all() {
		if r.Kind != "r" {
			continue
		}
		was, now := c.cat.inverted(r.OID), e.inverted(r.OID)
		same := slices.EqualFunc(was, now, func(a, b *relation) bool { return a.OID == b.OID })
		if same && !(changed && e.changed[r.OID]) {
			continue
		}
		for _, i := range was {
			for _, name := range ginTriggers(i) {
				drops = append(drops, engine.Step{SQL: "DROP TRIGGER IF EXISTS " + name})
			}
		}
		for _, i := range now {
			list, err := c.ginTriggerSQL(r, i)
			if err != nil {
				return err
			}
			for _, sql := range list {
				makes = append(makes, engine.Step{SQL: sql})
			}
		}
	}
	e.steps = slices.Concat(drops, e.steps, makes)
	return nil
}

func (c *compiler) ginTriggerSQL(r, i *relation) ([]string, error) {
	k := i.Index.Keys[0]
	old, err := c.keySQL(r, k, "OLD.")
	if err != nil {
		return nil, err
	}
	added, err := c.keySQL(r, k, "NEW.")
	if err != nil {
		return nil, err
	}
	var columns, differ []string
	for _, col := range r.live() {
		if k.Column == col.Number || k.Expression != "" && mentionsColumn(k.Expression, col.Name) {
			columns = append(columns, col.stored())
			differ = append(differ, "OLD."+col.stored()+" IS NOT NEW."+col.stored()+" COLLATE BINARY")
		}
	}
	words := func(sql string) string { return `json_each("words"(` + sql + "))" }
	insert := "INSERT INTO " + i.words() + " SELECT value, NEW.rowid FROM " + words(added) + "; "
	remove := "DELETE FROM " + i.words() + " WHERE row=OLD.rowid AND lexeme IN (SELECT value FROM " + words(old) + "); "
	names := ginTriggers(i)
	return []string{
		"CREATE TRIGGER " + names[0] + " AFTER INSERT ON " + r.table() + " BEGIN " + insert + "END",
		"CREATE TRIGGER " + names[1] + " AFTER UPDATE OF " + strings.Join(columns, ",") + " ON " + r.table() + " WHEN " + strings.Join(differ, " OR ") + " BEGIN " + remove + insert + "END",
		"CREATE TRIGGER " + names[2] + " AFTER DELETE ON " + r.table() + " WHEN NOT \"" + recordedQuiet + "\"() BEGIN " + remove + "END",
	}, nil
}

// wordsOf is "words"(vector): the list of its words.
func wordsOf(call *postgres.Call, v any) (any, error) {
	if v == nil {
		return "[]", nil
	}
	words, err := postgres.Words(call, v)
	if err != nil {
		return nil, err
	}
	var l list
	for _, w := range words {
		if err := l.add(w); err != nil {
			return nil, err
		}
	}
	return l.text(), nil
}

// termsOf is "terms"(query): a list of [group, first word, last word, whether they are one].
func termsOf(call *postgres.Call, v any) (any, error) {
	if v == nil {
		return "[]", nil
	}
	groups, _, err := postgres.Terms(call, v)
	if err != nil {
		return nil, err
	}
	var l list
	for n, group := range groups {
		for _, t := range group {
			last, exact := t.Word, int64(1)
			if t.Prefix {
				last, exact = t.Word+strings.Repeat("\U0010ffff", maxWordText), 0
			}
			var row list
			for _, cell := range []any{int64(n), t.Word, last, exact} {
				if err := row.add(cell); err != nil {
					return nil, err
				}
			}
			if err := l.addList(&row); err != nil {
				return nil, err
			}
		}
	}
	return l.text(), nil
}

// boundless is "boundless"(query): whether it may match what has none of its words.
func boundless(call *postgres.Call, v any) (any, error) {
	if v == nil {
		return int64(0), nil
	}
	_, all, err := postgres.Terms(call, v)
	return boolean(all), err
}

// indexed is the condition that a row, of which rowid is said, is found by an index for a query.
func indexed(r, i *relation, rowid, query string) string {
	return rowid + ` IN (WITH g(grp,low,high,one) AS MATERIALIZED (SELECT json_extract(value,'$[0]'),json_extract(value,'$[1]'),json_extract(value,'$[2]'),json_extract(value,'$[3]') FROM json_each("terms"(` + query + `))),` +
		`p(grp) AS MATERIALIZED (SELECT d.grp FROM (SELECT DISTINCT grp FROM g) AS d ORDER BY (SELECT count(*) FROM (SELECT 1 FROM g CROSS JOIN ` + i.words() + ` AS x WHERE g.grp=d.grp AND x.lexeme BETWEEN g.low AND g.high LIMIT ` + strconv.Itoa(counted) + `)), d.grp LIMIT 1) ` +
		`SELECT x.row FROM p CROSS JOIN g CROSS JOIN ` + i.words() + ` AS x WHERE g.grp=p.grp AND x.lexeme BETWEEN g.low AND g.high AND NOT EXISTS (` +
		`SELECT 1 FROM g AS o WHERE o.grp<>p.grp GROUP BY o.grp HAVING min(o.one)=1 AND NOT EXISTS (SELECT 1 FROM g AS h CROSS JOIN ` + i.words() + ` AS y WHERE h.grp=o.grp AND y.lexeme=h.low AND y.row=x.row)) ` +
		`UNION ALL SELECT rowid FROM ` + r.table() + ` WHERE "boundless"(` + query + `))`
}

// narrowed is a condition with others beside it.
func narrowed(sql string, others []string) string {
	if len(others) == 0 {
		return sql
	}
	return strings.Join(append(others, "("+sql+")"), " AND ")
}

// byWords are the conditions that indexes of words add to a WHERE, or to a join's. within tells whether row policies may look for
// rows by them too: a row that the condition does not hold for is none of the result's then.
func (c *compiler) byWords(n *pg.Node, s *scope, within bool) (list []string, err error) {
	if !slices.ContainsFunc(s.items, func(it *item) bool { return it.rel != nil && len(c.cat.inverted(it.rel.OID)) > 0 }) {
		return nil, nil
	}
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_AND_EXPR {
		for _, x := range b.Args {
			l, err := c.byWords(x, s, within)
			if err != nil {
				return nil, err
			}
			list = append(list, l...)
		}
		return list, nil
	}
	x := n.GetAExpr()
	if x == nil || x.Kind != pg.A_Expr_Kind_AEXPR_OP || x.Lexpr == nil || !slices.Contains([]string{"@@", "@@@"}, operatorName(x.Name)) {
		return nil, nil
	}
	vector, query, err := c.two(x, s)
	if err != nil {
		return nil, err
	}
	if vector.typ != postgres.TSVector {
		vector, query = query, vector
	}
	if vector.typ != postgres.TSVector || query.row != nil {
		return nil, nil
	}
	if query, err = c.coerce(query, postgres.TSQuery, -1, postgres.Implicit); err != nil {
		return nil, err
	}
	if query.volatile || query.sub || query.aggs || query.windows || query.srf != nil {
		return nil, nil
	}
	for _, it := range s.items {
		if it.rel == nil || it.alias == "" || slices.ContainsFunc(query.uses, func(u use) bool { return u.level == s && strings.HasPrefix(u.key, it.alias+".") }) {
			continue
		}
		for _, i := range c.cat.inverted(it.rel.OID) {
			key, err := c.keySQL(it.rel, i.Index.Keys[0], it.alias+".")
			if err != nil {
				return nil, err
			}
			if key != vector.sql {
				continue
			}
			if !c.secured(it.rel) {
				return []string{indexed(it.rel, i, it.alias+".rowid", query.sql)}, nil
			}
			if within && len(query.uses) == 0 {
				c.push(it.alias, indexed(it.rel, i, pushMark+".rowid", query.sql))
				return nil, nil
			}
		}
	}
	return nil, nil
}
