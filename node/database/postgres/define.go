package postgres

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stratosmesh/stratos/node/database/engine"
)

// define compiles statements that change the schema.
func (c *compiler) define(n *pg.Node) (*engine.Translation, error) {
	if c.limited() && n.GetTruncateStmt() == nil {
		return nil, fail("42501", "role \"%s\" may not do this: only the owner of the database changes what is in it, besides rows", c.s.role.Name)
	}
	e := c.cat.edit()
	var tag string
	var err error
	switch x := n.GetNode().(type) {
	case *pg.Node_CreateStmt:
		tag, err = "CREATE TABLE", c.createTable(e, x.CreateStmt)
	case *pg.Node_CreateTableAsStmt:
		tag, err = "SELECT %d", c.createAs(e, x.CreateTableAsStmt)
	case *pg.Node_DropStmt:
		tag, err = c.drop(e, x.DropStmt)
	case *pg.Node_AlterTableStmt:
		tag, err = c.alterTable(e, x.AlterTableStmt)
	case *pg.Node_RenameStmt:
		tag, err = c.rename(e, x.RenameStmt)
	case *pg.Node_IndexStmt:
		tag, err = "CREATE INDEX", c.createIndex(e, x.IndexStmt)
	case *pg.Node_ViewStmt:
		tag, err = "CREATE VIEW", c.createView(e, x.ViewStmt)
	case *pg.Node_CreateSeqStmt:
		tag, err = "CREATE SEQUENCE", c.createSequence(e, x.CreateSeqStmt)
	case *pg.Node_AlterSeqStmt:
		tag, err = "ALTER SEQUENCE", c.alterSequence(e, x.AlterSeqStmt)
	case *pg.Node_TruncateStmt:
		tag, err = "TRUNCATE TABLE", c.truncate(e, x.TruncateStmt)
	case *pg.Node_CommentStmt:
		tag, err = "COMMENT", c.comment(e, x.CommentStmt)
	case *pg.Node_CreateSchemaStmt:
		tag, err = "CREATE SCHEMA", c.createSchema(e, x.CreateSchemaStmt)
	case *pg.Node_CreateRoleStmt:
		tag, err = c.createRole(e, x.CreateRoleStmt)
	case *pg.Node_DropRoleStmt:
		tag, err = c.dropRole(e, x.DropRoleStmt)
	case *pg.Node_GrantRoleStmt:
		tag, err = c.grantRole(e, x.GrantRoleStmt)
	case *pg.Node_GrantStmt:
		tag, err = c.grant(e, x.GrantStmt)
	case *pg.Node_CreatePolicyStmt:
		tag, err = c.createPolicy(e, x.CreatePolicyStmt)
	case *pg.Node_AlterPolicyStmt:
		tag, err = c.alterPolicy(e, x.AlterPolicyStmt)
	case *pg.Node_CreatePublicationStmt:
		tag, err = "CREATE PUBLICATION", c.createPublication(e, x.CreatePublicationStmt)
	case *pg.Node_AlterPublicationStmt:
		tag, err = "ALTER PUBLICATION", c.alterPublication(e, x.AlterPublicationStmt)
	default:
		err = refuse("%s", kindOf(n))
	}
	if err == nil {
		err = c.denied
	}
	if err != nil {
		return nil, err
	}
	if len(c.params) > 0 && n.GetCreateTableAsStmt() == nil {
		return nil, fail("42P02", "there is no parameter $1")
	}
	c.sequences = false
	e.unpublish()
	if len(e.changed) == 0 && len(e.gone) == 0 && !e.headed && len(e.head.Schemas) == len(c.cat.head.Schemas) {
		if len(e.steps) == 0 || tag != "TRUNCATE TABLE" {
			return &engine.Translation{Tag: strings.Replace(tag, "SELECT %d", "CREATE TABLE AS", 1)}, nil // it was there, or is not
		}
		return &engine.Translation{Steps: e.steps, Tag: tag, Explain: (&explainer{cat: e.catalog, makes: true}).explain}, nil
	}
	if err := c.keepWords(e); err != nil {
		return nil, err
	}
	e.record(c.cat)
	return &engine.Translation{Steps: e.finish(), Tag: tag, Schema: true, Explain: e.explainer().explain}, nil
}

// explainer is for what a change of the schema finds in the rows that are there.
func (e *edit) explainer() *explainer {
	x := &explainer{cat: e.catalog, makes: true}
	for _, r := range e.all() {
		for _, k := range r.Constraints {
			if k.Kind == "f" && e.changed[r.OID] {
				x.foreign = append(x.foreign, foreign{table: r, k: k})
			}
		}
	}
	return x
}

// ---- Names and texts

// objectName makes a name of parts that is short enough, as PostgreSQL does.
func objectName(first, second, label string) string {
	over := len(label) + 1
	if second != "" {
		over++
	}
	a, b := len(first), len(second)
	for a+b+over > 63 {
		if a > b {
			a--
		} else {
			b--
		}
	}
	cut := func(s string, n int) string {
		for n < len(s) && n > 0 && s[n]&0xc0 == 0x80 {
			n--
		}
		return s[:n]
	}
	out := cut(first, a)
	if second != "" {
		out += "_" + cut(second, b)
	}
	return out + "_" + label
}

// free makes a name that is not taken.
func free(first, second, label string, taken func(string) bool) string {
	name := objectName(first, second, label)
	for i := 1; taken(name); i++ {
		name = objectName(first, second, label+strconv.Itoa(i))
	}
	return name
}

func (e *edit) taken(schema string) func(string) bool {
	return func(name string) bool { return e.relations[relationKey(schema, name)] != nil }
}

// deparse writes an expression or a query as text that reads back as the same.
func deparse(n *pg.Node) (string, error) {
	text, err := pg.Deparse(&pg.ParseResult{Version: 170007, Stmts: []*pg.RawStmt{{Stmt: n}}})
	if err != nil {
		return "", refuse("keeping this expression")
	}
	back, err := pg.Parse(text)
	if err != nil || len(back.Stmts) != 1 || !proto.Equal(unplaced(back.Stmts[0].Stmt), unplaced(n)) {
		return "", refuse("keeping this expression")
	}
	return text, nil
}

// unplaced is a copy of a tree without places in a text.
func unplaced(n *pg.Node) *pg.Node {
	out := proto.Clone(n).(*pg.Node)
	walk(out.ProtoReflect(), func(v any) bool {
		m := v.(proto.Message).ProtoReflect()
		for _, name := range []string{"location", "arg_location", "name_location", "stmt_location", "stmt_len"} {
			if f := m.Descriptor().Fields().ByName(protoreflect.Name(name)); f != nil {
				m.Clear(f)
			}
		}
		return true
	})
	return out
}

func deparseExpression(n *pg.Node) (string, error) {
	s := &pg.SelectStmt{TargetList: []*pg.Node{{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: n}}}}, LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE}
	text, err := deparse(&pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: s}})
	return strings.TrimPrefix(text, "SELECT "), err
}

// schemaFor is where something new goes.
func (c *compiler) schemaFor(r *pg.RangeVar) (string, error) {
	if r.Catalogname != "" {
		return "", c.refuse(r.Location, "a name with a database")
	}
	if r.Relpersistence == "t" {
		return "", c.refuse(r.Location, "a temporary relation")
	}
	switch r.Schemaname {
	case "":
		return publicSchema, nil
	case catalogSchema, "information_schema", "pg_toast":
		return "", c.fail(r.Location, "42501", "permission denied for schema %s", r.Schemaname)
	case "pg_temp":
		return "", c.refuse(r.Location, "a temporary relation")
	}
	if c.cat.schema(r.Schemaname) == nil {
		return "", c.fail(r.Location, "3F000", "schema \"%s\" does not exist", r.Schemaname)
	}
	return r.Schemaname, nil
}
