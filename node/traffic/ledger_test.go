package traffic_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/traffic"
	"github.com/stratosmesh/stratos/protocol/sign"
	wire "github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	domain  = sign.Domain{Network: mesh.NetworkID{5}}
	self    = mesh.NodeID{1}
	session = key(1)
	lease   = mesh.LeaseID{9}
)

func key(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))
}

type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// A book is a ledger on a disk in memory, with a clock.
type book struct {
	*traffic.Ledger
	t   *testing.T
	fs  *vfs.MemFS
	db  *pebble.DB
	now atomic.Int64
}

func newBook(t *testing.T) *book {
	b := &book{t: t, fs: vfs.NewCrashableMem()}
	b.now.Store(1_000_000)
	b.open()
	t.Cleanup(func() { b.db.Close() })
	return b
}

func (b *book) open() {
	b.t.Helper()
	db, err := pebble.Open("book", &pebble.Options{FS: b.fs, Logger: quiet{}})
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := traffic.Open(db, domain, self, func() time.Time { return time.UnixMilli(b.now.Load()) })
	if err != nil {
		b.t.Fatal(err)
	}
	b.db, b.Ledger = db, l
}

// crash loses what was not synced.
func (b *book) crash() {
	b.t.Helper()
	dead := b.fs
	b.fs = dead.CrashClone(vfs.CrashCloneCfg{})
	if err := b.db.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *book) ticket(from, to mesh.Noz, change func(*wire.Ticket)) error {
	t := wire.Ticket{Lease: lease, Session: mesh.PublicKeyOf(session), Action: wire.Write, ExpiresMs: b.now.Load() + 60_000,
		Allowances: []wire.Allowance{{Node: self, From: from, To: to}}}
	if change != nil {
		change(&t)
	}
	return b.Admit(t, t.Seal(domain, key(7)))
}

func receipt(by ed25519.PrivateKey, l mesh.LeaseID, n mesh.NodeID, total uint64) *wirepb.Signed {
	return wire.Receipt{Lease: l, Node: n, Total: mesh.Noz(total)}.Seal(domain, by)
}

func (b *book) agree(total uint64) error { return b.Agree(lease, receipt(session, lease, self, total)) }

func (b *book) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) refused(what string, kind mesh.Kind, err error) {
	b.t.Helper()
	if err == nil || mesh.KindOf(err) != kind {
		b.t.Fatalf("%s: got %v, want %s", what, err, kind)
	}
}

func (b *book) total() *wirepb.TotalAnswer { return b.Total(lease, mesh.PublicKeyOf(session)) }

func TestTickets(t *testing.T) {
	b := newBook(t)
	b.ok(b.ticket(100, 200, nil))
	b.ok(b.ticket(100, 200, nil)) // shown with every step
	for _, r := range [][2]mesh.Noz{{100, 200}, {150, 160}, {199, 300}, {0, 101}, {0, 1000}} {
		b.refused(fmt.Sprint("overlapping ", r), mesh.Denied, b.ticket(r[0], r[1], func(t *wire.Ticket) { t.Action = wire.Read }))
	}
	b.ok(b.ticket(200, 300, nil))
	b.ok(b.ticket(0, 100, nil))
	b.refused("expired", mesh.Denied, b.ticket(300, 400, func(t *wire.Ticket) { t.ExpiresMs = b.now.Load() }))
	b.refused("another node's", mesh.Denied, b.ticket(300, 400, func(t *wire.Ticket) { t.Allowances[0].Node = mesh.NodeID{2} }))
	b.refused("another session's", mesh.Denied, b.ticket(300, 400, func(t *wire.Ticket) { t.Session = mesh.PublicKey{3} }))
	b.ok(b.agree(301)) // a neighbour's ticket may be on its way
	b.ok(b.Deliver(lease, 300))
	b.refused("beyond the tickets", mesh.Exhausted, b.Deliver(lease, 1))
	// An expired ticket allows no new range, and what it allowed stays allowed.
	b.now.Add(61_000)
	b.ok(b.ticket(300, 350, nil))
	b.ok(b.agree(351))
	b.ok(b.Deliver(lease, 50))
	b.refused("beyond the tickets", mesh.Exhausted, b.Deliver(lease, 1))
}

func TestReceipts(t *testing.T) {
	b := newBook(t)
	b.refused("before any ticket", mesh.Denied, b.agree(1))
	b.ok(b.ticket(0, 1000, nil))
	bad := receipt(session, lease, self, 10)
	bad.Signature[0] ^= 1
	elsewhere := wire.Receipt{Lease: lease, Node: self, Total: 10}.Seal(sign.Domain{}, session)
	for what, r := range map[string]*wirepb.Signed{
		"another lease's":   receipt(session, mesh.LeaseID{8}, self, 10),
		"another node's":    receipt(session, lease, mesh.NodeID{2}, 10),
		"another session's": receipt(key(2), lease, self, 10),
		"a wrong signature": bad,
		"another network's": elsewhere,
	} {
		b.refused(what, mesh.Denied, b.Agree(lease, r))
	}
	b.refused("none", mesh.Invalid, b.Agree(lease, nil))
	b.refused("an empty one", mesh.Invalid, b.Agree(lease, new(wirepb.Signed)))
	b.refused("delivery without a receipt", mesh.Denied, b.Deliver(lease, 1))

	b.ok(b.agree(300)) // receipts in any order; an old one adds nothing
	b.ok(b.agree(100))
	b.ok(b.agree(200))
	b.ok(b.agree(300))
	b.ok(b.Deliver(lease, 200))
	b.refused("a step too far", mesh.Denied, b.Deliver(lease, 101))
	b.ok(b.Deliver(lease, 100))
	b.refused("a byte too far", mesh.Denied, b.Deliver(lease, 1))
	b.refused("more than numbers hold", mesh.Denied, b.Deliver(lease, 1<<64-1))
	b.Return(lease, 50)
	b.ok(b.Deliver(lease, 50))
	b.refused("a byte too far", mesh.Denied, b.Deliver(lease, 1))
	if a := b.total(); a.Delivered != 300 || a.Receipt == nil {
		t.Errorf("total %v", a)
	}
	if a := b.Total(lease, mesh.PublicKey{3}); a.Delivered != 0 || a.Receipt != nil {
		t.Errorf("a stranger learns %v", a)
	}
}

// However many transfers run at once, no byte is delivered that no receipt covers.
func TestNeverBeyondAgreed(t *testing.T) {
	b := newBook(t)
	b.ok(b.ticket(0, 1<<20, nil))
	var delivered, agreed atomic.Uint64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 200 {
				total := agreed.Add(uint64(r.IntN(50)))
				if err := b.agree(total); err != nil {
					t.Error(err)
				}
				n := uint64(r.IntN(80))
				if b.Deliver(lease, n) == nil {
					delivered.Add(n)
				}
			}
		})
	}
	wg.Wait()
	if a := b.total(); a.Delivered != delivered.Load() || a.Delivered > agreed.Load() {
		t.Errorf("delivered %d, counted %d, agreed %d", a.Delivered, delivered.Load(), agreed.Load())
	}
}

// What is owed before a receipt covers it stays within the credit, and within what tickets allow.
func TestOwe(t *testing.T) {
	b := newBook(t)
	b.refused("without a ticket", mesh.Denied, b.Owe(lease, 1, 100))
	b.ok(b.ticket(0, 1000, nil))
	b.ok(b.Owe(lease, 100, 100))
	b.refused("beyond the credit", mesh.Denied, b.Owe(lease, 1, 100))
	b.ok(b.agree(60))
	b.ok(b.Owe(lease, 60, 100))
	b.refused("beyond it again", mesh.Denied, b.Owe(lease, 1, 100))
	b.Return(lease, 10)
	b.ok(b.Owe(lease, 10, 100))
	b.ok(b.agree(5000))
	b.refused("beyond the ticket", mesh.Exhausted, b.Owe(lease, 841, 100))
	b.ok(b.Owe(lease, 840, 100))
}

// What was written down survives a crash; what was handed in was written down before.
func TestRestart(t *testing.T) {
	b := newBook(t)
	b.ok(b.ticket(0, 1000, nil))
	b.ok(b.agree(400))
	b.ok(b.Deliver(lease, 300))
	b.ok(b.Flush())
	b.ok(b.agree(500))
	b.crash()
	if a := b.total(); a.Delivered != 300 || a.Receipt == nil {
		t.Fatalf("after the crash: %v", a)
	}
	b.refused("a step that the receipt on disk does not cover", mesh.Denied, b.Deliver(lease, 101))
	b.ok(b.Deliver(lease, 100))
	b.refused("the same range in another ticket", mesh.Denied, b.ticket(500, 600, nil))
	b.ok(b.ticket(0, 1000, nil))
	b.ok(b.agree(600))
	claims, err := b.Claims(10)
	if err != nil || len(claims) != 1 || claims[0].Total != 600 || claims[0].Lease != lease {
		t.Fatalf("claims %v, %v", claims, err)
	}
	b.crash()
	again, err := b.Claims(10)
	if err != nil || len(again) != 1 || again[0].Total != 600 {
		t.Fatalf("a receipt that was handed in is gone: %v, %v", again, err)
	}
	b.Settled(claims)
	b.ok(b.Flush())
	b.crash()
	if left, err := b.Claims(10); err != nil || len(left) != 0 {
		t.Fatalf("settled receipts come again: %v, %v", left, err)
	}
	b.ok(b.agree(700))
	if more, err := b.Claims(10); err != nil || len(more) != 1 || more[0].Total != 700 {
		t.Fatalf("claims %v, %v", more, err)
	}
}

func TestForget(t *testing.T) {
	b := newBook(t)
	b.ok(b.ticket(0, 1000, nil))
	b.ok(b.agree(400))
	late := time.UnixMilli(b.now.Load() + 1e9)
	b.ok(b.Forget(late))
	claims, err := b.Claims(1)
	if err != nil || len(claims) != 1 {
		t.Fatalf("an unsettled receipt was forgotten: %v, %v", claims, err)
	}
	b.Settled(claims)
	b.ok(b.Forget(time.UnixMilli(b.now.Load())))
	if b.total().Receipt == nil {
		t.Fatal("a lease with a live ticket was forgotten")
	}
	b.ok(b.Forget(late))
	if b.total().Receipt != nil {
		t.Fatal("a lease that is long over is remembered")
	}
	b.ok(b.db.Close())
	b.open()
	if b.total().Receipt != nil {
		t.Fatal("a forgotten lease comes back")
	}
}

func TestClaimsAreBounded(t *testing.T) {
	b := newBook(t)
	for i := range 5 {
		l := mesh.LeaseID{byte(i)}
		b.ok(b.ticket(0, 100, func(t *wire.Ticket) { t.Lease = l }))
		b.ok(b.Agree(l, receipt(session, l, self, 10)))
	}
	if c, err := b.Claims(3); err != nil || len(c) != 3 {
		t.Errorf("%d claims, %v", len(c), err)
	}
}

// A damaged book is noticed, not believed.
func TestDamagedBook(t *testing.T) {
	for name, value := range map[string][]byte{"garbage": {0xff, 0xff}, "a receipt with a wrong signature": func() []byte {
		return []byte("\x1a\x02\x0a\x00")
	}()} {
		b := newBook(t)
		id := append([]byte{'l'}, lease[:]...)
		b.ok(b.db.Set(id, value, pebble.Sync))
		if _, err := traffic.Open(b.db, domain, self, time.Now); err == nil {
			t.Errorf("%s was believed", name)
		}
		b.ok(errors.Join(b.db.Delete(id, pebble.Sync)))
	}
}
