package meta

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ethereum/go-ethereum/crypto"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var testDomain = sign.Domain{Network: mesh.NetworkID{7}}

type believing struct{}

func (believing) Verify(_ []byte, f *wirepb.Facts, _ uint64, _ int64) (v state.VerifiedFacts, err error) {
	for _, r := range f.Facts {
		v.Records = append(v.Records, r.Record)
	}
	v.Height = int64(binary.BigEndian.Uint64(f.Head))
	return v, nil
}

func labelled(label string) []byte { h := sha256.Sum256([]byte(label)); return h[:] }

func testKey(label string) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(labelled(label)) }

// A town is a group's state with one authority, nodes, and one account with a session.
type town struct {
	t       *testing.T
	m       *state.Machine
	now     time.Time
	owner   account.Key
	session ed25519.PrivateKey
	self    mesh.AuthorityID
	nodes   []ed25519.PrivateKey
}

func memDB(t *testing.T, fs vfs.FS, dir string) *pebble.DB {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type silent struct{}

func (silent) Infof(string, ...any)         {}
func (silent) Errorf(string, ...any)        {}
func (silent) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func newTown(t *testing.T, nodes int) *town {
	db := memDB(t, vfs.NewMem(), "state")
	t.Cleanup(func() { db.Close() })
	m, err := state.Open(db, testDomain, believing{}, state.Founding{EpochBlocks: 10})
	if err != nil {
		t.Fatal(err)
	}
	k, err := crypto.ToECDSA(labelled("owner"))
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, m: m, now: time.UnixMilli(1_700_000_000_000), owner: account.NewKey(k), session: testKey("session")}
	own := mesh.PublicKeyOf(testKey("authority"))
	w.self = mesh.AuthorityIDOf(own)
	other := mesh.PublicKeyOf(testKey("other authority"))
	otherID := mesh.AuthorityIDOf(other)
	set := []*wirepb.AuthorityRecord{{Id: w.self[:], Operator: make([]byte, 20), ReportKey: own[:], ConsensusKey: own[:], TlsKey: own[:]},
		{Id: otherID[:], Operator: make([]byte, 20), ReportKey: other[:], ConsensusKey: other[:], TlsKey: other[:]}}
	if string(set[0].Id) > string(set[1].Id) {
		set[0], set[1] = set[1], set[0]
	}
	who := w.owner.Account()
	f := &wirepb.Facts{Head: binary.BigEndian.AppendUint64(nil, 1)}
	add := func(r *wirepb.OutboxRecord) {
		f.Facts = append(f.Facts, &wirepb.Fact{Sequence: uint64(len(f.Facts)), Record: outbox.Encode(r)})
	}
	add(&wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Authorities{Authorities: &wirepb.AuthoritySet{Authorities: set}}})
	add(&wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_OzoneCredited{OzoneCredited: &wirepb.OzoneCredited{Account: who[:], CreditedNoz: 1 << 40}}})
	for i := range nodes {
		k := testKey(fmt.Sprint("node ", i))
		w.nodes = append(w.nodes, k)
		pub := mesh.PublicKeyOf(k)
		id := mesh.NodeIDOf(pub)
		add(&wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Node{Node: &wirepb.NodeRecord{Id: id[:], Operator: labelled(fmt.Sprint(i))[:20], NodeKey: pub[:], TlsKey: pub[:],
			Kinds: placement.Storage | placement.Compute*uint32(i%2), Address: "127.0.0.1:1", Status: wirepb.NodeStatus_NODE_STATUS_ACTIVE}}})
	}
	w.apply(wirepb.TxKind_TX_FACTS, testKey("authority"), f)
	for _, n := range w.nodes {
		id := mesh.NodeIDOf(mesh.PublicKeyOf(n))
		w.apply(wirepb.TxKind_TX_STATUS, testKey("authority"), &wirepb.NodeStatusVote{Node: id[:], Status: state.Online, FreeBytes: 1 << 40, AtMs: w.now.UnixMilli()})
	}
	w.open(w.session, "all", nil)
	w.apply(wirepb.TxKind_TX_BUCKET, w.session, &wirepb.Bucket{Name: "photos", Action: index.CreateBucket, AtMs: w.now.UnixMilli()})
	return w
}

func (w *town) apply(kind wirepb.TxKind, by ed25519.PrivateKey, m proto.Message) {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	tx := state.NewTx(kind, signed.Seal(testDomain, by, state.PurposeOf(kind), m))
	o, err := w.m.Apply(state.Block{Height: w.m.Tip().Height + 1, TimeMs: w.now.UnixMilli(), Txs: [][]byte{tx}})
	if err != nil {
		w.t.Fatal(err)
	}
	if r := o.Results[0]; r.Kind != 0 {
		w.t.Fatal(r.Text)
	}
	if err := w.m.Commit(o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) open(key ed25519.PrivateKey, label string, change func(*wirepb.Link)) {
	w.t.Helper()
	pub := mesh.PublicKeyOf(key)
	l := &wirepb.Link{Id: labelled(label)[:16], Holder: pub[:], Operations: uint32(grant.All), NotBeforeMs: 1, ExpiresMs: w.now.UnixMilli() + 1e9}
	if change != nil {
		change(l)
	}
	c, err := grant.Root(testDomain, w.owner, l)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(wirepb.TxKind_TX_SESSION, key, &wirepb.Session{Chain: c})
}

func (w *town) lease(label string, by ed25519.PrivateKey, amount mesh.Noz, authority mesh.AuthorityID) mesh.LeaseID {
	w.t.Helper()
	id := mesh.LeaseID(labelled(label)[:16])
	w.apply(wirepb.TxKind_TX_LEASE, by, traffic.Lease{ID: id, Amount: amount, Authority: authority, ExpiresMs: w.now.UnixMilli() + 3600_000}.Message())
	return id
}

// object writes an object of one segment and returns that.
func (w *town) object(name string) *wirepb.Segment {
	w.t.Helper()
	s := &wirepb.Segment{Length: 5000, DataPieces: 1, PieceBytes: 5000}
	slice := mesh.SliceID(labelled("slice " + name))
	for _, n := range w.nodes[:3] {
		id := mesh.NodeIDOf(mesh.PublicKeyOf(n))
		sig := traffic.Ack{Slice: slice, Length: 5000, Session: mesh.PublicKeyOf(w.session)}.Sign(testDomain, n)
		s.Pieces = append(s.Pieces, &wirepb.Piece{Slice: slice[:], Node: id[:], Ack: sig[:]})
	}
	id := index.SegmentIDOf(s)
	e := &wirepb.Entry{Bucket: "photos", Key: name, Version: []byte("sixteen bytes id"), ModifiedMs: w.now.UnixMilli(), Size: 5000 - index.TagBytes, FrameBytes: mesh.FrameBytes, WrappedKey: make([]byte, 60),
		Segments: []*wirepb.Segment{s}, Extents: []*wirepb.Extent{{Segment: id[:], Length: 5000}}}
	root := index.NewContentRoot(e.Size, e.FrameBytes, nil)
	root.Add(e.Extents...)
	e.ContentRoot = root.Sum()
	w.apply(wirepb.TxKind_TX_ENTRY, w.session, e)
	return s
}

func (w *town) issue(o *ticketOffice, session ed25519.PrivateKey, q *wirepb.TicketRequest) (*wirepb.TicketAnswer, error) {
	w.t.Helper()
	r := w.m.Reader()
	defer r.Close()
	return o.issue(r, q, mesh.PublicKeyOf(session), func(_ mesh.NodeID, n *statepb.Node) (bool, uint64) { return n.Status == state.Online, n.FreeBytes }, w.now)
}

func write(id mesh.LeaseID, pieceBytes uint64) *wirepb.TicketRequest {
	return &wirepb.TicketRequest{Lease: id[:], Writes: []*wirepb.WritePlan{{PieceBytes: pieceBytes, Bucket: "photos", Key: "a"}}}
}

// Ranges of one lease never meet, whatever crashes come in between, and never leave the lease.
func TestRangesAreDisjointAcrossCrashes(t *testing.T) {
	w := newTown(t, 3)
	const amount = 700 << 20
	id := w.lease("a", w.session, amount, w.self)
	fs := vfs.NewCrashableMem()
	db := memDB(t, fs, "tickets")
	defer func() { db.Close() }()
	office := newTicketOffice(testDomain, w.self, testKey("authority"), db)
	type span struct{ from, to mesh.Noz }
	var spans []span
	exhausted := false
	for i := 0; !exhausted; i++ {
		a, err := w.issue(office, w.session, write(id, 8<<20))
		if mesh.KindOf(err) == mesh.Exhausted && err != nil {
			exhausted = true
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ticket, by, err := traffic.OpenTicket(testDomain, a.TicketWrite)
		if err != nil || by != mesh.PublicKeyOf(testKey("authority")) {
			t.Fatalf("signed by %s, %v", by, err)
		}
		if len(ticket.Allowances) != 3 || ticket.Session != mesh.PublicKeyOf(w.session) || ticket.Action != traffic.Write || ticket.ExpiresMs > w.now.Add(ticketLife).UnixMilli() {
			t.Fatalf("ticket %+v", ticket)
		}
		for _, x := range ticket.Allowances {
			if x.To-x.From != 8<<20 || x.To > amount {
				t.Fatalf("[%d, %d) of a lease of %d", x.From, x.To, amount)
			}
			for _, s := range spans {
				if x.From < s.to && s.from < x.To {
					t.Fatalf("[%d, %d) and [%d, %d) meet", x.From, x.To, s.from, s.to)
				}
			}
			spans = append(spans, span{x.From, x.To})
		}
		if i%7 == 6 { // power fails; nothing that was not synced survives
			dead := fs
			fs = dead.CrashClone(vfs.CrashCloneCfg{})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = memDB(t, fs, "tickets")
			office = newTicketOffice(testDomain, w.self, testKey("authority"), db)
		}
	}
	if len(spans) < 3*7 {
		t.Errorf("%d ranges", len(spans))
	}
}

// Without restarts nothing of a lease is skipped.
func TestWholeLeaseIsUsed(t *testing.T) {
	w := newTown(t, 3)
	id := w.lease("a", w.session, 300<<20, w.self)
	db := memDB(t, vfs.NewMem(), "tickets")
	defer db.Close()
	office := newTicketOffice(testDomain, w.self, testKey("authority"), db)
	for i := range 10 {
		if _, err := w.issue(office, w.session, write(id, 10<<20)); err != nil {
			t.Fatalf("ticket %d: %v", i, err)
		}
	}
	if _, err := w.issue(office, w.session, write(id, 1)); mesh.KindOf(err) != mesh.Exhausted || mesh.HintOf(err) == "" {
		t.Errorf("beyond the lease: %v", err)
	}
}

func TestTicketRefusals(t *testing.T) {
	w := newTown(t, 3)
	db := memDB(t, vfs.NewMem(), "tickets")
	defer db.Close()
	office := newTicketOffice(testDomain, w.self, testKey("authority"), db)
	id := w.lease("a", w.session, 1<<30, w.self)
	elsewhere := w.lease("elsewhere", w.session, 1<<30, mesh.AuthorityIDOf(mesh.PublicKeyOf(testKey("other authority"))))
	closed := w.lease("closed", w.session, 1<<30, w.self)
	w.apply(wirepb.TxKind_TX_LEASE_CLOSE, w.session, &wirepb.LeaseClose{Lease: closed[:]})
	reader, stranger := testKey("reader"), testKey("stranger")
	w.open(reader, "reader", func(l *wirepb.Link) { l.Operations, l.Prefix = uint32(grant.Read), "photos/in/" })
	readers := w.lease("reader's", reader, 1<<30, w.self)
	a, in := w.object("a"), w.object("in/b")
	read := func(lease mesh.LeaseID, key string, s *wirepb.Segment, pieces ...*wirepb.PieceRead) *wirepb.TicketRequest {
		id := index.SegmentIDOf(s)
		if pieces == nil {
			pieces = []*wirepb.PieceRead{{Index: 1, Length: 100}}
		}
		return &wirepb.TicketRequest{Lease: lease[:], Reads: []*wirepb.ReadPlan{{Bucket: "photos", Key: key, Segment: id[:], Pieces: pieces}}}
	}
	for _, c := range []struct {
		name string
		kind mesh.Kind
		by   ed25519.PrivateKey
		q    *wirepb.TicketRequest
	}{
		{"of nothing", mesh.Invalid, w.session, &wirepb.TicketRequest{Lease: id[:]}},
		{"of no lease", mesh.Invalid, w.session, &wirepb.TicketRequest{Writes: write(id, 1).Writes}},
		{"of an unknown lease", mesh.NotFound, w.session, write(mesh.LeaseID{1}, 10)},
		{"of another authority's lease", mesh.Denied, w.session, write(elsewhere, 10)},
		{"of a closed lease", mesh.Exhausted, w.session, write(closed, 10)},
		{"by a stranger", mesh.Denied, stranger, write(id, 10)},
		{"on another session's lease", mesh.Denied, reader, write(id, 10)},
		{"by one who may not write", mesh.Denied, reader, write(readers, 10)},
		{"to read elsewhere", mesh.Denied, reader, read(readers, "a", a)},
		{"for a segment of another object", mesh.Conflict, reader, read(readers, "in/b", a)},
		{"of an object that is not there", mesh.NotFound, reader, read(readers, "in/c", in)},
		{"of no pieces", mesh.Invalid, w.session, read(id, "a", a, []*wirepb.PieceRead{}...)},
		{"of a piece too many", mesh.Invalid, w.session, read(id, "a", a, &wirepb.PieceRead{Index: 3, Length: 1})},
		{"of more bytes than a piece has", mesh.Invalid, w.session, read(id, "a", a, &wirepb.PieceRead{Index: 0, Length: 10_001})},
		{"for pieces of no bytes", mesh.Invalid, w.session, write(id, 0)},
		{"for pieces too large", mesh.Invalid, w.session, write(id, mesh.MaxSlice+1)},
	} {
		if c.name == "of no pieces" {
			c.q.Reads[0].Pieces = nil
		}
		t.Run(c.name, func(t *testing.T) {
			if a, err := w.issue(office, c.by, c.q); err == nil || mesh.KindOf(err) != c.kind {
				t.Errorf("got %v, %v; want %s", a, err, c.kind)
			}
		})
	}
	got, err := w.issue(office, reader, read(readers, "in/b", in))
	if err != nil {
		t.Fatal(err)
	}
	ticket, _, err := traffic.OpenTicket(testDomain, got.TicketRead)
	if err != nil || len(ticket.Allowances) != 1 || ticket.Action != traffic.Read {
		t.Fatalf("%+v, %v", ticket, err)
	}
	if x := ticket.Allowances[0]; string(x.Node[:]) != string(in.Pieces[1].Node) || len(x.Slices) != 1 || string(x.Slices[0][:]) != string(in.Pieces[1].Slice) || x.To-x.From != 100 {
		t.Errorf("allowance %+v", x)
	}
	w.now = w.now.Add(2 * time.Hour)
	if _, err := w.issue(office, w.session, write(id, 10)); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("an expired lease: %v", err)
	}
}

// On a lease of kind compute tickets are for nodes that run calls, and nothing else; on others they are not.
func TestRunTickets(t *testing.T) {
	w := newTown(t, 4)
	db := memDB(t, vfs.NewMem(), "tickets")
	defer db.Close()
	office := newTicketOffice(testDomain, w.self, testKey("authority"), db)
	id := mesh.LeaseID(labelled("runs")[:16])
	w.apply(wirepb.TxKind_TX_LEASE, w.session, traffic.Lease{ID: id, Amount: 1 << 30, Authority: w.self, ExpiresMs: w.now.UnixMilli() + 3600_000, Kind: report.Compute}.Message())
	moves := w.lease("moves", w.session, 1<<30, w.self)
	node := func(i int) []byte { id := mesh.NodeIDOf(mesh.PublicKeyOf(w.nodes[i])); return id[:] }
	run := func(lease mesh.LeaseID, noz uint64, nodes ...[]byte) *wirepb.TicketRequest {
		q := &wirepb.TicketRequest{Lease: lease[:]}
		for _, n := range nodes {
			q.Runs = append(q.Runs, &wirepb.RunPlan{Node: n, Noz: noz})
		}
		return q
	}
	both := run(id, 1, node(1))
	both.Writes = write(id, 1).Writes
	for name, c := range map[string]struct {
		q    *wirepb.TicketRequest
		kind mesh.Kind
	}{
		"runs on a lease for traffic": {run(moves, 1, node(1)), mesh.Invalid},
		"writes on a lease for calls": {write(id, 1), mesh.Invalid},
		"both":                        {both, mesh.Invalid},
		"a node that runs no calls":   {run(id, 1, node(0)), mesh.NotFound},
		"an unknown node":             {run(id, 1, make([]byte, 20)), mesh.NotFound},
		"a malformed node":            {run(id, 1, []byte{1}), mesh.Invalid},
		"one node twice":              {run(id, 1, node(1), node(1)), mesh.Invalid},
		"nothing":                     {run(id, 0, node(1)), mesh.Invalid},
		"more than the lease":         {run(id, 1<<30+1, node(1)), mesh.Invalid},
		"more than is left":           {run(id, 1<<29+1, node(1), node(3)), mesh.Exhausted},
	} {
		if a, err := w.issue(office, w.session, c.q); err == nil || mesh.KindOf(err) != c.kind {
			t.Errorf("%s: %v, %v; want %s", name, a, err, c.kind)
		}
	}
	a, err := w.issue(office, w.session, run(id, 500, node(1), node(3)))
	if err != nil {
		t.Fatal(err)
	}
	ticket, _, err := traffic.OpenTicket(testDomain, a.TicketRun)
	if err != nil || ticket.Action != traffic.Run || len(ticket.Allowances) != 2 || ticket.Allowances[0].To-ticket.Allowances[0].From != 500 {
		t.Errorf("%+v, %v", ticket, err)
	}
}

// Nodes that the client could not reach take no piece that must be written now.
func TestExcludedNodesComeLast(t *testing.T) {
	w := newTown(t, 8)
	db := memDB(t, vfs.NewMem(), "tickets")
	defer db.Close()
	office := newTicketOffice(testDomain, w.self, testKey("authority"), db)
	id := w.lease("a", w.session, 1<<30, w.self)
	q := write(id, 1000)
	bad := mesh.NodeIDOf(mesh.PublicKeyOf(w.nodes[5]))
	q.Writes[0].Exclude = [][]byte{bad[:]}
	for range 30 {
		a, err := w.issue(office, w.session, q)
		if err != nil {
			t.Fatal(err)
		}
		p := a.Placements[0]
		if p.DataPieces != 4 || p.Pieces != 8 || p.Acknowledged != 6 || len(p.Nodes) != 8 || string(p.Nodes[7].Node) != string(bad[:]) {
			t.Fatalf("placement %v", p)
		}
	}
}

// A node is what it was last heard to be; an old heartbeat, or one by another key, says nothing.
func TestPresence(t *testing.T) {
	w := newTown(t, 3)
	clock := w.now
	p := newPresence(testDomain, testKey("authority"), func() time.Time { return clock })
	r := w.m.Reader()
	defer r.Close()
	id := mesh.NodeIDOf(mesh.PublicKeyOf(w.nodes[0]))
	hear := func(by ed25519.PrivateKey, at int64, id []byte) error {
		return p.hear(r, signed.Seal(testDomain, by, sign.Heartbeat, &wirepb.Heartbeat{Node: id, TimeMs: at, FreeBytes: 1 << 40}))
	}
	offline := &statepb.Node{Status: state.Offline}
	if !p.online(id, &statepb.Node{Status: state.Online}) || p.online(id, offline) {
		t.Error("before any heartbeat the log's word does not count")
	}
	if txs := p.votes(r, clock.Add(-silence/2)); len(txs) != 0 {
		t.Errorf("%d votes by an authority that has just started", len(txs))
	}
	for _, c := range []struct {
		err  error
		kind mesh.Kind
	}{
		{hear(w.nodes[1], 5, id[:]), mesh.Denied}, {hear(w.nodes[0], 5, make([]byte, 20)), mesh.NotFound}, {hear(w.nodes[0], 5, nil), mesh.Invalid},
		{p.hear(r, nil), mesh.Invalid}, {p.hear(r, signed.Seal(testDomain, w.nodes[0], sign.Status, &wirepb.Heartbeat{Node: id[:]})), mesh.Denied},
	} {
		if c.err == nil || mesh.KindOf(c.err) != c.kind {
			t.Errorf("got %v, want %s", c.err, c.kind)
		}
	}
	if err := hear(w.nodes[0], 5, id[:]); err != nil {
		t.Fatal(err)
	}
	if heard, free := p.look(id, offline); !heard || free != 1<<40 {
		t.Errorf("a node that was heard is seen as %v with %d bytes", heard, free)
	}
	clock = clock.Add(silence)
	if err := hear(w.nodes[0], 5, id[:]); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("a heartbeat came again: %v", err)
	}
	if p.online(id, offline) {
		t.Error("a silent node is online")
	}
	// The log says that all three are online, and this authority hears none.
	if txs := p.votes(r, clock.Add(-silence)); len(txs) != 3 {
		t.Errorf("%d votes, want 3", len(txs))
	}
	if txs := p.votes(r, clock.Add(-silence)); len(txs) != 0 {
		t.Errorf("%d votes at once again", len(txs))
	}
}
