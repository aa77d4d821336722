package databases

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/stratosmesh/stratos/client/document"
	"github.com/stratosmesh/stratos/mesh"
)

// documentsPath is followed by a collection and what is asked of it.
const documentsPath = "documents/"

// documents are what a collection is asked: JSON objects both ways.
var documents = map[string]func(r *request, c *document.Collection) (any, error){
	"insert": func(r *request, c *document.Collection) (any, error) {
		var m struct {
			Documents []json.RawMessage `json:"documents"`
		}
		if err := strictly(r.body, &m); err != nil {
			return nil, err
		}
		ids, err := c.Insert(r, m.Documents...)
		return map[string]any{"ids": ids}, err
	},
	"find": func(r *request, c *document.Collection) (any, error) {
		var m struct {
			Filter json.RawMessage  `json:"filter"`
			Sort   []document.Order `json:"sort"`
			Fields []string         `json:"fields"`
			Skip   int              `json:"skip"`
			Limit  int              `json:"limit"`
		}
		if err := strictly(r.body, &m); err != nil {
			return nil, err
		}
		docs, err := c.Find(r, document.Query{Filter: m.Filter, Sort: m.Sort, Fields: m.Fields, Skip: m.Skip, Limit: m.Limit, Level: r.level})
		return map[string]any{"documents": append([]json.RawMessage{}, docs...)}, err
	},
	"count": func(r *request, c *document.Collection) (any, error) {
		var m struct {
			Filter json.RawMessage `json:"filter"`
		}
		if err := strictly(r.body, &m); err != nil {
			return nil, err
		}
		n, err := c.Count(r, r.level, m.Filter)
		return map[string]any{"count": n}, err
	},
	"update": func(r *request, c *document.Collection) (any, error) {
		var m struct {
			Filter json.RawMessage `json:"filter"`
			Change json.RawMessage `json:"change"`
			Many   bool            `json:"many"`
			Upsert bool            `json:"upsert"`
		}
		if err := strictly(r.body, &m); err != nil {
			return nil, err
		}
		return c.Update(r, document.Update{Filter: m.Filter, Change: m.Change, Many: m.Many, Upsert: m.Upsert})
	},
	"delete": func(r *request, c *document.Collection) (any, error) {
		var m struct {
			Filter json.RawMessage `json:"filter"`
			Many   bool            `json:"many"`
		}
		if err := strictly(r.body, &m); err != nil {
			return nil, err
		}
		n, err := c.Delete(r, m.Filter, m.Many)
		return map[string]any{"deleted": n}, err
	},
	"index": func(r *request, c *document.Collection) (any, error) {
		var i document.Index
		if err := strictly(r.body, &i); err != nil {
			return nil, err
		}
		return map[string]any{}, c.CreateIndex(r, i)
	},
	"unindex": func(r *request, c *document.Collection) (any, error) {
		var i document.Index
		if err := strictly(r.body, &i); err != nil {
			return nil, err
		}
		return map[string]any{}, c.DropIndex(r, i)
	},
	"drop": func(r *request, c *document.Collection) (any, error) { return map[string]any{}, c.Drop(r) },
}

// strictly reads a request, in which nothing is unknown.
func strictly(body []byte, m any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(m)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = mesh.Errorf(mesh.Invalid, "something follows it")
		}
	}
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ) && typ.Field == "":
		return mesh.Errorf(mesh.Invalid, "the request is a JSON %s, and must be an object", typ.Value)
	case errors.As(err, &typ):
		return mesh.Errorf(mesh.Invalid, "the request's field %q is a JSON %s, and must be %s", typ.Field, typ.Value, kinds[typ.Type.Kind()])
	case err != nil:
		return mesh.Errorf(mesh.Invalid, "the request: %w", err)
	}
	return nil
}

// kinds of JSON's values, by what reads them.
var kinds = map[reflect.Kind]string{reflect.Slice: "a list", reflect.String: "a text", reflect.Int: "a whole number", reflect.Bool: "true or false", reflect.Struct: "an object"}

// document answers what a collection is asked.
func (s *Server) document(r *request, w http.ResponseWriter) error {
	name, what, _ := strings.Cut(strings.TrimPrefix(r.endpoint, documentsPath), "/")
	ask, ok := documents[what]
	if !ok {
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "%.40q is nothing that a collection is asked", what), "ask insert, find, count, update, delete, index, unindex or drop")
	}
	db, err := s.opened.use(r, r.key, r.name)
	if err != nil {
		return err
	}
	c, err := document.Of(db.db, name)
	var answer any
	if err == nil {
		answer, err = ask(r, c)
	}
	s.opened.done(db, err)
	if err != nil {
		return mesh.WithHint(mesh.Errorf(mesh.KindOf(err), "%v", err), "%s", mesh.HintOf(err)) // no error of SQLite's
	}
	w.Header().Set("Content-Type", "application/json")
	return send(w, answer)
}
