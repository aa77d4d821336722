package database_test

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestThresholds(t *testing.T) {
	// Of n authorities, f = floor((n-1)/3) may lie: f+1 are believed.
	for n, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 3} {
		for k := range n + 1 {
			if got := database.Believed(k, n); got != (k >= want) {
				t.Errorf("%d of %d authorities: %v", k, n, got)
			}
		}
	}
	// Of 3f+1 members, 2f+1 certify, and f+1 are believed.
	for f := 1; f <= 4; f++ {
		n := database.Replicas(uint32(f))
		for k := range n + 1 {
			if got := database.Certified(k, n); got != (k >= 2*f+1) {
				t.Errorf("%d of %d members certify: %v", k, n, got)
			}
			if got := database.Believed(k, n); got != (k >= f+1) {
				t.Errorf("%d of %d members are believed: %v", k, n, got)
			}
		}
	}
}

var domain = sign.Domain{Network: mesh.NetworkID{1}, Group: 2}

func member(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 31), byte(i)))
}

func TestCertificate(t *testing.T) {
	var keys []mesh.PublicKey
	for i := range 4 {
		keys = append(keys, mesh.PublicKeyOf(member(i)))
	}
	of := func(height int64, by ...int) *wirepb.Certificate {
		c := new(wirepb.Certificate)
		for _, i := range by {
			m := &wirepb.Checkpoint{Cell: make([]byte, 16), Version: 1, Height: height, State: make([]byte, 32)}
			c.Checkpoints = append(c.Checkpoints, signed.Seal(domain, member(i), sign.Checkpoint, m))
		}
		return c
	}
	mixed := of(7, 0, 1, 2)
	mixed.Checkpoints[1] = of(8, 1).Checkpoints[0]
	altered := of(7, 0, 1, 2)
	altered.Checkpoints[2].Signature[0] ^= 1
	for _, c := range []struct {
		why string
		c   *wirepb.Certificate
		ok  bool
	}{
		{"three of four", of(7, 0, 1, 2), true},
		{"all four", of(7, 3, 1, 2, 0), true},
		{"two of four", of(7, 0, 1), false},
		{"one of them twice", of(7, 0, 1, 1), false},
		{"one who is no member", of(7, 0, 1, 4), false},
		{"of two heights", mixed, false},
		{"an altered signature", altered, false},
		{"of no height", of(0, 0, 1, 2), false},
		{"none", new(wirepb.Certificate), false},
		{"nothing", nil, false},
	} {
		m, err := database.CheckCertificate(domain, c.c, keys)
		if (err == nil) != c.ok || c.ok && m.Height != 7 {
			t.Errorf("%s: %v, %v", c.why, m, err)
		}
	}
	elsewhere := domain
	elsewhere.Network[0]++
	if _, err := database.CheckCertificate(elsewhere, of(7, 0, 1, 2), keys); err == nil {
		t.Error("it is believed in another network")
	}
}

func TestAddresses(t *testing.T) {
	for s, ok := range map[string]bool{"192.0.2.1:26300": true, "[2001:db8::1]:26300": true, "node-7.example.org:1": true, "": false, "192.0.2.1": false, ":26300": false,
		"a,b:1": false, "id@host:1": false, "host/path:1": false, "host:0": false, "host:99999": false, "h ost:1": false} {
		k := &wirepb.CellKey{Cell: make([]byte, 16), Version: 1, ConsensusKey: make([]byte, 32), AnswerKey: []byte(fmt.Sprintf("%032d", 1)), Peer: s, Address: "192.0.2.1:1"}
		if err := database.CheckCellKey(k); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
