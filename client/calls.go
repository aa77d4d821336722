package client

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// DrawWorkers has the authorities draw nodes that run tasks, each of another operator and failure domain, and of others than those beside.
// Which are drawn, follows from the group's state and from chance of this client's.
func (c *Client) DrawWorkers(ctx context.Context, count int, beside []mesh.NodeID) ([]transfer.Node, error) {
	q := &wirepb.DrawQuestion{Count: uint32(count), Seed: make([]byte, 32)}
	rand.Read(q.Seed)
	for _, id := range beside {
		q.Beside = append(q.Beside, id[:])
	}
	answers, _, err := c.group.Ask(ctx, group.Honest, &wirepb.Question{Question: &wirepb.Question_Draw{Draw: q}})
	if err != nil {
		return nil, err
	}
	all := new(wirepb.NodesAnswer)
	if _, err := group.Decode(answers[0], all); err != nil {
		return nil, err
	}
	if len(all.Nodes) != count {
		return nil, mesh.Errorf(mesh.Corrupt, "the authorities drew %d nodes, not %d", len(all.Nodes), count)
	}
	var nodes []transfer.Node
	for _, n := range all.Nodes {
		node, err := nodeOf(n.Id, n.Address, n.TlsKey, n.NodeKey)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// A Call is a task that a node runs while its caller waits.
type Call struct {
	Text   *wirepb.TaskText // with one input, read whole
	Input  []byte
	Files  [][]byte                                                             // of Text.Stage.Files
	Module func(ctx context.Context) ([]byte, error)                            // for a node that lacks it
	Answer func(ctx context.Context, request []byte) (answer []byte, err error) // what it asks; nil: it can ask nothing
}

// Called is what a call gave, by the word of its node.
type Called struct {
	Result *wirepb.TaskResult
	Output []byte
	Log    []byte
	Cost   mesh.Noz
}

// runs are what pays for calls: leases of their own, and tickets that last for many calls.
type runs struct {
	leases *leases

	mu       sync.Mutex
	tickets  map[mesh.NodeID]*runTicket
	prices   *wirepb.ComputePrices
	pricesAt time.Time
}

// A runTicket lets a node run calls for so much.
type runTicket struct {
	lease  *lease
	signed *wirepb.Signed
	left   uint64
	until  time.Time
	paying bool // a receipt is on its way
}

const (
	runTicketLife = 45 * time.Second // of the minute that authorities give
	runTicketNoz  = 4 << 20          // that one is for, at least
	pricesAge     = 30 * time.Second
	payAfter      = 2 * time.Second
)

// computePrices are those that governance has set.
func (c *Client) computePrices(ctx context.Context) (*wirepb.ComputePrices, error) {
	c.runs.mu.Lock()
	p, at := c.runs.prices, c.runs.pricesAt
	c.runs.mu.Unlock()
	if p != nil && time.Since(at) < pricesAge {
		return p, nil
	}
	p, err := c.group.ComputePrices(ctx)
	if err == nil {
		c.runs.mu.Lock()
		defer c.runs.mu.Unlock()
		c.runs.prices, c.runs.pricesAt = p, time.Now()
	}
	return p, err
}

// runTicket gives a ticket on which so much is left for a node, and takes it off.
func (c *Client) runTicket(ctx context.Context, node mesh.NodeID, noz uint64) (*runTicket, error) {
	c.runs.mu.Lock()
	t := c.runs.tickets[node]
	if t != nil && t.left >= noz && time.Now().Before(t.until) {
		t.left -= noz
		c.runs.mu.Unlock()
		return t, nil
	}
	c.runs.mu.Unlock()
	amount := max(4*noz, runTicketNoz)
	until := time.Now().Add(runTicketLife)
	l, a, err := c.runs.leases.ticket(ctx, &wirepb.TicketRequest{Runs: []*wirepb.RunPlan{{Node: node[:], Noz: amount}}}, amount)
	if err != nil {
		return nil, err
	}
	t = &runTicket{lease: l, signed: a.TicketRun, left: amount - noz, until: until}
	c.runs.mu.Lock()
	defer c.runs.mu.Unlock()
	c.runs.tickets[node] = t
	return t, nil
}

// Call has a node run a call, pays for what it gave, and gives what it gave by the node's signed word, which fits the call in all that can be checked
// without running it. An error says nothing of the call but that this node gave no result; the kind is Corrupt where it gave one that cannot be.
func (c *Client) Call(ctx context.Context, node transfer.Node, call *Call) (*Called, error) {
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	prices, err := c.computePrices(ctx)
	if err != nil {
		return nil, err
	}
	most := compute.MostOfCall(prices, call.Text)
	for brought := false; ; brought = true {
		t, err := c.runTicket(ctx, node.ID, most)
		if err != nil {
			return nil, err
		}
		req := &wirepb.CallRequest{Text: call.Text, Input: call.Input, Files: call.Files, Ticket: t.signed, Receipt: t.lease.receipt(node.ID), Asks: call.Answer != nil}
		out, wanted, err := c.call(ctx, node, call, req)
		if err != nil {
			return nil, err
		}
		cost := uint64(0)
		if !wanted {
			cost = compute.Price(prices, out.Result.Fuel, out.Result.OutputBytes)
			out.Cost = mesh.Noz(cost)
			t.lease.owe(node.ID, cost)
			c.payLater(node, t)
		}
		c.runs.mu.Lock()
		t.left += most
		t.left -= min(cost, t.left)
		c.runs.mu.Unlock()
		if !wanted {
			return out, nil
		}
		if brought {
			return nil, mesh.Errorf(mesh.Corrupt, "node %s asks for a module that it was given", node.ID)
		}
		module, err := call.Module(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.post(ctx, node, compute.CallModulePath, compute.MaxCallReply, &wirepb.CallModule{Module: module}, new(wirepb.CallReply)); err != nil {
			return nil, err
		}
	}
}

// payLater sends a node the newest receipt in a while, for calls that no other follows by then.
func (c *Client) payLater(node transfer.Node, t *runTicket) {
	c.runs.mu.Lock()
	defer c.runs.mu.Unlock()
	if t.paying {
		return
	}
	t.paying = c.own.Go(func(ctx context.Context) error {
		wait := time.NewTimer(payAfter)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done(): // the client closes: now
		}
		c.runs.mu.Lock()
		t.paying = false
		c.runs.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.post(ctx, node, compute.CallPayPath, 64, &wirepb.CallPay{Receipt: t.lease.receipt(node.ID)}, new(wirepb.CallReply)) // a node that does not take it is not paid
		return nil
	}) == nil
}

func (c *Client) post(ctx context.Context, node transfer.Node, path string, limit int, req, answer proto.Message) error {
	hc, err := c.dialer.Client(node.TLSKey)
	if err != nil {
		return err
	}
	return rpc.Call(ctx, hc, "https://"+node.Address+path, limit, req, answer)
}

// call talks with a node about one call.
func (c *Client) call(ctx context.Context, node transfer.Node, call *Call, req *wirepb.CallRequest) (out *Called, wanted bool, err error) {
	var asked compute.Asked
	r := new(wirepb.CallReply)
	if err := c.post(ctx, node, compute.CallPath, compute.MaxCallReply, req, r); err != nil {
		return nil, false, err
	}
	for n := 0; len(r.Call) > 0; n++ {
		if call.Answer == nil || n == compute.MaxCallAsks {
			return nil, false, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the call asks for the %dth time", n+1), "a call may ask %d times", compute.MaxCallAsks)
		}
		answer, err := call.Answer(ctx, r.Ask)
		if err != nil {
			return nil, false, err
		}
		asked.Add(r.Ask, answer)
		id := r.Call
		r = new(wirepb.CallReply)
		if err := c.post(ctx, node, compute.CallAnswerPath, compute.MaxCallReply, &wirepb.CallAnswer{Call: id, Answer: answer}, r); err != nil {
			return nil, false, err
		}
	}
	if r.WantModule {
		return nil, true, nil
	}
	result := new(wirepb.TaskResult)
	by, err := signed.Open(c.access.domain, r.Result, sign.Call, result)
	if err == nil {
		err = compute.CheckResult(call.Text, result)
	}
	if sum := blake3.Sum256(r.Output); err == nil && (by != node.NodeKey || string(result.Asked) != string(asked.Sum()) || string(result.Output) != string(sum[:]) || result.OutputBytes != uint64(len(r.Output))) {
		err = mesh.Errorf(mesh.Corrupt, "the result is not of what it gave")
	}
	if err != nil {
		return nil, false, mesh.Errorf(mesh.Corrupt, "node %s: %w", node.ID, err)
	}
	return &Called{Result: result, Output: r.Output, Log: r.Log}, false, nil
}

// A Verdict is what placement makes of a node.
type Verdict struct {
	Node    mesh.NodeID `json:"node"`
	Refused string      `json:"refused,omitempty"` // why it can have none
	Weight  uint64      `json:"weight,omitempty"`  // in the lots; the product of its parts
	Parts   []Factor    `json:"parts,omitempty"`
}

// A Factor is a part of a weight.
type Factor struct {
	Name   string `json:"name"`
	Factor uint64 `json:"factor"`
}

// Explain tells what placement makes of each node, when a slice of so many bytes, a cell, a task or a call is to be placed.
func (c *Client) Explain(ctx context.Context, what string, bytes uint64) (all []Verdict, err error) {
	answers, _, err := c.group.Ask(ctx, group.Honest, &wirepb.Question{Question: &wirepb.Question_Explain{Explain: &wirepb.ExplainQuestion{What: what, Bytes: bytes}}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.ExplainAnswer)
	if _, err := group.Decode(answers[0], a); err != nil {
		return nil, err
	}
	for _, v := range a.Verdicts {
		id, err := mesh.FromBytes[mesh.NodeID](v.Node)
		if err != nil {
			return nil, err
		}
		out := Verdict{Node: id, Refused: v.Refused, Weight: v.Weight}
		for _, p := range v.Parts {
			out.Parts = append(out.Parts, Factor{p.Name, p.Factor})
		}
		all = append(all, out)
	}
	return all, nil
}
