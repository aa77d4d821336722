package function

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Nodes run calls. A *client.Client is that of one account.
type Nodes interface {
	DrawWorkers(ctx context.Context, count int, beside []mesh.NodeID) ([]transfer.Node, error)
	Call(ctx context.Context, node transfer.Node, call *client.Call) (*client.Called, error)
}

// A Function is a program that answers calls.
type Function struct {
	ID    string                                    // of this function in this version: the nodes that run it are kept by it
	Stage *wirepb.Stage                             // its module, what each call gets, and its files
	Files [][]byte                                  // of the stage
	Level uint32                                    // of package compute
	Fetch func(ctx context.Context) ([]byte, error) // brings the module
}

// A Session is one attempt at a call: what it asks, and what comes of it.
type Session interface {
	// Answer answers a request. An error ends the call for all nodes: what is the function's to see is an answer.
	Answer(ctx context.Context, request []byte) ([]byte, error)
	// Commit applies what the call did, which has given this output. Conflict says that what it saw is not so any more: it is run again.
	Commit(ctx context.Context, output []byte) error
}

// An Outcome is what a call gave, when as many nodes agreed as its level wants.
type Outcome struct {
	Result *wirepb.TaskResult
	Output []byte
	Log    []byte   // of one of the nodes
	Cost   mesh.Noz // of all nodes together
	Nodes  []mesh.NodeID
}

// Options of a Runner. The zero value of a field means its default.
type Options struct {
	Rules compute.Digest // by which calls run; nodes with others refuse them
	// Chance gives a number below n. Default that of math/rand.
	Chance func(n int) int
}

const (
	drawTime  = 10 * time.Minute // for which a function keeps the nodes that were drawn for it
	shunTime  = 30 * time.Second // for which a node that gave no result gets no calls
	banTime   = time.Hour        // the same of one that gave a false one
	checkedOf = 16               // calls at level spot, one is run again by another node, by chance
)

// attempts is how often a call is tried: with other nodes, or because what it saw was changed.
const attempts = 6

// A Runner runs functions. It may be used by many goroutines. Close it.
type Runner struct {
	opts Options
	log  *slog.Logger
	own  *lifecycle.Group

	mu     sync.Mutex
	seats  map[string]*seats
	shun   map[mesh.NodeID]time.Time // until when they get no calls
	banned map[mesh.NodeID]time.Time
}

// seats are the nodes that run a function.
type seats struct {
	nodes []transfer.Node
	until time.Time
}

// New makes a Runner.
func New(o Options, log *slog.Logger) *Runner {
	if o.Chance == nil {
		o.Chance = rand.IntN
	}
	return &Runner{opts: o, log: log, own: lifecycle.New(context.Background()), seats: map[string]*seats{}, shun: map[mesh.NodeID]time.Time{}, banned: map[mesh.NodeID]time.Time{}}
}

// Close ends what is checked, and waits for it.
func (r *Runner) Close() error { return r.own.Close() }

// Run runs a call with an input, with variables behind those of the function. begin begins an attempt.
func (r *Runner) Run(ctx context.Context, n Nodes, f *Function, input []byte, env []string, begin func() Session) (*Outcome, error) {
	text := r.text(f, input, env)
	var last error
	cost := mesh.Noz(0)
	for range attempts {
		nodes, err := r.drawn(ctx, n, f)
		if err != nil {
			return nil, orElse(last, err)
		}
		s := begin()
		a := &attempt{runner: r, nodes: n, function: f, call: client.Call{Text: text, Input: input, Files: f.Files, Module: f.Fetch}, talk: &talk{ask: s.Answer}}
		gave, err := a.run(ctx, nodes)
		cost += a.cost
		switch {
		case err != nil && (mesh.KindOf(err) != mesh.Unavailable || a.session != nil || ctx.Err() != nil):
			return nil, err
		case err != nil:
			last = err
			continue
		}
		if compute.Succeeded(gave.Result) {
			if err := s.Commit(ctx, gave.Output); mesh.KindOf(err) == mesh.Conflict && err != nil {
				last = err
				continue
			} else if err != nil {
				return nil, err
			}
		}
		if f.Level == compute.Spot && r.opts.Chance(checkedOf) == 0 {
			r.check(a)
		}
		o := &Outcome{Result: gave.Result, Output: gave.Output, Log: gave.Log, Cost: cost}
		for _, at := range nodes {
			o.Nodes = append(o.Nodes, at.ID)
		}
		return o, nil
	}
	return nil, fmt.Errorf("the call was tried %d times: %w", attempts, last)
}

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// text makes the text of a call.
func (r *Runner) text(f *Function, input []byte, env []string) *wirepb.TaskText {
	stage := proto.CloneOf(f.Stage)
	stage.Env = append(stage.Env, env...)
	root, size := blake3.Sum256(input), uint64(len(input))
	t := &wirepb.TaskText{Rules: r.opts.Rules[:], Stage: stage, Nanos: time.Now().UnixNano(), Inputs: []*wirepb.ComputeInput{{Root: root[:], Size: size, To: size, Whole: true}}}
	compute.SetSeed(t)
	return t
}

// drawn gives the nodes that run a function: those that did before, as far as they may.
func (r *Runner) drawn(ctx context.Context, n Nodes, f *Function) ([]transfer.Node, error) {
	now, want := time.Now(), compute.Workers(f.Level)
	r.mu.Lock()
	for _, m := range []map[mesh.NodeID]time.Time{r.shun, r.banned} {
		for id, until := range m {
			if now.After(until) {
				delete(m, id)
			}
		}
	}
	at := r.seats[f.ID]
	if at == nil || now.After(at.until) {
		at = &seats{until: now.Add(drawTime)}
	}
	nodes := slices.DeleteFunc(slices.Clone(at.nodes), func(n transfer.Node) bool { return r.refused(n.ID) })
	var beside, banned []mesh.NodeID
	for _, n := range nodes {
		beside = append(beside, n.ID)
	}
	for id := range r.banned {
		beside, banned = append(beside, id), append(banned, id)
	}
	sure := slices.Clone(beside)
	for id := range r.shun {
		beside = append(beside, id)
	}
	r.mu.Unlock()
	if len(nodes) < want {
		more, err := n.DrawWorkers(ctx, want-len(nodes), beside)
		if mesh.KindOf(err) == mesh.Unavailable && err != nil && len(sure) < len(beside) { // too few are left: then again those that failed
			more, err = n.DrawWorkers(ctx, want-len(nodes), sure)
		}
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, more...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.seats { // of functions that nobody calls any more
		if now.After(s.until) {
			delete(r.seats, id)
		}
	}
	r.seats[f.ID] = &seats{nodes, at.until}
	return slices.Clone(nodes[:want]), nil
}

// refused tells whether a node gets no calls now; r.mu is held.
func (r *Runner) refused(id mesh.NodeID) bool {
	_, shunned := r.shun[id]
	_, banned := r.banned[id]
	return shunned || banned
}

// avoid has a node get no calls for some time.
func (r *Runner) avoid(id mesh.NodeID, err error) {
	r.log.Info("a node gave no result of a call", "node", id, "err", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shun[id] = time.Now().Add(shunTime)
}

// ban has a node that gave what others who ran the same did not get no calls for long.
func (r *Runner) ban(id mesh.NodeID, f *Function) {
	r.log.Warn("a node gave a false result of a call", "node", id, "function", f.ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.banned[id] = time.Now().Add(banTime)
}

// check has a call that was answered run again by another node, in the background.
func (r *Runner) check(a *attempt) {
	_ = r.own.Go(func(ctx context.Context) error { // the runner may be closing
		ctx, cancel := context.WithTimeout(ctx, compute.CallSeconds*time.Second)
		defer cancel()
		if _, err := a.decide(ctx); err != nil && ctx.Err() == nil {
			r.log.Info("a call was not checked", "function", a.function.ID, "err", err)
		}
		return nil
	})
}
