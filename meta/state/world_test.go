package state

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ethereum/go-ethereum/crypto"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var domain = sign.Domain{Network: mesh.NetworkID{42}, Group: 1}

// oz is a gigabyte's worth.
const oz = uint64(mesh.NozPerOz)

// dawn is when every world begins, in Unix milliseconds.
const dawn = 1_700_000_000_000

// trusting believes every record it is shown, in order. The value layer's height stands in the head, and its time, if it is not the log's.
type trusting struct{}

func (trusting) Verify(_ []byte, f *wirepb.Facts, next uint64, nowMs int64) (v VerifiedFacts, err error) {
	for _, r := range f.Facts {
		if r.Sequence != next {
			return v, mesh.Errorf(mesh.Conflict, "record %d, expected %d", r.Sequence, next)
		}
		next++
		v.Records = append(v.Records, r.Record)
	}
	v.Height, v.Hash, v.TimeMs = int64(binary.BigEndian.Uint64(f.Head)), hashOf(f.Head), nowMs
	if len(f.Head) > 8 {
		v.TimeMs = int64(binary.BigEndian.Uint64(f.Head[8:]))
	}
	return v, nil
}

type nopLog struct{}

func (nopLog) Infof(string, ...any)         {}
func (nopLog) Errorf(string, ...any)        {}
func (nopLog) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func openDB(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("state", &pebble.Options{FS: fs, Logger: nopLog{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func openMachine(t testing.TB, db *pebble.DB) *Machine {
	t.Helper()
	m, err := Open(db, domain, trusting{}, Founding{TrustedBlock: []byte("genesis"), EpochBlocks: 10, CheckpointMs: 5000})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A member is an authority or a node, with every key that it needs.
type member struct {
	name string
	key  ed25519.PrivateKey // of reports, or of the node
	id   [20]byte
}

func newKey(label string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte(label))
	return ed25519.NewKeyFromSeed(h[:])
}

func newMember(name string) member {
	k := newKey(name)
	return member{name: name, key: k, id: mesh.NodeIDOf(mesh.PublicKeyOf(k))}
}

func bytesOf(label string, n int) []byte {
	h := sha256.Sum256([]byte(label))
	return h[:n]
}

func operatorOf(name string) []byte { return bytesOf("operator of "+name, 20) }

// A world is a machine with everybody who talks to it. Its clock moves a second a block.
type world struct {
	t           testing.TB
	fs          *vfs.MemFS
	db          *pebble.DB
	m           *Machine
	now         int64
	blocks      []Block
	allotting   bool // leases are not opened for every receipt
	outcome     *Outcome
	nextFact    uint64
	valueHeight int64
	authorities []member
	nodes       []member
	ids         int // that were drawn
}

// newWorld founds a group of authorities and nodes, each node with an operator of its own.
func newWorld(t testing.TB, authorities, nodes int) *world {
	w := &world{t: t, fs: vfs.NewCrashableMem(), now: dawn}
	w.db = openDB(t, w.fs)
	t.Cleanup(func() { w.db.Close() })
	w.m = openMachine(t, w.db)
	for i := range authorities {
		w.authorities = append(w.authorities, newMember(fmt.Sprint("authority ", i)))
	}
	var records []*wirepb.OutboxRecord
	if authorities > 0 {
		records = append(records, authoritySet(w.authorities...))
	}
	for i := range nodes {
		n := newMember(fmt.Sprint("node ", i))
		w.nodes = append(w.nodes, n)
		records = append(records, nodeRecord(n, n.name, "", wirepb.NodeStatus_NODE_STATUS_ACTIVE))
	}
	w.facts(records...)
	return w
}

func authoritySet(members ...member) *wirepb.OutboxRecord {
	set := new(wirepb.AuthoritySet)
	for _, a := range members {
		pub := mesh.PublicKeyOf(a.key)
		consensus := mesh.PublicKeyOf(newKey("consensus of " + a.name))
		set.Authorities = append(set.Authorities, &wirepb.AuthorityRecord{Id: a.id[:], Operator: operatorOf(a.name), ReportKey: pub[:], ConsensusKey: consensus[:], TlsKey: pub[:]})
	}
	sortAuthorities(set)
	return &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Authorities{Authorities: set}}
}

func sortAuthorities(s *wirepb.AuthoritySet) {
	for i := range s.Authorities {
		for j := i; j > 0 && string(s.Authorities[j].Id) < string(s.Authorities[j-1].Id); j-- {
			s.Authorities[j], s.Authorities[j-1] = s.Authorities[j-1], s.Authorities[j]
		}
	}
}

func nodeRecord(n member, operator, label string, status wirepb.NodeStatus) *wirepb.OutboxRecord {
	pub := mesh.PublicKeyOf(n.key)
	return &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Node{Node: &wirepb.NodeRecord{Id: n.id[:], Operator: operatorOf(operator), NodeKey: pub[:], TlsKey: pub[:],
		Kinds: placement.Storage | placement.Database | placement.Compute, Address: "127.0.0.1:1", Domain: label, Status: status}}}
}

func credit(a mesh.Account, noz uint64) *wirepb.OutboxRecord {
	return &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_OzoneCredited{OzoneCredited: &wirepb.OzoneCredited{Account: a[:], CreditedNoz: noz}}}
}

// factsAt makes the transaction by which records of the value layer arrive at one of its heights.
func (w *world) factsAt(by ed25519.PrivateKey, height int64, records ...*wirepb.OutboxRecord) []byte {
	f := &wirepb.Facts{Head: be64(uint64(height))}
	for i, r := range records {
		f.Facts = append(f.Facts, &wirepb.Fact{Sequence: w.nextFact + uint64(i), Record: outbox.Encode(r)})
	}
	return tx(wirepb.TxKind_TX_FACTS, by, f)
}

func (w *world) facts(records ...*wirepb.OutboxRecord) {
	w.t.Helper()
	by := newKey("anybody")
	if len(w.authorities) > 0 {
		by = w.authorities[0].key
	}
	w.valueHeight++
	w.ok(w.factsAt(by, w.valueHeight, records...))
	w.nextFact += uint64(len(records))
}

// epoch moves the value layer to the beginning of an epoch.
func (w *world) epoch(e uint64) {
	w.t.Helper()
	w.valueHeight = int64(e*w.m.tip.EpochBlocks) + 1
	w.ok(w.factsAt(w.authorities[0].key, w.valueHeight))
	if w.m.tip.Epoch != e {
		w.t.Fatalf("epoch %d, want %d", w.m.tip.Epoch, e)
	}
}

// leave lets everything that was replaced or removed be gone.
func (w *world) leave() {
	w.t.Helper()
	w.epoch(w.m.tip.Epoch + LeaveEpochs + 1)
	w.block()
	w.check()
	if n := w.count(leavingKey); n != 0 {
		w.t.Fatalf("%d versions have not left", n)
	}
}

func tx(kind wirepb.TxKind, by ed25519.PrivateKey, m proto.Message) []byte {
	return NewTx(kind, signed.Seal(domain, by, PurposeOf(kind), m))
}

// block applies one block and returns what became of its transactions.
func (w *world) block(txs ...[]byte) []*wirepb.TxResult {
	w.t.Helper()
	w.now += 1000
	b := Block{Height: w.m.tip.Height + 1, TimeMs: w.now, Txs: txs}
	o, err := w.m.Apply(b)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.m.Commit(o); err != nil {
		w.t.Fatal(err)
	}
	w.blocks, w.outcome = append(w.blocks, b), o
	w.openAllotments(o, txs)
	return o.Results
}

// openAllotments lets nodes be credited from new leases as receipts come, unless a test is about allotments.
func (w *world) openAllotments(o *Outcome, txs [][]byte) {
	m := new(wirepb.Allotments)
	for i, raw := range txs {
		if t, body, _, err := ParseTx(domain, raw); err == nil && t.Kind == wirepb.TxKind_TX_LEASE && o.Results[i].Kind == 0 {
			m.Leases = append(m.Leases, &wirepb.LeaseAllotment{Lease: body.(*wirepb.Lease).Id, Open: true})
		}
	}
	if len(m.Leases) > 0 && !w.allotting {
		w.block(tx(wirepb.TxKind_TX_ALLOTMENTS, w.authorities[0].key, m))
		w.outcome = o
	}
}

func (w *world) ok(tx []byte) {
	w.t.Helper()
	if r := w.block(tx)[0]; r.Kind != 0 {
		w.t.Fatalf("refused: %s (%s)", r.Text, mesh.Kind(r.Kind-1))
	}
}

// refused applies a transaction that must be refused with a kind and leave nothing behind.
func (w *world) refused(kind mesh.Kind, tx []byte) {
	w.t.Helper()
	if r := w.block(tx)[0]; r.Kind != uint32(kind)+1 {
		w.t.Fatalf("got %q (%d), want %s", r.Text, int(r.Kind)-1, kind)
	} else if len(r.Effects) != 0 {
		w.t.Fatal("a refused transaction has effects")
	}
}

// pass lets time go by in one empty block.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.now += d.Milliseconds()
	w.block()
}

// A person is an account with its Ethereum key.
type person struct {
	account.Key
	id mesh.Account
}

func newPerson(t testing.TB, name string) person {
	k, err := crypto.ToECDSA(bytesOf("account "+name, 32))
	if err != nil {
		t.Fatal(err)
	}
	p := person{Key: account.NewKey(k)}
	p.id = p.Account()
	return p
}

// person returns an account that was credited ozone.
func (w *world) person(name string, noz uint64) person {
	w.t.Helper()
	p := newPerson(w.t, name)
	w.facts(credit(p.id, noz))
	return p
}

// A user is a session: the last holder of a chain.
type user struct {
	w     *world
	key   ed25519.PrivateKey
	chain *wirepb.Chain
}

func linkOf(w *world, label string, holder ed25519.PrivateKey, change func(*wirepb.Link)) *wirepb.Link {
	h := mesh.PublicKeyOf(holder)
	l := &wirepb.Link{Id: bytesOf("link "+label, 16), Holder: h[:], Operations: uint32(grant.All), NotBeforeMs: 1, ExpiresMs: dawn + 1000*3600_000}
	if change != nil {
		change(l)
	}
	return l
}

func (w *world) chain(p person, label string, change func(*wirepb.Link)) user {
	w.t.Helper()
	key := newKey("session " + label)
	c, err := grant.Root(domain, p, linkOf(w, label, key, change))
	if err != nil {
		w.t.Fatal(err)
	}
	return user{w, key, c}
}

func (u user) extend(label string, change func(*wirepb.Link)) user {
	u.w.t.Helper()
	key := newKey("session " + label)
	c, err := grant.Extend(domain, u.chain, u.key, linkOf(u.w, label, key, change))
	if err != nil {
		u.w.t.Fatal(err)
	}
	return user{u.w, key, c}
}

func (u user) open() []byte {
	return tx(wirepb.TxKind_TX_SESSION, u.key, &wirepb.Session{Chain: u.chain})
}

func (u user) pub() mesh.PublicKey { return mesh.PublicKeyOf(u.key) }

// session opens a session with all of an account's rights.
func (w *world) session(p person, label string) user {
	w.t.Helper()
	u := w.chain(p, label, nil)
	w.ok(u.open())
	return u
}

func leaseID(label string) mesh.LeaseID { return mesh.LeaseID(bytesOf("lease "+label, 16)) }

func (u user) lease(label string, amount uint64, life time.Duration) []byte {
	return tx(wirepb.TxKind_TX_LEASE, u.key, traffic.Lease{ID: leaseID(label), Amount: mesh.Noz(amount), Authority: u.w.authorities[0].id, ExpiresMs: u.w.now + 1000 + life.Milliseconds()}.Message())
}

func (u user) closeLease(label string) []byte {
	id := leaseID(label)
	return tx(wirepb.TxKind_TX_LEASE_CLOSE, u.key, &wirepb.LeaseClose{Lease: id[:]})
}

func (u user) receipt(label string, n member, total uint64) *wirepb.Signed {
	return traffic.Receipt{Lease: leaseID(label), Node: n.id, Total: mesh.Noz(total)}.Seal(domain, u.key)
}

func settlement(n member, receipts ...*wirepb.Signed) []byte {
	return tx(wirepb.TxKind_TX_SETTLEMENT, n.key, &wirepb.Settlement{Node: n.id[:], Receipts: receipts})
}

func (u user) bucket(name string, action uint32, public bool) []byte {
	return tx(wirepb.TxKind_TX_BUCKET, u.key, &wirepb.Bucket{Name: name, Action: action, Public: public, AtMs: u.w.now})
}

func (u user) delete(bucket, name string) []byte {
	return tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: bucket, Key: name, AtMs: u.w.now})
}

// segment makes a segment of that many stored bytes whose pieces all nodes of the world acknowledged to the session.
func (u user) segment(label string, length uint64) *wirepb.Segment {
	u.w.t.Helper()
	g, err := index.GeometryFor(len(u.w.nodes))
	if err != nil {
		u.w.t.Fatal(err)
	}
	k := uint64(g.DataPieces)
	s := &wirepb.Segment{Length: length, DataPieces: uint32(k), PieceBytes: (length + k - 1) / k}
	for i := range g.Pieces {
		slice := bytesOf(fmt.Sprintf("slice %s %d", label, i), 32)
		if k == 1 {
			slice = bytesOf("slice "+label, 32)
		}
		s.Pieces = append(s.Pieces, u.piece(slice, u.w.nodes[i], s.PieceBytes))
	}
	return s
}

func (u user) piece(slice []byte, n member, length uint64) *wirepb.Piece {
	return acked(slice, n, length, u.pub())
}

func acked(slice []byte, n member, length uint64, session mesh.PublicKey) *wirepb.Piece {
	sig := traffic.Ack{Slice: mesh.SliceID(slice), Length: length, Session: session}.Sign(domain, n.key)
	return &wirepb.Piece{Slice: slice, Node: n.id[:], Ack: sig[:]}
}

func extentOf(s *wirepb.Segment, offset, length uint64) *wirepb.Extent {
	id := index.SegmentIDOf(s)
	return &wirepb.Extent{Segment: id[:], Offset: offset, Length: length}
}

// inline makes an entry of a small object.
func (u user) inline(bucket, name, content string) *wirepb.Entry {
	e := &wirepb.Entry{Bucket: bucket, Key: name, Version: u.w.id(), ModifiedMs: u.w.now, Size: uint64(len(content)),
		Inline: append([]byte(content), make([]byte, index.TagBytes)...), WrappedKey: make([]byte, 60)}
	e.ContentRoot = index.NewContentRoot(e.Size, 0, e.Inline).Sum()
	return e
}

// entry makes an entry of the extents of segments, one frame a segment's worth; before are those of pages.
func (u user) entry(bucket, name string, segments []*wirepb.Segment, extents []*wirepb.Extent, before ...*wirepb.Extent) *wirepb.Entry {
	e := &wirepb.Entry{Bucket: bucket, Key: name, Version: u.w.id(), ModifiedMs: u.w.now, FrameBytes: mesh.FrameBytes,
		WrappedKey: make([]byte, 60), Segments: segments, Extents: extents}
	stored := sum(extents) + sum(before)
	frames := (stored + mesh.FrameBytes + index.TagBytes - 1) / (mesh.FrameBytes + index.TagBytes)
	e.Size = stored - frames*index.TagBytes
	root := index.NewContentRoot(e.Size, e.FrameBytes, nil)
	root.Add(before...)
	root.Add(extents...)
	e.ContentRoot = root.Sum()
	return e
}

// object makes an entry whose bytes are one new segment.
func (u user) object(bucket, name string, s *wirepb.Segment) *wirepb.Entry {
	return u.entry(bucket, name, []*wirepb.Segment{s}, []*wirepb.Extent{extentOf(s, 0, s.Length)})
}

func (u user) put(e *wirepb.Entry) []byte { return tx(wirepb.TxKind_TX_ENTRY, u.key, e) }

func (u user) revoke(label string) []byte {
	return tx(wirepb.TxKind_TX_REVOCATION, u.key, &wirepb.Revocation{Link: bytesOf("link "+label, 16), AtMs: u.w.now})
}

// ask answers one question at the newest height.
func (w *world) ask(asker mesh.PublicKey, q *wirepb.Question, into proto.Message) error {
	w.t.Helper()
	r := w.m.Reader()
	defer r.Close()
	b, err := r.Answer(q, asker, w.now)
	f := r.Fork()
	for range 2 { // a reader that remembers says the same, before and after
		if got, gotErr := f.Answer(q, asker, w.now); string(got) != string(b) || fmt.Sprint(gotErr) != fmt.Sprint(err) {
			w.t.Fatalf("%v is answered with %x, %v and with %x, %v", q, b, err, got, gotErr)
		}
	}
	if err != nil {
		return err
	}
	if into != nil {
		if err := wire.Decode(b, wirepb.MaxQueryAnswer, into); err != nil {
			w.t.Fatal(err)
		}
	}
	return nil
}

func (w *world) balance(p person) *wirepb.AccountAnswer {
	w.t.Helper()
	a := new(wirepb.AccountAnswer)
	if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Account{Account: p.id[:]}}, a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) group() *wirepb.GroupAnswer {
	w.t.Helper()
	a := new(wirepb.GroupAnswer)
	if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Group{Group: true}}, a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// keeps returns the slices that a node must keep, asked for in small pages.
func (w *world) keeps(n member) (all []string) {
	w.t.Helper()
	var last []byte
	for {
		a := new(wirepb.KeepListAnswer)
		if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_KeepList{KeepList: &wirepb.KeepListPage{Node: n.id[:], After: last, Limit: 2}}}, a); err != nil {
			w.t.Fatal(err)
		}
		for _, s := range a.Slices {
			all = append(all, string(s))
			last = s
		}
		if !a.Truncated {
			return all
		}
	}
}

func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := strings.TrimSpace(seedFlag()); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d; replay with STATE_SEED=%d", seed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}
