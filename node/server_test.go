package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zeebo/blake3"
	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/internal/httpserve"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// The HTTP server lingers half a second over a connection that it hangs up on, and nothing waits for it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func testKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))
}

// Who is who in these tests.
var (
	authorityReport = testKey(1)
	authorityTLS    = testKey(2)
	sessionKey      = testKey(3)
	strangerKey     = testKey(4)
	authority       = mesh.AuthorityIDOf(mesh.PublicKeyOf(authorityReport))
	lease           = mesh.LeaseID{1, 2, 3}
)

// A served is a node whose transfer server listens on loopback; it speaks with no authority.
type served struct {
	*Node
	t    *testing.T
	dial *transfer.Dialer // as the session
	at   transfer.Node
}

func serveNode(t *testing.T) *served {
	home := t.TempDir()
	id, err := Init(home)
	if err != nil {
		t.Fatal(err)
	}
	member := group.Member{ID: authority, Address: "127.0.0.1:1", TLSKey: mesh.PublicKeyOf(authorityTLS), ReportKey: mesh.PublicKeyOf(authorityReport)}
	if err := WriteConfig(home, Config{Name: "n", Network: mesh.NetworkID{6}, Transfer: "127.0.0.1:0", Status: "127.0.0.1:0", Authorities: []group.Member{member}, Capacity: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	n, err := New(home, Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tlsid.Certificate(n.tlsKey)
	if err != nil {
		t.Fatal(err)
	}
	s := httpserve.Server(n.transferPages(), tlsid.Server(cert), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpserve.Run(ctx, s, n.transferListener) }()
	sv := &served{Node: n, t: t, dial: transfer.NewDialer(sessionKey, 5*time.Second),
		at: transfer.Node{ID: id.ID, Address: n.transferListener.Addr().String(), TLSKey: id.TLSKey, NodeKey: id.NodeKey}}
	t.Cleanup(func() {
		sv.dial.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return sv
}

// ticket signs a ticket for the session, over a range of the lease.
func (s *served) ticket(action traffic.Action, from, to mesh.Noz, change func(*traffic.Ticket), slices ...mesh.SliceID) *wirepb.Signed {
	t := traffic.Ticket{Authority: authority, Lease: lease, Session: mesh.PublicKeyOf(sessionKey), Action: action, ExpiresMs: time.Now().Add(time.Minute).UnixMilli(),
		Allowances: []traffic.Allowance{{Node: s.identity.ID, From: from, To: to, Slices: slices}}}
	if change != nil {
		change(&t)
	}
	return t.Seal(s.domain, authorityReport)
}

// A purse signs running totals.
type purse struct {
	d     sign.Domain
	key   ed25519.PrivateKey
	lease mesh.LeaseID
	total uint64
}

func (p *purse) Pay(n mesh.NodeID, more uint64) *wirepb.Signed {
	p.total += more
	return traffic.Receipt{Lease: p.lease, Node: n, Total: mesh.Noz(p.total)}.Seal(p.d, p.key)
}

func (p *purse) Moved(_ mesh.NodeID, n uint64, moved bool) {
	if !moved {
		p.total -= n
	}
}

func (s *served) purse() *purse { return &purse{s.domain, sessionKey, lease, 0} }

func randomSlice(n int) (mesh.SliceID, []byte) {
	b := make([]byte, n)
	h := blake3.New()
	h.Write([]byte("slice"))
	if _, err := io.ReadFull(h.Digest(), b); err != nil {
		panic(err)
	}
	return blake3.Sum256(b), b
}

func (s *served) refused(what string, kind mesh.Kind, err error) {
	s.t.Helper()
	if err == nil || mesh.KindOf(err) != kind {
		s.t.Errorf("%s: got %v (%s), want %s", what, err, mesh.KindOf(err), kind)
	}
}

// empty checks that nothing is kept.
func (s *served) empty() {
	s.t.Helper()
	if n := s.store.Stats().Slices; n != 0 {
		s.t.Errorf("%d slices are kept", n)
	}
}

// post sends bytes as they are and returns the error that the node answers.
func (s *served) post(d *transfer.Dialer, path string, body io.Reader) error {
	s.t.Helper()
	c, err := d.Client(s.at.TLSKey)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := c.Post("https://"+s.at.Address+path, "application/octet-stream", body)
	if err != nil {
		return rpc.Failed(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return rpc.ReadError(r)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

func TestWriteAndRead(t *testing.T) {
	s := serveNode(t)
	const size = mesh.StepBytes*2 + 12_345
	id, data := randomSlice(size)
	p := s.purse()
	ctx := t.Context()
	if _, err := s.dial.Write(ctx, s.domain, s.at, &wirepb.WriteRequest{Ticket: s.ticket(traffic.Write, 0, size, nil), Slice: id[:], Length: size}, data, p); err != nil {
		t.Fatal(err)
	}
	if p.total != size || s.store.Stats().Slices != 1 {
		t.Fatalf("paid %d of %d, %d slices", p.total, size, s.store.Stats().Slices)
	}
	const at, length = 70_001, 99_999
	ticket := s.ticket(traffic.Read, size, size+3*length, nil, id)
	got, err := s.dial.Read(ctx, s.at, ticket, id, at, length, p)
	if err != nil || !bytes.Equal(got, data[at:at+length]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	total := new(wirepb.TotalAnswer)
	if err := s.call(s.dial, total); err != nil || total.Delivered != size+length {
		t.Errorf("delivered %d, %v", total.Delivered, err)
	}
	stranger := transfer.NewDialer(strangerKey, time.Second)
	defer stranger.Close()
	if err := s.call(stranger, total); err != nil || total.Delivered != 0 || total.Receipt != nil {
		t.Errorf("a stranger learns %v, %v", total, err)
	}
	// What is not there is not paid for, and the step counts for the next.
	none := mesh.SliceID{9}
	_, err = s.dial.Read(ctx, s.at, s.ticket(traffic.Read, size+3*length, size+4*length, nil, none), none, 0, length, p)
	s.refused("a slice that is not there", mesh.NotFound, err)
	if _, err := s.dial.Read(ctx, s.at, ticket, id, 0, length, p); err != nil || p.total != size+2*length {
		t.Errorf("paid %d, %v", p.total, err)
	}
	_, err = s.dial.Read(ctx, s.at, ticket, id, size-10, 11, p)
	s.refused("beyond the end", mesh.Invalid, err)
	_, err = s.dial.Read(ctx, s.at, ticket, id, 0, 3*length, p)
	s.refused("beyond the tickets", mesh.Exhausted, err)
}

func (s *served) call(d *transfer.Dialer, into *wirepb.TotalAnswer) error {
	c, err := d.Client(s.at.TLSKey)
	if err != nil {
		return err
	}
	return rpc.Call(context.Background(), c, "https://"+s.at.Address+transfer.TotalPath, 1<<16, &wirepb.TotalRequest{Lease: lease[:]}, into)
}

// A ticket that is not this session's, node's, action's or time's, or not by an authority, moves nothing.
func TestTicketsOfOthers(t *testing.T) {
	s := serveNode(t)
	id, data := randomSlice(1000)
	forged := traffic.Ticket{Authority: authority, Lease: lease, Session: mesh.PublicKeyOf(sessionKey), Action: traffic.Write, ExpiresMs: 1 << 60,
		Allowances: []traffic.Allowance{{Node: s.identity.ID, To: 1000}}}
	broken := s.ticket(traffic.Write, 0, 1000, nil)
	broken.Signature[0] ^= 1
	for _, c := range []struct {
		what string
		kind mesh.Kind
		t    *wirepb.Signed
	}{
		{"none", mesh.Denied, nil},
		{"an empty one", mesh.Invalid, new(wirepb.Signed)},
		{"another session's", mesh.Denied, s.ticket(traffic.Write, 0, 1000, func(t *traffic.Ticket) { t.Session = mesh.PublicKeyOf(strangerKey) })},
		{"another node's", mesh.Denied, s.ticket(traffic.Write, 0, 1000, func(t *traffic.Ticket) { t.Allowances[0].Node[0]++ })},
		{"to read", mesh.Denied, s.ticket(traffic.Read, 0, 1000, nil)},
		{"expired", mesh.Denied, s.ticket(traffic.Write, 0, 1000, func(t *traffic.Ticket) { t.ExpiresMs = time.Now().UnixMilli() - 1 })},
		{"of an unknown authority", mesh.Denied, s.ticket(traffic.Write, 0, 1000, func(t *traffic.Ticket) { t.Authority[0]++ })},
		{"signed by its session", mesh.Denied, forged.Seal(s.domain, sessionKey)},
		{"signed by the authority's other key", mesh.Denied, forged.Seal(s.domain, authorityTLS)},
		{"of another network", mesh.Denied, forged.Seal(sign.Domain{}, authorityReport)},
		{"with a wrong signature", mesh.Denied, broken},
		{"without a lease", mesh.Denied, s.ticket(traffic.Write, 0, 1000, func(t *traffic.Ticket) { t.Lease = mesh.LeaseID{} })},
		{"for too little", mesh.Exhausted, s.ticket(traffic.Write, 0, 999, nil)},
	} {
		_, err := s.dial.Write(t.Context(), s.domain, s.at, &wirepb.WriteRequest{Ticket: c.t, Slice: id[:], Length: 1000}, data, s.purse())
		if mesh.KindOf(err) == mesh.Unavailable { // the node hung up before it read the body: then the answer may be lost
			body := append(transfer.AppendFrame(transfer.AppendPreamble(nil), &wirepb.WriteRequest{Ticket: c.t, Slice: id[:], Length: 1000}), transfer.AppendFrame(nil, s.purse().Pay(s.at.ID, 1000))...)
			err = s.post(s.dial, transfer.WritePath, bytes.NewReader(body))
		}
		s.refused("a ticket "+c.what, c.kind, err)
		s.empty()
	}
	// The same bytes by another session, which saw the ticket on its way.
	stranger := transfer.NewDialer(strangerKey, time.Second)
	defer stranger.Close()
	_, err := stranger.Write(t.Context(), s.domain, s.at, &wirepb.WriteRequest{Ticket: s.ticket(traffic.Write, 0, 1000, nil), Slice: id[:], Length: 1000}, data, &purse{s.domain, strangerKey, lease, 0})
	s.refused("a stolen ticket", mesh.Denied, err)
	s.empty()
	// An authority repairs without paying.
	a := transfer.NewDialer(authorityTLS, time.Second)
	defer a.Close()
	free := s.ticket(traffic.Write, 0, 0, func(t *traffic.Ticket) { t.Lease, t.Session = mesh.LeaseID{}, mesh.PublicKeyOf(authorityTLS) })
	if _, err := a.Write(t.Context(), s.domain, s.at, &wirepb.WriteRequest{Ticket: free, Slice: id[:], Length: 1000}, data, nil); err != nil {
		t.Errorf("an authority: %v", err)
	}
}

// A request's beginning, and what follows it, for writes that no client of ours would make.
func (s *served) preamble(q *wirepb.WriteRequest) []byte {
	return transfer.AppendFrame(transfer.AppendPreamble(nil), q)
}

func TestMalformedWrites(t *testing.T) {
	s := serveNode(t)
	id, data := randomSlice(1000)
	other, _ := randomSlice(999)
	ticket := s.ticket(traffic.Write, 0, 1<<30, nil)
	request := func(slice []byte, length uint64) *wirepb.WriteRequest {
		return &wirepb.WriteRequest{Ticket: ticket, Slice: slice, Length: length}
	}
	pay := func(total uint64) []byte {
		return transfer.AppendFrame(nil, traffic.Receipt{Lease: lease, Node: s.identity.ID, Total: mesh.Noz(total)}.Seal(s.domain, sessionKey))
	}
	cat := func(parts ...[]byte) io.Reader { return bytes.NewReader(bytes.Join(parts, nil)) }
	long := binary.BigEndian.AppendUint32(nil, transfer.MaxFrame+1)
	for _, c := range []struct {
		what string
		kind mesh.Kind
		body io.Reader
	}{
		{"nothing", mesh.Invalid, cat()},
		{"another protocol", mesh.Invalid, cat([]byte("GET / HTTP/1.1\r\n\r\n"))},
		{"a later version", mesh.Invalid, cat([]byte("stwr\x00\x02"), transfer.AppendFrame(nil, request(id[:], 1000)))},
		{"a long frame", mesh.Invalid, cat(transfer.AppendPreamble(nil), long, make([]byte, 100))},
		{"an unknown field", mesh.Invalid, cat(transfer.AppendPreamble(nil), []byte{0, 0, 0, 3, 0xf8, 0x07, 0x01})},
		{"a name like a path", mesh.Invalid, cat(s.preamble(request([]byte("../../../../../../etc/passwd"), 1000)))},
		{"a name of 33 bytes", mesh.Invalid, cat(s.preamble(request(append(id[:], 0), 1000)))},
		{"a slice of nothing", mesh.Invalid, cat(s.preamble(request(id[:], 0)))},
		{"a slice too long", mesh.Invalid, cat(s.preamble(request(id[:], mesh.MaxSlice+1)))},
		{"an unsigned receipt", mesh.Invalid, cat(s.preamble(request(id[:], 1000)), transfer.AppendFrame(nil, new(wirepb.Signed)), data)},
		{"a receipt by another key", mesh.Denied, cat(s.preamble(request(id[:], 1000)),
			transfer.AppendFrame(nil, traffic.Receipt{Lease: lease, Node: s.identity.ID, Total: 1000}.Seal(s.domain, strangerKey)), data)},
		{"a receipt that is short by a byte", mesh.Denied, cat(s.preamble(request(id[:], 1000)), pay(999), data)},
		{"a long receipt", mesh.Invalid, cat(s.preamble(request(id[:], 1000)), long, data)},
		{"half the bytes", mesh.Unavailable, cat(s.preamble(request(id[:], 1000)), pay(1000), data[:500])},
		{"no bytes", mesh.Unavailable, cat(s.preamble(request(id[:], 1000)), pay(2000))},
		{"other bytes than the name's", mesh.Corrupt, cat(s.preamble(request(other[:], 1000)), pay(4000), data)},
	} {
		s.refused(c.what, c.kind, s.post(s.dial, transfer.WritePath, c.body))
		s.empty()
	}
}

// A writer that breaks off leaves nothing: neither a slice nor the memory that was set aside for it.
func TestBrokenOffWrites(t *testing.T) {
	s := serveNode(t)
	id, data := randomSlice(mesh.StepBytes + 1000)
	ticket, p := s.ticket(traffic.Write, 0, 1<<30, nil), s.purse()
	for range 5 { // together more than the memory for slices on their way, if it did not come back
		head := s.preamble(&wirepb.WriteRequest{Ticket: ticket, Slice: id[:], Length: mesh.MaxSlice})
		head = append(head, transfer.AppendFrame(nil, p.Pay(s.at.ID, mesh.StepBytes))...)
		broken := io.MultiReader(bytes.NewReader(append(head, data[:1000]...)), iotest.ErrReader(errors.New("the writer is gone")))
		if err := s.post(s.dial, transfer.WritePath, broken); err == nil {
			t.Error("half a write was answered")
		}
	}
	s.empty()
	p = &purse{s.domain, sessionKey, mesh.LeaseID{8}, 0}
	fresh := s.ticket(traffic.Write, 0, 1<<30, func(t *traffic.Ticket) { t.Lease = p.lease })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.dial.Write(ctx, s.domain, s.at, &wirepb.WriteRequest{Ticket: fresh, Slice: id[:], Length: uint64(len(data))}, data, p); err != nil {
		t.Error(err)
	}
}

func TestMalformedReads(t *testing.T) {
	s := serveNode(t)
	id, data := randomSlice(5000)
	p := s.purse()
	if _, err := s.dial.Write(t.Context(), s.domain, s.at, &wirepb.WriteRequest{Ticket: s.ticket(traffic.Write, 0, 5000, nil), Slice: id[:], Length: 5000}, data, p); err != nil {
		t.Fatal(err)
	}
	ticket := s.ticket(traffic.Read, 5000, 100_000, nil, id)
	receipt := traffic.Receipt{Lease: lease, Node: s.identity.ID, Total: 6000}.Seal(s.domain, sessionKey)
	for _, c := range []struct {
		what string
		kind mesh.Kind
		q    *wirepb.ReadRequest
	}{
		{"without a ticket", mesh.Denied, &wirepb.ReadRequest{Slice: id[:], Length: 10}},
		{"with a ticket to write", mesh.Denied, &wirepb.ReadRequest{Ticket: s.ticket(traffic.Write, 0, 5000, nil, id), Slice: id[:], Length: 10}},
		{"of a slice that the ticket does not name", mesh.Denied, &wirepb.ReadRequest{Ticket: ticket, Slice: make([]byte, 32), Length: 10, Receipt: receipt}},
		{"of a name like a path", mesh.Invalid, &wirepb.ReadRequest{Ticket: ticket, Slice: []byte("../../etc/passwd"), Length: 10, Receipt: receipt}},
		{"of nothing", mesh.Invalid, &wirepb.ReadRequest{Ticket: ticket, Slice: id[:], Receipt: receipt}},
		{"of more than a step", mesh.Invalid, &wirepb.ReadRequest{Ticket: ticket, Slice: id[:], Length: mesh.StepBytes + 1, Receipt: receipt}},
		{"without a receipt", mesh.Invalid, &wirepb.ReadRequest{Ticket: ticket, Slice: id[:], Length: 10}},
		{"with a receipt for less", mesh.Denied, &wirepb.ReadRequest{Ticket: ticket, Slice: id[:], Length: 1001, Receipt: receipt}},
		{"from beyond the end", mesh.Invalid, &wirepb.ReadRequest{Ticket: ticket, Slice: id[:], Offset: 1<<64 - 5, Length: 10, Receipt: receipt}},
	} {
		s.refused("a read "+c.what, c.kind, s.post(s.dial, transfer.ReadPath, bytes.NewReader(transfer.AppendFrame(nil, c.q))))
	}
	total := new(wirepb.TotalAnswer)
	if err := s.call(s.dial, total); err != nil || total.Delivered != 5000 {
		t.Errorf("%d bytes are counted as delivered, %v", total.Delivered, err)
	}
}

// Messages that nobody asked for, and connections without a key, get nothing.
func TestUnsolicited(t *testing.T) {
	s := serveNode(t)
	ack := transfer.AckFrame(mesh.Signature{1})
	for _, path := range []string{transfer.WritePath, transfer.ReadPath, transfer.TotalPath} {
		s.refused("an acknowledgement at "+path, mesh.Invalid, s.post(s.dial, path, bytes.NewReader(ack)))
	}
	c, err := s.dial.Client(s.at.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/v1/", "/v1/write/../read", "/slices/", "/v1/ack", "/debug/pprof/"} {
		r, err := c.Get("https://" + s.at.Address + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode < 400 {
			t.Errorf("%s answers %s", path, r.Status)
		}
	}
	cert, err := tlsid.Certificate(sessionKey)
	if err != nil {
		t.Fatal(err)
	}
	config := tlsid.Client(cert, s.at.TLSKey)
	config.Certificates = nil
	tr := &http.Transport{TLSClientConfig: config}
	defer tr.CloseIdleConnections()
	q := bytes.NewReader(wire.Encode(&wirepb.TotalRequest{Lease: lease[:]}))
	if r, err := (&http.Client{Transport: tr}).Post("https://"+s.at.Address+transfer.TotalPath, rpc.ContentType, q); err == nil {
		r.Body.Close()
		t.Errorf("a connection without a key is answered %s", r.Status)
	}
	// A client that expects another key hangs up.
	wrong, err := s.dial.Client(mesh.PublicKeyOf(strangerKey))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := wrong.Get("https://" + s.at.Address + "/"); err == nil {
		r.Body.Close()
		t.Error("a server with another key is believed")
	} else {
		s.refused("another server", mesh.Denied, rpc.Failed(err))
	}
	s.empty()
}

// What was handed in and not credited is handed in again, as another transaction: the log answers the same one as it did before.
func TestHandingInAgain(t *testing.T) {
	s := serveNode(t)
	now := time.Now()
	s.now = func() time.Time { return now }
	first := s.settlement(nil)
	now = now.Add(time.Second)
	if again := s.settlement(nil); bytes.Equal(first, again) {
		t.Error("receipts are handed in a second time by the same transaction")
	}
}
