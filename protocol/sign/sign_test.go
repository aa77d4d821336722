package sign_test

import (
	"bytes"
	"crypto/ed25519"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
)

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))

// A signature is good for its purpose, network, group and content, and for no other of any.
func TestDomainSeparation(t *testing.T) {
	home := sign.Domain{Network: mesh.NetworkID{1}, Group: 2}
	pub, content := mesh.PublicKeyOf(key), []byte("content")
	for _, p := range sign.Purposes() {
		sig := home.Sign(key, p, content)
		if err := home.Verify(pub, p, content, sig); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		refuse := func(what string, d sign.Domain, k mesh.PublicKey, p sign.Purpose, content []byte) {
			t.Helper()
			if err := d.Verify(k, p, content, sig); mesh.KindOf(err) != mesh.Denied || err == nil {
				t.Errorf("a signature for %s counts for another %s: %v", p, what, err)
			}
		}
		refuse("network", sign.Domain{Network: mesh.NetworkID{2}, Group: 2}, pub, p, content)
		refuse("group", sign.Domain{Network: mesh.NetworkID{1}, Group: 3}, pub, p, content)
		refuse("content", home, pub, p, []byte("Content"))
		refuse("key", home, mesh.PublicKey{1}, p, content)
		for _, other := range sign.Purposes() {
			if other != p {
				refuse("purpose", home, pub, other, content)
			}
		}
	}
}

// No purpose's message can be read as another's with other content: the length stands before the name.
func TestMessagesDoNotRunTogether(t *testing.T) {
	var d sign.Domain
	seen := map[string]sign.Purpose{}
	for _, p := range sign.Purposes() {
		m := string(d.Message(p, nil))
		for other, q := range seen {
			if len(m) >= len(other) && m[:len(other)] == other || len(other) >= len(m) && other[:len(m)] == m {
				t.Errorf("%s and %s begin alike", p, q)
			}
		}
		seen[m] = p
		if len(p) == 0 || len(p) > 255 {
			t.Errorf("the name %q does not fit its length byte", p)
		}
	}
	if len(seen) != len(sign.Purposes()) {
		t.Error("a purpose is registered twice")
	}
}

// Every constant of type Purpose is in the list, and no two have one name.
func TestEveryPurposeIsRegistered(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "sign.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	registered := map[sign.Purpose]bool{}
	for _, p := range sign.Purposes() {
		registered[p] = true
	}
	names := map[sign.Purpose]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if id, typed := typeName(v, ok); typed && id == "Purpose" {
			for i, name := range v.Names {
				s, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				p := sign.Purpose(s)
				if other := names[p]; other != "" {
					t.Errorf("%s and %s have the name %q", name.Name, other, p)
				}
				names[p] = name.Name
				if !registered[p] {
					t.Errorf("%s is not registered", name.Name)
				}
			}
		}
		return true
	})
	if len(names) != len(registered) {
		t.Errorf("%d constants, %d registered", len(names), len(registered))
	}
}

func typeName(v *ast.ValueSpec, ok bool) (string, bool) {
	if !ok || v.Type == nil {
		return "", false
	}
	id, ok := v.Type.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

func TestUnregisteredPurposePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an unregistered purpose was signed for")
		}
	}()
	sign.Domain{}.Sign(key, "made-up/1", nil)
}

// The layout that other implementations rely on.
func TestMessageLayout(t *testing.T) {
	d := sign.Domain{Network: mesh.NetworkID{0xaa}, Group: 0x01020304}
	want := "stratos-signature-v1\x00" + "\x05ack/1" + "\xaa" + string(make([]byte, 31)) + "\x01\x02\x03\x04" + "body"
	if got := string(d.Message(sign.Ack, []byte("body"))); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
