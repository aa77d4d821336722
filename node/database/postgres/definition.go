package postgres

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// What is defined, as SQL. Expressions and queries are the text that was kept when they were made: it means the same as PostgreSQL's,
// which writes casts that it added and parentheses around each operator.

// wrapped puts parentheses around an expression, unless it is a name, a constant or a call.
func wrapped(text string) string {
	if compound(text) {
		return "(" + text + ")"
	}
	return text
}

// unwrapped is an expression without the parentheses that wrapped gave it. Its text may be anyone's, so it is not parsed.
func unwrapped(text string, pretty bool) string {
	if !pretty || !strings.HasPrefix(text, "(") || !strings.HasSuffix(text, ")") {
		return text
	}
	depth, quote := 0, byte(0)
	for i := 0; i < len(text)-1; i++ {
		switch ch := text[i]; {
		case quote != 0:
			if ch == quote {
				quote = 0
			}
		case ch == '\'' || ch == '"':
			quote = ch
		case ch == '(':
			depth++
		case ch == ')':
			if depth--; depth == 0 {
				return text // the first does not end at the last
			}
		}
	}
	return text[1 : len(text)-1]
}

// compound tells whether PostgreSQL would write parentheses around an expression. It was parsed before.
func compound(text string) bool {
	tree, err := pg.Parse("SELECT " + text)
	if err != nil || len(tree.Stmts) != 1 || len(tree.Stmts[0].Stmt.GetSelectStmt().GetTargetList()) != 1 {
		return false
	}
	switch tree.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().GetVal().GetNode().(type) {
	case *pg.Node_AExpr, *pg.Node_BoolExpr, *pg.Node_NullTest, *pg.Node_BooleanTest, *pg.Node_SubLink:
		return true
	}
	return false
}

// defaultText is what a column has as default; a text that was written without a type is shown with the column's.
func (c *catalog) defaultText(col *column) string {
	if col.Default == "" {
		if q := c.byOID[col.Sequence]; q != nil && col.Identity == "" {
			return "nextval(" + quoteText(shownName(q)) + "::regclass)"
		}
		return ""
	}
	if strings.HasPrefix(col.Default, "'") && strings.HasSuffix(col.Default, "'") && !strings.Contains(strings.ReplaceAll(col.Default[1:len(col.Default)-1], "''", ""), "'") {
		return col.Default + "::" + typeName(col.Type)
	}
	return wrapped(col.Default)
}

func columnNames(r *relation, numbers []int) string {
	var list []string
	for _, n := range numbers {
		list = append(list, quoteIdent(r.column(n).Name))
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// constraintDefinition is pg_get_constraintdef(oid [, pretty]).
func constraintDefinition(s *session, a []any) (any, error) {
	for _, r := range s.cat.all() {
		for _, k := range r.Constraints {
			if k.OID == asked(a[0]) {
				return s.cat.constraintText(r, k, pretty(a)), nil
			}
		}
	}
	return nil, nil
}

func (c *catalog) constraintText(r *relation, k *constraint, pretty bool) string {
	switch k.Kind {
	case "p":
		return "PRIMARY KEY " + columnNames(r, k.Columns)
	case "u":
		return "UNIQUE " + columnNames(r, k.Columns)
	case "c":
		if pretty {
			return "CHECK (" + k.Check + ")"
		}
		return "CHECK (" + wrapped(k.Check) + ")"
	}
	parent := c.byOID[k.References]
	if parent == nil {
		return ""
	}
	name := shownName(parent)
	if !pretty && parent.Schema != publicSchema {
		name = quoteIdent(parent.Schema) + "." + quoteIdent(parent.Name)
	}
	text := "FOREIGN KEY " + columnNames(r, k.Columns) + " REFERENCES " + name + columnNames(parent, k.ReferencedColumns)
	if w := actions[k.OnUpdate]; w != noAction {
		text += " ON UPDATE " + w
	}
	if w := actions[k.OnDelete]; w != noAction {
		text += " ON DELETE " + w
	}
	if k.Deferrable {
		text += " DEFERRABLE"
	}
	if k.Deferred {
		text += " INITIALLY DEFERRED"
	}
	return text
}

const noAction = "NO ACTION"

// actions of a foreign key by pg_constraint's letter.
var actions = map[string]string{"": noAction, "a": noAction, "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

// indexDefinition is pg_get_indexdef(oid [, column, pretty]).
func indexDefinition(s *session, a []any) (any, error) {
	r := s.relation(asked(a[0]))
	if r == nil || r.Index == nil {
		return nil, nil
	}
	if len(a) == 3 && a[1] != int64(0) {
		n := a[1].(int64)
		if n < 1 || n > int64(len(r.Index.Keys)) {
			return nil, nil
		}
		return s.cat.keyText(r, r.Index.Keys[n-1], true), nil
	}
	return s.cat.indexText(r, pretty(a)), nil
}

// keyText is what an index orders by.
func (c *catalog) keyText(r *relation, k indexKey, alone bool) string {
	if k.Column != 0 {
		return quoteIdent(c.byOID[r.Index.Table].column(k.Column).Name)
	}
	if alone {
		return k.Expression
	}
	return wrapped(k.Expression)
}

func (i *index) method() string {
	if i.Method == "" {
		return "btree"
	}
	return i.Method
}

func (c *catalog) indexText(r *relation, pretty bool) string {
	i, t := r.Index, c.byOID[r.Index.Table]
	var keys []string
	for _, k := range i.Keys {
		text := c.keyText(r, k, false)
		if k.Descending {
			text += " DESC"
		}
		switch {
		case k.NullsFirst && !k.Descending:
			text += " NULLS FIRST"
		case !k.NullsFirst && k.Descending:
			text += " NULLS LAST"
		}
		keys = append(keys, text)
	}
	text := "CREATE "
	if i.Unique {
		text += "UNIQUE "
	}
	name := quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
	if pretty {
		name = shownName(t)
	}
	text += "INDEX " + quoteIdent(r.Name) + " ON " + name + " USING " + i.method() + " (" + strings.Join(keys, ", ") + ")"
	if i.Where != "" {
		where := i.Where
		if !pretty {
			where = wrapped(where)
		}
		text += " WHERE " + where
	}
	return text
}

// viewDefinition is pg_get_viewdef(oid [, pretty]).
func viewDefinition(s *session, a []any) (any, error) {
	r := s.relation(asked(a[0]))
	if r == nil || r.Kind != "v" {
		return nil, nil
	}
	return viewText(r), nil
}

func viewText(r *relation) string { return " " + r.Query + ";" }

// listText is an int2vector's cell: its items have numbers from 0.
func listText(numbers []int64) string {
	var list []string
	for _, n := range numbers {
		list = append(list, strconv.FormatInt(n, 10))
	}
	return "[0:" + strconv.Itoa(len(list)-1) + "]={" + strings.Join(list, ",") + "}"
}
