package transfer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Dialer keeps connections to servers that are known by key. It may be used by many goroutines.
type Dialer struct {
	key     ed25519.PrivateKey
	timeout time.Duration

	mu      sync.Mutex
	clients map[mesh.PublicKey]*http.Client
}

// connBuffer is a TLS record. A busy process has thousands of connections, and what is longer goes past the buffers.
const connBuffer = 16 << 10

// NewDialer returns a dialer that shows key, with this timeout for connecting.
func NewDialer(key ed25519.PrivateKey, timeout time.Duration) *Dialer {
	return &Dialer{key: key, timeout: timeout, clients: map[mesh.PublicKey]*http.Client{}}
}

// Client returns the HTTP client whose every connection is to the server that holds the key.
func (d *Dialer) Client(server mesh.PublicKey) (*http.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.clients[server]; c != nil {
		return c, nil
	}
	cert, err := tlsid.Certificate(d.key)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: d.timeout}).DialContext,
		TLSClientConfig:     tlsid.Client(cert, server),
		TLSHandshakeTimeout: d.timeout,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
		WriteBufferSize:     connBuffer,
		ReadBufferSize:      connBuffer,
		DisableCompression:  true,

		ExpectContinueTimeout: d.timeout, // of requests that ask for it
	}}
	d.clients[server] = c
	return c, nil
}

// Close ends idle connections; those in use end with their requests.
func (d *Dialer) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.clients {
		c.CloseIdleConnections()
	}
}

// A Node is where and who a node is.
type Node struct {
	ID      mesh.NodeID
	Address string
	TLSKey  mesh.PublicKey
	NodeKey mesh.PublicKey
}

// A Payer signs receipts. Authorities, whose repairs are not paid for, have none.
type Payer interface {
	// Pay signs the next receipt of a node, over n more bytes. It is called just before they move.
	Pay(node mesh.NodeID, n uint64) *wirepb.Signed
	// Moved ends one Pay: whether the bytes moved, or may have, or certainly did not.
	Moved(node mesh.NodeID, n uint64, moved bool)
}

// Write sends a slice to a node and returns its verified acknowledgement.
func (d *Dialer) Write(ctx context.Context, dom sign.Domain, n Node, req *wirepb.WriteRequest, data []byte, pay Payer) (mesh.Signature, error) {
	hc, err := d.Client(n.TLSKey)
	if err != nil {
		return mesh.Signature{}, err
	}
	body := &writeBody{node: n.ID, pay: pay, rest: data, frame: AppendFrame(AppendPreamble(nil), req)}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+n.Address+WritePath, body)
	if err != nil {
		return mesh.Signature{}, mesh.Errorf(mesh.Invalid, "node %s has the address %q: %w", n.ID, n.Address, err)
	}
	hr.Header.Set("Content-Type", "application/octet-stream")
	resp, err := hc.Do(hr)
	body.settle()
	if err != nil {
		return mesh.Signature{}, rpc.Failed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return mesh.Signature{}, rpc.ReadError(resp)
	}
	return readAck(dom, n, req, mesh.PublicKeyOf(d.key), resp.Body)
}

func readAck(dom sign.Domain, n Node, req *wirepb.WriteRequest, session mesh.PublicKey, r io.Reader) (mesh.Signature, error) {
	s := new(wirepb.Signed)
	if err := ReadFrame(r, s); err != nil {
		return mesh.Signature{}, err
	}
	slice, err := mesh.FromBytes[mesh.SliceID](req.Slice)
	if err != nil {
		return mesh.Signature{}, err
	}
	sig, err := mesh.FromBytes[mesh.Signature](s.Signature)
	if err != nil {
		return mesh.Signature{}, err
	}
	return sig, traffic.Ack{Slice: slice, Length: req.Length, Session: session}.Verify(dom, n.NodeKey, sig[:])
}

// writeBody produces the frames of a write as the connection takes them, so that a receipt is signed only when its step
// is about to move.
type writeBody struct {
	node  mesh.NodeID
	pay   Payer
	frame []byte // goes out first
	step  []byte // then this
	rest  []byte // still without a receipt

	mu      sync.Mutex // the transport may still read when the answer is there
	paid    uint64
	settled bool
}

// settle ends what was paid for: what left may have arrived.
func (w *writeBody) settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = true
	if w.pay != nil {
		w.pay.Moved(w.node, w.paid, true)
	}
}

func (w *writeBody) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.settled {
		return 0, io.ErrClosedPipe
	}
	if len(w.frame) == 0 && len(w.step) == 0 {
		if len(w.rest) == 0 {
			return 0, io.EOF
		}
		n := min(len(w.rest), mesh.StepBytes)
		receipt := new(wirepb.Signed)
		if w.pay != nil {
			receipt = w.pay.Pay(w.node, uint64(n))
			w.paid += uint64(n)
		}
		w.frame, w.step, w.rest = AppendFrame(nil, receipt), w.rest[:n], w.rest[n:]
	}
	from := &w.frame
	if len(w.frame) == 0 {
		from = &w.step
	}
	n := copy(p, *from)
	*from = (*from)[n:]
	return n, nil
}

// MaxProof bounds the bytes of a range's proof beside its data: parents, and what of its groups is outside.
const MaxProof = 64 << 10

// Read reads a range of a slice, at most one step, and verifies it against the slice's name. An answer that does not
// verify is of kind Corrupt: the node served wrong bytes.
func (d *Dialer) Read(ctx context.Context, n Node, ticket *wirepb.Signed, slice mesh.SliceID, offset, length uint64, pay Payer) ([]byte, error) {
	data := make([]byte, length)
	if err := d.ReadInto(ctx, n, ticket, slice, offset, data, pay); err != nil {
		return nil, err
	}
	return data, nil
}

// ReadInto is Read of as many bytes as dst has. On an error dst holds nothing to be believed.
func (d *Dialer) ReadInto(ctx context.Context, n Node, ticket *wirepb.Signed, slice mesh.SliceID, offset uint64, dst []byte, pay Payer) error {
	hc, err := d.Client(n.TLSKey)
	if err != nil {
		return err
	}
	length := uint64(len(dst))
	req := &wirepb.ReadRequest{Ticket: ticket, Slice: slice[:], Offset: offset, Length: length}
	refused := false
	if pay != nil {
		req.Receipt = pay.Pay(n.ID, length)
		defer func() { pay.Moved(n.ID, length, !refused) }()
	}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+n.Address+ReadPath, bytes.NewReader(AppendFrame(nil, req)))
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "node %s has the address %q: %w", n.ID, n.Address, err)
	}
	hr.Header.Set("Content-Type", rpc.ContentType)
	resp, err := hc.Do(hr)
	if err != nil {
		refused = notConnected(err)
		return rpc.Failed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		refused = true
		return rpc.ReadError(resp)
	}
	if err := ReadProof(resp.Body, dst, slice, offset); err != nil {
		if mesh.KindOf(err) == mesh.Corrupt {
			return mesh.Errorf(mesh.Corrupt, "node %s answered with bytes that are not those of slice %s", n.ID, slice)
		}
		return rpc.Failed(err)
	}
	return nil
}

// notConnected tells whether a request failed before anything of it was sent.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// AckFrame is what a node answers a write with.
func AckFrame(sig mesh.Signature) []byte { return AppendFrame(nil, &wirepb.Signed{Signature: sig[:]}) }
