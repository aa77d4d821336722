package wallet_test

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
)

const anvil = "test test test test test test test test test test test junk"

func key(t *testing.T, i uint32) wallet.Key {
	t.Helper()
	tree, err := wallet.ParseMnemonic(anvil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := tree.Key(i)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The accounts that Foundry's Anvil prints when it starts.
func TestDerivation(t *testing.T) {
	for i, want := range []struct{ address, secret string }{
		{"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"},
		{"0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"},
		{"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"},
	} {
		k := key(t, uint32(i))
		if k.Secret() != want.secret || wallet.EthAddress(k.Account()) != want.address {
			t.Errorf("key %d is %s of %s", i, k.Secret(), wallet.EthAddress(k.Account()))
		}
	}
}

func TestParseMnemonic(t *testing.T) {
	if _, err := wallet.ParseMnemonic("  Test test\ntest test test test test test test test test JUNK "); err != nil {
		t.Errorf("spaces and capitals: %v", err)
	}
	for _, words := range []string{"", "junk", strings.Replace(anvil, "junk", "test", 1), strings.Replace(anvil, "junk", "xyzzy", 1)} {
		if _, err := wallet.ParseMnemonic(words); mesh.KindOf(err) != mesh.Invalid || strings.Contains(err.Error(), "xyzzy") {
			t.Errorf("%q: %v", words, err)
		}
	}
	words, err := wallet.NewMnemonic()
	if err != nil || len(strings.Fields(words)) != 24 {
		t.Fatalf("NewMnemonic: %d words, %v", len(strings.Fields(words)), err)
	}
	if _, err := wallet.ParseMnemonic(words); err != nil {
		t.Error(err)
	}
}

func TestParseKeyNeverQuotesIt(t *testing.T) {
	for _, s := range []string{"", "0x12", strings.Repeat("g", 64), strings.Repeat("0", 64), strings.Repeat("f", 64)} {
		_, err := wallet.ParseKey(s)
		if mesh.KindOf(err) != mesh.Invalid || s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("ParseKey(%q) = %v", s, err)
		}
	}
	k := key(t, 0)
	again, err := wallet.ParseKey(strings.TrimPrefix(k.Secret(), "0x"))
	if err != nil || again.Account() != k.Account() {
		t.Errorf("without 0x: %v", err)
	}
}

func TestPrintingShowsNoSecret(t *testing.T) {
	k := key(t, 0)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{k, &k, []wallet.Key{k}, struct{ K wallet.Key }{k}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(strings.ToLower(s), "ac0974be") || strings.Contains(s, "778") && len(s) > 200 {
				t.Errorf("%s of %T shows %s", verb, v, s)
			}
		}
	}
}

// The vector of the web3.js documentation for eth.accounts.sign.
func TestSignPersonal(t *testing.T) {
	k, err := wallet.ParseKey("0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("Some data")
	sig, err := k.SignPersonal(msg)
	if err != nil {
		t.Fatal(err)
	}
	const want = "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
	if hex.EncodeToString(sig) != want {
		t.Fatalf("signature %x", sig)
	}
}

func TestSignTx(t *testing.T) {
	k, chain := key(t, 0), big.NewInt(20481)
	to := common.Address{1}
	tx, err := k.SignTx(types.NewTx(&types.DynamicFeeTx{ChainID: chain, To: &to, Value: big.NewInt(1), Gas: 21000}), chain)
	if err != nil {
		t.Fatal(err)
	}
	if from, err := types.Sender(types.LatestSignerForChainID(chain), tx); err != nil || mesh.Account(from) != k.Account() {
		t.Fatalf("sender %v, %v", from, err)
	}
	if _, err := types.Sender(types.LatestSignerForChainID(big.NewInt(1)), tx); err == nil {
		t.Fatal("valid on another chain")
	}
}

func TestParseAccount(t *testing.T) {
	const good = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
	a := key(t, 0).Account()
	for _, s := range []string{good, strings.ToLower(good), "0x" + strings.ToUpper(good[2:]), a.String()} {
		if got, err := wallet.ParseAccount(s); err != nil || got != a {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "alice", strings.Replace(good, "f39F", "F39F", 1), good[:41], a.String()[:20]} {
		if _, err := wallet.ParseAccount(s); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestStore(t *testing.T) {
	s := wallet.OpenStore(filepath.Join(t.TempDir(), "keys"))
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Fatalf("List of nothing = %v, %v", list, err)
	}
	alice, bob := key(t, 0), key(t, 1)
	if err := s.Add("alice", alice, "secret", wallet.Light); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("bob", bob, "", wallet.Light); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0] != (wallet.Entry{Name: "alice", Account: alice.Account()}) ||
		list[1] != (wallet.Entry{Name: "bob", Account: bob.Account(), Open: true}) {
		t.Fatalf("List = %v, %v", list, err)
	}
	for name, password := range map[string]string{"alice": "secret", "bob": ""} {
		if k, err := s.Unlock(name, password); err != nil || k.Secret() != map[string]string{"alice": alice.Secret(), "bob": bob.Secret()}[name] {
			t.Errorf("Unlock %s: %v", name, err)
		}
	}
	for _, ref := range []string{"alice", alice.Account().String(), wallet.EthAddress(alice.Account())} {
		if e, err := s.Find(ref); err != nil || e.Name != "alice" {
			t.Errorf("Find %s = %v, %v", ref, e, err)
		}
	}
	for _, c := range []struct {
		what string
		err  error
		want mesh.Kind
	}{
		{"wrong password", second(s.Unlock("alice", "other")), mesh.Denied},
		{"unknown name", second(s.Unlock("carol", "")), mesh.NotFound},
		{"path as a name", second(s.Unlock("../alice", "")), mesh.Invalid},
		{"unknown account", second(s.Find(mesh.Account{9}.String())), mesh.NotFound},
		{"taken name", s.Add("bob", key(t, 2), "", wallet.Light), mesh.Conflict},
		{"known account", s.Add("robert", bob, "", wallet.Light), mesh.Conflict},
		{"bad name", s.Add("st1x", key(t, 2), "", wallet.Light), mesh.Invalid},
	} {
		if mesh.KindOf(c.err) != c.want || c.err == nil {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		}
	}
	if a, err := s.Resolve(mesh.Account{9}.String()); err != nil || a != (mesh.Account{9}) {
		t.Errorf("Resolve of a stranger = %v, %v", a, err)
	}
}

func second[T any](_ T, err error) error { return err }

// A file from the Web3 Secret Storage specification, and what must not be taken for one.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	s := wallet.OpenStore(dir)
	b, err := os.ReadFile("testdata/web3-secret-storage.json")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("vector.json", b)
	write("README", []byte("not a key"))
	k, err := s.Unlock("vector", "testpassword")
	if err != nil || k.Secret() != "0x7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d" {
		t.Fatalf("Unlock of the vector: %v", err)
	}
	write("liar.json", []byte(strings.Replace(string(b), "008aeeda4d805471df9b2a5b0f38a0c3bcba786b", strings.Repeat("11", 20), 1)))
	if _, err := s.Unlock("liar", "testpassword"); mesh.KindOf(err) != mesh.Corrupt {
		t.Errorf("file that names another account: %v", err)
	}
	write("broken.json", []byte("{"))
	if _, err := s.List(); mesh.KindOf(err) != mesh.Corrupt {
		t.Errorf("List with a broken file: %v", err)
	}
}
