package account_test

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/sign"
)

var domain = sign.Domain{Network: mesh.NetworkID{1}, Group: 4}

func newKey(t testing.TB, b byte) account.Key {
	k, err := crypto.ToECDSA(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return account.NewKey(k)
}

func TestRecover(t *testing.T) {
	k, content := newKey(t, 1), []byte("a link")
	sig, err := account.Sign(k, domain, sign.Grant, content)
	if err != nil {
		t.Fatal(err)
	}
	if by, err := account.Recover(domain, sign.Grant, content, sig); err != nil || by != k.Account() {
		t.Fatalf("got %s, %v", by, err)
	}
	for what, by := range map[string]func() (mesh.Account, error){
		"network": func() (mesh.Account, error) {
			return account.Recover(sign.Domain{Network: mesh.NetworkID{2}, Group: 4}, sign.Grant, content, sig)
		},
		"group": func() (mesh.Account, error) {
			return account.Recover(sign.Domain{Network: mesh.NetworkID{1}, Group: 5}, sign.Grant, content, sig)
		},
		"purpose": func() (mesh.Account, error) { return account.Recover(domain, sign.Session, content, sig) },
		"content": func() (mesh.Account, error) { return account.Recover(domain, sign.Grant, []byte("b link"), sig) },
	} {
		if a, err := by(); err == nil && a == k.Account() {
			t.Errorf("the signature counts for another %s", what)
		}
	}
}

func TestRecoverRefuses(t *testing.T) {
	k, content := newKey(t, 2), []byte("a link")
	good, err := account.Sign(k, domain, sign.Grant, content)
	if err != nil {
		t.Fatal(err)
	}
	n := crypto.S256().Params().N
	with := func(f func(s []byte)) []byte { s := bytes.Clone(good); f(s); return s }
	for _, c := range []struct {
		name string
		sig  []byte
		kind mesh.Kind
	}{
		{"nothing", nil, mesh.Invalid},
		{"without v", good[:64], mesh.Invalid},
		{"one byte more", append(bytes.Clone(good), 27), mesh.Invalid},
		{"v 0", with(func(s []byte) { s[64] = 0 }), mesh.Invalid},
		{"v 1", with(func(s []byte) { s[64] = 1 }), mesh.Invalid},
		{"v 26", with(func(s []byte) { s[64] = 26 }), mesh.Invalid},
		{"v 29", with(func(s []byte) { s[64] = 29 }), mesh.Invalid},
		{"v of EIP-155", with(func(s []byte) { s[64] = 37 }), mesh.Invalid},
		{"high s", with(func(s []byte) {
			new(big.Int).Sub(n, new(big.Int).SetBytes(s[32:64])).FillBytes(s[32:64])
			s[64] ^= 27 ^ 28
		}), mesh.Denied},
		{"s of zero", with(func(s []byte) { clear(s[32:64]) }), mesh.Denied},
		{"r of zero", with(func(s []byte) { clear(s[:32]) }), mesh.Denied},
		{"r of n", with(func(s []byte) { n.FillBytes(s[:32]) }), mesh.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			if by, err := account.Recover(domain, sign.Grant, content, c.sig); err == nil || mesh.KindOf(err) != c.kind {
				t.Errorf("got %s, %v; want %s", by, err, c.kind)
			}
		})
	}
}

// The digest is the one that wallets make: the vector is that of the Ethereum JSON-RPC documentation's personal_sign.
func TestPersonalHash(t *testing.T) {
	for text, want := range map[string]string{
		"hello world": "d9eba16ed0ecae432b71fe008c98cc872bb4cc214d3220a36f365326cf807d68",
	} {
		if got := hex.EncodeToString(account.PersonalHash([]byte(text))); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
