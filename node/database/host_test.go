package database

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/internal/supervise"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// asReplica makes the test binary, run again as a child, the replica in the home that its last argument names.
const asReplica = "STRATOS_TEST_REPLICA"

func TestMain(m *testing.M) {
	if os.Getenv(asReplica) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := syscall.SetNonblock(0, true); err != nil { // so that closing it ends a read
			panic(err)
		}
		if err := RunReplica(ctx, os.Args[len(os.Args)-1], os.NewFile(0, "the parent"), slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
			fmt.Println(err)
			os.Exit(mesh.KindOf(err).ExitCode())
		}
		os.Exit(0)
	}
	if err := os.Setenv(asReplica, "1"); err != nil { // of the children
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func bytesOf(k mesh.PublicKey) []byte { return k[:] }

var (
	domain = sign.Domain{Network: mesh.NetworkID{1}, Group: 2}
	cellID = mesh.CellID{9}
	shop   = mesh.DatabaseID{7}
)

// A fakeLog is a meta layer with one cell, of which the nodes' keys are known; one of its authorities lies.
type fakeLog struct {
	authorities []ed25519.PrivateKey

	mu     sync.Mutex
	cell   *wirepb.CellAnswer
	notice *wirepb.Notice
	away   bool // no authority answers
	ended  bool // the cell is nobody's
	asked  int

	settlements, again int // that were taken, and that were not: they were settled
}

func nodeKey(i int) ed25519.PrivateKey { return keyOf(fmt.Sprint("node ", i)) }
func nodeID(i int) mesh.NodeID         { return mesh.NodeIDOf(mesh.PublicKeyOf(nodeKey(i))) }

func newFakeLog() *fakeLog {
	l := &fakeLog{cell: &wirepb.CellAnswer{Id: cellID[:], Version: 1, Databases: []*wirepb.HostedDatabase{{Id: shop[:], Sequence: 1}}},
		notice: &wirepb.Notice{Database: shop[:], Cell: cellID[:], Sequence: 1, State: wiredatabase.Open, Name: "shop", Owner: make([]byte, 20), Dialect: wiredatabase.SQLite,
			AllowanceNoz: 1 << 50, Prices: wiredatabase.DefaultPrices()}}
	for i := range 4 {
		id := nodeID(i)
		l.cell.Members = append(l.cell.Members, &wirepb.CellMember{Node: id[:], Operator: id[:]})
		l.authorities = append(l.authorities, keyOf(fmt.Sprint("authority ", i)))
	}
	return l
}

func (l *fakeLog) with(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *fakeLog) Cells(context.Context) ([]*wirepb.CellAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.away {
		return nil, mesh.Errorf(mesh.Unavailable, "no authority answers")
	}
	if l.ended {
		return nil, nil
	}
	return []*wirepb.CellAnswer{proto.Clone(l.cell).(*wirepb.CellAnswer)}, nil
}

func (l *fakeLog) Submit(_ context.Context, raw []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	tx, k := new(wirepb.Tx), new(wirepb.CellKey)
	if err := proto.Unmarshal(raw, tx); err != nil {
		return err
	}
	if tx.Kind == wirepb.TxKind_TX_CELL_SETTLEMENT {
		return l.settle(tx.Message)
	}
	by, err := signed.Open(domain, tx.Message, sign.CellKey, k)
	if err != nil {
		return err
	}
	told := 0
	for i, m := range l.cell.Members {
		if by == mesh.PublicKeyOf(nodeKey(i)) {
			if len(m.ConsensusKey) > 0 {
				return mesh.Errorf(mesh.Conflict, "known already")
			}
			m.ConsensusKey, m.AnswerKey, m.Peer, m.Address = k.ConsensusKey, k.AnswerKey, k.Peer, k.Address
		}
		if len(m.ConsensusKey) > 0 {
			told++
		}
	}
	if told == len(l.cell.Members) {
		l.cell.FoundedMs = time.Now().UnixMilli()
		for _, a := range l.authorities {
			l.cell.Authorities = append(l.cell.Authorities, bytesOf(mesh.PublicKeyOf(a)))
		}
	}
	return nil
}

// settle takes a certificate as the log does.
func (l *fakeLog) settle(s *wirepb.Signed) error {
	m := new(wirepb.CellSettlement)
	by, err := signed.Open(domain, s, sign.Certified, m)
	if err != nil {
		return err
	}
	var keys []mesh.PublicKey
	for i, r := range l.cell.Members {
		keys = append(keys, mesh.PublicKey(r.AnswerKey))
		if by == mesh.PublicKeyOf(nodeKey(i)) && string(m.Node) != string(r.Node) {
			return mesh.Errorf(mesh.Denied, "another node's")
		}
	}
	p, signers, err := wiredatabase.CheckSettlement(domain, m, keys)
	switch {
	case err != nil:
		return err
	case p.Height < l.cell.SettledHeight || p.Height == l.cell.SettledHeight && signers&^l.cell.SettledMembers == 0:
		l.again++
		return mesh.Errorf(mesh.Conflict, "settled")
	case p.Height > l.cell.SettledHeight:
		l.cell.SettledHeight, l.cell.SettledMembers = p.Height, 0
	}
	l.cell.SettledMembers |= signers
	l.settlements++
	return nil
}

func (l *fakeLog) Notices(context.Context, []byte) (all []*wirepb.Signed, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range l.authorities {
		n := l.notice
		if i == 0 {
			n = proto.Clone(n).(*wirepb.Notice)
			n.Sequence, n.Name = n.Sequence+100, "another"
		}
		all = append(all, signed.Seal(domain, a, sign.Notice, n))
	}
	return all, nil
}

// A running host.
type running struct {
	*Host
	stop func()
}

func startHost(t *testing.T, l *fakeLog, i int, home string, port int) *running {
	t.Helper()
	h := New(Options{Home: home, Domain: domain, Node: nodeID(i), Key: nodeKey(i), Listen: "127.0.0.1", Public: "127.0.0.1", Port: port, Command: []string{os.Args[0]},
		Every: 50 * time.Millisecond, Soon: 20 * time.Millisecond, Turn: 1500 * time.Millisecond}, l, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	once := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("host %d: %v", i, err)
		}
	})
	t.Cleanup(once)
	return &running{h, once}
}

// freePorts finds blocks of ports that are free, one a host.
func freePorts(t *testing.T, count int) (first []int) {
	t.Helper()
search:
	for range 100 {
		base := 20_000 + rand.IntN(10_000)
		for p := base; p < base+count*Ports; p++ {
			l, err := net.Listen("tcp", joined("127.0.0.1", p))
			if err != nil {
				continue search
			}
			l.Close()
		}
		for i := range count {
			first = append(first, base+i*Ports)
		}
		return first
	}
	t.Fatal("no free ports")
	return nil
}

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// want waits until a host's replica runs and its cell has so many databases.
func (r *running) want(t *testing.T, databases int) (s Status) {
	t.Helper()
	eventually(t, fmt.Sprintf("a replica with %d databases", databases), func() error {
		all, trouble := r.Status(t.Context())
		if len(all) != 1 || all[0].PID == 0 || all[0].Databases != databases || all[0].Height == 0 || all[0].Why != "" {
			return fmt.Errorf("%+v %s", all, trouble)
		}
		s = all[0]
		return nil
	})
	return s
}

// The nodes hand certificates in: one of them does, with everybody's signature, and the others need not; while one is away the rest do
// without his.
func TestCertificatesAreHandedIn(t *testing.T) {
	t.Parallel()
	l, ports := newFakeLog(), freePorts(t, 4)
	l.cell.CheckpointMs = 1000
	var hosts []*running
	for i := range 4 {
		hosts = append(hosts, startHost(t, l, i, filepath.Join(t.TempDir(), fmt.Sprint("cells-", i)), ports[i]))
	}
	settled := func(what string, from int64, members uint32) (height int64) {
		t.Helper()
		eventually(t, what, func() (err error) {
			l.with(func() {
				height = l.cell.SettledHeight
				if height <= from || l.cell.SettledMembers != members {
					err = fmt.Errorf("settled is %d by members %b", height, l.cell.SettledMembers)
				}
			})
			return err
		})
		return height
	}
	first := settled("a certificate of all", 0, 0b1111)
	for range 2 { // long after what was settled before
		first = settled("another certificate of all", first, 0b1111)
	}
	l.with(func() {
		if l.again > l.settlements { // those whose turn is later let the first
			t.Errorf("%d settlements came for nothing, %d were taken", l.again, l.settlements)
		}
	})
	hosts[0].stop() // whose turn comes first
	settled("a certificate of three", first, 0b1110)
	for _, h := range hosts[1:] {
		h.want(t, 1)
	}
}

// A cell's life on four nodes: founded, killed, damaged, told, left alone while no authority answers, and removed when it has ended.
func TestCell(t *testing.T) {
	t.Parallel()
	l, ports := newFakeLog(), freePorts(t, 4)
	var homes []string
	for i := range 4 {
		homes = append(homes, filepath.Join(t.TempDir(), fmt.Sprint("cells-", i)))
	}
	start := func(i int) *running { return startHost(t, l, i, homes[i], ports[i]) }
	hosts := []*running{start(0), start(1), start(2)}
	eventually(t, "three to have told their keys", func() error {
		all, _ := hosts[0].Status(t.Context())
		if len(all) != 1 || !strings.Contains(all[0].Why, "1 of 4 nodes") || all[0].Phase != supervise.Waiting {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
	hosts = append(hosts, start(3))
	for _, h := range hosts {
		h.want(t, 1)
	}

	first := hosts[0].want(t, 1)
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process", func() error {
		if s := hosts[0].want(t, 1); s.PID == first.PID || s.Restarts != 1 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})

	// Without an answer of the log nothing ends, and what was founded starts.
	l.with(func() { l.away = true })
	for i, h := range hosts {
		pid := h.want(t, 1).PID
		h.stop()
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("replica %d, process %d, outlives its host", i, pid)
		}
	}

	// A replica that is damaged is emptied when others have what it had, and not before.
	file := filepath.Join(homes[0], nameOf(cellID, 1), "databases", shop.String()+".db")
	if err := os.WriteFile(file, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	said := func(what string) func() error {
		return func() error {
			b, err := os.ReadFile(first.Log)
			if err == nil && !strings.Contains(string(b), what) {
				err = fmt.Errorf("its log:\n%s", b)
			}
			return err
		}
	}
	hosts[0] = start(0)
	eventually(t, "the damage to be found", said("it is not emptied"))
	if _, err := os.Stat(file); err != nil {
		t.Errorf("there was nobody to take it from, and it is gone: %v", err)
	}
	for i := 1; i < 4; i++ {
		hosts[i] = start(i)
	}
	eventually(t, "the damaged replica to be emptied", said("the replica is emptied"))
	for _, h := range hosts {
		h.want(t, 1)
	}
	// So is one whose other stores are.
	for i, what := range []string{"state/MANIFEST-*", "consensus/data/blockstore.db/[0-9]*", "consensus/data/state.db/[0-9]*"} {
		log := hosts[i+1].want(t, 1).Log
		hosts[i+1].stop()
		damage(t, filepath.Join(homes[i+1], nameOf(cellID, 1), what))
		hosts[i+1] = start(i + 1)
		eventually(t, "a replica to be emptied whose files "+what+" were damaged", func() error {
			b, err := os.ReadFile(log)
			if err == nil && !strings.Contains(string(b), "the replica is emptied") {
				err = fmt.Errorf("its log:\n%s", b)
			}
			return err
		})
		hosts[i+1].want(t, 1)
	}

	before := 0
	l.with(func() {
		l.away, before = false, l.asked
		l.cell.Databases[0].Sequence, l.notice.Sequence, l.notice.State = 2, 2, wiredatabase.Dropped
	})
	for _, h := range hosts {
		h.want(t, 0)
	}
	l.with(func() { l.ended = true })
	for i, h := range hosts {
		eventually(t, "a replica to be removed", func() error {
			all, trouble := h.Status(t.Context())
			left, err := os.ReadDir(homes[i])
			if len(all)+len(left) > 0 {
				err = fmt.Errorf("%+v %v %s", all, left, trouble)
			}
			return err
		})
	}
	l.with(func() {
		if l.asked == before {
			t.Error("the log was not asked")
		}
	})
}

// damage flips bytes in files.
func damage(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for at := 20; at < len(b); at += 64 {
			b[at] ^= 0x40
		}
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What belongs to another network is left alone: this one's log says nothing of it.
func TestOtherNetwork(t *testing.T) {
	l, home := newFakeLog(), t.TempDir()
	for i := range 4 {
		k := &wirepb.CellKey{Cell: cellID[:], Version: 1, ConsensusKey: bytesOf(mesh.PublicKeyOf(keyOf(fmt.Sprint("consensus ", i)))),
			AnswerKey: bytesOf(mesh.PublicKeyOf(keyOf(fmt.Sprint("answer ", i)))), Peer: joined("127.0.0.1", 1000+2*i), Address: joined("127.0.0.1", 1001+2*i)}
		tx := &wirepb.Tx{Message: signed.Seal(domain, nodeKey(i), sign.CellKey, k)}
		if err := l.Submit(t.Context(), wire.Encode(tx)); err != nil {
			t.Fatal(err)
		}
	}
	other, own, never := nameOf(cellID, 1), nameOf(cellID, 2), nameOf(cellID, 3)
	for name, network := range map[string]mesh.NetworkID{other: {77}, own: domain.Network} {
		c, err := replica.NewConfig(network, domain.Group, l.cell)
		if err != nil {
			t.Fatal(err)
		}
		c.Peer, c.Service = "127.0.0.1:1", "127.0.0.1:2"
		if err := errors.Join(os.Mkdir(filepath.Join(home, name), 0o700), replica.WriteConfig(filepath.Join(home, name), c)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := replica.Init(filepath.Join(home, never)); err != nil {
		t.Fatal(err)
	}
	h := New(Options{Home: home, Domain: domain, Node: nodeID(0)}, l, slog.New(slog.DiscardHandler))
	if err := h.endOthers(nil); err != nil {
		t.Fatal(err)
	}
	if names, err := h.homes(); err != nil || len(names) != 1 || names[0] != other {
		t.Errorf("left: %v, %v", names, err)
	}
}

// A notice is believed when enough of the cell's authorities say the same, the newest of those.
func TestBelieved(t *testing.T) {
	c := replica.Config{Cell: cellID}
	var keys []ed25519.PrivateKey
	for i := range 4 {
		keys = append(keys, keyOf(fmt.Sprint("authority ", i)))
		c.Authorities = append(c.Authorities, mesh.PublicKeyOf(keys[i]))
	}
	notice := func(sequence uint64, change ...func(*wirepb.Notice)) *wirepb.Notice {
		n := &wirepb.Notice{Database: shop[:], Cell: cellID[:], Sequence: sequence, State: wiredatabase.Open, Name: "shop", Owner: make([]byte, 20), Dialect: wiredatabase.SQLite}
		for _, f := range change {
			f(n)
		}
		return n
	}
	by := func(i int, n *wirepb.Notice) *wirepb.Signed { return signed.Seal(domain, keys[i], sign.Notice, n) }
	elsewhere := func(n *wirepb.Notice) { n.Cell = make([]byte, 16) }
	other := func(n *wirepb.Notice) { n.Database = make([]byte, 16) }
	forged := by(1, notice(3))
	forged.Signature[0] ^= 1
	for _, x := range []struct {
		why  string
		all  []*wirepb.Signed
		want uint64
	}{
		{"two of four", []*wirepb.Signed{by(0, notice(3)), by(1, notice(3))}, 3},
		{"one", []*wirepb.Signed{by(0, notice(3))}, 0},
		{"one of them twice", []*wirepb.Signed{by(0, notice(3)), by(0, notice(3))}, 0},
		{"one who lies, of a newer one", []*wirepb.Signed{by(0, notice(9)), by(1, notice(3)), by(2, notice(3))}, 3},
		{"two newer, two older", []*wirepb.Signed{by(0, notice(2)), by(1, notice(2)), by(2, notice(3)), by(3, notice(3))}, 3},
		{"of another cell", []*wirepb.Signed{by(0, notice(3, elsewhere)), by(1, notice(3, elsewhere))}, 0},
		{"of another database", []*wirepb.Signed{by(0, notice(3, other)), by(1, notice(3, other))}, 0},
		{"forged", []*wirepb.Signed{by(0, notice(3)), forged}, 0},
		{"of one who is no authority", []*wirepb.Signed{by(0, notice(3)), signed.Seal(domain, keyOf("somebody"), sign.Notice, notice(3))}, 0},
		{"nobody", nil, 0},
	} {
		tx, sequence, err := believed(domain, c, shop, x.all)
		if sequence != x.want || (err == nil) != (x.want > 0) || err == nil && len(tx.Messages) != 2 {
			t.Errorf("%s: %d, %v", x.why, sequence, err)
		}
	}
}

// Ports are those that the log knows of no other replica of the node, nor this run has given.
func TestPorts(t *testing.T) {
	h := New(Options{Node: nodeID(0), Port: 1000}, nil, slog.New(slog.DiscardHandler))
	own := nodeID(0)
	cell := func(peer string) *wirepb.CellAnswer {
		return &wirepb.CellAnswer{Members: []*wirepb.CellMember{{Node: own[:], Peer: peer}}}
	}
	all := []*wirepb.CellAnswer{cell("10.0.0.1:1002"), cell("")}
	for i, want := range []int{1000, 1004, 1006, 0} {
		got, err := h.replica(fmt.Sprint(i)).port(all)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("replica %d: port %d, %v; want %d", i, got, err, want)
		}
	}
	if got, err := h.replica("1").port(all); err != nil || got != 1004 {
		t.Errorf("asked again: %d, %v", got, err)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{nameOf(cellID, 1): true, nameOf(cellID, 12): true, "": false, cellID.String(): false, cellID.String() + "-01": false, cellID.String() + "-": false,
		strings.ToUpper(nameOf(mesh.CellID{0xab}, 1)): false, "slices": false, nameOf(cellID, 1) + "-1": false} {
		if isName(name) != ok {
			t.Errorf("%q: %v", name, !ok)
		}
	}
}
