package devnet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/mesh"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Network)
		ok     bool
	}{
		{"default", func(*Network) {}, true},
		{"free block", func(n *Network) { n.BasePort = 0 }, true},
		{"value layer only", func(n *Network) { n.Authorities, n.Nodes = 0, 0 }, true},
		{"largest", func(n *Network) { n.Validators, n.Authorities, n.Nodes = MaxValidators, MaxAuthorities, MaxNodes }, true},
		{"no validator", func(n *Network) { n.Validators = 0 }, false},
		{"too many nodes", func(n *Network) { n.Nodes = MaxNodes + 1 }, false},
		{"negative", func(n *Network) { n.Authorities = -1 }, false},
		{"privileged port", func(n *Network) { n.BasePort = 1023 }, false},
		{"block past the last port", func(n *Network) { n.BasePort = maxBasePort + 1 }, false},
		{"epoch shorter than a block", func(n *Network) { n.Epoch = n.BlockInterval - 1 }, false},
		{"no interval", func(n *Network) { n.BlockInterval = 0 }, false},
	} {
		n := Default()
		c.change(&n)
		if err := n.Check(); (err == nil) != c.ok || err != nil && (mesh.KindOf(err) != mesh.Invalid || mesh.HintOf(err) == "") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestEpochBlocksRoundUp(t *testing.T) {
	for _, c := range []struct {
		epoch, interval time.Duration
		want            uint64
	}{{30 * time.Second, 500 * time.Millisecond, 60}, {time.Second, 300 * time.Millisecond, 4}, {time.Second, time.Second, 1}} {
		n := Network{Epoch: Duration(c.epoch), BlockInterval: Duration(c.interval)}
		if got := n.EpochBlocks(); got != c.want {
			t.Errorf("%v in blocks of %v: %d, want %d", c.epoch, c.interval, got, c.want)
		}
	}
}

// The ports are a promise to whoever configures tools by hand.
func TestPortTable(t *testing.T) {
	n := Default()
	n.Validators, n.Authorities, n.Nodes = MaxValidators, MaxAuthorities, MaxNodes
	table := n.portTable()
	for _, c := range []struct {
		process, purpose string
		want             int
	}{
		{"validator-0", "p2p", 26000}, {"validator-0", "rpc", 26001}, {"validator-0", "eth", 26002}, {"validator-0", "eth_ws", 26003},
		{"validator-0", "rest", 26004}, {"validator-0", "grpc", 26005}, {"validator-2", "eth", 26022},
		{"authority-0", "api", 26100}, {"authority-0", "p2p", 26101}, {"authority-3", "http", 26132},
		{"node-0", "transfer", 26300}, {"node-7", "http", 26371}, {"node-0", "replica_0", 26302}, {"node-7", "replica_7", 26379},
	} {
		if got := table[c.process][c.purpose]; got != c.want {
			t.Errorf("%s of %s is %d, want %d", c.purpose, c.process, got, c.want)
		}
	}
	seen := map[int]bool{}
	for _, p := range n.allPorts() {
		if seen[p] || p < n.BasePort || p >= n.BasePort+blockPorts {
			t.Errorf("port %d is twice there or outside of the block", p)
		}
		seen[p] = true
	}
}

func TestAgrees(t *testing.T) {
	recorded := Default()
	asked := Default()
	asked.Nodes, asked.BasePort = 3, 0
	if err := asked.Agrees(recorded, nil); err != nil {
		t.Errorf("nobody gave it: %v", err)
	}
	if err := asked.Agrees(recorded, map[string]string{SetBasePort: "--base-port", SetEpoch: "--epoch"}); err != nil {
		t.Errorf("any port, same epoch: %v", err)
	}
	err := asked.Agrees(recorded, map[string]string{SetNodes: "--nodes"})
	if mesh.KindOf(err) != mesh.Conflict || !strings.Contains(err.Error(), "--nodes asks for nodes = 3") || mesh.HintOf(err) == "" {
		t.Errorf("other count: %v", err)
	}
}

func TestReserve(t *testing.T) {
	n := Default()
	n.BasePort = 0
	guard, err := n.reserve("hint")
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	second := n // on the same block: the guard refuses it
	if _, err := second.reserve("hint"); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("two networks on one block: %v", err)
	}
	third := Default()
	third.BasePort = 0
	other, err := third.reserve("hint")
	if err != nil || third.BasePort == n.BasePort {
		t.Fatalf("no block of its own: %d and %d, %v", n.BasePort, third.BasePort, err)
	}
	other.Close()

	// A block of its own below those that the system draws from, where an outgoing connection may hold any port.
	third.BasePort = 0
	block, err := third.reserve("hint")
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen(third.BasePort + 2)
	block.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fourth := Network{Validators: 1, BasePort: third.BasePort}
	_, err = fourth.reserve("do this")
	if mesh.KindOf(err) != mesh.Conflict || mesh.HintOf(err) != "do this" || !strings.Contains(err.Error(), "is taken by devnet.test (process ") {
		t.Errorf("taken port: %v (hint %q)", err, mesh.HintOf(err))
	}
}

func TestMembers(t *testing.T) {
	n := Default()
	members, err := n.members()
	if err != nil {
		t.Fatal(err)
	}
	if len(members) != 2+1+4+8 || members[0].name != "alice" || members[0].ozone != 1000*mesh.NozPerOz || members[1].ozone != 0 {
		t.Fatalf("members %v", members)
	}
	seen := map[mesh.Account]bool{}
	for _, m := range members {
		if seen[m.key.Account()] {
			t.Errorf("%s shares an account", m.name)
		}
		seen[m.key.Account()] = true
	}
	// m/44'/60'/0'/0/10, /20 and /100 of Anvil's mnemonic.
	for name, want := range map[string]string{
		"validator-0": "0xBcd4042DE499D14e55001CcbB24a551F3b954096",
		"authority-0": "0x09DB0a93B389bEF724429898f539AEB7ac2Dd55f",
	} {
		for _, m := range members {
			if m.name == name {
				if a, err := mesh.ParseAccount(want); err != nil || a != m.key.Account() {
					t.Errorf("%s is %s, want %s", name, m.key.Account(), a)
				}
			}
		}
	}
}

func TestLock(t *testing.T) {
	h, err := home.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, held, err := whoHolds(h); held || err != nil {
		t.Fatalf("nobody holds it: %v, %v", held, err)
	}
	l, err := takeLock(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(h); !errors.Is(err, errRunning) {
		t.Fatalf("taken twice: %v", err)
	}
	if err := l.announce("/x"); err != nil {
		t.Fatal(err)
	}
	if who, held, err := whoHolds(h); !held || err != nil || who.Control != "/x" || who.PID != os.Getpid() {
		t.Fatalf("whoHolds = %+v, %v, %v", who, held, err)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	again, err := takeLock(h) // what the dead holder wrote does not matter
	if err != nil {
		t.Fatal(err)
	}
	if who, held, _ := whoHolds(h); !held || who.Control != "" {
		t.Fatalf("an old announcement is believed: %+v", who)
	}
	again.release()
}

// A creation that was interrupted is cleared, but never what has no marker.
func TestClearHalfMade(t *testing.T) {
	h, err := home.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	precious := h.Path("validator-0", "data")
	if err := os.MkdirAll(precious, 0o700); err != nil {
		t.Fatal(err)
	}
	marker := h.Path("creating")
	if err := clearHalfMade(h, marker); mesh.KindOf(err) != mesh.Conflict {
		t.Fatalf("without a marker: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Fatal("something without a marker was removed")
	}
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := clearHalfMade(h, marker); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(h.Path("validator-*")); len(left) != 0 {
		t.Fatalf("left: %v", left)
	}
}

func TestReadRecord(t *testing.T) {
	h, err := home.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		content string
		want    mesh.Kind
	}{{"", mesh.NotFound}, {"{", mesh.Corrupt}, {`{"format": 2}`, mesh.Invalid}} {
		if c.content != "" {
			if err := os.WriteFile(recordPath(h), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ReadRecord(h); mesh.KindOf(err) != c.want {
			t.Errorf("%q: %v", c.content, err)
		}
	}
}
