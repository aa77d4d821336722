package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// A session is one attempt at a request. What it writes happens when it is committed: SQL is a transaction, and objects are written before
// that, deleted after it.
type session struct {
	app     *App
	client  *client.Client
	writes  bool
	answers bool // the output is an answer

	db      *database.DB
	leave   func()
	tx      *database.Tx
	objects map[string]*object // that were written, by key; nil: deleted
	bytes   int                // of them
	answer  *response          // what it gave, once it is committed
}

type object struct {
	content []byte
	kind    string
}

// maxWritten bounds the objects that a request writes, in bytes.
const maxWritten = 16 << 20

// An ask is what a function asks: one of these.
type ask struct {
	SQL    *string `json:"sql"`
	Params []any   `json:"params"`
	Get    *string `json:"get"`
	Offset uint64  `json:"offset"`
	Put    *string `json:"put"`
	Text   *string `json:"text"`
	Base64 *[]byte `json:"base64"`
	Type   string  `json:"type"`
	Delete *string `json:"delete"`
	List   *string `json:"list"`
	After  string  `json:"after"`
}

// A told is what a function is answered.
type told struct {
	Columns []string  `json:"columns,omitempty"`
	Rows    *[][]any  `json:"rows,omitempty"`
	Changed *uint64   `json:"changed,omitempty"`
	Text    *string   `json:"text,omitempty"`
	Base64  *[]byte   `json:"base64,omitempty"`
	Type    string    `json:"type,omitempty"`
	Size    *uint64   `json:"size,omitempty"`
	Keys    *[]string `json:"keys,omitempty"`
	More    bool      `json:"more,omitempty"`
	Error   *fault    `json:"error,omitempty"`
}

// A fault is why something was not done.
type fault struct {
	Code    string `json:"code"` // SQLSTATE, or a kind of the mesh's
	Message string `json:"message"`
}

// Answer answers what the function asks. What is the function's fault it is told; an error is of the mesh.
func (s *session) Answer(ctx context.Context, request []byte) ([]byte, error) {
	t, err := s.told(ctx, request)
	if err != nil {
		wrong := new(database.Error)
		switch kind := mesh.KindOf(err); {
		case errors.As(err, &wrong):
			t = &told{Error: &fault{wrong.Code, wrong.Error()}}
		case kind == mesh.Invalid, kind == mesh.Denied, kind == mesh.NotFound, kind == mesh.Exhausted && errors.Is(err, errTooMuch):
			t = &told{Error: &fault{kind.String(), err.Error()}}
		default:
			return nil, err
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(t); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "encoding an answer: %w", err)
	}
	if b.Len() > compute.MaxCallAnswer {
		return json.Marshal(told{Error: &fault{mesh.Exhausted.String(), errTooMuch.Error()}})
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

var errTooMuch = mesh.Errorf(mesh.Exhausted, "that is more than %d bytes: ask for less, with LIMIT or offset", compute.MaxCallAnswer)

func (s *session) told(ctx context.Context, request []byte) (*told, error) {
	q := new(ask)
	d := json.NewDecoder(bytes.NewReader(request))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "a request is a line of JSON with sql, get, put, delete or list: %w", err)
	}
	switch {
	case q.SQL != nil:
		return s.sql(ctx, *q.SQL, q.Params)
	case q.Get != nil:
		return s.get(ctx, *q.Get, q.Offset)
	case q.List != nil:
		return s.list(ctx, *q.List, q.After)
	case q.Put == nil && q.Delete == nil:
		return nil, mesh.Errorf(mesh.Invalid, "a request has sql, get, put, delete or list")
	case !s.writes:
		return nil, mesh.Errorf(mesh.Denied, "this route only reads")
	case q.Delete != nil:
		return s.put(*q.Delete, nil)
	}
	o := &object{kind: q.Type}
	switch {
	case q.Text != nil:
		o.content = []byte(*q.Text)
	case q.Base64 != nil:
		o.content = *q.Base64
	default:
		return nil, mesh.Errorf(mesh.Invalid, "put wants text or base64")
	}
	return s.put(*q.Put, o)
}

// sql runs a statement: where the route may write in the request's transaction, else by itself.
func (s *session) sql(ctx context.Context, text string, params []any) (*told, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	for i, p := range params {
		v, err := parameter(p)
		if err != nil {
			return nil, err
		}
		params[i] = v
	}
	st := database.SQL(text, params...)
	var r *database.Result
	if s.writes {
		var err error
		if s.tx == nil {
			s.tx = s.db.Begin()
		}
		if r, err = s.tx.Exec(ctx, database.Default, st); err != nil {
			return nil, err
		}
	} else {
		o, err := s.db.Query(ctx, database.Default, st)
		if err != nil {
			return nil, err
		}
		r = &o.Results[0]
	}
	t := &told{Changed: &r.Changed, Rows: &r.Rows}
	if r.Rows == nil {
		t.Rows = &[][]any{}
	}
	for _, c := range r.Columns {
		t.Columns = append(t.Columns, c.Name)
	}
	for _, row := range *t.Rows {
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				row[i] = map[string]string{"base64": base64.StdEncoding.EncodeToString(b)}
			}
		}
	}
	return t, nil
}

// parameter makes a parameter of what JSON has.
func parameter(p any) (any, error) {
	switch v := p.(type) {
	case nil, bool, string:
		return v, nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		if text, ok := v["base64"].(string); ok && len(v) == 1 {
			if b, err := base64.StdEncoding.DecodeString(text); err == nil {
				return b, nil
			}
		}
	}
	return nil, mesh.Errorf(mesh.Invalid, `a parameter is null, a boolean, a number, a text or {"base64": "..."}; JSON goes as text`)
}

func (s *session) open(ctx context.Context) (err error) {
	if s.db != nil {
		return nil
	}
	d := s.app.Manifest.Database
	if d == nil {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the application has no database"), "name one in stratos.toml")
	}
	s.db, s.leave, err = s.app.apps.keys.Database(ctx, d.AccessKey, d.Name)
	return err
}

func (s *session) close() {
	if s.leave != nil {
		s.leave()
		s.leave = nil
	}
}

func (s *session) get(ctx context.Context, key string, offset uint64) (*told, error) {
	if err := app.CheckPlace(key); err != nil {
		return nil, err
	}
	o, written := s.objects[key]
	var b []byte
	kind, size := "", uint64(0)
	switch {
	case written && o == nil:
		return nil, mesh.Errorf(mesh.NotFound, "there is no object %q", key)
	case written:
		size, kind = uint64(len(o.content)), o.kind
		b = o.content[min(offset, size):]
	default:
		content, found, err := s.client.ReadAll(ctx, mesh.Path{Bucket: s.app.Bucket, Key: key}, offset, compute.MaxCallAnswer*3/4-1024)
		if mesh.KindOf(err) == mesh.Exhausted && err != nil {
			return nil, errTooMuch
		}
		if err != nil {
			return nil, err
		}
		b, kind, size = content, found.ContentType, found.Size
	}
	t := &told{Type: kind, Size: &size}
	if text := string(b); utf8.ValidString(text) {
		t.Text = &text
	} else {
		t.Base64 = &b
	}
	return t, nil
}

// put has an object written, or deleted where it is nil, with the commit.
func (s *session) put(key string, o *object) (*told, error) {
	if err := app.CheckPlace(key); err != nil {
		return nil, err
	}
	if s.objects == nil {
		s.objects = map[string]*object{}
	}
	if old := s.objects[key]; old != nil {
		s.bytes -= len(old.content)
	}
	if o != nil {
		if s.bytes += len(o.content); s.bytes > maxWritten || len(s.objects) > 100 {
			return nil, mesh.Errorf(mesh.Invalid, "a request writes at most 100 objects, of %d bytes together", maxWritten)
		}
	}
	s.objects[key] = o
	return &told{}, nil
}

// list lists names that begin with a prefix, without those that this request has written.
func (s *session) list(ctx context.Context, prefix, after string) (*told, error) {
	page, err := s.client.ListPage(ctx, client.ListQuery{Bucket: s.app.Bucket, Prefix: prefix, After: after, Limit: 1000})
	if err != nil {
		return nil, err
	}
	keys := []string{}
	for _, n := range page.Names {
		if !strings.HasPrefix(n.Key, app.Folder) {
			keys = append(keys, n.Key)
		}
	}
	return &told{Keys: &keys, More: page.Next != nil}, nil
}

// Commit applies what the request did, if it gave an answer.
func (s *session) Commit(ctx context.Context, output []byte) (err error) {
	if s.answers {
		if s.answer, err = parse(output); err != nil {
			return err
		}
	}
	keys := slices.Sorted(maps.Keys(s.objects))
	for _, key := range keys {
		if o := s.objects[key]; o != nil {
			if _, err := s.client.Put(ctx, mesh.Path{Bucket: s.app.Bucket, Key: key}, bytes.NewReader(o.content), client.PutOptions{ContentType: o.kind}); err != nil {
				return err
			}
		}
	}
	if s.tx != nil {
		err := s.tx.Commit(ctx)
		if wrong := new(database.Error); errors.As(err, &wrong) && wrong.Code == "40001" {
			return mesh.Errorf(mesh.Conflict, "somebody else has written meanwhile: %w", err)
		}
		if err != nil {
			return err
		}
	}
	for _, key := range keys {
		if s.objects[key] == nil {
			if err := s.client.Delete(ctx, mesh.Path{Bucket: s.app.Bucket, Key: key}); err != nil && mesh.KindOf(err) != mesh.NotFound {
				return err
			}
		}
	}
	return nil
}
