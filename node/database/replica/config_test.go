package replica

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	cmtjson "github.com/cometbft/cometbft/libs/json"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// The genesis follows from what the meta layer says, and from nothing else.
func TestGenesis(t *testing.T) {
	rules := Options{}.withDefaults().Rules
	genesis := func(change func(*wirepb.CellAnswer)) (string, string) {
		t.Helper()
		w := newWorld(t, 4, 4)
		a := w.answer()
		change(a)
		c, err := NewConfig(w.domain.Network, w.domain.Group, a)
		if err != nil {
			t.Fatal(err)
		}
		g, err := c.Genesis(rules)
		if err != nil {
			t.Fatal(err)
		}
		b, err := cmtjson.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		return g.ChainID, string(b)
	}
	id, doc := genesis(func(*wirepb.CellAnswer) {})
	if len(id) > 50 {
		t.Errorf("the chain's id %q is too long", id)
	}
	if again, same := genesis(func(*wirepb.CellAnswer) {}); again != id || same != doc {
		t.Error("it differs when it is made again")
	}
	if chain, _ := genesis(func(a *wirepb.CellAnswer) { a.Version = 2 }); chain == id {
		t.Error("another version has the same chain")
	}
	if chain, _ := genesis(func(a *wirepb.CellAnswer) { a.Id = bytes.Repeat([]byte{1}, 16) }); chain == id {
		t.Error("another cell has the same chain")
	}
	if _, other := genesis(func(a *wirepb.CellAnswer) { a.Members[0], a.Members[1] = a.Members[1], a.Members[0] }); other == doc {
		t.Error("the members' order does not count")
	}
	if _, other := genesis(func(a *wirepb.CellAnswer) { a.Authorities = a.Authorities[1:] }); other == doc {
		t.Error("the authorities do not count")
	}
	if _, other := genesis(func(a *wirepb.CellAnswer) {
		a.Databases = []*wirepb.HostedDatabase{{Id: make([]byte, 16)}}
		a.Members[0].Address = "192.0.2.1:99"
	}); other != doc {
		t.Error("what comes and goes is in the genesis")
	}
}

func TestCellsThatCannotBe(t *testing.T) {
	for why, change := range map[string]func(*wirepb.CellAnswer){
		"three members":           func(a *wirepb.CellAnswer) { a.Members = a.Members[:3] },
		"no member":               func(a *wirepb.CellAnswer) { a.Members = nil },
		"five members":            func(a *wirepb.CellAnswer) { a.Members = append(a.Members, newWorld(t, 5, 1).answer().Members[4]) },
		"sixteen members":         func(a *wirepb.CellAnswer) { a.Members = newWorld(t, 16, 1).answer().Members },
		"not founded":             func(a *wirepb.CellAnswer) { a.FoundedMs = 0 },
		"founded before time":     func(a *wirepb.CellAnswer) { a.FoundedMs = -1 },
		"no authorities":          func(a *wirepb.CellAnswer) { a.Authorities = nil },
		"an authority twice":      func(a *wirepb.CellAnswer) { a.Authorities[1] = a.Authorities[0] },
		"a short authority":       func(a *wirepb.CellAnswer) { a.Authorities[1] = a.Authorities[0][1:] },
		"a consensus key twice":   func(a *wirepb.CellAnswer) { a.Members[1].ConsensusKey = a.Members[0].ConsensusKey },
		"an answer key twice":     func(a *wirepb.CellAnswer) { a.Members[1].AnswerKey = a.Members[0].AnswerKey },
		"one key for both":        func(a *wirepb.CellAnswer) { a.Members[1].AnswerKey = a.Members[1].ConsensusKey },
		"a key that is missing":   func(a *wirepb.CellAnswer) { a.Members[1].AnswerKey = nil },
		"a node without an id":    func(a *wirepb.CellAnswer) { a.Members[1].Node = nil },
		"a peer twice":            func(a *wirepb.CellAnswer) { a.Members[1].Peer = a.Members[0].Peer },
		"an address with no port": func(a *wirepb.CellAnswer) { a.Members[1].Address = "192.0.2.1" },
		"a peer with commas":      func(a *wirepb.CellAnswer) { a.Members[1].Peer = "a,b@c:1" },
		"a short id":              func(a *wirepb.CellAnswer) { a.Id = a.Id[1:] },
		"no version":              func(a *wirepb.CellAnswer) { a.Version = 0 },
	} {
		w := newWorld(t, 4, 4)
		a := w.answer()
		change(a)
		if c, err := NewConfig(w.domain.Network, w.domain.Group, a); err == nil {
			t.Errorf("%s: %v", why, c)
		}
	}
	for _, n := range []int{4, 7, 10, 13} {
		w := newWorld(t, n, 7)
		if _, err := NewConfig(w.domain.Network, w.domain.Group, w.answer()); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
	}
}

func TestConfigFile(t *testing.T) {
	w := newWorld(t, 4, 4)
	c, err := NewConfig(w.domain.Network, w.domain.Group, w.answer())
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := WriteConfig(home, c); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("settings without addresses to listen on: %v", err)
	}
	c.Peer, c.Service = "127.0.0.1:0", "127.0.0.1:0"
	for range 2 {
		if err := WriteConfig(home, c); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadConfig(home)
	if err != nil || got.ChainID() != c.ChainID() || got.Members[3] != c.Members[3] {
		t.Errorf("read %v, %v", got, err)
	}
	c.Version = 2
	if err := WriteConfig(home, c); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("over another version: %v", err)
	}
	path := filepath.Join(home, configFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"", "{}", string(b[:len(b)/2]), string(bytes.Replace(b, []byte(`"peer"`), []byte(`"pier"`), 1))} {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConfig(home); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("settings of %d bytes: %v", len(s), err)
		}
	}
	if _, err := ReadConfig(t.TempDir()); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("no settings: %v", err)
	}
	if _, err := New(home, Options{Rules: Rules{EnvelopeGas: 2, DatabaseGas: 1}}, quiet()); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("rules that cannot be: %v", err)
	}
}
