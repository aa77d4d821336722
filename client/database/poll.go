package database

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// A poll asks members of a cell one question until they decide it: by so many equal answers, or so many equal refusals that one of
// them is honest. Whoever fails or keeps silent is replaced by another, and asked again.
type poll struct {
	db       *DB
	question [32]byte
	start    int           // members that are asked at once
	need     int           // equal answers that decide
	patience time.Duration // how long a member may take before another is asked as well; 0: Options.Patience
	// ask asks a member; its answer is at or above floor.
	ask func(ctx context.Context, member int, floor int64) (*answer, error)

	members  []polled
	votes    map[vote]map[int]*answer
	enough   int // of so many, one is honest
	want     int // members that shall be under way or have spoken
	floor    int64
	progress time.Time // when a member spoke last, or another was asked because none did
	last     error
}

// A vote is what answers agree on.
type vote struct {
	height  int64
	outcome string // its digest
}

// A member of a poll is idle, or under way, or has spoken: answered or refused.
type polled struct {
	underway bool
	spoken   bool
	refused  error
	tries    int       // that failed
	pause    time.Time // until when it is left alone
}

func (m polled) idle(now time.Time) bool { return !m.underway && !m.spoken && !now.Before(m.pause) }

type reply struct {
	member int
	answer *answer
	err    error
}

// decided tells whether an error is a member's judgement, rather than that it could not judge.
func decided(err error) bool {
	switch mesh.KindOf(err) {
	case mesh.NotFound, mesh.Denied, mesh.Invalid, mesh.Conflict, mesh.Exhausted:
		return true
	}
	return false
}

// run returns the answers that agree, or the refusal of so many. When ctx ends before, the error is Unavailable.
func (p *poll) run(ctx context.Context) (agreed []*answer, err error) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := p.db
	n := len(d.cell.Members)
	p.members, p.votes, p.enough, p.want, p.progress = make([]polled, n), map[vote]map[int]*answer{}, d.cell.Faults()+1, p.start, time.Now()
	d.mu.Lock()
	first := d.first
	p.floor = d.seen
	d.mu.Unlock()
	replies := make(chan reply, n) // a member has at most one under way
	tick := time.NewTicker(d.opts.Retry)
	defer tick.Stop()
	for {
		for k := 0; k < n && p.inPlay() < p.want; k++ {
			i, floor := (first+k)%n, p.floor
			if !p.members[i].idle(time.Now()) {
				continue
			}
			p.members[i].underway = true
			asking.Go(func() {
				a, err := p.ask(ctx, i, floor)
				replies <- reply{i, a, err}
			})
		}
		if p.undecided() {
			continue
		}
		select {
		case r := <-replies:
			if agreed, err = p.hear(r); agreed != nil || err != nil {
				return agreed, err
			}
		case <-tick.C:
			if time.Since(p.progress) >= cmp.Or(p.patience, d.opts.Patience) {
				p.want, p.progress = min(p.want+1, n), time.Now()
			}
		case <-ctx.Done():
			if p.last == nil {
				p.last = ctx.Err()
			}
			return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "no %d of %d replicas gave the same answer in time: %w", p.need, n, p.last),
				"try again, or look at: stratos db stats %s", d.name)
		}
	}
}

// inPlay counts the members that are under way or have spoken.
func (p *poll) inPlay() (n int) {
	for _, m := range p.members {
		if m.underway || m.spoken {
			n++
		}
	}
	return n
}

// undecided goes on when all who were wanted have spoken: with one more, which it tells, or when there is none, after a pause with all
// anew, at a height that all honest ones reach.
func (p *poll) undecided() (more bool) {
	for _, m := range p.members {
		if m.underway {
			return false
		}
	}
	switch {
	case p.inPlay() < p.want:
		return false
	case p.want < len(p.members):
		p.want++
		return true
	}
	p.floor = max(p.floor, common(p.votes, p.enough))
	for i := range p.members {
		m := &p.members[i]
		m.spoken, m.refused, m.pause = false, nil, time.Now().Add(p.db.opts.Retry)
	}
	return false
}

// hear takes what a member says, and returns what that decides, if anything.
func (p *poll) hear(r reply) ([]*answer, error) {
	m := &p.members[r.member]
	m.underway = false
	if r.err != nil && !decided(r.err) {
		m.pause = time.Now().Add(p.db.opts.Retry << min(m.tries, 3))
		m.tries++
		p.last = r.err
		return nil, nil
	}
	m.spoken, m.tries, p.progress = true, 0, time.Now()
	if r.err != nil {
		m.refused, p.last = r.err, r.err
		same := 0
		for _, o := range p.members {
			if o.refused != nil && mesh.KindOf(o.refused) == mesh.KindOf(r.err) {
				same++
			}
		}
		if same >= p.enough {
			var one *ofMember
			if errors.As(r.err, &one) {
				return nil, one.err // it is the cell that says so
			}
			return nil, r.err
		}
		p.want = max(p.want, p.enough)
		return nil, nil
	}
	v := vote{r.answer.body.Height, string(r.answer.body.Outcome)}
	if p.votes[v] == nil {
		p.votes[v] = map[int]*answer{}
	}
	p.votes[v][r.member] = r.answer
	if len(p.votes[v]) < p.need {
		p.want = max(p.want, p.need)
		return nil, nil
	}
	p.db.agreed(p.question, r.answer, len(p.votes[v]) >= p.enough)
	return slices.Collect(maps.Values(p.votes[v])), nil
}

// common is the highest height that so many members have named that one of them is honest: others reach it.
func common(votes map[vote]map[int]*answer, enough int) (height int64) {
	best := map[int]int64{}
	for v, of := range votes {
		for i := range of {
			best[i] = max(best[i], v.height)
		}
	}
	for _, h := range best {
		named := 0
		for _, o := range best {
			if o >= h {
				named++
			}
		}
		if named >= enough {
			height = max(height, h)
		}
	}
	return height
}

// agreed notes who answered, and, when one of those who agree is honest, the height and who said otherwise.
func (d *DB) agreed(question [32]byte, a *answer, honest bool) {
	d.mu.Lock()
	d.first = a.member
	if honest {
		d.seen = max(d.seen, a.body.Height)
	}
	d.mu.Unlock()
	if honest {
		d.judge(question, a)
	}
}
