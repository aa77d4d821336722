package devnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/supervise"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
)

// Options say how to run a network.
type Options struct {
	Home      string            // folder; created if needed
	Network   Network           // what a new home gets; Default() unless somebody asked for more
	Given     map[string]string // settings of Network that somebody asked for -> where ("--nodes"); they must agree with the record
	NoRestart bool              // leave processes that die alone
	Stchaind  string            // path of stchaind; empty: see FindStchaind
	Stratos   string            // path of stratos; empty: the running program
}

// usableTimeout is how long the value layer may take to answer after its processes are ready.
const usableTimeout = 60 * time.Second

// A State is where in its life a network is.
type State string

// The states.
const (
	Creating State = "creating" // keys and genesis
	Starting State = "starting"
	Ready    State = "ready"
	Stopping State = "stopping"
)

// A Devnet is a network that is run by this process. Make it with New, then call Run once.
type Devnet struct {
	opts  Options
	log   *slog.Logger
	began time.Time
	ready chan struct{}
	stop  chan struct{} // closed when somebody asks to stop
	once  sync.Once

	mu    sync.Mutex
	home  home.Home
	state State
	took  time.Duration
	rec   *Record
	sup   *supervise.Supervisor
}

// New checks the options; it touches nothing.
func New(opts Options, log *slog.Logger) (*Devnet, error) {
	if err := opts.Network.Check(); err != nil {
		return nil, err
	}
	return &Devnet{
		opts: opts, log: log, began: time.Now(), state: Creating,
		ready: make(chan struct{}), stop: make(chan struct{}),
	}, nil
}

// Ready is closed when the network is usable.
func (d *Devnet) Ready() <-chan struct{} { return d.ready }

// Stop asks Run to end. It may be called more than once.
func (d *Devnet) Stop() { d.once.Do(func() { close(d.stop) }) }

// Run starts the network and keeps it until ctx is done, Stop is called or it fails to start. When it returns, no
// process of the network runs.
func (d *Devnet) Run(ctx context.Context) (err error) {
	stchaind, err := FindStchaind(d.opts.Stchaind)
	if err != nil {
		return err
	}
	stratos := d.opts.Stratos
	if stratos == "" {
		if stratos, err = os.Executable(); err != nil {
			return mesh.Errorf(mesh.Internal, "find the running program: %w", err)
		}
	}
	h, err := home.Create(d.opts.Home)
	if err != nil {
		return err
	}
	l, err := takeLock(h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()

	control, err := openControl(h)
	if err != nil {
		return err
	}
	defer control.close()
	if err := l.announce(control.path); err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	// The control interface outlives the processes, so that one can watch them stop.
	own := lifecycle.New(context.WithoutCancel(ctx))
	defer func() { err = errors.Join(err, own.Close()) }()
	err = own.Go(func(ctx context.Context) error {
		select {
		case <-d.stop:
			cancel()
		case <-ctx.Done():
		}
		return nil
	})
	err = errors.Join(err, own.Go(func(ctx context.Context) error { return control.serve(ctx, d) }))
	if err != nil {
		return err
	}
	d.set(func() { d.home = h })
	return d.run(running, h, programs{stchaind, stratos})
}

func (d *Devnet) run(ctx context.Context, h home.Home, p programs) error {
	// Before the ports are looked at: what an earlier supervisor left may hold them.
	if err := supervise.Sweep(childrenPath(h)); err != nil {
		return mesh.Errorf(mesh.Internal, "end what an earlier run left: %w", err)
	}
	rec, guard, err := d.prepare(ctx, h, p)
	if err != nil {
		return quiet(ctx, err)
	}
	defer guard.Close()
	sup, err := supervise.New(processTable(h, rec.Network, p), d.log, supervise.Options{NoRestart: d.opts.NoRestart, Record: childrenPath(h)})
	if err != nil {
		return mesh.Errorf(mesh.Internal, "processes: %w", err)
	}
	d.set(func() { d.state, d.rec, d.sup = Starting, rec, sup })

	// The supervisor has a context of its own, so that it can be stopped when the network proves unusable.
	supervised, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- sup.Run(supervised) }()
	var runErr, useErr error
	select {
	case <-sup.Ready():
		if useErr = usable(ctx, rec); useErr == nil {
			d.set(func() { d.state, d.took = Ready, time.Since(d.began) })
			close(d.ready)
			<-ctx.Done()
		}
		d.set(func() { d.state = Stopping })
		stop()
		runErr = <-ended
	case runErr = <-ended:
	}
	var failed *supervise.StartError
	if errors.As(runErr, &failed) {
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "start the network: %w", failed), "read more with: stratos logs %s", failed.Name)
	}
	return errors.Join(quiet(ctx, useErr), runErr)
}

// quiet drops an error that only says that ctx is done: the network was told to stop.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func childrenPath(h home.Home) string { return h.Path("children.json") }

// prepare returns the recorded network, creating it first when there is none, and the guard of its ports.
func (d *Devnet) prepare(ctx context.Context, h home.Home, p programs) (*Record, net.Listener, error) {
	rec, err := ReadRecord(h)
	switch {
	case err == nil:
		if err := d.opts.Network.Agrees(rec.Network, d.opts.Given); err != nil {
			return nil, nil, err
		}
		guard, err := rec.Network.reserve("stop that program; the network keeps the ports it was created with (a new one: --home OTHER --base-port 0)")
		return rec, guard, err
	case mesh.KindOf(err) != mesh.NotFound:
		return nil, nil, err
	}
	n := d.opts.Network
	guard, err := n.reserve("stop that program, or choose other ports with --base-port (0 takes free ones)")
	if err != nil {
		return nil, nil, err
	}
	d.log.Info("creating the network", "home", h.Dir(), "base_port", n.BasePort)
	if rec, err = create(ctx, h, n, p.stchaind); err != nil {
		guard.Close()
		return nil, nil, err
	}
	return rec, guard, nil
}

// usable waits until the value layer answers a wallet and every authority hears every node, as the log does: until a file would go in, and a
// database be made.
func usable(parent context.Context, rec *Record) error {
	ctx, cancel := context.WithTimeout(parent, usableTimeout)
	defer cancel()
	last := errors.New("still at height 0")
	ok, _ := poll(ctx.Done(), 50*time.Millisecond, usableTimeout, func() (bool, error) {
		height, err := heightOf(ctx, rec)
		if err == nil && height > 0 {
			err = rec.Network.heard(ctx)
		}
		if err != nil {
			last = err
		}
		return height > 0 && err == nil, nil
	})
	switch {
	case ok:
		return nil
	case parent.Err() != nil:
		return parent.Err()
	}
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the processes run but the network is of no use yet: %w", last), "read why with: stratos logs validator-0, or authority-0")
}

// heard tells whether every authority is ready and hears every node.
func (n Network) heard(ctx context.Context) error {
	ports := n.portTable()
	for i := range n.Authorities {
		name := processName(RoleAuthority, i)
		st, err := meta.AskStatus(ctx, "http://"+hostPort(ports[name]["http"]))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !st.Ready || st.Online < n.Nodes || st.Listed < n.Nodes {
			return fmt.Errorf("%s hears %d of %d nodes, and knows of %d from the log; %s", name, st.Online, n.Nodes, st.Listed, st.Why)
		}
	}
	return nil
}

func heightOf(ctx context.Context, rec *Record) (mesh.Height, error) {
	c, err := chain.Dial(ctx, rec.Network.endpoints().Eth, rec.EVMChainID)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.Height(ctx)
}

func (d *Devnet) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// A Status is what can be seen of a network.
type Status struct {
	Home       string         `json:"home"`
	State      State          `json:"state"`
	PID        int            `json:"pid"` // of the supervisor
	NetworkID  mesh.NetworkID `json:"network_id"`
	ChainID    string         `json:"chain_id"`
	EVMChainID uint64         `json:"evm_chain_id"`
	TookMS     int64          `json:"took_ms"` // from the start until it was usable; 0 before
	Network    *Network       `json:"network,omitempty"`
	Endpoints  home.Endpoints `json:"endpoints"`
	Accounts   []Account      `json:"accounts"`
	Processes  []Process      `json:"processes"`
	Logs       string         `json:"logs"` // folder
}

// A Process is a process of the network.
type Process = supervise.Status

// An Account is an account that the network was created with. Its key derives from a mnemonic that everybody knows.
type Account struct {
	Name       string       `json:"name"`
	Address    mesh.Account `json:"address"`
	EthAddress string       `json:"eth_address"`
	PrivateKey string       `json:"private_key"`
	Balance    mesh.Wei     `json:"genesis_balance_wei"`
	Ozone      mesh.Noz     `json:"genesis_ozone_noz"`
	Operates   string       `json:"operates,omitempty"` // process; empty for people
}

// Status tells how the network is.
func (d *Devnet) Status(ctx context.Context) (*Status, error) {
	d.mu.Lock()
	st := &Status{Home: d.home.Dir(), Logs: d.home.Logs(), State: d.state, PID: os.Getpid(), TookMS: d.took.Milliseconds()}
	rec, sup := d.rec, d.sup
	d.mu.Unlock()
	if rec == nil {
		return st, nil
	}
	members, err := rec.Network.members()
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		st.Accounts = append(st.Accounts, Account{
			Name: m.name, Address: m.key.Account(), EthAddress: wallet.EthAddress(m.key.Account()), PrivateKey: m.key.Secret(),
			Balance: m.balance, Ozone: m.ozone, Operates: m.operates,
		})
	}
	st.NetworkID, st.ChainID, st.EVMChainID = rec.NetworkID, rec.ChainID, rec.EVMChainID
	st.Network, st.Endpoints = &rec.Network, rec.Network.endpoints()
	st.Processes = sup.Status(ctx)
	return st, nil
}

// Hold kills processes by name and keeps them down until Release.
func (d *Devnet) Hold(ctx context.Context, names ...string) error {
	return d.steer(ctx, (*supervise.Supervisor).Hold, names)
}

// Release starts processes that are held or dead, and returns when they are ready.
func (d *Devnet) Release(ctx context.Context, names ...string) error {
	return d.steer(ctx, (*supervise.Supervisor).Release, names)
}

func (d *Devnet) steer(ctx context.Context, do func(*supervise.Supervisor, context.Context, ...string) error, names []string) error {
	d.mu.Lock()
	sup := d.sup
	d.mu.Unlock()
	if sup == nil {
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the network is still being created"), "try again in a few seconds")
	}
	err := do(sup, ctx, names...)
	var failed *supervise.StartError
	switch {
	case errors.Is(err, supervise.ErrUnknown):
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "%w", err), "see the names with: stratos status")
	case errors.As(err, &failed):
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%w", failed), "read more with: stratos logs %s", failed.Name)
	case err != nil:
		return fmt.Errorf("processes: %w", err)
	}
	return nil
}
