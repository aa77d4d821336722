package state

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func (u user) publish(name string, expiresMs int64, gateways ...mesh.PublicKey) []byte {
	m := &wirepb.AccessKey{Name: name, Action: index.PublishKey, AtMs: u.w.now, Id: u.w.id(), ExpiresMs: expiresMs}
	for _, g := range gateways {
		m.Sealed = append(m.Sealed, &wirepb.SealedFor{Gateway: g[:], Box: []byte("box")})
	}
	return tx(wirepb.TxKind_TX_ACCESS_KEY, u.key, m)
}

func (u user) withdraw(name string) []byte {
	return tx(wirepb.TxKind_TX_ACCESS_KEY, u.key, &wirepb.AccessKey{Name: name, Action: index.WithdrawKey, AtMs: u.w.now, Id: u.w.id()})
}

func (u user) serve(bucket, name string) []byte {
	return u.change(bucket, func(b *wirepb.Bucket) { b.Serving = name })
}

func (u user) serveUnless(bucket, name string) []byte {
	return u.change(bucket, func(b *wirepb.Bucket) { b.Serving, b.UnlessServed = name, true })
}

// served asks which buckets are served under keys sealed to a gateway, limit of them at a time.
func (w *world) served(gateway mesh.PublicKey, limit uint32) (all []string) {
	w.t.Helper()
	page := &wirepb.ServedPage{Limit: limit}
	for range 100 {
		a := new(wirepb.ServedAnswer)
		if err := w.ask(gateway, &wirepb.Question{Question: &wirepb.Question_Served{Served: page}}, a); err != nil {
			w.t.Fatal(err)
		}
		if len(a.Buckets) > int(limit) {
			w.t.Fatalf("a page of %d has %d", limit, len(a.Buckets))
		}
		for _, b := range a.Buckets {
			all = append(all, fmt.Sprint(b.AccessKey[len(b.AccessKey)-1:], " ", b.Bucket, " ", b.Sections))
		}
		if a.NextKey == "" {
			return all
		}
		page = &wirepb.ServedPage{Limit: limit, AfterKey: a.NextKey, AfterBucket: a.NextBucket}
	}
	w.t.Fatal("it does not end")
	return nil
}

// A bucket says under which access key of its owner's it is served; everybody may ask, and a gateway finds its own.
func TestServing(t *testing.T) {
	const a, b, c = "ST00000000000000000A", "ST00000000000000000B", "ST00000000000000000C"
	w, _, u := newShop(t, 3)
	bob := w.session(w.person("bob", oz), "bob")
	g, h := mesh.PublicKeyOf(newKey("gateway g")), mesh.PublicKeyOf(newKey("gateway h"))
	w.ok(u.publish(a, w.now+3600_000, g))
	w.ok(u.publish(b, w.now+60_000, g, h))
	w.ok(bob.publish(c, w.now+3600_000, g))
	w.ok(u.bucket("films", index.CreateBucket, true))
	w.ok(u.bucket("music", index.CreateBucket, false))

	w.refused(mesh.NotFound, u.serve("photos", c)) // bob's
	w.refused(mesh.NotFound, u.serve("photos", "ST00000000000000000D"))
	w.refused(mesh.Denied, bob.serve("photos", c))
	w.refused(mesh.Invalid, u.serve("photos", "short"))
	for _, bucket := range []string{"photos", "films", "music"} {
		w.ok(u.serve(bucket, a))
	}
	w.ok(u.change("photos", func(b *wirepb.Bucket) {
		b.Sections = []*wirepb.Section{{Kind: 2, Body: []byte("x")}, {Kind: 7, Body: []byte("y")}}
	}))
	expect := func(gateway mesh.PublicKey, want ...string) {
		t.Helper()
		for _, limit := range []uint32{1, 2, 3, 1000} {
			if got := w.served(gateway, limit); !slices.Equal(got, want) {
				t.Errorf("pages of %d: %q, want %q", limit, got, want)
			}
		}
	}
	expect(g, "A films []", "A music []", "A photos [2 7]")
	expect(h)
	w.ok(u.serve("music", b))
	expect(g, "A films []", "A photos [2 7]", "B music []")
	expect(h, "B music []")

	w.ok(u.serveUnless("music", a)) // b does
	expect(h, "B music []")

	answer := new(wirepb.BucketAnswer)
	if err := w.ask(g, &wirepb.Question{Question: &wirepb.Question_Bucket{Bucket: "photos"}}, answer); err != nil {
		t.Fatal(err)
	}
	if answer.Serving != a || len(answer.Owner) != 20 || len(answer.Sections) != 0 || answer.CreatedMs != 0 {
		t.Errorf("a stranger is told %v", answer)
	}

	w.ok(u.bucket("films", index.DeleteBucket, false))
	expect(g, "A photos [2 7]", "B music []")
	w.ok(u.withdraw(a)) // the bucket still names it; nobody can use it
	expect(g, "B music []")
	w.ok(u.serveUnless("photos", b))
	expect(h, "B music []", "B photos [2 7]")
	w.now += 61_000
	w.refused(mesh.NotFound, u.serve("photos", b)) // it has expired
	expect(g)
	for _, kind := range []byte{accessTime, accessKey, sealedKey} {
		if n := w.count(kind); n != 1 { // bob's
			t.Errorf("%d records of kind %c are left", n, kind)
		}
	}
	w.ok(u.bucket("photos", index.DeleteBucket, false))
	w.ok(u.bucket("music", index.DeleteBucket, false))
	if n := w.count(servedKey); n != 0 {
		t.Errorf("%d records of served buckets are left", n)
	}
	w.check()
}
