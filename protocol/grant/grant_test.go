package grant_test

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var domain = sign.Domain{Network: mesh.NetworkID{1}}

func holder(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
}

func owner(t testing.TB, b byte) account.Key {
	k, err := crypto.ToECDSA(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return account.NewKey(k)
}

func link(i int) *wirepb.Link {
	h := mesh.PublicKeyOf(holder(i))
	return &wirepb.Link{Id: bytes.Repeat([]byte{byte(i)}, 16), Holder: h[:], Prefix: "photos/", Operations: uint32(grant.All), NotBeforeMs: 100, ExpiresMs: 200}
}

// chain makes a chain of n links, each changed by change, without asking whether Root and Extend would.
func chain(t testing.TB, n int, change func(i int, l *wirepb.Link)) *wirepb.Chain {
	t.Helper()
	who := owner(t, 1)
	a := who.Account()
	var c *wirepb.Chain
	for i := range n {
		l := link(i)
		l.Account = a[:]
		if change != nil {
			change(i, l)
		}
		body := wire.Encode(l)
		if i == 0 {
			sig, err := account.Sign(who, domain, sign.Grant, body)
			if err != nil {
				t.Fatal(err)
			}
			c = &wirepb.Chain{Root: &wirepb.RootLink{Body: body, Signature: sig}}
			continue
		}
		c.Links = append(c.Links, signed.Seal(domain, holder(i-1), sign.Grant, l))
	}
	return c
}

func TestChainsOfEveryLength(t *testing.T) {
	for n := 1; n <= grant.MaxLinks; n++ {
		c := chain(t, n, func(i int, l *wirepb.Link) {
			if i%2 == 0 {
				b := uint64(1000 - i)
				l.Budget = &b
			}
		})
		r, err := grant.Verify(domain, c)
		if err != nil {
			t.Fatalf("%d links: %v", n, err)
		}
		if r.Holder != mesh.PublicKeyOf(holder(n-1)) || r.Account != owner(t, 1).Account() || len(r.Links) != n || len(r.Holders) != n {
			t.Errorf("%d links: got %+v", n, r)
		}
		var want []grant.Budget
		for i := 0; i < n; i += 2 {
			want = append(want, grant.Budget{Link: grant.LinkID(bytes.Repeat([]byte{byte(i)}, 16)), Noz: mesh.Noz(1000 - i)})
		}
		if !slices.Equal(r.Budgets, want) {
			t.Errorf("%d links: budgets %v, want every bound along the chain: %v", n, r.Budgets, want)
		}
	}
	if _, err := grant.Verify(domain, chain(t, grant.MaxLinks+1, nil)); mesh.KindOf(err) != mesh.Invalid || err == nil {
		t.Errorf("nine links: %v", err)
	}
}

// Root and Extend make what Verify accepts, and do not change the chain that is extended.
func TestRootAndExtend(t *testing.T) {
	c, err := grant.Root(domain, owner(t, 1), link(0))
	if err != nil {
		t.Fatal(err)
	}
	a, err := grant.Extend(domain, c, holder(0), link(1))
	if err != nil {
		t.Fatal(err)
	}
	other := link(2)
	b, err := grant.Extend(domain, c, holder(0), other)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range []*wirepb.Chain{c, a, b} {
		r, err := grant.Verify(domain, x)
		if err != nil || r.Holder != mesh.PublicKeyOf(holder(i)) {
			t.Errorf("chain %d: held by %s, %v", i, r.Holder, err)
		}
	}
}

func TestSecondLink(t *testing.T) {
	narrow := func(f func(l *wirepb.Link)) func(int, *wirepb.Link) {
		return func(i int, l *wirepb.Link) {
			l.Operations = uint32(grant.Read | grant.List | grant.Delegate)
			if i == 0 {
				l.Prefix = "photos/2026/"
			} else {
				l.Prefix = "photos/2026/"
				f(l)
			}
		}
	}
	stranger := owner(t, 9).Account()
	for _, c := range []struct {
		name string
		kind mesh.Kind
		ok   bool
		f    func(l *wirepb.Link)
	}{
		{"the same", 0, true, func(l *wirepb.Link) {}},
		{"narrower prefix", 0, true, func(l *wirepb.Link) { l.Prefix = "photos/2026/may/" }},
		{"a database of that name", mesh.Denied, false, func(l *wirepb.Link) { l.Prefix = "db:photos/2026/" }},
		{"half a name", 0, true, func(l *wirepb.Link) { l.Prefix = "photos/2026/ma" }},
		{"fewer operations", 0, true, func(l *wirepb.Link) { l.Operations = uint32(grant.Read) }},
		{"shorter", 0, true, func(l *wirepb.Link) { l.NotBeforeMs, l.ExpiresMs = 150, 160 }},
		{"parent prefix", mesh.Denied, false, func(l *wirepb.Link) { l.Prefix = "photos/" }},
		{"sibling prefix", mesh.Denied, false, func(l *wirepb.Link) { l.Prefix = "photos/2025/" }},
		{"everything", mesh.Denied, false, func(l *wirepb.Link) { l.Prefix = "" }},
		{"another bucket", mesh.Denied, false, func(l *wirepb.Link) { l.Prefix = "music/" }},
		{"a longer bucket", mesh.Denied, false, func(l *wirepb.Link) { l.Prefix = "photos2/2026/" }},
		{"without slash", mesh.Invalid, false, func(l *wirepb.Link) { l.Prefix = "photos" }},
		{"write added", mesh.Denied, false, func(l *wirepb.Link) { l.Operations |= uint32(grant.Write) }},
		{"no operation", mesh.Invalid, false, func(l *wirepb.Link) { l.Operations = 0 }},
		{"an unknown operation", mesh.Invalid, false, func(l *wirepb.Link) { l.Operations |= 256 }},
		{"sooner", mesh.Denied, false, func(l *wirepb.Link) { l.NotBeforeMs-- }},
		{"later", mesh.Denied, false, func(l *wirepb.Link) { l.ExpiresMs++ }},
		{"empty time", mesh.Invalid, false, func(l *wirepb.Link) { l.ExpiresMs = l.NotBeforeMs }},
		{"another account", mesh.Denied, false, func(l *wirepb.Link) { l.Account = stranger[:] }},
		{"short id", mesh.Invalid, false, func(l *wirepb.Link) { l.Id = l.Id[1:] }},
		{"short holder", mesh.Invalid, false, func(l *wirepb.Link) { l.Holder = l.Holder[1:] }},
		{"long label", mesh.Invalid, false, func(l *wirepb.Link) { l.Label = strings.Repeat("x", grant.MaxLabel+1) }},
		{"budget of everything", 0, true, func(l *wirepb.Link) { b := uint64(mesh.MaxNoz); l.Budget = &b }},
		{"budget over everything", mesh.Invalid, false, func(l *wirepb.Link) { b := uint64(mesh.MaxNoz) + 1; l.Budget = &b }},
		{"key inside", 0, true, func(l *wirepb.Link) {
			l.Keys = []*wirepb.WrappedKey{{Prefix: "photos/2026/may/", Sealed: make([]byte, 92)}}
		}},
		{"key outside", mesh.Invalid, false, func(l *wirepb.Link) {
			l.Keys = []*wirepb.WrappedKey{{Prefix: "photos/", Sealed: make([]byte, 92)}}
		}},
		{"key too short", mesh.Invalid, false, func(l *wirepb.Link) {
			l.Keys = []*wirepb.WrappedKey{{Prefix: "photos/2026/", Sealed: make([]byte, 91)}}
		}},
		{"17 keys", mesh.Invalid, false, func(l *wirepb.Link) {
			l.Keys = slices.Repeat([]*wirepb.WrappedKey{{Prefix: "photos/2026/", Sealed: make([]byte, 92)}}, 17)
		}},
		{"over the size", mesh.Invalid, false, func(l *wirepb.Link) { l.Prefix += strings.Repeat("x", grant.MaxLinkBody) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := grant.Verify(domain, chain(t, 2, narrow(c.f)))
			if c.ok != (err == nil) || !c.ok && mesh.KindOf(err) != c.kind {
				t.Errorf("got %v, want ok=%v %s", err, c.ok, c.kind)
			}
		})
	}
}

func TestSigners(t *testing.T) {
	reseal := func(c *wirepb.Chain, i int, by ed25519.PrivateKey) *wirepb.Chain {
		l := new(wirepb.Link)
		if err := wire.Decode(c.Links[i].Body, 1<<20, l); err != nil {
			t.Fatal(err)
		}
		c.Links[i] = signed.Seal(domain, by, sign.Grant, l)
		return c
	}
	for name, c := range map[string]*wirepb.Chain{
		"nobody":              {},
		"a stranger":          reseal(chain(t, 3, nil), 1, holder(30)),
		"the holder himself":  reseal(chain(t, 3, nil), 1, holder(2)),
		"an earlier holder":   reseal(chain(t, 3, nil), 1, holder(0)),
		"links out of order":  func() *wirepb.Chain { c := chain(t, 3, nil); slices.Reverse(c.Links); return c }(),
		"a link left out":     func() *wirepb.Chain { c := chain(t, 3, nil); c.Links = c.Links[1:]; return c }(),
		"a nil link":          func() *wirepb.Chain { c := chain(t, 2, nil); c.Links[0] = nil; return c }(),
		"root of someone":     func() *wirepb.Chain { return chain(t, 1, func(_ int, l *wirepb.Link) { l.Account = make([]byte, 20) }) }(),
		"no right to pass on": chain(t, 2, func(i int, l *wirepb.Link) { l.Operations = uint32(grant.All &^ grant.Delegate) }),
	} {
		if _, err := grant.Verify(domain, c); err == nil || mesh.KindOf(err) != mesh.Denied && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("signed by %s: %v", name, err)
		}
	}
	elsewhere := domain
	elsewhere.Network[5]++
	if _, err := grant.Verify(elsewhere, chain(t, 1, nil)); err == nil {
		t.Error("a chain of another network counts")
	}
}

func TestAllow(t *testing.T) {
	r := grant.Rights{Prefix: "photos/2026/", Operations: grant.Read | grant.List, NotBeforeMs: 100, ExpiresMs: 200}
	everything := grant.Rights{Operations: grant.All, ExpiresMs: 200}
	for _, c := range []struct {
		r           grant.Rights
		op          grant.Operations
		bucket, key string
		now         int64
		ok          bool
	}{
		{r, grant.Read, "photos", "2026/a", 100, true},
		{r, grant.Read, "photos", "2026/a", 199, true},
		{r, grant.Read, "photos", "2026/a", 99, false},
		{r, grant.Read, "photos", "2026/a", 200, false},
		{r, grant.Read, "photos", "2025/a", 150, false},
		{r, grant.Read, "photos", "2026", 150, false},
		{r, grant.Read, "photos2", "2026/a", 150, false},
		{r, grant.Read, "photo", "s/2026/a", 150, false},
		{r, grant.Write, "photos", "2026/a", 150, false},
		{r, grant.Read | grant.Write, "photos", "2026/a", 150, false},
		{r, grant.List, "photos", "", 150, false},
		{r, grant.List, "photos", "2026/", 150, true},
		{everything, grant.Buckets, "anything", "", 0, true},
	} {
		if err := c.r.Allow(c.op, c.bucket, c.key, c.now); (err == nil) != c.ok || err != nil && mesh.KindOf(err) != mesh.Denied {
			t.Errorf("%s %s/%s at %d: %v", c.op, c.bucket, c.key, c.now, err)
		}
	}
}

// Whatever bytes arrive, a chain that Verify accepts is one whose rights do not exceed its root's.
func FuzzVerify(f *testing.F) {
	for n := 1; n <= 3; n++ {
		f.Add(wire.Encode(chain(f, n, nil)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := new(wirepb.Chain)
		if wire.Decode(b, 1<<20, c) != nil {
			return
		}
		r, err := grant.Verify(domain, c)
		if err != nil {
			if k := mesh.KindOf(err); k != mesh.Invalid && k != mesh.Denied {
				t.Fatalf("refused with %s: %v", k, err)
			}
			return
		}
		root := new(wirepb.Link)
		if err := wire.Decode(c.Root.Body, grant.MaxLinkBody, root); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.Prefix, root.Prefix) || uint32(r.Operations)&^root.Operations != 0 || r.ExpiresMs > root.ExpiresMs || string(r.Account[:]) != string(root.Account) {
			t.Fatalf("%+v is wider than %v", r, root)
		}
	})
}

// A grant for a role in a database covers that alone, and whoever holds it changes neither role nor caller.
func TestRoles(t *testing.T) {
	for _, c := range []struct {
		prefixes []string
		database string
		want     grant.Role
		ok, held bool // the database is covered; the chain is good
	}{
		{[]string{""}, "shop", grant.Role{Caller: owner(t, 1).Account().String()}, true, true},
		{[]string{"", "db:shop/"}, "shop", grant.Role{Caller: owner(t, 1).Account().String()}, true, true},
		{[]string{"db:shop/"}, "shop2", grant.Role{}, false, true},
		{[]string{"db:shop/", "db:shop/reader/"}, "shop", grant.Role{Name: "reader"}, true, true},
		{[]string{"db:shop/reader/", "db:shop/reader/alice"}, "shop", grant.Role{Name: "reader", Caller: "alice"}, true, true},
		{[]string{"db:shop/reader/a/b"}, "shop", grant.Role{Name: "reader", Caller: "a/b"}, true, true},
		{[]string{"db:shop/reader/alice"}, "sho", grant.Role{}, false, true},
		{[]string{"photos/"}, "photos", grant.Role{}, false, true},
		{[]string{"db:shop/reader/alice", "db:shop/reader/alice2"}, "", grant.Role{}, false, false},
		{[]string{"db:shop/reader/", "db:shop/reader2/"}, "", grant.Role{}, false, false},
		{[]string{"db:shop/reader/", "db:shop/"}, "", grant.Role{}, false, false},
		{[]string{"db:shop/reader"}, "", grant.Role{}, false, false},
		{[]string{"db:shop//alice"}, "", grant.Role{}, false, false},
		{[]string{"db:shop/reader/a\nb"}, "", grant.Role{}, false, false},
		{[]string{"db:shop/" + strings.Repeat("r", 64) + "/"}, "", grant.Role{}, false, false},
		{[]string{"db:shop/r/" + strings.Repeat("c", grant.MaxCaller+1)}, "", grant.Role{}, false, false},
	} {
		r, err := grant.Verify(domain, chain(t, len(c.prefixes), func(i int, l *wirepb.Link) { l.Prefix = c.prefixes[i] }))
		if (err == nil) != c.held {
			t.Errorf("%q: %v", c.prefixes, err)
		}
		if err != nil {
			continue
		}
		role, err := r.Role(c.database)
		if role != c.want || (err == nil) != c.ok || err != nil && mesh.KindOf(err) != mesh.Denied {
			t.Errorf("%q in %q: %+v, %v", c.prefixes, c.database, role, err)
		}
		if role.Name != "" {
			if p := role.Prefix(c.database); p != c.prefixes[len(c.prefixes)-1] || role.Check() != nil {
				t.Errorf("%+v has the prefix %q", role, p)
			}
			if err := r.Allow(grant.Read, grant.Database(c.database), "", 150); err == nil {
				t.Errorf("%q allows all of the database", c.prefixes)
			}
		}
	}
}
