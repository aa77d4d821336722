// Package postgres makes SQLite's statements of PostgreSQL's, so that they mean what they mean in PostgreSQL 15 (locale C), or
// refuses them with 0A000. It is a Dialect of the engine: each replica compiles, by the catalog of the database at hand, what an
// author wrote and signed. What values mean package protocol/postgres says. See DESIGN.md.
//
// The package is larger than others because a language is one recursion: queries hold expressions, which hold queries, and both
// read the catalog that statements change.
package postgres

import (
	"fmt"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
)

// New makes the dialect for a connection.
func New() engine.Dialect { return &session{} }

// A session is a connection's; what it knows of a program ends with it.
type session struct {
	cat       *catalog // nil: to be read
	env       datetime.Env
	zone      string
	role      grant.Role
	database  string               // its name
	sequences map[uint32]*position // nil: not read by this statement
	current   map[uint32]int64     // what nextval gave in this program
	last      uint32
	once      map[string]bool // keys that an INSERT ... ON CONFLICT DO UPDATE has seen
	shapes    map[shape][]*column
	quiet     bool            // rows that go are not recorded one by one
	said      map[notice]bool // by this program
	notices   []notice        // of this statement
}

// A position is how far a sequence is.
type position struct {
	last    int64
	called  bool
	changed bool
}

func (s *session) Functions() []engine.Function   { return s.functions() }
func (s *session) Collations() []engine.Collation { return collations() }

func (s *session) Forget() { s.cat, s.shapes = nil, nil }

func (s *session) Begin(timeMs int64, p *engine.Program) *engine.Error {
	s.env = datetime.Env{Now: timeMs*1000 + datetime.UnixEpoch}
	s.zone, s.role, s.database = p.Settings.GetTimeZone(), p.Role, p.Database
	s.current, s.sequences, s.last = map[uint32]int64{}, nil, 0
	s.quiet, s.said, s.notices = false, nil, nil
	if s.zone != "" {
		z, err := datetime.LoadZone(s.zone)
		if err != nil {
			return fail("22023", "invalid value for parameter \"TimeZone\": \"%s\"", s.zone)
		}
		s.env.Zone = z
	}
	return nil
}

func (s *session) Current(f engine.File) (bool, error) {
	if s.cat == nil {
		return false, nil
	}
	if !s.cat.made {
		made, err := present(f)
		return !made, err
	}
	body, err := readHead(f) // it has a version
	return body == s.cat.body, err
}

func (s *session) Words(sql string) (int, *engine.Error) { return measure(sql) }

func (s *session) Compile(f engine.File, sql string, types []uint32) (*engine.Translation, error) {
	if s.cat == nil {
		c, err := loadCatalog(f)
		if err != nil {
			return nil, err
		}
		s.cat = c
	}
	return s.compile(f, sql, types)
}

// compile is the compiler behind a net: what it cannot bear fails one program, the same on every replica, and no process.
func (s *session) compile(f engine.File, sql string, types []uint32) (t *engine.Translation, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fail("XX000", "the compiler panicked: %v", p)
		}
	}()
	return compile(s, f, sql, types)
}

// call is what routines are told.
func (s *session) call(c *engine.Call) *postgres.Call {
	return &postgres.Call{Env: s.env, Charge: c.Charge}
}

// fail makes an error.
func fail(code, format string, args ...any) *engine.Error {
	return &engine.Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// refuse is for what PostgreSQL could do.
func refuse(format string, args ...any) *engine.Error {
	return fail("0A000", format+" is not supported", args...)
}
