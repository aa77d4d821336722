package devnet_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stchaind finds the program of the value layer, which these tests are about and cannot do without.
func stchaind(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("STRATOS_STCHAIND"); path != "" {
		return path
	}
	path, err := filepath.Abs("../bin/stchaind")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("no stchaind: %v; build it with: go build -o bin/ ./cmd/stchaind, or name it with STRATOS_STCHAIND", err)
	}
	return path
}

type network struct {
	*devnet.Devnet
	stop func()
}

// up runs a network until stop is called.
func up(t *testing.T, dir string, change func(*devnet.Options)) network {
	t.Helper()
	opts := devnet.Options{Home: dir, Network: free(), Stchaind: stchaind(t)}
	if change != nil {
		change(&opts)
	}
	d, err := devnet.New(opts, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(context.WithoutCancel(t.Context())) }()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			d.Stop()
			if err := <-ended; err != nil {
				t.Errorf("Run = %v", err)
			}
		}
	}
	t.Cleanup(stop)
	select {
	case <-d.Ready():
	case err := <-ended:
		stopped = true
		t.Fatalf("the network did not start: %v", err)
	}
	return network{d, stop}
}

func (n network) status(t *testing.T) *devnet.Status {
	t.Helper()
	st, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func open(t *testing.T, dir string) (wallet.Store, *chain.Client) {
	t.Helper()
	h, err := home.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.Profile()
	if err != nil {
		t.Fatal(err)
	}
	c, err := chain.Dial(t.Context(), p.Endpoints.Eth, p.EVMChainID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return wallet.OpenStore(h.Keys()), c
}

func balance(t *testing.T, c *chain.Client, s wallet.Store, name string) mesh.Wei {
	t.Helper()
	a, err := s.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Balance(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantWei(t *testing.T, what string, got, want mesh.Wei) {
	t.Helper()
	if got.Cmp(want) != 0 {
		t.Errorf("%s is %s, want %s", what, got, want)
	}
}

func minus(a mesh.Wei, more ...mesh.Wei) mesh.Wei {
	v := a.Big()
	for _, m := range more {
		v.Sub(v, m.Big())
	}
	return mesh.NewWei(v)
}

func wei(t *testing.T, s string) mesh.Wei {
	t.Helper()
	w, err := mesh.ParseWei(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A person's first day: start, send, lose a validator, stop, start again.
func TestNetwork(t *testing.T) {
	dir := t.TempDir()
	n := up(t, dir, nil)
	store, c := open(t, dir)
	wantWei(t, "alice's first balance", balance(t, c, store, "alice"), mesh.Stos(10_000))
	wantWei(t, "the validator's operator's", balance(t, c, store, "validator-0"), mesh.Stos(1_000))

	// A plain transfer and one through a precompile: to the wei.
	alice, err := store.Unlock("alice", "")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := store.Resolve("bob")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := c.Send(t.Context(), alice, chain.Call{To: bob, Value: wei(t, "1.5stos")})
	if err != nil {
		t.Fatal(err)
	}
	called, err := c.Transact(t.Context(), alice, abi.Send(), mesh.Wei{}, "send", bob, wei(t, "20gwei").Big())
	if err != nil {
		t.Fatal(err)
	}
	sent := wei(t, "1.50000002stos")
	aliceHas := minus(mesh.Stos(10_000), sent, plain.Fee, called.Fee)
	bobHas := minus(mesh.Stos(10_000), minus(mesh.Wei{}, sent))
	check := func(when string) {
		t.Helper()
		wantWei(t, "alice's balance "+when, balance(t, c, store, "alice"), aliceHas)
		wantWei(t, "bob's balance "+when, balance(t, c, store, "bob"), bobHas)
	}
	check("after sending")
	if _, err := c.Send(t.Context(), alice, chain.Call{To: bob, Value: mesh.Stos(10_000)}); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("sending too much: %v", err)
	}

	// A killed validator comes back with the same state.
	before, err := c.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n.status(t).Processes[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := n.Release(t.Context(), "validator-0"); err != nil {
		t.Fatal(err)
	}
	check("after a kill -9")
	st := n.status(t)
	if p := st.Processes[0]; p.Restarts != 1 || !p.Healthy {
		t.Errorf("status after a kill -9: %+v", p)
	}
	for now := before; now <= before; {
		if now, err = c.Height(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	// Down and up: everything is still there, and it is the same network.
	n.stop()
	if _, err := c.Height(t.Context()); mesh.KindOf(err) != mesh.Unavailable || mesh.HintOf(err) == "" {
		t.Errorf("after the stop: %v", err)
	}
	again := up(t, dir, nil)
	check("after down and up")
	if now := again.status(t); now.NetworkID != st.NetworkID || now.Endpoints != st.Endpoints {
		t.Errorf("another network: %+v, was %+v", now, st)
	}
}

// The shape that programs rely on.
func TestStatusJSON(t *testing.T) {
	n := up(t, t.TempDir(), nil)
	b, err := json.Marshal(n.status(t))
	if err != nil {
		t.Fatal(err)
	}
	var st struct {
		Home      string
		NetworkID string `json:"network_id"`
		ChainID   string `json:"chain_id"`
		TookMS    int64  `json:"took_ms"`
		Endpoints map[string]string
		Accounts  []struct {
			Name       string
			Address    string
			EthAddress string `json:"eth_address"`
			PrivateKey string `json:"private_key"`
		}
		Processes []struct {
			Role, Name string
			PID        int
			Healthy    bool
		}
	}
	if err := json.Unmarshal(b, &st); err != nil {
		t.Fatal(err)
	}
	if st.ChainID != "stratos-dev-1" || len(st.NetworkID) != 64 || st.TookMS <= 0 || st.Home == "" {
		t.Errorf("status %s", b)
	}
	for _, name := range []string{"rest", "eth", "cometbft"} {
		if !strings.HasPrefix(st.Endpoints[name], "http://127.0.0.1:") {
			t.Errorf("endpoint %s is %q", name, st.Endpoints[name])
		}
	}
	if a := st.Accounts[0]; a.Name != "alice" || a.EthAddress != "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" ||
		a.PrivateKey != "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80" || !strings.HasPrefix(a.Address, "st1") {
		t.Errorf("account %+v", a)
	}
	if p := st.Processes[0]; p.Role != "validator" || p.Name != "validator-0" || p.PID == 0 || !p.Healthy {
		t.Errorf("process %+v", p)
	}
}

func TestSecondSupervisorIsRefused(t *testing.T) {
	dir := t.TempDir()
	up(t, dir, nil)
	opts := devnet.Options{Home: dir, Network: devnet.Default(), Stchaind: stchaind(t)}
	d, err := devnet.New(opts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); mesh.KindOf(err) != mesh.Conflict || mesh.HintOf(err) == "" {
		t.Fatalf("Run = %v", err)
	}
}

// A start that is called off leaves nothing running and does not stand in the way of the next.
func TestCalledOff(t *testing.T) {
	dir := t.TempDir()
	for _, after := range []time.Duration{0, 100 * time.Millisecond, 1200 * time.Millisecond} {
		d, err := devnet.New(devnet.Options{Home: dir, Network: free(), Stchaind: stchaind(t)}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), after)
		if err := d.Run(ctx); err != nil {
			t.Errorf("called off after %v: %v", after, err)
		}
		cancel()
		if out, _ := exec.Command("pgrep", "-f", dir).Output(); len(out) > 0 {
			t.Errorf("left running: %s", out)
		}
	}
	up(t, dir, nil)
}

func free() devnet.Network {
	n := devnet.Default()
	n.BasePort, n.Authorities, n.Nodes = 0, 0, 0 // package sim runs all layers
	return n
}
