package signed_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var (
	key    = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	domain = sign.Domain{Network: mesh.NetworkID{9}, Group: 1}
)

func TestOpen(t *testing.T) {
	m := &wirepb.Deletion{Bucket: "photos", Key: "a", AtMs: 5}
	s := signed.Seal(domain, key, sign.Deletion, m)
	got := new(wirepb.Deletion)
	by, err := signed.Open(domain, s, sign.Deletion, got)
	if err != nil || by != mesh.PublicKeyOf(key) || got.Key != "a" || got.AtMs != 5 {
		t.Fatalf("got %v by %s, %v", got, by, err)
	}
	raw := func(body []byte) *wirepb.Signed {
		sig := domain.Sign(key, sign.Deletion, body)
		return &wirepb.Signed{Body: body, Key: s.Key, Signature: sig[:]}
	}
	for _, c := range []struct {
		name string
		s    *wirepb.Signed
		kind mesh.Kind
	}{
		{"nil", nil, mesh.Invalid},
		{"empty", new(wirepb.Signed), mesh.Invalid},
		{"long key", &wirepb.Signed{Body: s.Body, Key: append(bytes.Clone(s.Key), 0), Signature: s.Signature}, mesh.Invalid},
		{"long signature", &wirepb.Signed{Body: s.Body, Key: s.Key, Signature: append(bytes.Clone(s.Signature), 0)}, mesh.Invalid},
		{"trailing byte", raw(append(bytes.Clone(s.Body), 0)), mesh.Invalid},
		{"over the limit", raw(append(bytes.Clone(s.Body), bytes.Repeat([]byte{0}, signed.MaxBody)...)), mesh.Invalid},
		{"unsigned byte", &wirepb.Signed{Body: append(bytes.Clone(s.Body), 0), Key: s.Key, Signature: s.Signature}, mesh.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := signed.Open(domain, c.s, sign.Deletion, new(wirepb.Deletion)); err == nil || mesh.KindOf(err) != c.kind {
				t.Errorf("got %v, want %s", err, c.kind)
			}
		})
	}
}

// The key inside is part of nothing that is signed; it still cannot be changed, since then the signature is not its own.
func TestKeyIsBound(t *testing.T) {
	s := signed.Seal(domain, key, sign.Deletion, &wirepb.Deletion{Bucket: "photos"})
	other := mesh.PublicKeyOf(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32)))
	s.Key = other[:]
	if _, err := signed.Open(domain, s, sign.Deletion, new(wirepb.Deletion)); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("got %v", err)
	}
}
