package database

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	domain = sign.Domain{Network: mesh.NetworkID{1}, Group: 2}
	shop   = mesh.DatabaseID{3}
	cellID = mesh.CellID{4}
)

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// A fakeCell has a log: a program's outcome is how many were applied when it was, and a question's how many are.
type fakeCell struct {
	t        *testing.T
	replicas []*fakeReplica

	mu      sync.Mutex
	applied map[string]int    // program -> its place
	timeMs  int64             // of the newest block
	code    string            // what every program ends with
	needs   uint64            // gas of a program
	limits  map[string]uint64 // of those that were applied
	shown   int               // times that a session was
	parts   map[string][]byte // that wait, by digest
	brought int               // parts that came
	most    int               // parts that may wait; 0: any
	ran     int               // statements of the newest program that came in parts
	feed    *fakeFeed         // not nil: it answers questions of who follows it
}

// A fakeReplica answers truly, but for what a test changes. Its fields are guarded by the cell's mu.
type fakeReplica struct {
	cell   *fakeCell
	key    ed25519.PrivateKey
	server *httptest.Server
	asked  int // questions and programs that came

	lies     bool          // says one more than the truth
	text     string        // of errors
	refuse   error         // instead of an answer
	behind   int           // blocks that it lags in questions
	loses    int           // answers that do not arrive, though it did what it was asked
	silent   chan struct{} // not nil: it answers only when that is closed
	session  bool          // it knows the session
	deaf     bool          // takes no program
	drops    bool          // parts, which it says that it took
	question []byte        // the question that it signs instead
	signer   ed25519.PrivateKey
	minimum  int64                                      // height that it was asked for last
	backup   func(h *wirepb.BackupHead, export *[]byte) // changes the copy that it sends; nil: it has none
	waited   int                                        // for growth
}

func newFakeCell(t *testing.T, members int) *fakeCell {
	c := &fakeCell{t: t, applied: map[string]int{}, limits: map[string]uint64{}, parts: map[string][]byte{}, timeMs: time.Now().UnixMilli()}
	for i := range members {
		r := &fakeReplica{cell: c, key: keyOf(fmt.Sprint("replica ", i)), session: true, text: "it failed"}
		r.signer = r.key
		cert, err := tlsid.Certificate(r.key)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.Handle(wirepb.CellSubmitPath, rpc.Handler(wiredatabase.MaxTx, r.submit))
		mux.Handle(wirepb.CellQueryPath, rpc.Handler(wiredatabase.MaxQuery, r.query))
		mux.Handle(wirepb.CellGrowthPath, rpc.Handler(128, r.growth))
		mux.Handle(wirepb.CellStatusPath, rpc.Handler(64, r.status))
		mux.HandleFunc("GET "+wirepb.CellCopyPath, r.copy)
		r.server = httptest.NewUnstartedServer(mux)
		r.server.TLS = tlsid.Server(cert)
		r.server.TLS.Certificates = []tls.Certificate{cert}
		r.server.StartTLS()
		t.Cleanup(r.server.Close)
		c.replicas = append(c.replicas, r)
	}
	return c
}

// open returns a database of the cell that asks replica first before the others.
func (c *fakeCell) open(first int, o Options) *DB {
	c.t.Helper()
	cell := Cell{ID: cellID, Version: 1}
	for i, r := range c.replicas {
		cell.Members = append(cell.Members, Member{Node: mesh.NodeID{byte(i)}, Key: mesh.PublicKeyOf(r.key), Address: r.server.Listener.Addr().String()})
	}
	key := keyOf("session")
	d := transfer.NewDialer(key, time.Second)
	c.t.Cleanup(d.Close)
	if o.Patience == 0 {
		o.Patience = 100 * time.Millisecond
	}
	o.Retry = 20 * time.Millisecond
	db, err := Open(shop, "shop", cell, Session{Domain: domain, Key: key, Chain: &wirepb.Chain{}, Dialer: d}, o)
	if err != nil {
		c.t.Fatal(err)
	}
	db.first = first
	return db
}

// with changes the cell while nobody asks it.
func (c *fakeCell) with(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *fakeCell) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.applied)
}

// answer is signed by the replica. It is called with the cell's mu held.
func (r *fakeReplica) answer(height int64, value int, question [32]byte, code string) *wirepb.DatabaseReply {
	if r.lies {
		value++
	}
	o := &wirepb.Outcome{Code: code}
	if code == "" {
		o.Results = []*wirepb.Result{{Rows: []*wirepb.Row{{Values: []*wirepb.Value{{Value: &wirepb.Value_Integer{Integer: int64(value)}}}}}}}
	} else {
		o.Text, o.Hint = r.text, "mend it"
	}
	return r.sign(height, question, o)
}

func (r *fakeReplica) sign(height int64, question [32]byte, o *wirepb.Outcome) *wirepb.DatabaseReply {
	sum := wiredatabase.OutcomeDigest(o)
	a := &wirepb.Answer{Cell: cellID[:], Version: 1, Database: shop[:], Height: height, Question: question[:], Outcome: sum[:]}
	if r.question != nil {
		a.Question = r.question
	}
	return &wirepb.DatabaseReply{Outcome: o, Answer: signed.Seal(domain, r.signer, sign.Answer, a), Height: height}
}

// admit counts who asks, and says what stands in the way. It is called with the cell's mu held.
func (r *fakeReplica) admit() error {
	r.asked++
	if r.refuse != nil {
		return r.refuse
	}
	if !r.session {
		return mesh.Errorf(mesh.Denied, "the session is not known")
	}
	return nil
}

func (r *fakeReplica) await(ctx context.Context) error {
	r.cell.mu.Lock()
	silent := r.silent
	r.cell.mu.Unlock()
	if silent == nil {
		return nil
	}
	select {
	case <-silent:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lost ends the connection instead of an answer. It is called with the cell's mu held.
func (r *fakeReplica) lost() {
	if r.loses > 0 {
		r.loses--
		panic(http.ErrAbortHandler)
	}
}

func (r *fakeReplica) submit(ctx context.Context, q rpc.Request[wirepb.CellTx]) (proto.Message, error) {
	if err := r.await(ctx); err != nil {
		return nil, err
	}
	c := r.cell
	c.mu.Lock()
	defer c.mu.Unlock()
	switch q.Message.Kind {
	case wirepb.CellTxKind_CELL_TX_SESSION:
		r.session = true
		c.shown++
		return new(wirepb.DatabaseReply), nil
	case wirepb.CellTxKind_CELL_TX_REVOCATION:
		return new(wirepb.DatabaseReply), r.admit()
	case wirepb.CellTxKind_CELL_TX_BACKUP:
		return &wirepb.DatabaseReply{Height: 5}, r.admit()
	case wirepb.CellTxKind_CELL_TX_PART:
		p := new(wirepb.ProgramPart)
		if _, err := signed.Open(domain, q.Message.Messages[0], sign.Program, p); err != nil {
			return nil, err
		}
		if err := errors.Join(wiredatabase.CheckPart(p), r.admit()); err != nil {
			return nil, err
		}
		if c.brought++; c.most > 0 && len(c.parts) >= c.most {
			return nil, mesh.Errorf(mesh.Exhausted, "too many parts")
		}
		if sum := wiredatabase.PartDigest(p.Data); !r.drops {
			c.parts[string(sum[:])] = p.Data
		}
		r.lost()
		return new(wirepb.DatabaseReply), nil
	}
	e := new(wirepb.Envelope)
	if _, err := signed.Open(domain, q.Message.Messages[0], sign.Envelope, e); err != nil {
		return nil, err
	}
	if err := r.admit(); err != nil {
		return nil, err
	}
	place, done := c.applied[string(e.Id)]
	switch {
	case done:
	case time.Now().UnixMilli() > e.NotAfterMs:
		return nil, mesh.Errorf(mesh.Conflict, "the envelope's time is over")
	case r.deaf:
		return nil, mesh.Errorf(mesh.Unavailable, "the log takes nothing")
	default:
		var program [][]byte
		for _, d := range e.Parts {
			b, ok := c.parts[string(d)]
			if !ok {
				return nil, mesh.Errorf(mesh.NotFound, "a part is missing")
			}
			program = append(program, b)
		}
		if e.Parts != nil {
			all, err := wiredatabase.Join(e, program)
			if err != nil {
				return nil, err
			}
			c.ran = len(all)
			clear(c.parts)
		}
		place = len(c.applied) + 1
		c.applied[string(e.Id)], c.limits[string(e.Id)] = place, e.GasLimit
	}
	r.lost()
	code := c.code
	if c.limits[string(e.Id)] < c.needs {
		code = wiredatabase.CodeNoGas
	}
	return r.answer(int64(place), place, wiredatabase.Question(q.Message.Messages[0]), code), nil
}

func (r *fakeReplica) query(ctx context.Context, q rpc.Request[wirepb.DatabaseQuery]) (proto.Message, error) {
	if err := r.await(ctx); err != nil {
		return nil, err
	}
	c := r.cell
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := r.admit(); err != nil {
		return nil, err
	}
	r.minimum = q.Message.MinHeight
	if f := c.feed; f != nil {
		return r.sign(int64(len(f.blocks)), wiredatabase.QueryQuestion(q.Message, grant.Role{}), f.outcome(q.Message)), nil
	}
	height := len(c.applied) - r.behind
	r.behind = max(0, r.behind-1)
	r.lost()
	return r.answer(int64(height), height, wiredatabase.QueryQuestion(q.Message, grant.Role{}), c.code), nil
}

func (r *fakeReplica) status(context.Context, rpc.Request[wirepb.CellStatusRequest]) (proto.Message, error) {
	r.cell.mu.Lock()
	defer r.cell.mu.Unlock()
	if r.refuse != nil {
		return nil, r.refuse
	}
	return &wirepb.CellStatus{Height: int64(len(r.cell.applied)), TimeMs: r.cell.timeMs, Databases: []*wirepb.HostedStatus{
		{Database: shop[:], Height: int64(len(r.cell.applied)), Digest: []byte{map[bool]byte{true: 1}[r.lies]}, State: wiredatabase.Open}}}, nil
}

var insert = Program{Statements: []Statement{SQL("INSERT INTO t VALUES(?)", int64(1))}}

func (c *fakeCell) write(db *DB) *Outcome {
	c.t.Helper()
	o, err := db.Exec(c.t.Context(), insert)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func valueOf(o *Outcome, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	if len(o.Results) != 1 || len(o.Results[0].Rows) != 1 {
		return 0, errors.New("another result")
	}
	return o.Results[0].Rows[0][0].(int64), nil
}

func (c *fakeCell) ask(db *DB, l Level) int64 {
	c.t.Helper()
	if l == Ordered {
		n, err := valueOf(db.Query(c.t.Context(), l, SQL("SELECT count(*) FROM t")))
		if err != nil {
			c.t.Fatal(err)
		}
		return n
	}
	o, _, err := db.Ask(c.t.Context(), l, Request{Statements: []*wirepb.Statement{{Sql: "SELECT count(*) FROM t"}}}) // the same question each time
	if err != nil {
		c.t.Fatal(err)
	}
	return o.Results[0].Rows[0].Values[0].GetInteger()
}
