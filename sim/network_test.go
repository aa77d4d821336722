package sim_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// shared is the one network of this package's tests; each takes names of its own in it and leaves every process running.
var shared *network

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == crookedWorker {
		os.Exit(serveCrooked(os.Args[2]))
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "sim")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	n := devnet.Default()
	n.BasePort, n.Epoch = 0, devnet.Duration(6*time.Second)
	if shared, err = start(filepath.Join(dir, "home"), n); err != nil {
		return 1, err
	}
	code := m.Run()
	if code != 0 {
		shared.logs(os.Stderr)
	}
	return code, shared.stop()
}

// A network runs in this process; its processes are children.
type network struct {
	*devnet.Devnet
	dir   string
	ended chan error
}

func binary(name string) string {
	dir := os.Getenv("STRATOS_BIN")
	if dir == "" {
		dir = filepath.Join("..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		panic(err)
	}
	return path
}

func start(dir string, n devnet.Network) (*network, error) {
	for _, b := range []string{"stratos", "stchaind"} {
		if _, err := os.Stat(binary(b)); err != nil {
			return nil, fmt.Errorf("%w; build it with: make build", err)
		}
	}
	d, err := devnet.New(devnet.Options{Home: dir, Network: n, Stratos: binary("stratos"), Stchaind: binary("stchaind")}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	net := &network{Devnet: d, dir: dir, ended: make(chan error, 1)}
	go func() { net.ended <- d.Run(context.Background()) }()
	select {
	case <-d.Ready():
		return net, nil
	case err := <-net.ended:
		return nil, errors.Join(errors.New("the network did not start"), err)
	}
}

func (n *network) stop() error {
	n.Stop()
	return <-n.ended
}

// logs shows the end of every log, for a failure that happened elsewhere.
func (n *network) logs(w *os.File) {
	paths, _ := filepath.Glob(filepath.Join(n.dir, "logs", "*.log"))
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err == nil {
			fmt.Fprintf(w, "--- %s\n%s\n", filepath.Base(p), b[max(0, len(b)-1500):])
		}
	}
}

func (n *network) home(t *testing.T) (home.Home, *home.Profile, wallet.Store) {
	t.Helper()
	h, err := home.Open(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.Profile()
	if err != nil {
		t.Fatal(err)
	}
	return h, p, wallet.OpenStore(h.Keys())
}

func (n *network) key(t *testing.T, name string) wallet.Key {
	t.Helper()
	_, _, store := n.home(t)
	k, err := store.Unlock(name, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func members(p *home.Profile) (all []group.Member) {
	for _, a := range p.Authorities {
		all = append(all, a.Member)
	}
	return all
}

// client returns a client with a new session of an account. First says which authority it asks first.
func (n *network) client(t *testing.T, account string, first int, o client.Options) *client.Client {
	t.Helper()
	_, p, _ := n.home(t)
	a, err := client.NewAccess(sign.Domain{Network: p.Network}, n.key(t, account), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return n.clientOf(t, a, first, o)
}

func (n *network) clientOf(t *testing.T, a *client.Access, first int, o client.Options) *client.Client {
	t.Helper()
	_, p, _ := n.home(t)
	m := members(p)
	c, err := client.New(a, append(m[first:len(m):len(m)], m[:first]...), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !t.Failed() && mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("closing a client: %v", err)
		}
	})
	return c
}

func (n *network) chain(t *testing.T) *chain.Client {
	t.Helper()
	_, p, _ := n.home(t)
	c, err := chain.Dial(t.Context(), p.Endpoints.Eth, p.EVMChainID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// down kills processes and holds them down; they are started again when the test ends, or by the function returned.
func (n *network) down(t *testing.T, names ...string) (up func()) {
	t.Helper()
	if err := n.Hold(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	done := false
	up = func() {
		if !done {
			done = true
			if err := n.Release(context.WithoutCancel(t.Context()), names...); err != nil {
				t.Errorf("starting %v: %v", names, err)
			}
		}
	}
	t.Cleanup(up)
	return up
}

// random returns bytes that nobody can compress or guess, by a seed that the test prints.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("STRATOS_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("STRATOS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func content(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}

func long() bool { return os.Getenv("STRATOS_LONG") != "" }

// until calls f every 100 ms until it returns true; it fails the test after two minutes.
func until(t *testing.T, what string, f func() (bool, error)) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	var last error
	for {
		ok, err := f()
		if ok {
			return
		}
		last = err
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited two minutes for %s: %v", what, last)
		}
	}
}

func homeOf(t *testing.T) home.Home { return homeIn(t, shared) }

func homeIn(t *testing.T, n *network) home.Home {
	t.Helper()
	h, _, _ := n.home(t)
	return h
}
