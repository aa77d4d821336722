package database

import (
	"context"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A poll asks members of a cell one question until they decide it: by so many equal answers, or so many equal refusals that one of
// them is honest. Whoever fails or keeps silent is replaced by another, and asked again.
type poll struct {
	db       *DB
	question [32]byte
	start    int // members that are asked at once
	need     int // equal answers that decide
	// ask asks a member; its answer is at or above floor.
	ask func(ctx context.Context, member int, floor int64) (*answer, error)
}

// A vote is what answers agree on.
type vote struct {
	height  int64
	outcome string // its digest
}

// A member of a poll is idle, or under way, or has answered or refused.
type polled struct {
	underway bool
	heard    bool
	refused  error
	tries    int       // that failed
	pause    time.Time // until when it is left alone
}

func (m polled) idle(now time.Time) bool { return !m.underway && !m.heard && !now.Before(m.pause) }

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
	n, enough := len(d.cell.Members), d.cell.Faults()+1
	members, votes := make([]polled, n), map[vote]map[int]*answer{}
	replies := make(chan reply, n) // a member has at most one under way
	tick := time.NewTicker(d.opts.Retry)
	defer tick.Stop()
	d.mu.Lock()
	first, floor := d.first, d.seen
	d.mu.Unlock()
	want, progress := p.start, time.Now()
	var last error
	for {
		now := time.Now()
		inPlay, underway := 0, 0
		for _, m := range members {
			if m.underway || m.heard {
				inPlay++
			}
			if m.underway {
				underway++
			}
		}
		for k := 0; k < n && inPlay < want; k++ {
			i := (first + k) % n
			if !members[i].idle(now) {
				continue
			}
			members[i].underway = true
			inPlay, underway = inPlay+1, underway+1
			asking.Go(func() {
				a, err := p.ask(ctx, i, floor)
				replies <- reply{i, a, err}
			})
		}
		if underway == 0 && inPlay >= want { // all have spoken, and nothing is decided
			if want++; want > n {
				want = n
				floor = max(floor, common(votes, enough))
				for i := range members {
					members[i].heard, members[i].refused, members[i].pause = false, nil, now.Add(d.opts.Retry)
				}
			}
			if want <= n && inPlay < want {
				continue
			}
		}
		select {
		case r := <-replies:
			m := &members[r.member]
			m.underway = false
			switch {
			case r.err == nil:
				progress, m.heard, m.tries = time.Now(), true, 0
				v := vote{r.answer.body.Height, string(r.answer.body.Outcome)}
				if votes[v] == nil {
					votes[v] = map[int]*answer{}
				}
				votes[v][r.member] = r.answer
				if len(votes[v]) >= p.need {
					d.agreed(p, r.answer, len(votes[v]) >= enough)
					for _, a := range votes[v] {
						agreed = append(agreed, a)
					}
					return agreed, nil
				}
				want = max(want, p.need)
			case decided(r.err):
				progress, m.heard, m.refused, last = time.Now(), true, r.err, r.err
				same := 0
				for _, o := range members {
					if o.refused != nil && mesh.KindOf(o.refused) == mesh.KindOf(r.err) {
						same++
					}
				}
				if same >= enough {
					return nil, r.err
				}
				want = max(want, enough)
			default:
				last = r.err
				m.pause = time.Now().Add(d.opts.Retry << min(m.tries, 3))
				m.tries++
			}
		case <-tick.C:
			if time.Since(progress) >= d.opts.Patience {
				want, progress = min(want+1, n), time.Now()
			}
		case <-ctx.Done():
			heard := 0
			for _, m := range members {
				if m.heard {
					heard++
				}
			}
			if last == nil {
				last = ctx.Err()
			}
			return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d of %d replicas answered, and %d did not agree: %w", heard, n, p.need, last), "try again, or look at: stratos db stats %s", d.name)
		}
	}
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
func (d *DB) agreed(p *poll, a *answer, honest bool) {
	d.mu.Lock()
	d.first = a.member
	if honest {
		d.seen = max(d.seen, a.body.Height)
	}
	d.mu.Unlock()
	if honest {
		d.judge(p.question, a)
	}
}

// outcome turns answers that agree into what the caller gets: an Outcome, or an Error with the text that enough of them say.
func (d *DB) outcome(agreed []*answer, all []*wirepb.Statement, need int) (*Outcome, error) {
	o := agreed[0].outcome
	if o.Code == "" {
		return outcomeOf(o, agreed[0].body.Height), nil
	}
	e := &Error{Code: o.Code, Statement: int(o.Failed)}
	if e.Statement < len(all) {
		e.SQL = all[e.Statement].Sql
	}
	for _, a := range agreed { // texts are not signed with the outcome: what one says alone may be a lie
		same := 0
		for _, b := range agreed {
			if a.outcome.Text == b.outcome.Text && a.outcome.Hint == b.outcome.Hint {
				same++
			}
		}
		if same >= need {
			e.Text, e.Hint = a.outcome.Text, a.outcome.Hint
		}
	}
	return nil, e
}

// query asks one member.
func (d *DB) query(q *wirepb.DatabaseQuery, question [32]byte) func(context.Context, int, int64) (*answer, error) {
	return func(ctx context.Context, i int, floor int64) (*answer, error) {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		m := &wirepb.DatabaseQuery{Database: q.Database, Statements: q.Statements, GasLimit: q.GasLimit, MinHeight: floor}
		r := new(wirepb.DatabaseReply)
		if err := d.admitted(ctx, i, wirepb.CellQueryPath, m, r); err != nil {
			return nil, err
		}
		return d.open(i, r, question, floor)
	}
}

// attemptTime bounds one attempt at one replica, which waits for a block, or answers, for at most 20 s.
const attemptTime = 25 * time.Second

// A Level is what of a cell must agree on the answer to a question.
type Level int

const (
	// Default wants the same answer, at one height, of so many replicas that one of them is honest. It sees what was acknowledged by
	// this DB before.
	Default Level = iota
	// Fast takes one replica's word, signed: if it lies, its signature contradicts what others answer; see Evidence.
	Fast
	// Ordered takes its turn on the log like a program: it sees everything that was acknowledged to anybody before. It needs the right
	// to write. Statements that change something do so.
	Ordered
)

// ParseLevel reads the name of a level.
func ParseLevel(s string) (Level, error) {
	for l, name := range [...]string{"default", "fast", "ordered"} {
		if s == name {
			return Level(l), nil
		}
	}
	return 0, mesh.Errorf(mesh.Invalid, "there is no level %.20q: fast, default or ordered", s)
}

// Query asks for what statements give that only read, at a level. All see the same height. An error of SQL is an *Error.
func (d *DB) Query(ctx context.Context, l Level, all ...Statement) (*Outcome, error) {
	if l == Ordered {
		return d.Exec(ctx, Program{Statements: all})
	}
	statements, err := encode(all)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.opts.QueryTime)
		defer cancel()
	}
	q := &wirepb.DatabaseQuery{Database: d.id[:], Statements: statements, GasLimit: d.opts.QueryGas}
	p := &poll{db: d, question: wiredatabase.QueryQuestion(q), need: d.cell.Faults() + 1}
	if l == Fast {
		p.need = 1
	}
	p.start, p.ask = p.need, d.query(q, p.question)
	agreed, err := p.run(ctx)
	if err != nil {
		return nil, err
	}
	return d.outcome(agreed, statements, p.need)
}
