package databases

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// Bounds of what one request asks.
const (
	maxRequests  = 256 // of a pipeline
	maxSteps     = 10_000
	maxCondition = 32  // levels of a condition
	maxTexts     = 256 // that a stream keeps
)

// A baton names a stream to its next request, and only to that.
type baton [24]byte

// streams are those that wait for their next request.
type streams struct {
	keep            time.Duration
	most, mostOfKey int

	mu    sync.Mutex
	all   map[baton]*stream
	ofKey map[string]int
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// take returns the stream of a baton, which is then nobody else's.
func (s *streams) take(text, key, name string) (*stream, error) {
	b, err := hex.DecodeString(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && len(b) == len(baton{}) {
		if st := s.all[baton(b)]; st != nil && st.key == key && st.name == name && time.Now().Before(st.until) {
			s.drop(baton(b), st)
			return st, nil
		}
	}
	return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the stream has expired, or never was; a transaction in it was not committed"), "begin anew")
}

// put keeps a stream for its next request.
func (s *streams) put(st *stream) (string, error) {
	var b baton
	rand.Read(b[:])
	st.until = time.Now().Add(s.keep)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= s.most || s.ofKey[st.key] >= s.mostOfKey {
		return "", mesh.WithHint(mesh.Errorf(mesh.Unavailable, "too many streams are open at this gateway, or of this access key"), "close those that are not needed")
	}
	s.all[b] = st
	s.ofKey[st.key]++
	return hex.EncodeToString(b[:]), nil
}

// drop forgets a stream. The lock is held.
func (s *streams) drop(b baton, st *stream) {
	delete(s.all, b)
	if s.ofKey[st.key]--; s.ofKey[st.key] == 0 {
		delete(s.ofKey, st.key)
	}
}

// sweep closes streams whose time is over; at the zero time all.
func (s *streams) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b, st := range s.all {
		if now.IsZero() || now.After(st.until) {
			s.drop(b, st)
			st.close(nil)
		}
	}
}

// stream returns the stream that a request goes on with, or a new one.
func (s *Server) stream(r *request, baton string) (*stream, error) {
	if baton != "" {
		st, err := s.streams.take(baton, r.key.Name, r.name)
		if err == nil {
			st.level = r.level
		}
		return st, err
	}
	db, err := s.opened.use(r, r.key, r.name)
	if err != nil {
		return nil, err
	}
	if db.db.Dialect() != wiredatabase.SQLite {
		s.opened.done(db, nil)
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "database %q is of dialect %s, which libSQL's clients do not speak", r.name, db.db.Dialect()),
			"use a driver for PostgreSQL, or make one with --dialect %s", wiredatabase.SQLite)
	}
	return &stream{db: db.db, key: r.key.Name, name: r.name, level: r.level, texts: map[int32]string{}, close: func(err error) { s.opened.done(db, err) }}, nil
}

func decode(body []byte, m any) error {
	if err := json.Unmarshal(body, m); err != nil {
		return mesh.Errorf(mesh.Invalid, "the request is no message of Hrana: %w", err)
	}
	return nil
}

// pipeline runs requests one after the other.
func (s *Server) pipeline(r *request, w http.ResponseWriter) error {
	var m pipelineRequest
	if err := decode(r.body, &m); err != nil {
		return err
	}
	if len(m.Requests) > maxRequests {
		return mesh.Errorf(mesh.Exhausted, "%d requests in a pipeline, at most %d", len(m.Requests), maxRequests)
	}
	st, err := s.stream(r, m.Baton)
	if err != nil {
		return err
	}
	st.room = s.opts.AnswerBytes
	a := pipelineAnswer{Results: []streamResult{}}
	closed := false
	var last error
	for _, q := range m.Requests {
		if q.Type == "close" {
			closed = true
			a.Results = append(a.Results, streamResult{Type: "ok", Response: &streamResponse{Type: "close"}})
			continue
		}
		answer, err := st.serve(r, &q)
		if closed {
			answer, err = nil, mesh.Errorf(mesh.Invalid, "the stream is closed")
		}
		if err != nil {
			last = err
			a.Results = append(a.Results, streamResult{Type: "error", Error: errorOf(err)})
			continue
		}
		answer.Type = q.Type
		a.Results = append(a.Results, streamResult{Type: "ok", Response: answer})
	}
	if closed {
		st.close(last)
	} else {
		b, err := s.streams.put(st)
		if err != nil {
			st.close(nil)
			return err
		}
		a.Baton = &b
	}
	w.Header().Set("Content-Type", "application/json")
	return send(w, a)
}

// cursor runs a batch, and answers a line for each thing that happened.
func (s *Server) cursor(r *request, w http.ResponseWriter) error {
	var m cursorRequest
	if err := decode(r.body, &m); err != nil {
		return err
	}
	if m.Batch == nil {
		return mesh.Errorf(mesh.Invalid, "a cursor without a batch")
	}
	st, err := s.stream(r, m.Baton)
	if err != nil {
		return err
	}
	st.room = s.opts.AnswerBytes
	result, failed := st.batch(r, m.Batch)
	b, err := s.streams.put(st)
	if err != nil {
		st.close(nil)
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := []any{pipelineHead{Baton: b}}
	if failed != nil {
		lines = append(lines, map[string]any{"type": "error", "error": errorOf(failed)})
	} else {
		for i, res := range result.StepResults {
			switch {
			case res != nil:
				lines = append(lines, map[string]any{"type": "step_begin", "step": i, "cols": res.Cols})
				for _, row := range res.Rows {
					lines = append(lines, map[string]any{"type": "row", "row": row})
				}
				lines = append(lines, map[string]any{"type": "step_end", "affected_row_count": res.AffectedRowCount, "last_insert_rowid": res.LastInsertRowid})
			case result.StepErrors[i] != nil:
				lines = append(lines, map[string]any{"type": "step_error", "step": i, "error": result.StepErrors[i]})
			}
		}
	}
	for _, l := range lines {
		if err := send(w, l); err != nil {
			return err
		}
	}
	return nil
}

type pipelineHead struct {
	Baton   string  `json:"baton"`
	BaseURL *string `json:"base_url"`
}

// send writes a message. Who does not take it is gone.
func send(w http.ResponseWriter, m any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// A stream is a connection to a database, as Hrana has it, over several requests. One uses it at a time.
type stream struct {
	db        *database.DB
	key, name string
	level     database.Level
	until     time.Time
	close     func(error)

	tx         *database.Tx // nil: each statement is by itself
	readOnly   bool
	savepoints []savepoint
	texts      map[int32]string // by what the client calls them
	room       int              // bytes that the answer may still have
}

// A savepoint of a transaction. That which began it ends it, too.
type savepoint struct {
	name   string
	at     database.Savepoint
	begins bool
}

// serve answers one request of a pipeline.
func (s *stream) serve(ctx context.Context, q *streamRequest) (*streamResponse, error) {
	switch q.Type {
	case "execute":
		if q.Stmt == nil {
			return nil, mesh.Errorf(mesh.Invalid, "execute without a statement")
		}
		r, err := s.execute(ctx, q.Stmt)
		return &streamResponse{Result: r}, err
	case "batch":
		if q.Batch == nil {
			return nil, mesh.Errorf(mesh.Invalid, "batch without a batch")
		}
		r, err := s.batch(ctx, q.Batch)
		return &streamResponse{Result: r}, err
	case "sequence":
		text, err := s.text(q.SQL, q.SQLID)
		if err != nil {
			return nil, err
		}
		for _, sql := range database.Split(wiredatabase.SQLite, text) {
			if _, err := s.run(ctx, database.SQL(sql)); err != nil {
				return nil, err
			}
		}
		return &streamResponse{}, nil
	case "describe":
		text, err := s.text(q.SQL, q.SQLID)
		if err != nil {
			return nil, err
		}
		r, err := s.describe(ctx, text)
		return &streamResponse{Result: r}, err
	case "store_sql":
		switch {
		case q.SQL == nil || q.SQLID == nil:
			return nil, mesh.Errorf(mesh.Invalid, "store_sql without a text or an id")
		case len(s.texts) >= maxTexts:
			return nil, mesh.Errorf(mesh.Exhausted, "%d texts are stored in the stream, and may be no more", len(s.texts))
		}
		if _, ok := s.texts[*q.SQLID]; ok {
			return nil, mesh.Errorf(mesh.Invalid, "a text is stored under id %d already", *q.SQLID)
		}
		s.texts[*q.SQLID] = *q.SQL
		return &streamResponse{}, nil
	case "close_sql":
		if q.SQLID != nil {
			delete(s.texts, *q.SQLID)
		}
		return &streamResponse{}, nil
	case "get_autocommit":
		auto := s.tx == nil
		return &streamResponse{IsAutocommit: &auto}, nil
	}
	return nil, mesh.Errorf(mesh.Invalid, "a request of type %.40q, which is not known here", q.Type)
}

// text is a text of SQL, given or stored before.
func (s *stream) text(sql *string, id *int32) (string, error) {
	switch {
	case (sql == nil) == (id == nil):
		return "", mesh.Errorf(mesh.Invalid, "SQL is given either as a text or by its id")
	case sql != nil:
		return *sql, nil
	}
	text, ok := s.texts[*id]
	if !ok {
		return "", mesh.Errorf(mesh.Invalid, "no text is stored under id %d", *id)
	}
	return text, nil
}

func (s *stream) execute(ctx context.Context, m *statement) (*statementResult, error) {
	st, err := s.statement(m)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx, st)
	if err != nil {
		return nil, err
	}
	return s.result(r, m)
}

// result is what a statement gave, if the answer has room for it.
func (s *stream) result(r *database.Result, m *statement) (*statementResult, error) {
	out := resultOf(r, m.WantRows == nil || *m.WantRows)
	if s.room -= out.bytes; s.room < 0 {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the answer has no room for these rows; what the statement did is done"), "ask less in one request")
	}
	return out, nil
}

// statement puts parameters by their names in place.
func (s *stream) statement(m *statement) (st database.Statement, err error) {
	if st.SQL, err = s.text(m.SQL, m.SQLID); err != nil {
		return st, err
	}
	all := database.Split(wiredatabase.SQLite, st.SQL)
	if len(all) != 1 {
		return st, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%d statements, where one is to be executed", len(all)), "use executeMultiple, or a batch")
	}
	st.SQL = all[0]
	names, err := parameters(st.SQL)
	if err != nil {
		return st, err
	}
	if len(m.Args) > len(names) {
		return st, mesh.Errorf(mesh.Invalid, "%d arguments, and the statement has %d parameters", len(m.Args), len(names))
	}
	st.Parameters = make([]any, len(names))
	for i, a := range m.Args {
		st.Parameters[i] = a.v
	}
	for _, a := range m.NamedArgs {
		found := false
		for i, n := range names {
			if n != "" && (n == a.Name || n[1:] == a.Name) {
				st.Parameters[i], found = a.Value.v, true
			}
		}
		if !found {
			return st, mesh.Errorf(mesh.Invalid, "the statement has no parameter %.60q", a.Name)
		}
	}
	return st, nil
}

func (s *stream) describe(ctx context.Context, text string) (*describeResult, error) {
	names, err := parameters(text)
	if err != nil {
		return nil, err
	}
	out := &describeResult{Params: []describedParameter{}, Cols: []column{}}
	for i := range names {
		p := describedParameter{}
		if names[i] != "" {
			p.Name = &names[i]
		}
		out.Params = append(out.Params, p)
	}
	out.IsExplain = database.Keyword(text) == "EXPLAIN"
	columns, readOnly, err := s.db.Describe(ctx, text)
	if err != nil {
		return nil, err
	}
	out.IsReadonly = readOnly
	out.Cols = append(out.Cols, resultOf(&database.Result{Columns: columns}, false).Cols...)
	return out, nil
}
