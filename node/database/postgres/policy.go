package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// Row policies. The owner sees all rows. Another role, of a table with row security, sees those that a policy for it shows, and writes
// those that one lets it write: permissive policies of which any holds, and restrictive ones of which all must.
//
// Where a table is read, a subquery with the policies' condition takes its place. Its LIMIT, which limits nothing, keeps SQLite from
// mixing that condition with the statement's own: an expression of the statement's that fails, or is slow, would otherwise tell of rows
// that are hidden. What cannot fail, a column beside what is the same for all rows, goes in beside it, so that an index finds rows by
// it. What is written is computed first, and then passes "withcheck", which fails.

// A policy is one of a table.
type policy struct {
	OID         uint32
	Name        string
	Command     string   // as pg_policy: * all, r SELECT, a INSERT, w UPDATE, d DELETE
	Restrictive bool     `json:",omitempty"`
	Roles       []uint32 // 0: all
	Using       string   `json:",omitempty"` // SQL
	Check       string   `json:",omitempty"`
	Uses        []uint32 `json:",omitempty"` // other relations that it reads
	Columns     []int    `json:",omitempty"` // of its table that its text may name
}

var policyCommands = map[string]string{"all": "*", "select": "r", "insert": "a", "update": "w", "delete": "d"}

func (r *relation) policy(name string) *policy {
	i := slices.IndexFunc(r.Policies, func(p *policy) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return r.Policies[i]
}

// secured tells whether row security bounds what the program's role does with a table.
func (c *compiler) secured(r *relation) bool { return c.limited() && r.RowSecurity }

// Messages of "withcheck".
const (
	newRow      = int64(0) // a new row violates a policy
	existingRow = int64(1) // the row that is in an upsert's way does
)

// conditions are what policies of a table say for a command: of permissive ones one condition, which is false without any, and of
// restrictive ones each.
type conditions struct {
	permissive  string
	restrictive []restriction
	sub         bool // they have subqueries
}

type restriction struct {
	sql string
	oid uint32
}

// where is the conditions as one.
func (k conditions) where() string {
	out := "(" + k.permissive + ")"
	for _, r := range k.restrictive {
		out += " AND (" + r.sql + ")"
	}
	return out
}

// check is an expression that is 1, or fails as what says. A table's OID tells its name.
func (k conditions) check(r *relation, what int64) string {
	call := func(sql string, n int64) string {
		return `"withcheck"((` + sql + ")," + strconv.FormatUint(uint64(r.OID), 10) + "," + strconv.FormatInt(n, 10) + ")"
	}
	out := call(k.permissive, what)
	for _, x := range k.restrictive {
		n := what
		if what == newRow {
			n = int64(x.oid)
		}
		out += " AND " + call(x.sql, n)
	}
	return out
}

// policies compiles those of a table for a command over columns of an item; writing means what is asked of new rows.
func (c *compiler) policies(r *relation, it *item, command string, writing bool) (k conditions, err error) {
	if slices.Contains(c.securing, r.OID) {
		return k, fail("42P17", "infinite recursion detected in policy for relation \"%s\"", r.Name)
	}
	c.securing = append(c.securing, r.OID)
	defer func() { c.securing = c.securing[:len(c.securing)-1] }()
	ctes := c.ctes
	c.ctes = nil
	defer func() { c.ctes = ctes }()
	var shows []string
	for _, p := range r.Policies {
		if p.Command != "*" && p.Command != command || !slices.ContainsFunc(p.Roles, func(o uint32) bool { return slices.Contains(c.roles, o) }) {
			continue
		}
		text := p.Using
		if writing && p.Check != "" {
			text = p.Check
		}
		sql := "1"
		if text != "" {
			e, err := c.policyCondition(text, &scope{items: []*item{it}, forbids: "policy expressions", noWin: "policy expressions"})
			if err != nil {
				return k, err
			}
			sql, k.sub = e.sql, k.sub || e.sub
		}
		if p.Restrictive {
			k.restrictive = append(k.restrictive, restriction{sql, p.OID})
		} else {
			shows = append(shows, "("+sql+")")
		}
	}
	if k.permissive = strings.Join(shows, " OR "); shows == nil {
		k.permissive = "0"
	}
	return k, nil
}

// policyCondition compiles a policy's text.
func (c *compiler) policyCondition(text string, sc *scope) (e *expr, err error) {
	err = c.within(text, func() error {
		n, err := c.parseExpression(text)
		if err == nil {
			e, err = c.expr(n, sc)
		}
		if err == nil {
			e, err = c.toBool(e, "POLICY")
		}
		return err
	})
	return e, err
}

// over is an item of a table's columns under another alias, by what gives each column's SQL.
func over(r *relation, alias string, column func(*column) string) *item {
	it := &item{name: r.Name, schema: r.Schema, alias: alias, bare: true, named: true, rel: r}
	for _, col := range r.live() {
		it.columns = append(it.columns, &field{name: col.Name, sql: column(col), typ: col.Type, mod: col.Typmod, table: r.OID, number: col.Number})
	}
	return it
}

func (c *compiler) columnsOver(r *relation) (*item, string) {
	alias := c.alias()
	return over(r, alias, func(col *column) string { return alias + "." + col.stored() }), alias
}

// visible is SQLite's text for the rows of a table that commands may touch, as alias; it has their rowid.
func (c *compiler) visible(r *relation, alias string, commands ...string) (string, error) {
	if !c.secured(r) {
		return r.table() + " AS " + alias, nil
	}
	it, inner := c.columnsOver(r)
	var all []string
	for _, command := range commands {
		k, err := c.policies(r, it, command, false)
		if err != nil {
			return "", err
		}
		all = append(all, k.where())
	}
	return "(SELECT rowid AS rowid,* FROM " + r.table() + " AS " + inner + " WHERE " + strings.Join(all, " AND ") + pushMark + alias + " " + inner + pushMark + " LIMIT -1) AS " + alias, nil
}

// pushMark surrounds the place where conditions of the statement go, which names the table's alias outside and inside. No statement
// holds a NUL.
const pushMark = "\x00"

// pushDown keeps of a WHERE what tables with row security may be searched by: comparisons that all of it depends on, of a column with
// what is the same for all rows. They stay in the WHERE too, so that outer joins mean what they did.
func (c *compiler) pushDown(n *pg.Node, s *scope) {
	if !c.limited() || !slices.ContainsFunc(s.items, func(it *item) bool { return it.rel != nil && c.secured(it.rel) }) {
		return
	}
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_AND_EXPR {
		for _, x := range b.Args {
			c.pushDown(x, s)
		}
		return
	}
	x := n.GetAExpr()
	if x == nil || x.Kind != pg.A_Expr_Kind_AEXPR_OP || x.Lexpr.GetColumnRef() == nil {
		return
	}
	column, err := c.expr(x.Lexpr, s)
	if err != nil {
		return
	}
	e, err := c.expr(n, s)
	if err != nil || e.con || e.volatile || e.sub || len(e.uses) != 1 || e.uses[0].level != s {
		return
	}
	for _, it := range s.items {
		own, ok := strings.CutPrefix(column.sql, it.alias+".")
		if it.rel == nil || !c.secured(it.rel) || !ok {
			continue
		}
		rest, ok := strings.CutPrefix(e.sql, "("+column.sql+" ") // as compareAs writes it: else something is done to the column first
		if ok {
			c.push(it.alias, "("+pushMark+"."+own+" "+rest)
		}
	}
}

// push adds a condition by which a table may be searched; pushMark stands for its alias.
func (c *compiler) push(alias, condition string) {
	if c.pushed == nil {
		c.pushed = map[string]string{}
	}
	c.pushed[alias] += " AND " + condition
}

// searched puts what was pushed where it belongs.
func (c *compiler) searched(sql string) string {
	parts := strings.Split(sql, pushMark)
	for i := 1; i < len(parts); i += 2 {
		outside, inside, _ := strings.Cut(parts[i], " ")
		parts[i] = strings.ReplaceAll(c.pushed[outside], pushMark, inside)
	}
	return strings.Join(parts, "")
}

// scanned is visible for the target of an UPDATE or DELETE: rows that it reads must be those that it may see.
func (c *compiler) scanned(t *target, command string) (string, error) {
	if t.read {
		return c.visible(t.rel, t.it.alias, command, "r")
	}
	return c.visible(t.rel, t.it.alias, command)
}

// written is what each new row of a target must pass, over an item with its columns; empty where there is no row security.
func (c *compiler) written(t *target, it *item, command string) (sql string, sub bool, err error) {
	if !c.secured(t.rel) {
		return "", false, nil
	}
	k, err := c.policies(t.rel, it, command, true)
	if err != nil {
		return "", false, err
	}
	sql, sub = k.check(t.rel, newRow), k.sub
	if t.read {
		if k, err = c.policies(t.rel, it, "r", false); err != nil {
			return "", false, err
		}
		sql += " AND " + k.check(t.rel, newRow)
	}
	return sql, sub || k.sub, nil
}

// inTheWay is what the row in an upsert's way must pass.
func (c *compiler) inTheWay(t *target) (string, bool, error) {
	var all []string
	sub := false
	for _, command := range []string{"w", "r"} {
		k, err := c.policies(t.rel, t.it, command, false)
		if err != nil {
			return "", false, err
		}
		all, sub = append(all, k.check(t.rel, existingRow)), sub || k.sub
	}
	return strings.Join(all, " AND "), sub, nil
}

// policyText is a policy's expression as pg_policy has it.
func policyText(s string) any {
	if s == "" {
		return nil
	}
	return wrapped(s)
}

// withCheck is "withcheck"(condition, table, message).
func (s *session) withCheck(a []any) (any, error) {
	if n, ok := a[0].(int64); ok && n != 0 {
		return int64(1), nil
	}
	name, what := "", ""
	if r := s.relation(uint32(a[1].(int64))); r != nil {
		name = r.Name
		for _, p := range r.Policies {
			if int64(p.OID) == a[2].(int64) {
				what = " \"" + p.Name + "\""
			}
		}
	}
	if a[2].(int64) == existingRow {
		what = " (USING expression)"
	}
	return nil, fail("42501", "new row violates row-level security policy%s for table \"%s\"", what, name)
}

// ---- Statements

func (c *compiler) createPolicy(e *edit, s *pg.CreatePolicyStmt) (string, error) {
	r, err := c.findFor(e, s.Table, false)
	if err != nil {
		return "", err
	}
	if r.Kind != "r" {
		return "", fail("42809", "\"%s\" is not a table", r.Name)
	}
	r = e.change(r)
	p := &policy{Name: s.PolicyName, Command: policyCommands[s.CmdName], Restrictive: !s.Permissive}
	switch {
	case r.policy(p.Name) != nil:
		return "", fail("42710", "policy \"%s\" for table \"%s\" already exists", p.Name, r.Name)
	case len(r.Policies) >= maxPolicies:
		return "", fail("54000", "a table has at most %d policies", maxPolicies)
	case p.Command == "":
		return "", c.refuse(-1, "a policy FOR %s", s.CmdName)
	}
	if err := c.setPolicy(e, r, p, s.Roles, s.Qual, s.WithCheck); err != nil {
		return "", err
	}
	p.OID = e.oid()
	r.Policies = append(r.Policies, p)
	return "CREATE POLICY", nil
}

func (c *compiler) alterPolicy(e *edit, s *pg.AlterPolicyStmt) (string, error) {
	r, err := c.findFor(e, s.Table, false)
	if err != nil {
		return "", err
	}
	r = e.change(r)
	p := r.policy(s.PolicyName)
	if p == nil {
		return "", fail("42704", "policy \"%s\" for table \"%s\" does not exist", s.PolicyName, r.Name)
	}
	return "ALTER POLICY", c.setPolicy(e, r, p, s.Roles, s.Qual, s.WithCheck)
}

// setPolicy sets what is given.
func (c *compiler) setPolicy(e *edit, r *relation, p *policy, roles []*pg.Node, using, check *pg.Node) error {
	if (p.Command == "r" || p.Command == "d") && check != nil {
		return fail("42601", "WITH CHECK cannot be applied to SELECT or DELETE")
	}
	if p.Command == "a" && using != nil {
		return fail("42601", "only WITH CHECK expression allowed for INSERT")
	}
	if len(roles) > 0 {
		p.Roles = nil
	}
	for _, n := range roles {
		spec := n.GetRoleSpec()
		if spec.GetRoletype() == pg.RoleSpecType_ROLESPEC_PUBLIC {
			p.Roles = []uint32{everyone}
			break
		}
		x, err := c.named(e, spec)
		if err != nil {
			return err
		}
		if !slices.Contains(p.Roles, x.OID) {
			p.Roles = append(p.Roles, x.OID)
		}
	}
	for _, x := range []struct {
		n  *pg.Node
		to *string
	}{{using, &p.Using}, {check, &p.Check}} {
		if x.n == nil {
			continue
		}
		text, err := deparseExpression(x.n)
		if err != nil {
			return err
		}
		*x.to = text
	}
	p.Uses, p.Columns = nil, nil
	for _, text := range []string{p.Using, p.Check} {
		if text == "" {
			continue
		}
		it, _ := c.columnsOver(r)
		x, err := c.policyCondition(text, &scope{items: []*item{it}, forbids: "policy expressions", noWin: "policy expressions"})
		if err != nil {
			return err
		}
		for _, u := range x.uses {
			for _, f := range it.columns {
				if f.sql == u.key && !slices.Contains(p.Columns, f.number) {
					p.Columns = append(p.Columns, f.number)
				}
			}
		}
		n, err := c.parseExpression(text)
		if err != nil {
			return err
		}
		walk(n.ProtoReflect(), func(v any) bool {
			if x, ok := v.(*pg.RangeVar); ok {
				if rel := c.cat.find(x.Schemaname, x.Relname); rel != nil && !slices.Contains(p.Uses, rel.OID) {
					p.Uses = append(p.Uses, rel.OID)
				}
			}
			return true
		})
	}
	if len(c.params) > 0 {
		return fail("42P02", "there is no parameter $1")
	}
	return nil
}

func (c *compiler) dropPolicy(e *edit, s *pg.DropStmt) error {
	for _, n := range s.Objects {
		parts := names(n.GetList().GetItems())
		name := parts[len(parts)-1]
		table := &pg.RangeVar{Relname: parts[len(parts)-2], Location: -1}
		if len(parts) > 2 {
			table.Schemaname = parts[len(parts)-3]
		}
		r, err := c.findFor(e, table, s.MissingOk)
		if err != nil {
			return err
		}
		if r == nil || r.policy(name) == nil {
			if s.MissingOk {
				continue
			}
			return fail("42704", "policy \"%s\" for table \"%s\" does not exist", name, r.Name)
		}
		r = e.change(r)
		r.Policies = slices.DeleteFunc(r.Policies, func(p *policy) bool { return p.Name == name })
	}
	return nil
}

// reading are policies of other tables that read a relation, each with its table.
func (e *edit) reading(o uint32) (tables []*relation, list []*policy) {
	for _, r := range e.all() {
		for _, p := range r.Policies {
			if r.OID != o && slices.Contains(p.Uses, o) {
				tables, list = append(tables, r), append(list, p)
			}
		}
	}
	return tables, list
}

// dropPolicies removes policies that read a relation which is dropped, or refuses that.
func (c *compiler) dropPolicies(e *edit, r *relation, cascade bool, with func(uint32) bool) error {
	tables, list := e.reading(r.OID)
	for i, p := range list {
		if with(tables[i].OID) {
			continue
		}
		if !cascade {
			return dependent(kindName(r) + " " + r.Name)
		}
		t := e.change(tables[i])
		t.Policies = slices.DeleteFunc(t.Policies, func(x *policy) bool { return x.OID == p.OID })
	}
	return nil
}

// renamedIn follows the new name of a column in the policies of its table.
func (c *compiler) renamedIn(e *edit, r *relation, from, to string) error {
	if tables, _ := e.reading(r.OID); len(tables) > 0 {
		return c.refuse(-1, "renaming in \"%s\", which a policy of \"%s\" reads,", r.Name, tables[0].Name)
	}
	for _, p := range r.Policies {
		if len(p.Uses) > 0 {
			return c.refuse(-1, "renaming in \"%s\", whose policy \"%s\" has a subquery,", r.Name, p.Name)
		}
		for _, text := range []*string{&p.Using, &p.Check} {
			if *text == "" {
				continue
			}
			var err error
			if *text, err = renamed(*text, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// policyOn is a policy that names a column.
func (r *relation) policyOn(n int) *policy {
	i := slices.IndexFunc(r.Policies, func(p *policy) bool { return slices.Contains(p.Columns, n) })
	if i < 0 {
		return nil
	}
	return r.Policies[i]
}
