package function

import (
	"context"
	"errors"
	"sync"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/transfer"
)

// An attempt is one try at a call: nodes that run it beside each other, and one or two more where they differ.
type attempt struct {
	runner   *Runner
	nodes    Nodes
	function *Function
	call     client.Call
	talk     *talk
	gave     []given
	cost     mesh.Noz
	session  error // why the session answers no more
}

// A given is what a node made of a call: a result, or a request that no other made.
type given struct {
	node   transfer.Node
	called *client.Called
	stray  []byte
	turn   int // at which it strayed
	err    error
}

// same tells whether two nodes did the same.
func (g given) same(o given) bool {
	if g.called == nil || o.called == nil {
		return g.called == nil && o.called == nil && g.turn == o.turn && string(g.stray) == string(o.stray)
	}
	return compute.ResultDigest(g.called.Result) == compute.ResultDigest(o.called.Result)
}

// run has nodes run the call, and gives what they agree on. Unavailable: there is no agreement, another attempt may bring one.
func (a *attempt) run(ctx context.Context, nodes []transfer.Node) (*client.Called, error) {
	if err := a.ask(ctx, a.talk, nodes...); err != nil {
		return nil, err
	}
	for _, g := range a.gave[1:] {
		if !g.same(a.gave[0]) {
			return a.decide(ctx)
		}
	}
	return a.gave[0].called, nil
}

// ask has nodes run the call beside each other.
func (a *attempt) ask(ctx context.Context, t *talk, nodes ...transfer.Node) error {
	gave := make([]given, len(nodes))
	var all sync.WaitGroup
	var mu sync.Mutex
	for i, n := range nodes {
		all.Add(1)
		go func() {
			defer all.Done()
			s := &side{talk: t}
			call := a.call
			call.Answer = s.answer
			called, err := a.nodes.Call(ctx, n, &call)
			gave[i] = given{node: n, called: called, err: err}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case s.failed != nil:
				a.session = s.failed
			case s.stray != nil:
				gave[i].called, gave[i].stray, gave[i].turn, gave[i].err = nil, s.stray, s.next-1, nil
			case err == nil:
				a.cost += called.Cost
			}
		}()
	}
	all.Wait()
	if a.session != nil {
		return a.session
	}
	var failed []error
	for _, g := range gave {
		if g.err != nil {
			failed = append(failed, g.err)
			if ctx.Err() == nil {
				a.runner.avoid(g.node.ID, g.err)
			}
		}
	}
	if len(failed) > 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "running a call: %w", errors.Join(failed...)), "%s", mesh.HintOf(failed[0]))
	}
	a.gave = append(a.gave, gave...)
	return nil
}

// decide has one more node, and if need be another two, run the call as it went. Those that did not what more nodes than any others did, lied.
// What they agree on may be that the first went astray: then it is no result.
func (a *attempt) decide(ctx context.Context) (*client.Called, error) {
	for _, more := range []int{1, 2} {
		var beside []mesh.NodeID
		for _, g := range a.gave {
			beside = append(beside, g.node.ID)
		}
		nodes, err := a.nodes.DrawWorkers(ctx, more, beside)
		if err != nil {
			return nil, err
		}
		for _, n := range nodes { // each alone: a replay has no first
			if err := a.ask(ctx, a.talk.replay(), n); err != nil {
				return nil, err
			}
		}
		if best := a.most(); best != nil {
			for _, g := range a.gave {
				if !g.same(*best) {
					a.runner.ban(g.node.ID, a.function)
				}
			}
			if best.called == nil {
				return nil, mesh.Errorf(mesh.Unavailable, "what a node asked was not what the function asks")
			}
			return best.called, nil
		}
	}
	return nil, mesh.Errorf(mesh.Unavailable, "no two nodes agree on what the call gives")
}

// most is what at least two nodes did, and more than did anything else; nil where there is no such thing.
func (a *attempt) most() *given {
	best, count, tie := -1, 1, false
	for i := range a.gave {
		n := 0
		for _, g := range a.gave {
			if g.same(a.gave[i]) {
				n++
			}
		}
		switch {
		case n > count:
			best, count, tie = i, n, false
		case n == count && best >= 0 && !a.gave[i].same(a.gave[best]):
			tie = true
		}
	}
	if best < 0 || tie {
		return nil
	}
	return &a.gave[best]
}
