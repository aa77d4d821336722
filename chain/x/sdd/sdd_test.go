package sdd_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/x/sdd"
	"github.com/stratosmesh/stratos/chain/x/sdd/sddpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { chaintest.Main(m) }

// The chain keeps the newest anchor that more than two thirds of the authorities signed.
func TestAnchors(t *testing.T) {
	bob := chaintest.NewWallet("bob")
	wallets := []string{"bob"}
	for i := range 4 {
		wallets = append(wallets, chaintest.AuthorityName(i))
	}
	c := chaintest.New(t, func(s *devspec.Spec) { chaintest.WithMembers(s, 4, 1) }, wallets...)
	good := &wirepb.Anchor{Database: make([]byte, 16), Owner: make([]byte, 20), Cell: make([]byte, 16), Version: 1, LogHeight: 7, TimeMs: 1000, Height: 5, Digest: make([]byte, 32), Content: make([]byte, 32)}
	good.Content[3] = 42
	changed := func(f func(*wirepb.Anchor)) []byte {
		a := proto.Clone(good).(*wirepb.Anchor)
		f(a)
		return wire.Encode(a)
	}
	anchor := func(want string, content []byte, network mesh.NetworkID, p sign.Purpose, by ...int) {
		t.Helper()
		var ids [][20]byte
		var sigs [][]byte
		for _, i := range by {
			s := sign.Domain{Network: network}.Sign(chaintest.Key(chaintest.AuthorityName(i)+"/report"), p, content)
			ids, sigs = append(ids, chaintest.AuthorityID(i)), append(sigs, s[:])
		}
		data, err := abi.SDD().Pack("anchor", content, ids, sigs)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Send(bob, abi.SDD().Address, nil, data)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	content := wire.Encode(good)
	anchor("2 of 4", content, c.Network, sign.Anchor, 0, 1)
	anchor("signed twice", content, c.Network, sign.Anchor, 0, 1, 1)
	anchor("is not by key", content, c.Network, sign.Conviction, 0, 1, 2)
	anchor("is not by key", content, mesh.NetworkID{1}, sign.Anchor, 0, 1, 2)
	anchor("names a database", changed(func(a *wirepb.Anchor) { a.Content = a.Content[1:] }), c.Network, sign.Anchor, 0, 1, 2)
	anchor("names a database", changed(func(a *wirepb.Anchor) { a.LogHeight = 0 }), c.Network, sign.Anchor, 0, 1, 2)
	if _, _, err := c.SDDKeeper.Newest(c.Ctx(), mesh.DatabaseID{}); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("nothing was anchored: %v", err)
	}
	anchor("", content, c.Network, sign.Anchor, 0, 1, 3)
	anchor("is anchored at height 7", content, c.Network, sign.Anchor, 0, 1, 3)
	anchor("is anchored at height 7", changed(func(a *wirepb.Anchor) { a.LogHeight, a.Owner[0] = 9, 1 }), c.Network, sign.Anchor, 0, 1, 3)

	data, err := abi.SDD().Pack("anchorOf", [16]byte{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Query(bob.Address, abi.SDD().Address, data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := abi.SDD().Unpack("anchorOf", b)
	if err != nil || out[2].(uint64) != 7 || out[4].(uint64) != 5 || out[6].([32]byte)[3] != 42 || out[7].(uint64) == 0 {
		t.Errorf("a contract reads %v, %v", out, err)
	}
	anchor("", changed(func(a *wirepb.Anchor) { a.LogHeight, a.Content[3] = 8, 43 }), c.Network, sign.Anchor, 1, 2, 3)

	g, err := c.SDDKeeper.ExportGenesis(c.Ctx())
	if err != nil || len(g.Anchors) != 1 || sdd.ValidateGenesis(g) != nil {
		t.Fatalf("%+v, %v", g, err)
	}
	for name, bad := range map[string]*sddpb.GenesisState{"twice": {Anchors: append(g.Anchors, g.Anchors...)}, "damaged": {Anchors: []sddpb.Anchored{{Anchor: []byte{1}}}}} {
		if sdd.ValidateGenesis(bad) == nil {
			t.Errorf("a genesis that is %s", name)
		}
	}
	c.Restart().CheckInvariants()
}
