package postgres

import (
	"encoding/json"
	"errors"
	"slices"
	"sort"
	"strconv"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

type oid = postgres.OID

// A catalog is what PostgreSQL knows of a database and SQLite does not. It lies in tables of the same file:
//
//	pg_object(oid, body): a relation each, as JSON; oid 0 is the catalog itself
//	pg_sequence(oid, last, called): how far a sequence is
//	pg_change, pg_notification, pg_feed, pg_feed_block: see feed.go
//
// Tables of programs are named t and their OID, columns c and their number, indexes i and their OID, those of words s, so that neither upper and lower
// case nor new names matter, and so that no program can name those two. A catalog is not changed; DDL makes another.
type catalog struct {
	head      head
	relations map[string]*relation // by schema, a zero, name; indexes too
	byOID     map[uint32]*relation
	body      string // the head as it was read
	made      bool   // the tables are there
}

type head struct {
	Version      int64
	Next         uint32 // OID
	Schemas      []namespace
	Roles        []role        `json:",omitempty"`
	Publications []publication `json:",omitempty"`
	Feeds        bool          `json:",omitempty"` // there are tables of changes and notifications, see feed.go
}

type namespace struct {
	OID     uint32
	Name    string
	Comment string    `json:",omitempty"`
	Grants  []granted `json:",omitempty"`
}

const (
	publicSchema      = "public"
	catalogSchema     = "pg_catalog"
	informationSchema = "information_schema"
	firstOID          = 16384 // as PostgreSQL's first of a program
	publicOID         = 2200
)

// A relation is a table (r), view (v), sequence (S) or index (i).
type relation struct {
	OID         uint32
	Schema      string
	Name        string
	Kind        string
	Columns     []*column     `json:",omitempty"`
	Constraints []*constraint `json:",omitempty"`
	Query       string        `json:",omitempty"` // of a view
	Words       int           `json:",omitempty"` // that a view stands for
	Uses        []uint32      `json:",omitempty"` // relations that a view or a column's default needs
	Sequence    *sequence     `json:",omitempty"`
	Index       *index        `json:",omitempty"`
	Comment     string        `json:",omitempty"`
	Grants      []granted     `json:",omitempty"`
	RowSecurity bool          `json:",omitempty"`
	ForceRows   bool          `json:",omitempty"` // row security is for its owner too, who is postgres and bypasses it
	Policies    []*policy     `json:",omitempty"`
}

type column struct {
	Name     string
	Number   int
	Type     oid
	Typmod   int32
	Stored   int    // the number of SQLite's column
	NotNull  bool   `json:",omitempty"`
	Default  string `json:",omitempty"` // SQL
	Identity string `json:",omitempty"` // a always, d by default
	Sequence uint32 `json:",omitempty"` // of serial and identity
	Dropped  bool   `json:",omitempty"`
	Comment  string `json:",omitempty"`
}

type constraint struct {
	OID               uint32
	Name              string
	Kind              string // p, u, c, f
	Columns           []int  `json:",omitempty"`
	Index             uint32 `json:",omitempty"` // of p and u
	Check             string `json:",omitempty"`
	References        uint32 `json:",omitempty"`
	ReferencedColumns []int  `json:",omitempty"`
	OnDelete          string `json:",omitempty"` // as pg_constraint: a, r, c, n
	OnUpdate          string `json:",omitempty"`
	Deferrable        bool   `json:",omitempty"`
	Deferred          bool   `json:",omitempty"`
	Comment           string `json:",omitempty"`
}

type index struct {
	Table   uint32
	Unique  bool `json:",omitempty"`
	Primary bool `json:",omitempty"`
	Owned   bool `json:",omitempty"` // by a constraint
	Keys    []indexKey
	Where   string `json:",omitempty"`
	Method  string `json:",omitempty"` // gin; else btree
}

type indexKey struct {
	Column     int    `json:",omitempty"` // 0: an expression
	Expression string `json:",omitempty"`
	Descending bool   `json:",omitempty"`
	NullsFirst bool   `json:",omitempty"`
}

type sequence struct {
	Type                              oid
	Start, Increment, Min, Max, Cache int64
	Cycle                             bool   `json:",omitempty"`
	OwnerTable                        uint32 `json:",omitempty"`
	OwnerColumn                       int    `json:",omitempty"`
}

func emptyCatalog() *catalog {
	return &catalog{head: head{Next: firstOID, Schemas: []namespace{{OID: publicOID, Name: publicSchema, Comment: "standard public schema", Grants: []granted{{everyone, "U"}}}}}, relations: map[string]*relation{}, byOID: map[uint32]*relation{}}
}

func relationKey(schema, name string) string { return schema + "\x00" + name }

func corrupt(what string) error {
	return mesh.Errorf(mesh.Corrupt, "the database's catalog: %s", what)
}

func present(f engine.File) (bool, error) {
	rows, err := f.Query("SELECT count(*) FROM main.sqlite_schema WHERE type='table' AND name='pg_object'")
	if err != nil {
		return false, err
	}
	return rows[0][0] != int64(0), nil
}

func readHead(f engine.File) (body string, err error) {
	rows, err := f.Query("SELECT body FROM main.pg_object WHERE oid=0")
	if err != nil {
		return "", err
	}
	if len(rows) != 1 {
		return "", corrupt("it has no beginning")
	}
	body, _ = rows[0][0].(string)
	return body, nil
}

// loadCatalog reads the catalog.
func loadCatalog(f engine.File) (*catalog, error) {
	c := emptyCatalog()
	made, err := present(f)
	if err != nil || !made {
		return c, err
	}
	c.made = true
	if c.body, err = readHead(f); err != nil {
		return nil, err
	}
	c.head = head{}
	if json.Unmarshal([]byte(c.body), &c.head) != nil {
		return nil, corrupt("its beginning cannot be read")
	}
	rows, err := f.Query("SELECT body FROM main.pg_object WHERE oid>0 ORDER BY oid")
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		r := new(relation)
		body, _ := row[0].(string)
		if json.Unmarshal([]byte(body), r) != nil {
			return nil, corrupt("a relation that cannot be read")
		}
		c.put(r)
	}
	return c, nil
}

func (c *catalog) put(r *relation) {
	c.relations[relationKey(r.Schema, r.Name)] = r
	c.byOID[r.OID] = r
}

func (c *catalog) remove(r *relation) {
	delete(c.relations, relationKey(r.Schema, r.Name))
	delete(c.byOID, r.OID)
}

func (c *catalog) schema(name string) *namespace {
	i := slices.IndexFunc(c.head.Schemas, func(n namespace) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return &c.head.Schemas[i]
}

// all are the relations in the order in which they were made.
func (c *catalog) all() []*relation {
	list := make([]*relation, 0, len(c.byOID))
	for _, r := range c.byOID {
		list = append(list, r)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].OID < list[j].OID })
	return list
}

// find looks for a relation; without a schema in public.
func (c *catalog) find(schema, name string) *relation {
	if schema == "" {
		schema = publicSchema
	}
	return c.relations[relationKey(schema, name)]
}

// indexes of a table, in the order in which they were made.
func (c *catalog) indexes(table uint32) (list []*relation) {
	for _, r := range c.all() {
		if r.Index != nil && r.Index.Table == table {
			list = append(list, r)
		}
	}
	return list
}

func (r *relation) table() string        { return "t" + strconv.FormatUint(uint64(r.OID), 10) }
func (r *relation) index() string        { return "i" + strconv.FormatUint(uint64(r.OID), 10) }
func (c *column) stored() string         { return "c" + strconv.Itoa(c.Stored) }
func (r *relation) column(n int) *column { return r.Columns[n-1] }

func (r *relation) columnNamed(name string) *column {
	for _, c := range r.Columns {
		if c.Name == name && !c.Dropped {
			return c
		}
	}
	return nil
}

func (r *relation) live() (list []*column) {
	for _, c := range r.Columns {
		if !c.Dropped {
			list = append(list, c)
		}
	}
	return list
}

func (r *relation) constraint(name string) *constraint {
	for _, c := range r.Constraints {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (r *relation) primary() *constraint {
	for _, c := range r.Constraints {
		if c.Kind == "p" {
			return c
		}
	}
	return nil
}

// An edit makes another catalog of one.
type edit struct {
	*catalog
	changed map[uint32]bool
	gone    map[uint32]bool
	headed  bool // its head changed
	steps   []engine.Step
}

func (c *catalog) edit() *edit {
	n := &catalog{head: c.head, relations: map[string]*relation{}, byOID: map[uint32]*relation{}, made: c.made}
	n.head.Schemas, n.head.Roles = slices.Clone(c.head.Schemas), slices.Clone(c.head.Roles)
	n.head.Publications = slices.Clone(c.head.Publications)
	for i := range n.head.Publications {
		n.head.Publications[i].Tables = slices.Clone(n.head.Publications[i].Tables)
	}
	for _, r := range c.byOID {
		n.put(r)
	}
	e := &edit{catalog: n, changed: map[uint32]bool{}, gone: map[uint32]bool{}}
	if !c.made {
		e.do("CREATE TABLE pg_object(oid INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT")
		e.do("CREATE TABLE pg_sequence(oid INTEGER PRIMARY KEY, last INTEGER NOT NULL, called INTEGER NOT NULL) STRICT")
		n.made = true
	}
	return e
}

func (e *edit) do(sql string, args ...any) {
	e.steps = append(e.steps, engine.Step{SQL: sql, Args: args})
}

func (e *edit) oid() uint32 {
	e.head.Next++
	return e.head.Next - 1
}

// change returns a copy of a relation, which is the edit's.
func (e *edit) change(r *relation) *relation {
	if e.changed[r.OID] {
		return e.byOID[r.OID]
	}
	b, err := json.Marshal(r)
	n := new(relation)
	if err = errors.Join(err, json.Unmarshal(b, n)); err != nil {
		panic(err) // a relation is plain data
	}
	e.put(n)
	e.changed[r.OID] = true
	return n
}

// add puts a relation in; its OID is new.
func (e *edit) add(r *relation) {
	e.put(r)
	e.changed[r.OID] = true
}

func (e *edit) drop(r *relation) {
	e.remove(e.byOID[r.OID])
	delete(e.changed, r.OID)
	e.gone[r.OID] = true
}

// rename moves a relation to another name.
func (e *edit) rename(r *relation, name string) {
	r = e.change(r)
	delete(e.relations, relationKey(r.Schema, r.Name))
	r.Name = name
	e.put(r)
}

// finish returns all steps, the last of which write the catalog.
func (e *edit) finish() []engine.Step {
	var oids []uint32
	for o := range e.gone {
		oids = append(oids, o)
	}
	for o := range e.changed {
		oids = append(oids, o)
	}
	slices.Sort(oids)
	for _, o := range oids {
		if e.gone[o] {
			e.do("DELETE FROM pg_object WHERE oid=?", int64(o))
			continue
		}
		b, err := json.Marshal(e.byOID[o])
		if err != nil {
			panic(err)
		}
		e.do("INSERT OR REPLACE INTO pg_object VALUES(?,?)", int64(o), string(b))
	}
	e.head.Version++
	b, err := json.Marshal(e.head)
	if err != nil {
		panic(err)
	}
	e.do("INSERT OR REPLACE INTO pg_object VALUES(0,?)", string(b))
	return e.steps
}
