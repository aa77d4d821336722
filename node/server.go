package node

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	book "github.com/stratosmesh/stratos/node/traffic"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of the transfer server.
const (
	stepTimeout   = 30 * time.Second // for one step of a write to arrive, or of a read to leave
	maxWriteBytes = 64 << 20         // of slices that are being received, held in memory
	maxConns      = 2048
	maxTickets    = 8192 // verified tickets that are remembered
	maxTicketLife = 10 * time.Minute
)

// transfers serves slices.
type transfers struct {
	node    *Node
	memory  *semaphore.Weighted
	tickets ticketCache
	slices  sync.Pool // of *[]byte: slices that were received
}

func (n *Node) transferPages() http.Handler {
	t := &transfers{node: n, memory: semaphore.NewWeighted(maxWriteBytes), tickets: ticketCache{known: map[[32]byte]traffic.Ticket{}}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+transfer.WritePath, t.write)
	mux.HandleFunc("POST "+transfer.ReadPath, t.read)
	mux.Handle(transfer.TotalPath, rpc.Handler(64, t.total))
	if n.tasks == nil {
		return mux
	}
	mux.Handle(compute.TaskKeysPath, rpc.Handler(compute.MaxKeysRequest, func(_ context.Context, r rpc.Request[wirepb.TaskKeysRequest]) (proto.Message, error) {
		return n.tasks.Keys(r.Peer, r.Message)
	}))
	mux.Handle(compute.TaskPath, rpc.Handler(compute.MaxTaskRequest, func(ctx context.Context, r rpc.Request[wirepb.TaskRequest]) (proto.Message, error) {
		return n.tasks.Do(ctx, r.Peer, r.Message)
	}))
	mux.Handle(compute.CallPath, rpc.Handler(compute.MaxCallRequest, t.call))
	mux.Handle(compute.CallAnswerPath, rpc.Handler(compute.MaxCallAnswerMessage, func(ctx context.Context, r rpc.Request[wirepb.CallAnswer]) (proto.Message, error) {
		return n.tasks.AnswerCall(ctx, r.Peer, r.Message)
	}))
	mux.Handle(compute.CallModulePath, rpc.Limited(func(_ context.Context, peer mesh.PublicKey, _ int64) (int, func(), error) {
		if !n.tasks.Wants(peer) { // who was asked has shown a ticket
			return 0, nil, mesh.Errorf(mesh.Denied, "nobody has asked for a module")
		}
		return compute.MaxCallModule, func() {}, nil
	}, func(_ context.Context, r rpc.Request[wirepb.CallModule]) (proto.Message, error) {
		return new(wirepb.CallReply), n.tasks.PutModule(r.Peer, r.Message.Module)
	}))
	mux.Handle(compute.CallPayPath, rpc.Handler(4<<10, func(_ context.Context, r rpc.Request[wirepb.CallPay]) (proto.Message, error) {
		receipt, err := traffic.OpenReceipt(n.domain, r.Message.Receipt)
		if err != nil {
			return nil, err
		}
		return new(wirepb.CallReply), n.ledger.Agree(receipt.Lease, r.Message.Receipt)
	}))
	mux.Handle(compute.TaskLogPath, rpc.Handler(compute.MaxLogRequest, func(_ context.Context, r rpc.Request[wirepb.TaskLogRequest]) (proto.Message, error) {
		return n.tasks.Log(r.Peer, r.Message)
	}))
	return mux
}

// call begins a call that is paid under a ticket.
func (t *transfers) call(ctx context.Context, r rpc.Request[wirepb.CallRequest]) (proto.Message, error) {
	a, err := t.admit(ctx, r.Message.Ticket, r.Peer, traffic.Run)
	if err != nil {
		return nil, err
	}
	if !a.paid {
		return nil, mesh.Errorf(mesh.Denied, "calls are run under a lease")
	}
	if r.Message.Receipt != nil {
		if err := t.node.ledger.Agree(a.ticket.Lease, r.Message.Receipt); err != nil {
			return nil, err
		}
	}
	return t.node.tasks.Call(ctx, r.Peer, r.Message, t.node.directory.computePrices(), bill{t.node.ledger, a.ticket.Lease})
}

// callCredit is for how many noz of a lease calls are run before a receipt covers them.
const callCredit = 8 << 20

// A bill is a lease in the node's book.
type bill struct {
	ledger *book.Ledger
	lease  mesh.LeaseID
}

func (b bill) Charge(noz uint64) error { return b.ledger.Owe(b.lease, noz, callCredit) }
func (b bill) Return(noz uint64)       { b.ledger.Return(b.lease, noz) }

// admitted is a request whose ticket was checked.
type admitted struct {
	ticket    traffic.Ticket
	allowance traffic.Allowance
	paid      bool // false for authorities, who repair
}

// admit checks a ticket: signed by an authority of the group, for this action, this node, this connection, this time.
func (t *transfers) admit(ctx context.Context, s *wirepb.Signed, peer mesh.PublicKey, action traffic.Action) (a admitted, err error) {
	if a.ticket, err = t.tickets.open(ctx, t.node, s); err != nil {
		return a, err
	}
	if a.ticket.Session != peer {
		return a, mesh.Errorf(mesh.Denied, "the ticket is another session's")
	}
	if a.ticket.Action != action {
		return a, mesh.Errorf(mesh.Denied, "the ticket is for another action")
	}
	var ok bool
	if a.allowance, ok = a.ticket.For(t.node.identity.ID); !ok {
		return a, mesh.Errorf(mesh.Denied, "the ticket has no part for this node")
	}
	if a.ticket.Lease == (mesh.LeaseID{}) {
		if !t.node.directory.isAuthorityTLS(peer) {
			return a, mesh.Errorf(mesh.Denied, "a ticket without a lease is for authorities only")
		}
		if a.ticket.ExpiresMs <= t.node.now().UnixMilli() {
			return a, mesh.Errorf(mesh.Denied, "the ticket has expired")
		}
		return a, nil
	}
	a.paid = true
	return a, t.node.ledger.Admit(a.ticket, s)
}

func (t *transfers) write(w http.ResponseWriter, r *http.Request) {
	sig, err := t.receive(w, r)
	if err != nil {
		w.Header().Set("Connection", "close") // what is left of the body is not read
		rpc.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", rpc.ContentType)
	w.Write(transfer.AckFrame(sig)) // the client is gone when this fails, and asks again
}

func (t *transfers) receive(w http.ResponseWriter, r *http.Request) (sig mesh.Signature, err error) {
	peer, err := tlsid.PeerKey(r.TLS)
	if err != nil {
		return sig, err
	}
	deadline := http.NewResponseController(w)
	extend := func() error {
		if err := deadline.SetReadDeadline(time.Now().Add(stepTimeout)); err != nil {
			return mesh.Errorf(mesh.Internal, "setting a deadline: %w", err)
		}
		return nil
	}
	if err := extend(); err != nil {
		return sig, err
	}
	body := bufio.NewReaderSize(r.Body, 64<<10)
	if err := transfer.ReadPreamble(body); err != nil {
		return sig, err
	}
	q := new(wirepb.WriteRequest)
	if err := transfer.ReadFrame(body, q); err != nil {
		return sig, err
	}
	slice, err := mesh.FromBytes[mesh.SliceID](q.Slice)
	if err != nil {
		return sig, err
	}
	if q.Length == 0 || q.Length > mesh.MaxSlice {
		return sig, mesh.Errorf(mesh.Invalid, "a slice of %d bytes, want 1 to %d", q.Length, mesh.MaxSlice)
	}
	a, err := t.admit(r.Context(), q.Ticket, peer, traffic.Write)
	if err != nil {
		return sig, err
	}
	if err := t.memory.Acquire(r.Context(), int64(q.Length)); err != nil {
		return sig, mesh.Errorf(mesh.Unavailable, "waiting for memory: %w", err)
	}
	defer t.memory.Release(int64(q.Length))
	buf, _ := t.slices.Get().(*[]byte)
	if buf == nil || uint64(cap(*buf)) < q.Length {
		buf = new([]byte)
		*buf = make([]byte, q.Length)
	}
	data := (*buf)[:q.Length]
	for at := 0; at < len(data); {
		if err := extend(); err != nil {
			return sig, err
		}
		step := data[at:min(at+mesh.StepBytes, len(data))]
		receipt := new(wirepb.Signed)
		if err := transfer.ReadFrame(body, receipt); err != nil {
			return sig, err
		}
		if a.paid {
			if err := t.node.ledger.Agree(a.ticket.Lease, receipt); err != nil {
				return sig, err
			}
			if err := t.node.ledger.Deliver(a.ticket.Lease, uint64(len(step))); err != nil {
				return sig, err
			}
		}
		if _, err := io.ReadFull(body, step); err != nil {
			return sig, mesh.Errorf(mesh.Unavailable, "a step did not arrive whole: %w", err)
		}
		at += len(step)
	}
	if err := t.node.store.Put(r.Context(), slice, data); err != nil {
		return sig, err
	}
	t.slices.Put(buf) // not after an error: the store may still read it
	return traffic.Ack{Slice: slice, Length: q.Length, Session: peer}.Sign(t.node.domain, t.node.nodeKey), nil
}

func (t *transfers) read(w http.ResponseWriter, r *http.Request) {
	if err := t.send(w, r); err != nil {
		rpc.WriteError(w, err)
	}
}

func (t *transfers) send(w http.ResponseWriter, r *http.Request) error {
	peer, err := tlsid.PeerKey(r.TLS)
	if err != nil {
		return err
	}
	q := new(wirepb.ReadRequest)
	if err := transfer.ReadFrame(r.Body, q); err != nil {
		return err
	}
	slice, err := mesh.FromBytes[mesh.SliceID](q.Slice)
	if err != nil {
		return err
	}
	if q.Length == 0 || q.Length > mesh.StepBytes {
		return mesh.Errorf(mesh.Invalid, "a read of %d bytes, want 1 to %d", q.Length, mesh.StepBytes)
	}
	a, err := t.admit(r.Context(), q.Ticket, peer, traffic.Read)
	if err != nil {
		return err
	}
	named := false
	for _, s := range a.allowance.Slices {
		named = named || s == slice
	}
	if !named {
		return mesh.Errorf(mesh.Denied, "the ticket does not name slice %s for this node", slice)
	}
	if a.paid {
		if err := t.node.ledger.Agree(a.ticket.Lease, q.Receipt); err != nil {
			return err
		}
		if err := t.node.ledger.Deliver(a.ticket.Lease, q.Length); err != nil {
			return err
		}
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stepTimeout)); err != nil {
		return mesh.Errorf(mesh.Internal, "setting a deadline: %w", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &tracked{w: w}
	err = t.node.store.Range(out, slice, q.Offset, q.Length)
	if err == nil || out.wrote { // once bytes have left, the client's hanging up is the client's loss
		return nil
	}
	if a.paid {
		t.node.ledger.Return(a.ticket.Lease, q.Length)
	}
	if mesh.KindOf(err) == mesh.Corrupt {
		t.node.log.Error("a slice on the disk is damaged", "slice", slice, "err", err)
	}
	return err
}

// tracked knows whether anything was written to it. All of an answer comes in one Write, so its length is known.
type tracked struct {
	w     http.ResponseWriter
	wrote bool
}

func (t *tracked) Write(p []byte) (int, error) {
	if !t.wrote {
		t.w.Header().Set("Content-Length", strconv.Itoa(len(p)))
	}
	t.wrote = true
	return t.w.Write(p)
}

func (t *transfers) total(_ context.Context, r rpc.Request[wirepb.TotalRequest]) (proto.Message, error) {
	lease, err := mesh.FromBytes[mesh.LeaseID](r.Message.Lease)
	if err != nil {
		return nil, err
	}
	return t.node.ledger.Total(lease, r.Peer), nil
}

// ticketCache remembers tickets whose signatures were verified, since one comes with every step.
type ticketCache struct {
	mu    sync.Mutex
	known map[[32]byte]traffic.Ticket
}

func (c *ticketCache) open(ctx context.Context, n *Node, s *wirepb.Signed) (traffic.Ticket, error) {
	if s == nil {
		return traffic.Ticket{}, mesh.Errorf(mesh.Denied, "no ticket")
	}
	h := sha256.New()
	h.Write(s.Body)
	h.Write(s.Key)
	h.Write(s.Signature)
	var id [32]byte
	h.Sum(id[:0])
	c.mu.Lock()
	t, ok := c.known[id]
	c.mu.Unlock()
	if ok && n.directory.signs(t.Authority, s.Key) {
		return t, nil
	}
	t, by, err := traffic.OpenTicket(n.domain, s)
	if err != nil {
		return t, err
	}
	if !n.directory.vouches(ctx, t.Authority, by[:]) {
		return t, mesh.Errorf(mesh.Denied, "the ticket is not signed by the authority %s", t.Authority)
	}
	if ahead := t.ExpiresMs - n.now().UnixMilli(); ahead > maxTicketLife.Milliseconds() {
		return t, mesh.Errorf(mesh.Denied, "the ticket is good for %d ms, at most %s", ahead, maxTicketLife)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxTickets {
		clear(c.known)
	}
	c.known[id] = t
	return t, nil
}

// statusPages is what people and monitors may read in plain HTTP.
func (n *Node) statusPages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/status", http.StatusFound))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s := n.status(r.Context()); !s.Ready {
			http.Error(w, s.Why, http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(n.status(r.Context())) // the reader is gone when this fails
	})
	return mux
}
