package databases

import (
	"context"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// An opening is a database as a key opened it.
type opening struct{ key, name string }

// A shared database is open as long as somebody uses it, and a while longer.
type shared struct {
	db     *database.DB
	leave  func()
	used   int
	idle   time.Time // since when nobody has used it
	broken bool      // who comes next opens another
}

// A pool keeps databases open: to find the cell of one takes a question to the meta layer.
type pool struct {
	open func(ctx context.Context, key *Key, name string) (*database.DB, func(), error)
	keep time.Duration

	mu  sync.Mutex
	all map[opening]*shared
}

// use returns a database; give it back with done.
func (p *pool) use(ctx context.Context, key *Key, name string) (*shared, error) {
	at := opening{key.Name, name}
	p.mu.Lock()
	if s := p.all[at]; s != nil && !s.broken {
		s.used++
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	db, leave, err := p.open(ctx, key, name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.all[at]; s != nil && !s.broken { // somebody else was faster
		leave()
		s.used++
		return s, nil
	}
	s := &shared{db: db, leave: leave, used: 1}
	p.all[at] = s // one that is broken is left by who uses it last
	return s, nil
}

// done gives a database back. After an error of kind Unavailable its cell may be another by now.
func (p *pool) done(s *shared, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.used--
	s.idle = time.Now()
	s.broken = s.broken || err != nil && mesh.KindOf(err) == mesh.Unavailable
	if s.broken && s.used == 0 {
		p.forget(s)
	}
}

// forget lets a database go that nobody uses. The lock is held.
func (p *pool) forget(s *shared) {
	for at, o := range p.all {
		if o == s {
			delete(p.all, at)
		}
	}
	s.leave()
}

// sweep lets databases go that nobody has used for long; at the zero time all of which nobody does.
func (p *pool) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.all {
		if s.used == 0 && (now.IsZero() || now.Sub(s.idle) > p.keep) {
			p.forget(s)
		}
	}
}
