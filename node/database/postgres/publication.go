package postgres

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// A publication says which changes of which tables are recorded; see feed.go.
type publication struct {
	OID     uint32
	Name    string
	All     bool               `json:",omitempty"` // tables, also those that are made later
	Publish string             // letters of kinds: i, u, d, t
	ViaRoot bool               `json:",omitempty"` // there are no partitions: it says nothing
	Tables  []publicationEntry `json:",omitempty"`
	Comment string             `json:",omitempty"`
}

// A publicationEntry is a row of pg_publication_rel.
type publicationEntry struct{ OID, Table uint32 }

// maxPublished bounds publications and their tables together: each snapshot reads them.
const maxPublished = 2_000

func (c *catalog) publication(name string) *publication {
	for i := range c.head.Publications {
		if c.head.Publications[i].Name == name {
			return &c.head.Publications[i]
		}
	}
	return nil
}

func (p *publication) has(table uint32) bool {
	return slices.ContainsFunc(p.Tables, func(m publicationEntry) bool { return m.Table == table })
}

// publishing are the OIDs of publications that record changes of a kind of a table.
func (c *catalog) publishing(table uint32, kind string) (list []uint32) {
	for i := range c.head.Publications {
		if p := &c.head.Publications[i]; strings.Contains(p.Publish, kind) && (p.All || p.has(table)) {
			list = append(list, p.OID)
		}
	}
	return list
}

// publicationTables finds the tables that a statement lists.
func (c *compiler) publicationTables(e *edit, list []*pg.Node) (all []*relation, err error) {
	for _, n := range list {
		o := n.GetPublicationObjSpec()
		if o.Pubobjtype != pg.PublicationObjSpecType_PUBLICATIONOBJ_TABLE {
			return nil, c.refuse(o.Location, "a publication of schemas")
		}
		switch t := o.Pubtable; {
		case t.WhereClause != nil:
			return nil, c.refuse(o.Location, "a row filter of a publication")
		case len(t.Columns) > 0:
			return nil, c.refuse(o.Location, "a column list of a publication")
		}
		r, err := c.findFor(e, o.Pubtable.Relation, false)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all, nil
}

// publicationOptions reads WITH and SET.
func (c *compiler) publicationOptions(p *publication, list []*pg.Node) error {
	given := map[string]bool{}
	for _, n := range list {
		d := n.GetDefElem()
		if given[d.Defname] {
			return c.fail(d.Location, "42601", "conflicting or redundant options")
		}
		given[d.Defname] = true
		switch d.Defname {
		case "publish":
			p.Publish = ""
			for _, word := range strings.Split(optionText(d), ",") {
				word = strings.TrimSpace(word)
				kind, ok := publishKinds[strings.ToLower(word)]
				if !ok && word == "" && strings.TrimSpace(optionText(d)) == "" {
					continue
				}
				if !ok {
					return fail("42601", "unrecognized value for publication option \"%s\": \"%s\"", "publish", word)
				}
				if !strings.Contains(p.Publish, kind) {
					p.Publish += kind
				}
			}
		case "publish_via_partition_root":
			switch strings.ToLower(optionText(d)) {
			case "", "true", "on", "1":
				p.ViaRoot = true
			case "false", "off", "0":
				p.ViaRoot = false
			default:
				return fail("42601", "%s requires a Boolean value", d.Defname)
			}
		default:
			return fail("42601", "unrecognized publication parameter: \"%s\"", d.Defname)
		}
	}
	return nil
}

var publishKinds = map[string]string{"insert": "i", "update": "u", "delete": "d", "truncate": "t"}

func optionText(d *pg.DefElem) string {
	switch x := d.Arg.GetNode().(type) {
	case *pg.Node_String_:
		return x.String_.Sval
	case *pg.Node_Boolean:
		return map[bool]string{true: "true", false: "false"}[x.Boolean.Boolval]
	case *pg.Node_Integer:
		if x.Integer.Ival == 0 {
			return "0"
		}
		if x.Integer.Ival == 1 {
			return "1"
		}
		return "other"
	case *pg.Node_TypeName:
		if l := names(x.TypeName.Names); len(l) > 0 {
			return l[len(l)-1]
		}
	}
	return ""
}

// publishes puts tables into a publication.
func (c *compiler) publishes(e *edit, p *publication, tables []*relation) error {
	for _, r := range tables {
		if r.Kind != "r" {
			out := fail("22023", "cannot add relation \"%s\" to publication", r.Name)
			out.Detail = "This operation is not supported for " + map[string]string{"v": "views", "S": "sequences", "i": "indexes"}[r.Kind] + "."
			return out
		}
		p.Tables = append(p.Tables, publicationEntry{e.oid(), r.OID})
	}
	n := 0
	for _, p := range e.head.Publications {
		n += 1 + len(p.Tables)
	}
	if n > maxPublished {
		return fail("54000", "publications and their tables are more than %d together", maxPublished)
	}
	return nil
}

func (c *compiler) createPublication(e *edit, s *pg.CreatePublicationStmt) error {
	if e.publication(s.Pubname) != nil {
		return fail("42710", "publication \"%s\" already exists", s.Pubname)
	}
	p := publication{Name: s.Pubname, All: s.ForAllTables, Publish: "iudt"}
	if err := c.publicationOptions(&p, s.Options); err != nil {
		return err
	}
	p.OID = e.oid()
	e.head.Publications = append(e.head.Publications, p)
	e.headed = true
	e.feeds()
	tables, err := c.publicationTables(e, s.Pubobjects)
	if err != nil {
		return err
	}
	return c.publishes(e, e.publication(s.Pubname), tables)
}

func (c *compiler) alterPublication(e *edit, s *pg.AlterPublicationStmt) error {
	p := e.publication(s.Pubname)
	if p == nil {
		return fail("42704", "publication \"%s\" does not exist", s.Pubname)
	}
	e.headed = true
	if len(s.Options) > 0 {
		return c.publicationOptions(p, s.Options)
	}
	tables, err := c.publicationTables(e, s.Pubobjects)
	if p.All && err == nil {
		out := fail("55000", "publication \"%s\" is defined as FOR ALL TABLES", p.Name)
		out.Detail = "Tables cannot be added to or dropped from FOR ALL TABLES publications."
		return out
	}
	if err != nil {
		return err
	}
	switch s.Action {
	case pg.AlterPublicationAction_AP_AddObjects:
		for _, r := range tables {
			if p.has(r.OID) {
				return fail("42710", "relation \"%s\" is already member of publication \"%s\"", r.Name, p.Name)
			}
		}
		return c.publishes(e, p, tables)
	case pg.AlterPublicationAction_AP_DropObjects:
		for _, r := range tables {
			if !p.has(r.OID) {
				return fail("42704", "relation \"%s\" is not part of the publication", r.Name)
			}
			p.drop(r.OID)
		}
		return nil
	case pg.AlterPublicationAction_AP_SetObjects:
		p.Tables = slices.DeleteFunc(p.Tables, func(m publicationEntry) bool {
			return !slices.ContainsFunc(tables, func(r *relation) bool { return r.OID == m.Table })
		})
		return c.publishes(e, p, slices.DeleteFunc(tables, func(r *relation) bool { return p.has(r.OID) }))
	}
	return c.refuse(-1, "ALTER PUBLICATION of this")
}

func (p *publication) drop(table uint32) {
	p.Tables = slices.DeleteFunc(p.Tables, func(m publicationEntry) bool { return m.Table == table })
}

func (c *compiler) dropPublication(e *edit, s *pg.DropStmt) error {
	for _, n := range s.Objects {
		name := n.GetString_().GetSval()
		if e.publication(name) == nil {
			if s.MissingOk {
				continue
			}
			return fail("42704", "publication \"%s\" does not exist", name)
		}
		e.head.Publications = slices.DeleteFunc(e.head.Publications, func(p publication) bool { return p.Name == name })
		e.headed = true
	}
	return nil
}

func (c *compiler) renamePublication(e *edit, from, to string) error {
	p := e.publication(from)
	switch {
	case p == nil:
		return fail("42704", "publication \"%s\" does not exist", from)
	case e.publication(to) != nil:
		return fail("42710", "publication \"%s\" already exists", to)
	}
	p.Name, e.headed = to, true
	return nil
}

func (e *edit) commentPublication(name, text string) error {
	p := e.publication(name)
	if p == nil {
		return fail("42704", "publication \"%s\" does not exist", name)
	}
	p.Comment, e.headed = text, true
	return nil
}

// identified sees to it that who follows a table's changes can tell which row they are of: a published table whose rows are changed has
// a primary key. A change that foreign keys carry on is refused where PostgreSQL would find out when it meets a row.
func (c *compiler) identified(r *relation, kind string, columns []int) {
	lacks := func(r *relation, kind string) bool {
		return r.primary() == nil && len(c.cat.publishing(r.OID, kind)) > 0
	}
	if what := map[string]string{"u": "update", "d": "delete from"}[kind]; lacks(r, kind) {
		does := map[string]string{"u": "updates", "d": "deletes"}[kind]
		e := fail("55000", "cannot %s table \"%s\" because it does not have a replica identity and publishes %s", what, r.Name, does)
		e.Hint = "To enable " + map[string]string{"u": "updating", "d": "deleting from"}[kind] + " the table, set REPLICA IDENTITY using ALTER TABLE."
		c.unidentified = e
		return
	}
	if len(c.cat.head.Publications) == 0 {
		return
	}
	type change struct {
		table uint32
		kind  string
	}
	seen := map[change]bool{}
	var carry func(r *relation, kind string, columns []int)
	carry = func(r *relation, kind string, columns []int) {
		for _, t := range c.cat.all() {
			for _, k := range t.Constraints {
				if k.References != r.OID || kind == "u" && !slices.ContainsFunc(k.ReferencedColumns, func(n int) bool { return slices.Contains(columns, n) }) {
					continue
				}
				action := k.OnUpdate
				if kind == "d" {
					action = k.OnDelete
				}
				next := change{t.OID, "u"}
				switch {
				case action != "c" && action != "n":
					continue
				case action == "c" && kind == "d":
					next.kind = "d"
				}
				if lacks(t, next.kind) {
					c.unidentified = c.refuse(-1, "changing rows of \"%s\", which is published and has no primary key, by a foreign key", t.Name)
				}
				if !seen[next] {
					seen[next] = true
					carry(t, next.kind, k.Columns)
				}
			}
		}
	}
	carry(r, kind, columns)
}

// ---- What pg_catalog tells of them

func publications(c *compiler) (rows [][]any) {
	for _, p := range c.cat.head.Publications {
		row := []any{int64(p.OID), p.Name, typeOwner, boolean(p.All)}
		for _, kind := range []string{"i", "u", "d", "t"} {
			row = append(row, boolean(strings.Contains(p.Publish, kind)))
		}
		rows = append(rows, append(row, boolean(p.ViaRoot)))
	}
	return rows
}

func publicationRels(c *compiler) (rows [][]any) {
	for _, p := range c.cat.head.Publications {
		for _, m := range p.Tables {
			rows = append(rows, []any{int64(m.OID), int64(p.OID), int64(m.Table)})
		}
	}
	return rows
}

func publishedTables(c *compiler) (rows [][]any) {
	for i := range c.cat.head.Publications {
		p := &c.cat.head.Publications[i]
		for _, r := range c.cat.all() {
			if r.Kind != "r" || !p.All && !p.has(r.OID) {
				continue
			}
			var list []any
			for _, col := range r.live() {
				list = append(list, col.Name)
			}
			names, err := postgres.MakeArray(postgres.Name, list)
			if err != nil {
				panic(err) // a list of names is one
			}
			rows = append(rows, []any{p.Name, r.Schema, r.Name, names})
		}
	}
	return rows
}

// publications are made last, so that what is loaded is no change.
func (d *dumping) publications() error {
	all := slices.Clone(d.cat.head.Publications)
	slices.SortFunc(all, func(a, b publication) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range all {
		of := ""
		if p.All {
			of = " FOR ALL TABLES"
		}
		var tables, kinds []string
		for _, r := range d.of("r") {
			if p.has(r.OID) {
				tables = append(tables, qualified(r))
			}
		}
		if len(tables) > 0 {
			of = " FOR TABLE " + strings.Join(tables, ", ")
		}
		for _, k := range []string{"insert", "update", "delete", "truncate"} {
			if strings.Contains(p.Publish, k[:1]) {
				kinds = append(kinds, k)
			}
		}
		with := ""
		if p.ViaRoot {
			with = ", publish_via_partition_root = true"
		}
		if err := d.say("CREATE PUBLICATION %s%s WITH (publish = '%s'%s)", quoteIdent(p.Name), of, strings.Join(kinds, ", "), with); err != nil {
			return err
		}
		if p.Comment != "" {
			if err := d.say("COMMENT ON PUBLICATION %s IS %s", quoteIdent(p.Name), quoteText(p.Comment)); err != nil {
				return err
			}
		}
	}
	return nil
}
