// Package document keeps JSON documents in a database of dialect postgres, and finds and changes them by their fields.
//
// A collection is a table (_id text PRIMARY KEY, doc jsonb), so that SQL sees the same documents. Filters and changes become SQL: what
// replicas run, and all or nothing of it.
package document

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// Bounds of what one call asks.
const (
	MaxInsert = 10_000 // documents
	MaxFind   = 10_000 // documents
	maxNested = 32     // levels of a filter, and keys of a path
	maxTerms  = 1000   // conditions of a filter, and changes of an update
)

// A Collection is a table of documents. It may be used by many goroutines.
type Collection struct {
	db   *database.DB
	name string
}

var collectionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Of returns the collection of a name, which the first insertion makes.
func Of(db *database.DB, name string) (*Collection, error) {
	if db.Dialect() != wiredatabase.Postgres {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "database %q is of dialect %s, and documents are kept in one of dialect %s", db.Name(), db.Dialect(), wiredatabase.Postgres),
			"make one: stratos db create NAME")
	}
	if !collectionName.MatchString(name) {
		return nil, mesh.Errorf(mesh.Invalid, "a collection's name has letters, digits and _, at most 63, and %.80q has not", name)
	}
	return &Collection{db, name}, nil
}

func (c *Collection) table() string { return `"` + c.name + `"` }

// idField names a document, as a text.
const idField = "_id"

// newID draws an id, which is greater than those that were drawn before.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", mesh.Errorf(mesh.Internal, "drawing an id: %w", err)
	}
	return id.String(), nil
}

// object checks a document, and returns it with its id; one without gets the id given, or a new one.
func object(doc json.RawMessage, id string) (_ json.RawMessage, _ string, err error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(doc, &m); err != nil || m == nil {
		return nil, "", mesh.Errorf(mesh.Invalid, "%.60s is no JSON object", doc)
	}
	if raw, ok := m[idField]; ok {
		own := ""
		if err := json.Unmarshal(raw, &own); err != nil || own == "" || len(own) > 255 || raw[0] != '"' {
			return nil, "", mesh.Errorf(mesh.Invalid, "a document's %s is a text of 1 to 255 bytes, and %.60s is none", idField, raw)
		}
		return doc, own, nil
	}
	if id == "" {
		if id, err = newID(); err != nil {
			return nil, "", err
		}
	}
	m[idField], _ = json.Marshal(id) // a text
	if doc, err = json.Marshal(m); err != nil {
		return nil, "", mesh.Errorf(mesh.Invalid, "a document: %w", err)
	}
	return doc, id, nil
}

// run runs statements as one program. A collection that there is not is made when make says so; else none is there.
func (c *Collection) run(ctx context.Context, create bool, all ...database.Statement) (*database.Outcome, error) {
	o, err := c.db.Do(ctx, database.Default, database.Program{Statements: all})
	var failed *database.Error
	if !errors.As(err, &failed) || failed.Code != "42P01" || !create {
		return o, err
	}
	table := database.SQL("CREATE TABLE IF NOT EXISTS " + c.table() + " (" + idField + " text PRIMARY KEY, doc jsonb NOT NULL CHECK (doc ->> '" + idField + "' = " + idField + "))")
	if o, err = c.db.Exec(ctx, database.Program{Statements: append([]database.Statement{table}, all...)}); err == nil {
		o.Results = o.Results[1:]
	}
	return o, err
}

// missing tells whether there is no such collection.
func missing(err error) bool {
	var failed *database.Error
	return errors.As(err, &failed) && failed.Code == "42P01"
}

// insertRows is how many rows a statement inserts.
const insertRows = 500

// Insert adds documents, all or none, and returns their ids: their own, or new ones. An id that is there already is an error of kind
// Conflict.
func (c *Collection) Insert(ctx context.Context, docs ...json.RawMessage) (ids []string, err error) {
	if len(docs) == 0 || len(docs) > MaxInsert {
		return nil, mesh.Errorf(mesh.Invalid, "%d documents to insert, want 1 to %d", len(docs), MaxInsert)
	}
	var all []database.Statement
	for part := range slices.Chunk(docs, insertRows) {
		s := database.SQL("INSERT INTO " + c.table() + " (" + idField + ", doc) VALUES ")
		for i, d := range part {
			doc, id, err := object(d, "")
			if err != nil {
				return nil, fmt.Errorf("document %d: %w", len(ids)+1, err)
			}
			if i > 0 {
				s.SQL += ", "
			}
			s.SQL += fmt.Sprintf("($%d, $%d)", 2*i+1, 2*i+2)
			s.Parameters = append(s.Parameters, id, string(doc))
			ids = append(ids, id)
		}
		all = append(all, s)
	}
	_, err = c.run(ctx, true, all...)
	return ids, err
}

// A Query says which documents are found, and how.
type Query struct {
	Filter json.RawMessage // see the package's Filter; none: all
	Sort   []Order         // by what comes first; ids decide at last
	Fields []string        // of the first level, besides the id; none: all
	Skip   int
	Limit  int // at most and by default MaxFind
	Level  database.Level
}

// An Order is by a field, or by how well a search finds what is in it: the best first.
type Order struct {
	Path       string          `json:"path"`
	Descending bool            `json:"descending"`
	Rank       json.RawMessage `json:"rank,omitempty"` // a Search; Descending does not matter then
}

// Find returns documents. A collection that there is not has none.
func (c *Collection) Find(ctx context.Context, q Query) ([]json.RawMessage, error) {
	b := new(builder)
	where, err := b.filter(q.Filter)
	if err != nil {
		return nil, err
	}
	if q.Limit == 0 {
		q.Limit = MaxFind
	}
	if q.Limit < 1 || q.Limit > MaxFind || q.Skip < 0 {
		return nil, mesh.Errorf(mesh.Invalid, "%d documents behind %d, want 1 to %d", q.Limit, q.Skip, MaxFind)
	}
	sql := "SELECT " + b.fields(q.Fields) + " FROM " + c.table() + " WHERE " + where + " ORDER BY "
	for _, o := range q.Sort {
		f, err := field(o.Path)
		if err != nil {
			return nil, err
		}
		switch {
		case len(o.Rank) > 0:
			words, query, err := b.search(f, o.Path, o.Rank)
			if err != nil {
				return nil, err
			}
			sql += "ts_rank(" + words + ", " + query + ") DESC NULLS LAST"
		case o.Descending:
			sql += f + " DESC NULLS LAST"
		default:
			sql += f + " NULLS FIRST"
		}
		sql += ", "
	}
	sql += fmt.Sprintf("%s LIMIT %d OFFSET %d", idField, q.Limit, q.Skip)
	o, err := c.db.Do(ctx, q.Level, database.Program{Statements: []database.Statement{database.SQL(sql, b.parameters...)}})
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	docs := make([]json.RawMessage, 0, len(o.Results[0].Rows))
	for _, row := range o.Results[0].Rows {
		s, _ := row[0].(string)
		docs = append(docs, json.RawMessage(s))
	}
	return docs, nil
}

// fields is what is selected.
func (b *builder) fields(names []string) string {
	if len(names) == 0 {
		return "doc"
	}
	in := []string{b.text(idField)}
	for _, n := range names {
		in = append(in, b.text(n))
	}
	return "(SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(doc) AS e WHERE e.key IN (" + strings.Join(in, ", ") + "))"
}

// Count returns how many documents a filter matches.
func (c *Collection) Count(ctx context.Context, l database.Level, filter json.RawMessage) (int64, error) {
	b := new(builder)
	where, err := b.filter(filter)
	if err != nil {
		return 0, err
	}
	o, err := c.db.Do(ctx, l, database.Program{Statements: []database.Statement{database.SQL("SELECT count(*) FROM "+c.table()+" WHERE "+where, b.parameters...)}})
	if missing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, _ := o.Results[0].Rows[0][0].(int64)
	return n, nil
}

// Delete deletes the documents that a filter matches, or the one of them whose id is least, and returns how many.
func (c *Collection) Delete(ctx context.Context, filter json.RawMessage, many bool) (uint64, error) {
	b := new(builder)
	where, err := b.where(c, filter, many)
	if err != nil {
		return 0, err
	}
	o, err := c.run(ctx, false, database.SQL("DELETE FROM "+c.table()+" WHERE "+where, b.parameters...))
	if missing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return o.Results[0].Changed, nil
}

// where is a filter for what changes documents: all that match, or the first.
func (b *builder) where(c *Collection, filter json.RawMessage, many bool) (string, error) {
	where, err := b.filter(filter)
	if err != nil || many {
		return where, err
	}
	return idField + " = (SELECT " + idField + " FROM " + c.table() + " WHERE " + where + " ORDER BY " + idField + " LIMIT 1)", nil
}

// An Index makes filters and orders by a field fast.
type Index struct {
	Path   string `json:"path"`
	Unique bool   `json:"unique"`         // no two documents have the same value there; null is one; those without the field do not matter
	Text   string `json:"text,omitempty"` // it is for $text in this language, and for nothing else
}

// indexName follows from what an index is.
func (c *Collection) indexName(i Index) string {
	kind := "by"
	switch {
	case i.Unique:
		kind = "unique"
	case i.Text != "":
		kind = i.Text
	}
	return c.name + "_" + kind + "_" + hex.EncodeToString([]byte(i.Path))
}

// CreateIndex makes an index, unless it is there.
func (c *Collection) CreateIndex(ctx context.Context, i Index) error {
	f, err := i.field()
	if err != nil {
		return err
	}
	name := c.indexName(i)
	if len(name) > 63 {
		return mesh.Errorf(mesh.Invalid, "the names of the collection and of the field %q are too long together for an index", i.Path)
	}
	unique := ""
	if i.Unique {
		unique = "UNIQUE "
	}
	using := ""
	if i.Text != "" {
		using = " USING gin"
	}
	_, err = c.run(ctx, true, database.SQL("CREATE "+unique+"INDEX IF NOT EXISTS \""+name+"\" ON "+c.table()+using+" (("+f+"))"))
	return err
}

// field is what the index is by.
func (i Index) field() (string, error) {
	f, err := field(i.Path)
	if err != nil || i.Text == "" {
		return f, err
	}
	if i.Unique {
		return "", mesh.Errorf(mesh.Invalid, "an index of a text is not unique")
	}
	name, err := language(i.Text)
	return vector(f, name), err
}

// DropIndex removes an index; NotFound where there is none.
func (c *Collection) DropIndex(ctx context.Context, i Index) error {
	if _, err := i.field(); err != nil {
		return err
	}
	_, err := c.run(ctx, false, database.SQL("DROP INDEX \""+c.indexName(i)+"\""))
	var failed *database.Error
	if errors.As(err, &failed) && failed.Code == "42704" {
		return mesh.Errorf(mesh.NotFound, "there is no such index by %q", i.Path)
	}
	return err
}

// Drop removes the collection and all that is in it.
func (c *Collection) Drop(ctx context.Context) error {
	_, err := c.run(ctx, false, database.SQL("DROP TABLE "+c.table()))
	return err
}

// keys reads an object in the order of its keys.
func keys(raw json.RawMessage, what string) (names []string, values []json.RawMessage, err error) {
	bad := func(err error) error { return mesh.Errorf(mesh.Invalid, "%s is no JSON object: %w", what, err) }
	d := json.NewDecoder(bytes.NewReader(raw))
	t, err := d.Token()
	if err != nil {
		return nil, nil, bad(err)
	}
	if t != json.Delim('{') {
		return nil, nil, bad(fmt.Errorf("it is %.60s", raw))
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, bad(err)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, nil, bad(err)
		}
		names, values = append(names, t.(string)), append(values, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, bad(err)
	}
	return names, values, nil
}
