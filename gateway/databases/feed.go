package databases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// GET /DATABASE/changes?publication=NAME, or ?channel=NAME once or more, tells what comes behind a position, which &from= or the header
// Last-Event-ID names (now, where none does), as server-sent events, or with "Accept: application/x-ndjson" as lines of JSON:
//
//	id: 812.3
//	data: {"position":"812.3","schema":"public","table":"t","kind":"insert","new":{"id":1}}
//
//	id: 813.1
//	data: {"position":"813.1","channel":"c","payload":"p"}
//
//	event: failure
//	data: {"message":"...","code":"UNAVAILABLE"}
//
// An event without data, a line with a position alone, says at least every 20 s how far all was told; browsers keep its id for the next
// request, and do not show it. After a failure the answer ends; before the first event errors have a status.
const changesPath = "changes"

// feedStall is how long a client may take to take what is sent.
const feedStall = 30 * time.Second

// feeds counts those who follow.
type feeds struct {
	most, mostOfKey int

	mu    sync.Mutex
	all   int
	ofKey map[string]int
}

func (f *feeds) enter(key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all >= f.most || f.ofKey[key] >= f.mostOfKey {
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the gateway serves as many feeds as it may, or as this access key may have"), "end one, or use another gateway")
	}
	f.all++
	f.ofKey[key]++
	return nil
}

func (f *feeds) leave(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all--
	if f.ofKey[key]--; f.ofKey[key] == 0 {
		delete(f.ofKey, key)
	}
}

// followed reads what a request follows, and from where.
func followed(r *http.Request) (f database.Feed, from database.Position, err error) {
	q := r.URL.Query()
	for name := range q {
		if name != "publication" && name != "channel" && name != "from" {
			return f, from, mesh.Errorf(mesh.Invalid, "%.40q is no parameter of a feed: publication, channel, from", name)
		}
	}
	f.Publication, f.Channels = q.Get("publication"), q["channel"]
	if (f.Publication == "") == (len(f.Channels) == 0) || len(f.Channels) > 1000 {
		return f, from, mesh.WithHint(mesh.Errorf(mesh.Invalid, "a feed is of one publication, or of channels"), "add ?publication=NAME, or ?channel=NAME up to a thousand times")
	}
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = q.Get("from")
	}
	if text == "" {
		return f, database.Now, nil
	}
	from, err = database.ParsePosition(text)
	return f, from, err
}

// feed answers with what a database tells, until the client goes or the server stops.
func (s *Server) feed(w http.ResponseWriter, r *http.Request, key *Key, name string) error {
	f, from, err := followed(r)
	if err != nil {
		return err
	}
	if err := s.feeds.enter(key.Name); err != nil {
		return err
	}
	defer s.feeds.leave(key.Name)
	db, err := s.opened.use(r.Context(), key, name)
	if err != nil {
		return err
	}
	// A request's context ends when its connection was silent for long, which a client of a feed is: whether it has gone, a write tells.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	e := &events{w: w, control: http.NewResponseController(w), lines: strings.Contains(r.Header.Get("Accept"), "application/x-ndjson")}
	for b, failed := range db.db.Follow(ctx, f, from) {
		if err = failed; err != nil {
			break
		}
		for i := range b.Changes {
			c := &b.Changes[i]
			e.add(c.Position, struct {
				Position string `json:"position"`
				*database.Change
			}{c.Position.String(), c})
		}
		for i := range b.Notifications {
			n := &b.Notifications[i]
			e.add(n.Position, struct {
				Position string `json:"position"`
				*database.Notification
			}{n.Position.String(), n})
		}
		e.progress(b.Position)
		if gone := e.flush(); gone != nil {
			err = nil // whoever has gone has its position
			break
		}
	}
	s.opened.done(db, err)
	switch {
	case err == nil:
	case !e.begun && s.life.Err() != nil:
		return mesh.Errorf(mesh.Unavailable, "the gateway stops")
	case !e.begun:
		return mesh.WithHint(mesh.Errorf(mesh.KindOf(err), "%v", err), "%s", mesh.HintOf(err))
	case errors.Is(err, context.Canceled):
	default:
		e.failure(err)
	}
	return nil
}

// events writes a feed.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	lines   bool // of JSON, instead of events
	begun   bool
	b       bytes.Buffer
}

func (e *events) add(at database.Position, m any) {
	if !e.lines {
		e.b.WriteString("id: " + at.String() + "\ndata: ")
	}
	enc := json.NewEncoder(&e.b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil { // they were JSON when they came
		panic(http.ErrAbortHandler)
	}
	if !e.lines {
		e.b.WriteByte('\n')
	}
}

func (e *events) progress(at database.Position) {
	if e.lines {
		e.b.WriteString(`{"position":"` + at.String() + "\"}\n")
	} else {
		e.b.WriteString("id: " + at.String() + "\n\n")
	}
}

func (e *events) failure(err error) {
	text, _ := json.Marshal(errorOf(mesh.WithHint(mesh.Errorf(mesh.KindOf(err), "%v", err), "%s", mesh.HintOf(err)))) // texts
	if e.lines {
		e.b.WriteString(`{"failure":` + string(text) + "}\n")
	} else {
		e.b.WriteString("event: failure\ndata: " + string(text) + "\n\n")
	}
	_ = e.flush() // the answer ends either way
}

func (e *events) flush() error {
	if !e.begun {
		e.begun = true
		kind := "text/event-stream"
		if e.lines {
			kind = "application/x-ndjson"
		}
		e.w.Header().Set("Content-Type", kind)
		e.w.Header().Set("X-Accel-Buffering", "no") // a proxy that keeps what comes would keep it for ever
	}
	defer e.b.Reset()
	if err := e.control.SetWriteDeadline(time.Now().Add(feedStall)); err != nil {
		return err
	}
	if _, err := e.w.Write(e.b.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}
