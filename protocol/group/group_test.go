package group_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"

	"net/http"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An authority that answers what it is told to.
type authority struct {
	height atomic.Int64
	value  atomic.Pointer[string]
	refuse atomic.Bool
	lies   bool // names a height that nobody has
	member group.Member
	down   func()
}

func (a *authority) set(height int64, value string) { a.height.Store(height); a.value.Store(&value) }

func (a *authority) query(ctx context.Context, r rpc.Request[wirepb.Query]) (proto.Message, error) {
	if a.refuse.Load() {
		return nil, mesh.Errorf(mesh.Denied, "no")
	}
	if a.lies {
		return &wirepb.QueryAnswer{Height: 1 << 40, Answers: [][]byte{[]byte(*a.value.Load())}}, nil
	}
	deadline := time.After(200 * time.Millisecond)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for a.height.Load() < r.Message.MinHeight {
		select {
		case <-tick.C:
		case <-deadline:
			return nil, mesh.Errorf(mesh.Unavailable, "not there yet")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &wirepb.QueryAnswer{Height: a.height.Load(), Answers: [][]byte{[]byte(*a.value.Load())}}, nil
}

func (a *authority) submit(context.Context, rpc.Request[wirepb.Tx]) (proto.Message, error) {
	if a.refuse.Load() {
		return nil, mesh.Errorf(mesh.Denied, "no")
	}
	return &wirepb.SubmitAnswer{Height: a.height.Load()}, nil
}

func start(t *testing.T, n int) ([]*authority, *group.Group) {
	t.Helper()
	var all []*authority
	var members []group.Member
	for range n {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := tlsid.Certificate(key)
		if err != nil {
			t.Fatal(err)
		}
		a := &authority{}
		a.set(10, "old")
		mux := http.NewServeMux()
		mux.Handle(wirepb.QueryPath, rpc.Handler(1<<20, a.query))
		mux.Handle(wirepb.SubmitPath, rpc.Handler(1<<20, a.submit))
		mux.Handle(wirepb.AppliedPath, rpc.Handler(64, func(context.Context, rpc.Request[wirepb.Applied]) (proto.Message, error) {
			return &wirepb.Applied{Height: a.height.Load()}, nil
		}))
		s := httptest.NewUnstartedServer(mux)
		s.TLS = tlsid.Server(cert)
		s.TLS.Certificates = []tls.Certificate{cert}
		s.StartTLS()
		a.down = s.Close
		t.Cleanup(s.Close)
		k := mesh.PublicKeyOf(key)
		a.member = group.Member{ID: mesh.AuthorityIDOf(k), Address: s.Listener.Addr().String(), TLSKey: k, ReportKey: k, ConsensusKey: k}
		all, members = append(all, a), append(members, a.member)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := transfer.NewDialer(key, time.Second)
	g, err := group.New(members, d, group.Options{Patience: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(); d.Close() })
	return all, g
}

func ask(t *testing.T, g *group.Group, l group.Level) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, _, err := g.Ask(ctx, l, &wirepb.Question{Question: &wirepb.Question_Bucket{Bucket: "b"}})
	if err != nil {
		return "", err
	}
	return string(a[0]), nil
}

// Two of four have a write that was acknowledged with a third that has died since: a strong read waits for it.
func TestStrongSeesWhatWasAcknowledged(t *testing.T) {
	all, g := start(t, 4)
	all[1].set(11, "new")
	all[2].set(11, "new")
	all[3].down()
	for range 20 {
		got, err := ask(t, g, group.Strong)
		if err != nil || got != "new" {
			t.Fatalf("a strong read says %q, %v", got, err)
		}
	}
}

// One that is behind is waited for rather than believed.
func TestStrongWaitsForWhoIsBehind(t *testing.T) {
	all, g := start(t, 4)
	all[0].down()
	all[1].set(11, "new")
	go func() { // the others get there while they are asked again
		tick := time.NewTimer(50 * time.Millisecond)
		<-tick.C
		all[2].set(11, "new")
		all[3].set(11, "new")
	}()
	if got, err := ask(t, g, group.Strong); err != nil || got != "new" {
		t.Fatalf("a strong read says %q, %v", got, err)
	}
}

// A liar that names a height which nobody has, and an old value, changes nothing: it cannot prove the height.
func TestLiarCannotStopStrongReads(t *testing.T) {
	for at := range 4 {
		all, g := start(t, 4)
		for i, a := range all {
			if i == at {
				a.lies = true
			} else {
				a.set(11, "new")
			}
		}
		if got, err := ask(t, g, group.Strong); err != nil || got != "new" {
			t.Fatalf("with a liar at %d a strong read says %q, %v", at, got, err)
		}
	}
}

func TestTwoOfFourDownIsTooMany(t *testing.T) {
	all, g := start(t, 4)
	all[0].down()
	all[2].down()
	if got, err := ask(t, g, group.Strong); mesh.KindOf(err) != mesh.Unavailable || err == nil {
		t.Fatalf("a strong read of two says %q, %v", got, err)
	}
	if got, err := ask(t, g, group.Honest); err != nil || got != "old" {
		t.Fatalf("two that agree say %q, %v", got, err)
	}
}

// One refusal is not the group's; two are.
func TestRefusals(t *testing.T) {
	all, g := start(t, 4)
	all[0].refuse.Store(true)
	if got, err := ask(t, g, group.Strong); err != nil || got != "old" {
		t.Fatalf("one refuses: %q, %v", got, err)
	}
	all[1].refuse.Store(true)
	all[2].refuse.Store(true)
	if _, err := ask(t, g, group.Strong); mesh.KindOf(err) != mesh.Denied {
		t.Fatalf("three refuse: %v", err)
	}
}

// Who lags knows no session, and sends nobody away; one more than may be faulty do.
func TestDeniedTransactions(t *testing.T) {
	all, g := start(t, 4)
	all[0].refuse.Store(true)
	if h, err := g.Submit(t.Context(), nil); err != nil || h != 10 {
		t.Fatalf("one denies: %d, %v", h, err)
	}
	for _, a := range all {
		a.refuse.Store(true)
	}
	if _, err := g.Submit(t.Context(), nil); mesh.KindOf(err) != mesh.Denied {
		t.Fatalf("all deny: %v", err)
	}
	for _, a := range all[1:] {
		a.down()
	}
	if _, err := g.Submit(t.Context(), nil); mesh.KindOf(err) != mesh.Unavailable {
		t.Fatalf("one denies, the others are down: %v", err)
	}
}

func TestAwaitQuorum(t *testing.T) {
	all, g := start(t, 4)
	all[0].set(12, "x")
	all[1].set(12, "x")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := g.AwaitQuorum(ctx, 12); mesh.KindOf(err) != mesh.Unavailable {
		t.Fatalf("two of four are a quorum: %v", err)
	}
	all[2].set(12, "x")
	if err := g.AwaitQuorum(t.Context(), 12); err != nil {
		t.Fatal(err)
	}
}
