package compute

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxCalls is how many calls a node has under way; another is refused as Unavailable.
const maxCalls = 64

// A Bill is under what a call is paid.
type Bill interface {
	// Charge counts noz as delivered, and fails when it is not certain enough that somebody pays them.
	Charge(noz uint64) error
	// Return takes back some of it.
	Return(noz uint64)
}

// A callID names a call that is under way. Nobody but its caller is told.
type callID [16]byte

// A calling is a call that is under way.
type calling struct {
	id      callID
	peer    mesh.PublicKey
	replies chan *wirepb.CallReply // what it asks, and at last what it gave
	answers chan []byte
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has ended; then err says why it gave nothing
	err     error
}

// calls are those under way, and the modules that were asked for.
type calls struct {
	mu     sync.Mutex
	all    map[callID]*calling
	wanted map[mesh.PublicKey]wanted
}

// A wanted is a module that a caller is to bring.
type wanted struct {
	id    ModuleID
	until time.Time
}

const (
	wantTime  = time.Minute
	maxWanted = 256 // callers who are to bring one
)

// want notes that a caller is to bring a module.
func (c *calls) want(peer mesh.PublicKey, id ModuleID) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.wanted, func(_ mesh.PublicKey, w wanted) bool { return now.After(w.until) })
	if _, ok := c.wanted[peer]; !ok && len(c.wanted) >= maxWanted {
		return mesh.Errorf(mesh.Unavailable, "this node waits for %d modules already", maxWanted)
	}
	c.wanted[peer] = wanted{id, now.Add(wantTime)}
	return nil
}

func (c *calls) forget(id callID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, id)
}

// Call begins a call for a peer, whose key the connection proved, and gives its first reply. Only a call that has a result, or that its caller
// abandons, costs something; the latter costs all that it might have.
func (h *Host) Call(ctx context.Context, peer mesh.PublicKey, q *wirepb.CallRequest, prices *wirepb.ComputePrices, bill Bill) (*wirepb.CallReply, error) {
	if err := compute.CheckCall(q); err != nil {
		return nil, err
	}
	if !h.pool.Has(ModuleID(q.Text.Stage.Module)) {
		return &wirepb.CallReply{WantModule: true}, h.calls.want(peer, ModuleID(q.Text.Stage.Module))
	}
	most := compute.MostOfCall(prices, q.Text)
	if err := bill.Charge(most); err != nil {
		return nil, err
	}
	c := &calling{peer: peer, replies: make(chan *wirepb.CallReply), answers: make(chan []byte), done: make(chan struct{})}
	rand.Read(c.id[:])
	h.calls.mu.Lock()
	full := len(h.calls.all) >= maxCalls
	if !full {
		h.calls.all[c.id] = c
	}
	h.calls.mu.Unlock()
	if full {
		bill.Return(most)
		return nil, mesh.Errorf(mesh.Unavailable, "this node has %d calls under way, and takes no more now", maxCalls)
	}
	var own context.Context
	own, c.cancel = context.WithTimeout(h.own.Context(), compute.CallSeconds*time.Second)
	err := h.own.Go(func(context.Context) error {
		defer c.cancel()
		cost, err := h.call(own, c, q, prices, most)
		h.calls.forget(c.id)
		if cost > most {
			if err := bill.Charge(cost - most); err != nil { // its output cost more than what was certain
				h.log.Info("computing: a call is not paid whole", "noz", cost-most, "err", err)
			}
		} else {
			bill.Return(most - cost)
		}
		c.err = err
		close(c.done)
		return nil
	})
	if err != nil {
		c.cancel()
		h.calls.forget(c.id)
		bill.Return(most)
		return nil, mesh.Errorf(mesh.Unavailable, "the node ends: %w", err)
	}
	return h.reply(ctx, c)
}

// AnswerCall goes on with a call that waits for an answer, and gives its next reply.
func (h *Host) AnswerCall(ctx context.Context, peer mesh.PublicKey, a *wirepb.CallAnswer) (*wirepb.CallReply, error) {
	id, err := mesh.FromBytes[callID](a.Call)
	if err != nil {
		return nil, err
	}
	h.calls.mu.Lock()
	c := h.calls.all[id]
	h.calls.mu.Unlock()
	if c == nil || c.peer != peer {
		return nil, mesh.Errorf(mesh.NotFound, "no call waits for this answer; one waits %d s", compute.AnswerSeconds)
	}
	if len(a.Answer) > compute.MaxCallAnswer {
		return nil, mesh.Errorf(mesh.Invalid, "an answer of %d bytes, %d are the most", len(a.Answer), compute.MaxCallAnswer)
	}
	select {
	case c.answers <- a.Answer:
	case <-c.done:
		return nil, c.err
	case <-ctx.Done():
		return nil, mesh.Errorf(mesh.Unavailable, "the call does not wait for an answer: %w", ctx.Err())
	}
	return h.reply(ctx, c)
}

// reply waits for the next reply of a call, whose caller is lost with ctx.
func (h *Host) reply(ctx context.Context, c *calling) (*wirepb.CallReply, error) {
	select {
	case r := <-c.replies:
		return r, nil
	case <-c.done:
		return nil, c.err
	case <-ctx.Done():
		c.cancel()
		return nil, mesh.Errorf(mesh.Unavailable, "waiting for the call: %w", ctx.Err())
	}
}

// errAbandoned is how a call ends whose caller has gone.
var errAbandoned = mesh.Errorf(mesh.Unavailable, "whoever called does not answer")

// call runs a call to its end, and tells what it costs: most, where its caller abandons it.
func (h *Host) call(ctx context.Context, c *calling, q *wirepb.CallRequest, prices *wirepb.ComputePrices, most uint64) (uint64, error) {
	src := &carried{request: q}
	if q.Asks {
		src.ask = func(request []byte) ([]byte, error) { return h.ask(ctx, c, request) }
	}
	var out bytes.Buffer
	log := new(lastBytes)
	r, err := h.pool.Execute(ctx, tenantOf(c.peer), q.Text, src.sources(), &out, log)
	switch {
	case errors.Is(err, errAbandoned):
		return most, err
	case err != nil:
		return 0, err
	}
	reply := &wirepb.CallReply{Result: signed.Seal(h.opts.Domain, h.opts.Key, sign.Call, r), Log: log.b}
	if compute.Succeeded(r) {
		reply.Output = out.Bytes()
	}
	select {
	case c.replies <- reply:
	case <-ctx.Done():
	}
	return compute.Price(prices, r.Fuel, r.OutputBytes), nil
}

// tenantOf is whose calls a session's are: no two sessions share a worker.
func tenantOf(peer mesh.PublicKey) string { return "calls " + string(peer[:]) }

// ask has the caller answer a request.
func (h *Host) ask(ctx context.Context, c *calling, request []byte) ([]byte, error) {
	patience := time.NewTimer(compute.AnswerSeconds * time.Second)
	defer patience.Stop()
	select {
	case c.replies <- &wirepb.CallReply{Call: c.id[:], Ask: request}:
	case <-patience.C:
		return nil, errAbandoned
	case <-ctx.Done():
		return nil, errAbandoned
	}
	select {
	case a := <-c.answers:
		return a, nil
	case <-patience.C:
	case <-ctx.Done():
	}
	return nil, errAbandoned
}

// Wants tells whether a peer was asked for a module, so that what it sends may be read.
func (h *Host) Wants(peer mesh.PublicKey) bool {
	h.calls.mu.Lock()
	defer h.calls.mu.Unlock()
	w, ok := h.calls.wanted[peer]
	return ok && time.Now().Before(w.until)
}

// PutModule keeps the module that a peer was asked for.
func (h *Host) PutModule(peer mesh.PublicKey, module []byte) error {
	h.calls.mu.Lock()
	w, ok := h.calls.wanted[peer]
	delete(h.calls.wanted, peer)
	h.calls.mu.Unlock()
	if !ok {
		return mesh.Errorf(mesh.Denied, "nobody has asked for a module")
	}
	return h.pool.Put(w.id, bytes.NewReader(module))
}

// carried are the input and files of a call, which came with it.
type carried struct {
	request *wirepb.CallRequest
	ask     func([]byte) ([]byte, error)
}

// sources are these, as one that can answer only where the caller does.
func (c *carried) sources() Sources {
	if c.ask == nil {
		return c
	}
	return answering{c}
}

func (c *carried) Module(context.Context) (io.ReadCloser, error) {
	return nil, mesh.Errorf(mesh.Unavailable, "the module has gone meanwhile")
}

func (c *carried) Input(context.Context, int) (compute.Source, error) {
	return bytesSource(c.request.Input), nil
}

func (c *carried) File(_ context.Context, n int) (io.ReaderAt, error) {
	return bytes.NewReader(c.request.Files[n]), nil
}

type answering struct{ *carried }

func (a answering) Answer(request []byte) ([]byte, error) { return a.ask(request) }

// A bytesSource is a source in memory.
type bytesSource []byte

func (b bytesSource) Size() uint64 { return uint64(len(b)) }

func (b bytesSource) Open(offset, length uint64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b[offset:][:length])), nil
}
