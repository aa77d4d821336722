package register_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/x/register"
	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/registration"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { chaintest.Main(m) }

var (
	alice = chaintest.NewWallet("alice")
	bob   = chaintest.NewWallet("bob")
)

type chain struct{ *chaintest.Chain }

func newChain(t *testing.T, authorities, nodes int) chain {
	t.Helper()
	wallets := []string{"alice", "bob"}
	for i := range authorities {
		wallets = append(wallets, chaintest.AuthorityName(i))
	}
	return chain{chaintest.New(t, func(s *devspec.Spec) { chaintest.WithMembers(s, authorities, nodes) }, wallets...)}
}

// call sends a transaction to the registry. It wants an error with this text, or none when it is empty.
func (c chain) call(from chaintest.Wallet, value *big.Int, want, method string, args ...any) {
	c.T.Helper()
	data, err := abi.Register().Pack(method, args...)
	if err != nil {
		c.T.Fatal(err)
	}
	_, err = c.Send(from, abi.Register().Address, value, data)
	if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
		c.T.Errorf("%s: %v, want %q", method, err, want)
	}
	c.CheckInvariants()
}

// lastRecord is the newest fact in the outbox.
func (c chain) lastRecord() *wirepb.OutboxRecord {
	c.T.Helper()
	n, err := c.OutboxKeeper.Count(c.Ctx())
	if err != nil {
		c.T.Fatal(err)
	}
	r, err := c.OutboxKeeper.Record(c.Ctx(), outbox.Sequence(n-1))
	if err != nil {
		c.T.Fatal(err)
	}
	return r
}

func (c chain) nodeProof(operator chaintest.Wallet, name string) []byte {
	s := registration.NodeClaim(operator.Account(), chaintest.Public(name+"/node"), chaintest.Public(name+"/tls")).
		Prove(c.Network, chaintest.Key(name+"/node"))
	return s[:]
}

func stos(v int64) *big.Int { return mesh.Stos(v).Big() }

func key(name string) [32]byte { return chaintest.Public(name) }

func TestNodeLife(t *testing.T) {
	c := newChain(t, 1, 1)
	id := mesh.NodeIDOf(key("n/node"))
	reg := func(from chaintest.Wallet, value *big.Int, want string, kinds, tier uint32, addr, domain string, proof []byte) {
		t.Helper()
		c.call(from, value, want, "registerNode", key("n/node"), key("n/tls"), kinds, tier, addr, domain, proof)
	}
	good := c.nodeProof(alice, "n")
	reg(alice, stos(799), "needs a deposit of 800 STOS", 4, 1, "h:1", "d", good)
	reg(alice, stos(800), "needs a deposit of 1600 STOS", 4, 2, "h:1", "d", good)
	reg(alice, stos(800), "tier is 4", 4, 4, "h:1", "d", good)
	reg(alice, stos(800), "kinds is 8", 8, 1, "h:1", "d", good)
	reg(alice, stos(800), "not an address", 4, 1, "h", "d", good)
	reg(alice, stos(800), "not an address", 4, 1, "h:70000", "d", good)
	reg(alice, stos(800), "at most 255", 4, 1, strings.Repeat("h", 260)+":1", "d", good)
	reg(alice, stos(800), "visible ASCII", 4, 1, "h:1", "a b", good)
	reg(alice, stos(800), "bytes, want 64", 4, 1, "h:1", "d", good[:63])
	reg(alice, stos(800), "is not by key", 4, 1, "h:1", "d", c.nodeProof(bob, "n")) // a proof for another operator
	reg(bob, stos(800), "is not by key", 4, 1, "h:1", "d", good)                    // somebody else's proof, replayed
	before := c.Balance(alice.SDK())
	reg(alice, stos(800), "", 4, 1, "h:1", "d", good)
	if spent := new(big.Int).Sub(before, c.Balance(alice.SDK())); spent.Cmp(stos(800)) < 0 || spent.Cmp(stos(801)) > 0 {
		t.Errorf("the registration cost %s", spent)
	}
	if n := c.lastRecord().GetNode(); n.GetAddress() != "h:1" || n.GetStatus() != wirepb.NodeStatus_NODE_STATUS_ACTIVE || string(n.GetId()) != string(id[:]) {
		t.Errorf("outbox: %v", n)
	}
	reg(alice, stos(800), "registered already", 4, 1, "h:1", "d", good)
	// A TLS key in use cannot be taken by another node.
	taken := registration.NodeClaim(bob.Account(), key("m/node"), key("n/tls")).Prove(c.Network, chaintest.Key("m/node"))
	c.call(bob, stos(800), "is registered already", "registerNode", key("m/node"), key("n/tls"), uint32(4), uint32(1), "h:1", "d", taken[:])

	none := [32]byte{}
	c.call(bob, nil, "is not its operator", "updateNode", [20]byte(id), "h:2", "", none, none, []byte{})
	c.call(alice, nil, "", "updateNode", [20]byte(id), "h:2", "", none, none, []byte{})
	c.call(alice, nil, "is not by key", "updateNode", [20]byte(id), "", "", key("new/node"), key("new/tls"), c.nodeProof(bob, "new"))
	c.call(alice, nil, "", "updateNode", [20]byte(id), "", "", key("new/node"), key("new/tls"), c.nodeProof(alice, "new"))
	if n := c.lastRecord().GetNode(); n.GetAddress() != "h:2" || string(n.GetId()) != string(id[:]) || [32]byte(n.GetNodeKey()) != key("new/node") {
		t.Errorf("after rotation: %v", n)
	}
	c.call(bob, nil, "is not its operator", "deactivateNode", [20]byte(id))
	c.call(alice, nil, "", "deactivateNode", [20]byte(id))
	c.call(alice, nil, "being paid out already", "deactivateNode", [20]byte(id))
}

// A deposit stays for the lock after the registration and the unbonding time after that: day 150 pays on day 194, day
// 190 on day 204. A node and an authority of one operator each get their own.
func TestPayouts(t *testing.T) {
	const day = 2 // epochs; an epoch of one block
	setup := func() chain {
		return chain{chaintest.New(t, func(s *devspec.Spec) {
			s.EpochBlocks = 1
			chaintest.WithMembers(s, 2, 2)
			s.Nodes[0].Operator, s.Authorities[1].Operator = alice.Account(), alice.Account()
		}, "alice", "bob")}
	}
	for _, tc := range []struct{ leave, paid uint64 }{{150, 194}, {190, 204}} {
		c := setup()
		p, err := c.RegisterKeeper.Params(c.Ctx())
		if err != nil {
			t.Fatal(err)
		}
		p.DepositLockEpochs, p.UnbondingEpochs = 180*day, 14*day
		c.setParams(p)
		for c.epoch() < mesh.Epoch(tc.leave*day)-1 {
			c.Skip(1)
		}
		c.call(alice, nil, "", "deactivateNode", [20]byte(chaintest.NodeID(0)))
		c.call(alice, nil, "", "leaveAuthority", [20]byte(chaintest.AuthorityID(1)))
		before := c.Balance(alice.SDK())
		for c.epoch() < mesh.Epoch(tc.paid*day)-1 {
			c.Skip(1)
		}
		if got := c.Balance(alice.SDK()); got.Cmp(before) != 0 {
			t.Errorf("leaving on day %d: paid %s early", tc.leave, new(big.Int).Sub(got, before))
		}
		c.Skip(day + 1)
		if got := new(big.Int).Sub(c.Balance(alice.SDK()), before); got.Cmp(stos(1800)) != 0 {
			t.Errorf("leaving on day %d: paid %s by day %d, want 1800 STOS", tc.leave, got, tc.paid)
		}
		c.CheckInvariants()
		if _, err := c.RegisterKeeper.Node(c.Ctx(), chaintest.NodeID(0)); mesh.KindOf(err) != mesh.NotFound {
			t.Errorf("the node is still there: %v", err)
		}
	}
}

func (c chain) epoch() mesh.Epoch {
	c.T.Helper()
	e, _, err := c.PotKeeper.Epoch(c.Ctx())
	if err != nil {
		c.T.Fatal(err)
	}
	return e
}

func (c chain) setParams(p registerpb.Params) {
	c.T.Helper()
	c.Write(func(ctx chaintest.Context) error { return c.RegisterKeeper.SetParams(ctx, p) })
}

func (c chain) present() int {
	c.T.Helper()
	a, err := c.RegisterKeeper.Present(c.Ctx())
	if err != nil {
		c.T.Fatal(err)
	}
	return len(a)
}

func (c chain) candidate(operator chaintest.Wallet, name string) mesh.AuthorityID {
	c.T.Helper()
	claim := registration.AuthorityClaim(operator.Account(), key(name+"/report"), key(name+"/consensus"), key(name+"/tls"))
	rp, cp := claim.Prove(c.Network, chaintest.Key(name+"/report")), claim.Prove(c.Network, chaintest.Key(name+"/consensus"))
	c.call(operator, stos(1000), "is not by key", "registerAuthority", key(name+"/report"), key(name+"/consensus"), key(name+"/tls"), "h:1", rp[:], rp[:])
	c.call(operator, stos(999), "needs a deposit of 1000 STOS", "registerAuthority", key(name+"/report"), key(name+"/consensus"), key(name+"/tls"), "h:1", rp[:], cp[:])
	c.call(operator, stos(1000), "", "registerAuthority", key(name+"/report"), key(name+"/consensus"), key(name+"/tls"), "h:1", rp[:], cp[:])
	return mesh.AuthorityIDOf(key(name + "/report"))
}

func TestVoting(t *testing.T) {
	c := newChain(t, 4, 0)
	id := c.candidate(alice, "candidate")
	vote := func(voter int, target mesh.AuthorityID, want string) {
		t.Helper()
		c.call(chaintest.NewWallet(chaintest.AuthorityName(voter)), nil, want, "voteAuthority", [20]byte(chaintest.AuthorityID(voter)), [20]byte(target))
	}
	c.call(bob, nil, "is not its operator", "voteAuthority", [20]byte(chaintest.AuthorityID(0)), [20]byte(id))
	c.call(alice, nil, "has no vote", "voteAuthority", [20]byte(id), [20]byte(id))
	vote(0, id, "")
	vote(0, id, "has voted already")
	vote(1, id, "")
	if c.present() != 4 {
		t.Fatal("2 of 4 were enough")
	}
	vote(2, id, "")
	if c.present() != 5 {
		t.Fatal("3 of 4 were not enough")
	}
	if set := c.lastRecord().GetAuthorities(); len(set.GetAuthorities()) != 5 {
		t.Errorf("outbox: %v", set)
	}
	// Out. The vote of one that has left does not count: 2 of the 4 that remain are not enough, 3 are.
	vote(0, id, "")
	vote(2, id, "")
	c.call(chaintest.NewWallet(chaintest.AuthorityName(2)), nil, "", "leaveAuthority", [20]byte(chaintest.AuthorityID(2)))
	vote(1, id, "")
	if c.present() != 4 {
		t.Fatalf("%d are present: a vote of one that had left counted", c.present())
	}
	vote(2, id, "has no vote")
	vote(3, id, "")
	if c.present() != 3 {
		t.Errorf("%d are present: 3 of 4 votes must have decided", c.present())
	}
	if set := c.lastRecord().GetAuthorities(); len(set.GetAuthorities()) != 3 {
		t.Errorf("outbox: %v", set)
	}
}

func TestLastAuthorityStays(t *testing.T) {
	c := newChain(t, 1, 0)
	me := [20]byte(chaintest.AuthorityID(0))
	c.call(chaintest.NewWallet(chaintest.AuthorityName(0)), nil, "the last authority cannot go", "leaveAuthority", me)
	c.call(chaintest.NewWallet(chaintest.AuthorityName(0)), nil, "the last authority cannot go", "voteAuthority", me, me)
}

func TestCarried(t *testing.T) {
	for n := 1; n <= 7; n++ {
		for yes := 0; yes <= n; yes++ {
			want := 0
			for want*3 <= n*2 { // count up to the first number above two thirds
				want++
			}
			if got := register.Carried(yes, n); got != (yes >= want) {
				t.Errorf("%d of %d: %v", yes, n, got)
			}
		}
	}
}

// The genesis told the meta layer about everybody, from sequence 0.
func TestGenesisFacts(t *testing.T) {
	c := newChain(t, 2, 3)
	n, err := c.OutboxKeeper.Count(c.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for s := range n {
		r, err := c.OutboxKeeper.Record(c.Ctx(), outbox.Sequence(s))
		if err != nil {
			t.Fatal(err)
		}
		switch f := r.Fact.(type) {
		case *wirepb.OutboxRecord_Node:
			count["node"]++
		case *wirepb.OutboxRecord_Authorities:
			count["authorities"] += len(f.Authorities.Authorities)
		case *wirepb.OutboxRecord_Params:
			count["params"] += int(f.Params.EpochBlocks)
		}
	}
	if count["node"] != 3 || count["authorities"] != 2 || count["params"] != 4 {
		t.Errorf("%v", count)
	}
}
