package register_test

import (
	"math/big"
	"testing"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A node that more than two thirds of the authorities convict is suspended, and its deposit held, until it is pardoned.
func TestConviction(t *testing.T) {
	c := newChain(t, 4, 2)
	const node = 1
	id := chaintest.NodeID(node)
	conviction := func(pardons uint64) []byte {
		return wire.Encode(&wirepb.Conviction{Node: id[:], Cell: make([]byte, 16), Evidence: make([]byte, 32), Pardons: pardons})
	}
	by := func(network mesh.NetworkID, p sign.Purpose, content []byte, authorities ...int) (ids [][20]byte, sigs [][]byte) {
		for _, i := range authorities {
			s := sign.Domain{Network: network}.Sign(chaintest.Key(chaintest.AuthorityName(i)+"/report"), p, content)
			ids, sigs = append(ids, chaintest.AuthorityID(i)), append(sigs, s[:])
		}
		return ids, sigs
	}
	convict := func(want string, content []byte, network mesh.NetworkID, p sign.Purpose, authorities ...int) {
		t.Helper()
		ids, sigs := by(network, p, content, authorities...)
		c.call(bob, nil, want, "convictNode", content, ids, sigs)
	}
	said := conviction(0)
	convict("2 of 4 authorities signed", said, c.Network, sign.Conviction, 0, 1)
	convict("signed twice", said, c.Network, sign.Conviction, 0, 1, 1)
	convict("is not an authority", said, c.Network, sign.Conviction, 0, 1, 9)
	convict("is not by key", said, c.Network, sign.Report, 0, 1, 2)
	convict("is not by key", said, mesh.NetworkID{1}, sign.Conviction, 0, 1, 2)
	convict("names a node", wire.Encode(&wirepb.Conviction{Node: id[:]}), c.Network, sign.Conviction, 0, 1, 2)
	convict("is not registered", wire.Encode(&wirepb.Conviction{Node: make([]byte, 20), Cell: make([]byte, 16), Evidence: make([]byte, 32)}), c.Network, sign.Conviction, 0, 1, 2)
	convict("was pardoned since", conviction(1), c.Network, sign.Conviction, 0, 1, 2)
	ids, sigs := by(c.Network, sign.Conviction, said, 0, 1, 2)
	c.call(bob, nil, "3 signers with 2", "convictNode", said, ids, sigs[:2])

	n, err := c.RegisterKeeper.Node(c.Ctx(), id)
	if err != nil {
		t.Fatal(err)
	}
	operator := mesh.Account(n.Operator)
	c.Write(func(ctx chaintest.Context) error { // it wants to be off with its deposit
		_, err := c.RegisterKeeper.DeactivateNode(ctx, operator, id)
		return err
	})
	convict("", said, c.Network, sign.Conviction, 3, 1, 2)
	if r := c.lastRecord().GetNode(); r.GetStatus() != wirepb.NodeStatus_NODE_STATUS_SUSPENDED || string(r.GetId()) != string(id[:]) {
		t.Errorf("the meta layer is told %v", r)
	}
	convict("suspended already", said, c.Network, sign.Conviction, 0, 1, 2)
	if _, err := c.RegisterKeeper.DeactivateNode(c.Ctx(), operator, id); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("a suspended node leaves: %v", err)
	}
	c.Skip(5)
	c.CheckInvariants()

	c.Write(func(ctx chaintest.Context) error { return c.RegisterKeeper.PardonNode(ctx, id) })
	if err := c.RegisterKeeper.PardonNode(c.Ctx(), id); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("pardoned twice: %v", err)
	}
	if n, err := c.RegisterKeeper.Node(c.Ctx(), id); err != nil || n.Pardons != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	convict("was pardoned since", said, c.Network, sign.Conviction, 0, 1, 2)
	had := c.deposit(id)
	convict("", conviction(1), c.Network, sign.Conviction, 0, 1, 2)
	if c.deposit(id).Cmp(had) != 0 {
		t.Error("the lie of a replica takes of the deposit")
	}
	// A lie about a task takes a tenth of the deposit at least, and at most all.
	for i, value := range []mesh.Noz{1, mesh.MaxNoz} {
		c.Write(func(ctx chaintest.Context) error { return c.RegisterKeeper.PardonNode(ctx, id) })
		convict("names a node", wire.Encode(&wirepb.Conviction{Node: id[:], Cell: make([]byte, 16), Evidence: make([]byte, 32), Pardons: uint64(2 + i), Value: 1 << 63}),
			c.Network, sign.Conviction, 0, 1, 2)
		convict("", wire.Encode(&wirepb.Conviction{Node: id[:], Cell: make([]byte, 16), Evidence: make([]byte, 32), Pardons: uint64(2 + i), Value: uint64(value)}),
			c.Network, sign.Conviction, 0, 1, 2)
		want := new(big.Int)
		if value == 1 {
			want.Sub(had, new(big.Int).Quo(new(big.Int).Add(had, big.NewInt(9)), big.NewInt(10)))
		}
		if got := c.deposit(id); got.Cmp(want) != 0 {
			t.Errorf("a deposit of %s wei is %s after a lie in a job of %s, want %s", had, got, value, want)
		}
		if r := c.lastRecord().GetNode(); r.GetDepositWei() != want.String() {
			t.Errorf("the meta layer is told %v", r)
		}
	}
}

func (c chain) deposit(id mesh.NodeID) *big.Int {
	c.T.Helper()
	n, err := c.RegisterKeeper.Node(c.Ctx(), id)
	if err != nil {
		c.T.Fatal(err)
	}
	return n.Deposit.BigInt()
}
