// Package group speaks with a group of authorities of which fewer than a third may lie, be slow or be gone: it submits
// transactions, waits until enough of them have applied one, and asks questions at the level of trust that the caller
// names. Clients, gateways, nodes and repair use it.
//
// It decides nothing about the answers' meaning and keeps no state but connections and the heights that it heard.
package group

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	cmted "github.com/cometbft/cometbft/crypto/ed25519"
	cmtmath "github.com/cometbft/cometbft/libs/math"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Member is an authority as others must know it.
type Member struct {
	ID           mesh.AuthorityID `json:"id"`
	Address      string           `json:"address"` // host:port of its API
	TLSKey       mesh.PublicKey   `json:"tls_key"`
	ReportKey    mesh.PublicKey   `json:"report_key"`
	ConsensusKey mesh.PublicKey   `json:"consensus_key"`
}

// Options of a Group. The zero value of a field means its default.
type Options struct {
	// Timeout bounds one request to one authority. Default 25 s: a submission waits for its block.
	Timeout time.Duration
	// Patience is how long an authority may keep silent before the next is asked as well. Default 1 s.
	Patience time.Duration
}

// A Group speaks with its members. It may be used by many goroutines. Close it.
type Group struct {
	members []Member
	dialer  *transfer.Dialer
	opts    Options
	own     *lifecycle.Group

	mu      sync.Mutex
	first   int     // member that answered last
	heights []int64 // that each member said it applied
	polling []bool
	changed chan struct{} // closed when a height rises or a poll ends, then replaced
}

// New returns a group of at least one member. The dialer's key is what the authorities see; it stays the caller's.
func New(members []Member, d *transfer.Dialer, o Options) (*Group, error) {
	if len(members) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "a group without members")
	}
	if o.Timeout == 0 {
		o.Timeout = 25 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = time.Second
	}
	return &Group{members: slices.Clone(members), dialer: d, opts: o, own: lifecycle.New(context.Background()),
		heights: make([]int64, len(members)), polling: make([]bool, len(members)), changed: make(chan struct{})}, nil
}

// Close ends what is under way.
func (g *Group) Close() error { return g.own.Close() }

// Members returns the members.
func (g *Group) Members() []Member { return slices.Clone(g.members) }

// Faulty is how many of n members may lie: f = floor((n-1)/3).
func Faulty(n int) int { return (n - 1) / 3 }

func (g *Group) quorum() int { return len(g.members) - Faulty(len(g.members)) }
func (g *Group) honest() int { return Faulty(len(g.members)) + 1 }

func (g *Group) call(ctx context.Context, m Member, path string, limit int, req, resp proto.Message) error {
	hc, err := g.dialer.Client(m.TLSKey)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.opts.Timeout)
	defer cancel()
	err = rpc.Call(ctx, hc, "https://"+m.Address+path, limit, req, resp)
	if err != nil && !decided(err) { // a judgement is the group's, a failure this member's
		err = fmt.Errorf("authority %s: %w", m.ID, err)
	}
	return err
}

// Submit puts a transaction on the log through one authority after the other until one has applied it, and returns the
// height. A refusal by the log is returned at once, but for Denied: an authority that lags behind, or lies, knows no session that the
// others know, so that it takes one more than may be faulty. When nobody answers, the error is Unavailable and it is not known whether
// the transaction will be applied. Submitting the same bytes again is safe.
func (g *Group) Submit(ctx context.Context, raw []byte) (mesh.Height, error) {
	tx := new(wirepb.Tx)
	if err := proto.Unmarshal(raw, tx); err != nil {
		return 0, mesh.Errorf(mesh.Invalid, "a transaction: %w", err)
	}
	g.mu.Lock()
	first := g.first
	g.mu.Unlock()
	type outcome struct {
		member int
		height int64
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan outcome, len(g.members))
	next, under, denied := 0, 0, 0
	start := func() {
		i := (first + next) % len(g.members)
		next, under = next+1, under+1
		go func() {
			a := new(wirepb.SubmitAnswer)
			err := g.call(ctx, g.members[i], wirepb.SubmitPath, 64<<10, tx, a)
			done <- outcome{i, a.Height, err}
		}()
	}
	start()
	patience := time.NewTimer(g.opts.Patience)
	defer patience.Stop()
	var errs []error
	for {
		select {
		case o := <-done:
			under--
			if o.err == nil {
				g.mu.Lock()
				g.first = o.member
				g.mu.Unlock()
				g.heard(o.member, o.height)
				return mesh.Height(o.height), nil
			}
			switch mesh.KindOf(o.err) {
			case mesh.Unavailable, mesh.Internal:
			case mesh.Denied:
				if denied++; denied > Faulty(len(g.members)) {
					return 0, o.err
				}
			default:
				return 0, o.err
			}
			errs = append(errs, o.err)
			if next < len(g.members) {
				start()
			} else if under == 0 {
				return 0, silent("no authority applied the transaction", errs)
			}
		case <-patience.C:
			if next < len(g.members) {
				start()
				patience.Reset(g.opts.Patience)
			}
		case <-ctx.Done():
			return 0, mesh.Errorf(mesh.Unavailable, "submitting a transaction: %w", ctx.Err())
		}
	}
}

// Commit is Submit, and then waits until 2f+1 authorities have applied the transaction: from then on every strong read
// sees it, whoever dies.
func (g *Group) Commit(ctx context.Context, raw []byte) (mesh.Height, error) {
	h, err := g.Submit(ctx, raw)
	if err != nil {
		return 0, err
	}
	return h, g.AwaitQuorum(ctx, h)
}

// quorumWait is how long AwaitQuorum waits at most.
const quorumWait = 30 * time.Second

// AwaitQuorum waits until 2f+1 authorities say that they have applied height h, but not for ever: when there are not so many, nothing
// is served.
func (g *Group) AwaitQuorum(ctx context.Context, h mesh.Height) error {
	ctx, cancel := context.WithTimeout(ctx, quorumWait)
	defer cancel()
	retry := time.NewTicker(g.opts.Patience)
	defer retry.Stop()
	for {
		g.mu.Lock()
		n := 0
		for i, at := range g.heights {
			if at >= int64(h) {
				n++
			} else if !g.polling[i] {
				g.polling[i] = true
				if g.own.Go(func(ctx context.Context) error { g.poll(ctx, i, at); return nil }) != nil {
					g.polling[i] = false
				}
			}
		}
		changed := g.changed
		g.mu.Unlock()
		if n >= g.quorum() {
			return nil
		}
		select {
		case <-changed:
		case <-retry.C: // members whose poll failed are asked again
		case <-ctx.Done():
			return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d of %d authorities have applied height %d, %d are needed", n, len(g.members), h, g.quorum()),
				"what was written is on the log; look at 'stratos meta status'")
		}
	}
}

// AwaitMember waits a moment until one member has applied height h. It promises nothing: whoever asks that member next
// learns whether it has.
func (g *Group) AwaitMember(ctx context.Context, id mesh.AuthorityID, h mesh.Height) {
	for i, m := range g.members {
		if m.ID == id {
			g.mu.Lock()
			at := g.heights[i]
			g.mu.Unlock()
			if at < int64(h) {
				ctx, cancel := context.WithTimeout(ctx, g.opts.Patience)
				defer cancel()
				a := new(wirepb.Applied)
				if g.call(ctx, m, wirepb.AppliedPath, 64, &wirepb.Applied{Height: int64(h) - 1}, a) == nil {
					g.heard(i, a.Height)
				}
			}
		}
	}
}

func (g *Group) poll(ctx context.Context, i int, above int64) {
	a := new(wirepb.Applied)
	err := g.call(ctx, g.members[i], wirepb.AppliedPath, 64, &wirepb.Applied{Height: above}, a)
	if err != nil { // not at once again
		select {
		case <-time.After(g.opts.Patience / 4):
		case <-ctx.Done():
		}
	}
	g.mu.Lock()
	g.polling[i] = false
	if err == nil {
		g.heights[i] = max(g.heights[i], a.Height)
	}
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
}

func (g *Group) heard(i int, h int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h > g.heights[i] {
		g.heights[i] = h
		close(g.changed)
		g.changed = make(chan struct{})
	}
}

// A Level is how much an answer must be vouched for.
type Level int

const (
	// Any takes the first answer of any authority: fast, for what is checked otherwise or only shown.
	Any Level = iota
	// Honest wants f+1 equal answers: at least one honest authority says so, maybe not the newest.
	Honest
	// Strong wants f+1 equal answers, each at or above the highest height that 2f+1 authorities name: it sees every write
	// that was acknowledged before the question.
	Strong
	// Quorum wants 2f+1 equal answers: for what destroys something.
	Quorum
)

type reply struct {
	member int
	floor  int64 // height that it was asked for
	answer *wirepb.QueryAnswer
	err    error
}

// Ask asks a batch of questions at a level and returns their answers in order, with the height. An error of kind other
// than Unavailable is what f+1 authorities (at level Any: one) answered.
func (g *Group) Ask(ctx context.Context, level Level, questions ...*wirepb.Question) ([][]byte, mesh.Height, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if level == Any {
		return g.askAny(ctx, questions)
	}
	replies := make(chan reply, 3*len(g.members))
	ask := func(i int, minHeight int64) {
		go func() {
			a := new(wirepb.QueryAnswer)
			err := g.call(ctx, g.members[i], wirepb.QueryPath, wirepb.MaxQueryAnswer+64<<10, &wirepb.Query{MinHeight: minHeight, Questions: questions}, a)
			if err == nil && len(a.Answers) != len(questions) {
				err = mesh.Errorf(mesh.Corrupt, "authority %s answered %d of %d questions", g.members[i].ID, len(a.Answers), len(questions))
			}
			select {
			case replies <- reply{i, minHeight, a, err}:
			case <-ctx.Done():
			}
		}()
	}
	need, equal := g.honest(), g.honest()
	if level >= Strong {
		need = g.quorum()
	}
	if level == Quorum {
		equal = need
	}
	latest := make([]*reply, len(g.members)) // newest reply of each member
	under, asked, rounds := 0, 0, 0
	for ; asked < need; asked++ {
		ask((g.preferred()+asked)%len(g.members), 0)
		under++
	}
	patience := time.NewTimer(g.opts.Patience)
	defer patience.Stop()
	floor := int64(0)
	more := func() bool {
		if asked >= len(g.members) {
			return false
		}
		ask((g.preferred()+asked)%len(g.members), floor)
		asked, under = asked+1, under+1
		return true
	}
	var errs []error
	for {
		select {
		case r := <-replies:
			under--
			latest[r.member] = &r
			if r.err != nil {
				errs = append(errs, r.err)
			} else {
				g.heard(r.member, r.answer.Height)
			}
			good := 0
			for _, l := range latest {
				if l != nil && (l.err == nil || decided(l.err)) {
					good++
				}
			}
			if r.err != nil && !decided(r.err) {
				if r.floor > 0 && mesh.KindOf(r.err) == mesh.Unavailable {
					// It did not reach the floor in time. Whoever named that has to prove it, or does not count.
					g.doubt(ctx, latest, r.floor)
					if floor = highest(latest); floor < r.floor {
						ask(r.member, floor)
						under++
					}
				}
				more()
			}
			if good < need {
				if under == 0 && !more() {
					return nil, 0, silent(fmt.Sprintf("%d of %d authorities answered, %d are needed", good, len(g.members), need), errs)
				}
				continue
			}
			if level >= Strong {
				floor = highest(latest)
			}
			if l := agreed(latest, floor, equal); l != nil {
				if l.err != nil {
					return nil, 0, l.err
				}
				return l.answer.Answers, mesh.Height(l.answer.Height), nil
			}
			if under > 0 {
				continue
			}
			// Whoever is behind the highest height waits until he has it and answers again; and one more is asked.
			again := 0
			for i, l := range latest {
				if l != nil && l.err == nil && l.answer.Height < floor {
					ask(i, floor)
					under, again = under+1, again+1
				}
			}
			if !more() && again == 0 {
				// Everybody answered at the floor and no f+1 agree: the state moved between their heights.
				for i := range g.members {
					if l := latest[i]; l != nil && l.err == nil {
						ask(i, floor)
						under++
					}
				}
				if rounds++; under == 0 || rounds > maxRounds {
					return nil, 0, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the authorities do not agree: %w", errors.Join(errs...)), "try again")
				}
			}
		case <-patience.C:
			if more() {
				patience.Reset(g.opts.Patience)
			}
		case <-ctx.Done():
			return nil, 0, mesh.Errorf(mesh.Unavailable, "asking the authorities: %w", errors.Join(append(errs, ctx.Err())...))
		}
	}
}

// silent is the error when too few members answer: it shows the first reason and counts the others, which are alike.
func silent(what string, errs []error) error {
	err := errors.Join(errs...)
	if len(errs) > 1 {
		err = fmt.Errorf("%w, and %d more", errs[0], len(errs)-1)
	}
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%s: %w", what, err), "see whether the network runs: stratos status")
}

// highest is the highest height among the answers.
func highest(latest []*reply) (floor int64) {
	for _, l := range latest {
		if l != nil && l.err == nil {
			floor = max(floor, l.answer.Height)
		}
	}
	return floor
}

// maxRounds bounds how often everybody is asked again while the answers change under the questions.
const maxRounds = 16

// doubt asks the members that named a height for the header that proves it, and strikes out the answers of those that
// have none.
func (g *Group) doubt(ctx context.Context, latest []*reply, floor int64) {
	ctx, cancel := context.WithTimeout(ctx, 2*g.opts.Patience)
	defer cancel()
	for i, l := range latest {
		if l == nil || l.err != nil || l.answer.Height < floor {
			continue
		}
		a := new(wirepb.SignedHeader)
		err := g.call(ctx, g.members[i], wirepb.HeaderPath, maxHeader, &wirepb.Applied{Height: floor}, a)
		if err == nil {
			err = g.proves(a.Header, floor)
		}
		if err != nil {
			l.err = mesh.Errorf(mesh.Corrupt, "authority %s names height %d and does not prove it: %w", g.members[i].ID, floor, err)
		}
	}
}

// maxHeader bounds a header with the commit that proves it.
const maxHeader = 256 << 10

// proves checks that a header of the log at a height is signed by more than two thirds of the members.
func (g *Group) proves(b []byte, height int64) error {
	p := new(cmtproto.SignedHeader)
	if err := p.Unmarshal(b); err != nil {
		return mesh.Errorf(mesh.Invalid, "a header: %w", err)
	}
	h, err := types.SignedHeaderFromProto(p)
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "a header: %w", err)
	}
	if err := h.ValidateBasic(h.ChainID); err != nil {
		return mesh.Errorf(mesh.Invalid, "a header: %w", err)
	}
	if h.Height != height {
		return mesh.Errorf(mesh.Invalid, "a header of height %d", h.Height)
	}
	vals := make([]*types.Validator, len(g.members))
	for i, m := range g.members {
		vals[i] = types.NewValidator(cmted.PubKey(m.ConsensusKey[:]), 1)
	}
	if err := types.NewValidatorSet(vals).VerifyCommitLightTrusting(h.ChainID, h.Commit, cmtmath.Fraction{Numerator: 2, Denominator: 3}); err != nil {
		return mesh.Errorf(mesh.Denied, "the header of height %d: %w", height, err)
	}
	return nil
}

func (g *Group) preferred() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first
}

// decided tells whether an error is an authority's judgement rather than its silence.
func decided(err error) bool {
	k := mesh.KindOf(err)
	return k != mesh.Unavailable && k != mesh.Internal && k != mesh.Corrupt
}

// agreed returns a reply that at least need members gave alike, at or above the height floor.
func agreed(latest []*reply, floor int64, need int) *reply {
	type vote struct {
		n int
		r *reply
	}
	votes := map[string]*vote{}
	for _, l := range latest {
		if l == nil || l.err == nil && l.answer.Height < floor || l.err != nil && !decided(l.err) {
			continue
		}
		k := fmt.Sprint("refused ", mesh.KindOf(l.err))
		if l.err == nil {
			d := sha256.New()
			for _, a := range l.answer.Answers {
				h := sha256.Sum256(a)
				d.Write(h[:])
			}
			k = string(d.Sum(nil))
		}
		v := votes[k]
		if v == nil {
			v = &vote{r: l}
			votes[k] = v
		}
		if v.n++; v.n >= need {
			return v.r
		}
	}
	return nil
}

func (g *Group) askAny(ctx context.Context, questions []*wirepb.Question) ([][]byte, mesh.Height, error) {
	first := g.preferred()
	var errs []error
	for i := range g.members {
		m := (first + i) % len(g.members)
		a := new(wirepb.QueryAnswer)
		err := g.call(ctx, g.members[m], wirepb.QueryPath, wirepb.MaxQueryAnswer+64<<10, &wirepb.Query{Questions: questions}, a)
		if err == nil && len(a.Answers) == len(questions) {
			g.heard(m, a.Height)
			return a.Answers, mesh.Height(a.Height), nil
		}
		if err != nil && decided(err) {
			return nil, 0, err
		}
		errs = append(errs, err)
	}
	return nil, 0, silent("no authority answered", errs)
}
