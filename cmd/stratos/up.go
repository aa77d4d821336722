package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/internal/logfile"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

func newUpCommand(e *env) *cobra.Command {
	var detach, report bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a whole network on this machine",
		Long: `Creates a development network in the home on the first run, starts its processes, watches over them, and
prints how to reach it once it is usable. Without --detach it stays in the foreground until Ctrl-C.

What the network consists of is recorded when it is created and kept from then on.`,
		Example: `  stratos up
  stratos up --detach --json | jq .endpoints
  stratos up --home /tmp/other --base-port 0 --nodes 12`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case report:
				return e.supervise(cmd.Context())
			case detach:
				return e.upDetached(cmd)
			}
			return e.up(cmd.Context())
		},
	}
	n := devnet.Default()
	f := cmd.Flags()
	f.BoolVarP(&detach, "detach", "d", false, "return when the network is usable and leave it running")
	f.Int("validators", n.Validators, "validators of the value layer")
	f.Int("authorities", n.Authorities, "authorities of the meta layer")
	f.Int("gateways", n.Gateways, "gateways for S3")
	f.Int("nodes", n.Nodes, "resource nodes")
	f.Int("base-port", n.BasePort, "first of the block of ports; 0 takes a free one")
	f.String("epoch", n.Epoch.String(), "length of an epoch")
	f.Bool("no-restart", false, "leave processes that die alone")
	f.String("stchaind", "", "program of the value layer")
	f.BoolVar(&report, "report", false, "supervise and report to file descriptor 3")
	_ = f.MarkHidden("report") // fails only when there is no such flag
	return cmd
}

// options reads what a network is to be run with.
func (e *env) options() (devnet.Options, error) {
	n, given, err := e.cfg.Network()
	if err != nil {
		return devnet.Options{}, err
	}
	noRestart, err := e.cfg.Bool(config.NoRestart)
	return devnet.Options{
		Home: e.cfg.Get(config.Home), Network: n, Given: given, NoRestart: noRestart, Stchaind: e.cfg.Get(config.Stchaind),
	}, err
}

// running returns the network that runs already, once it is usable; nil when none does. What was asked for must agree
// with it.
func (e *env) running(ctx context.Context, opts devnet.Options) (*devnet.Status, error) {
	h, err := home.Open(opts.Home)
	if mesh.KindOf(err) == mesh.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := devnet.Attach(ctx, h)
	if err != nil || st == nil {
		return nil, err
	}
	if err := opts.Network.Agrees(*st.Network, opts.Given); err != nil {
		return nil, err
	}
	e.say("The network is running already.")
	return st, nil
}

// prepare makes sure of what a network needs before it creates the home.
func (e *env) prepare(opts *devnet.Options) (h home.Home, err error) {
	if opts.Stchaind, err = devnet.FindStchaind(opts.Stchaind); err != nil {
		return h, err
	}
	h, err = home.Create(opts.Home)
	opts.Home = h.Dir()
	return h, err
}

func (e *env) up(ctx context.Context) error {
	opts, err := e.options()
	if err != nil {
		return err
	}
	if st, err := e.running(ctx, opts); err != nil || st != nil {
		return errors.Join(err, e.summary(ctx, st))
	}
	h, err := e.prepare(&opts)
	if err != nil {
		return err
	}
	d, closeLog, err := e.newDevnet(h, opts, &progress{w: e.stderr, quiet: e.json})
	if err != nil {
		return err
	}
	defer closeLog()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	select {
	case <-d.Ready():
	case err := <-ended:
		if err == nil {
			return ctx.Err()
		}
		return e.overtaken(ctx, opts, err)
	}
	st, err := d.Status(ctx)
	if err == nil {
		err = e.summary(ctx, st)
	}
	if err != nil {
		d.Stop()
	} else {
		e.say("\nStop it with Ctrl-C, or from elsewhere with: stratos down")
	}
	return errors.Join(err, <-ended)
}

// overtaken shows the network that somebody else started in the moment in which we wanted to, if that is why we failed.
func (e *env) overtaken(ctx context.Context, opts devnet.Options, err error) error {
	if mesh.KindOf(err) == mesh.Conflict {
		if st, otherErr := e.running(ctx, opts); otherErr == nil && st != nil {
			return e.summary(ctx, st)
		}
	}
	return err
}

// supervise is what a detached process does.
func (e *env) supervise(ctx context.Context) error {
	opts, err := e.options()
	if err != nil {
		return err
	}
	h, err := e.prepare(&opts)
	if err != nil {
		return err
	}
	d, closeLog, err := e.newDevnet(h, opts)
	if err != nil {
		return err
	}
	defer closeLog()
	return devnet.ReportTo(ctx, d)
}

func (e *env) newDevnet(h home.Home, opts devnet.Options, more ...slog.Handler) (*devnet.Devnet, func() error, error) {
	log, err := logfile.Open(h.Log(devnet.SupervisorName), logfile.Options{})
	if err != nil {
		return nil, nil, mesh.Errorf(mesh.Internal, "%w", err)
	}
	handlers := append([]slog.Handler{slog.NewTextHandler(log, nil)}, more...)
	d, err := devnet.New(opts, slog.New(slog.NewMultiHandler(handlers...)))
	return d, log.Close, err
}

func (e *env) upDetached(cmd *cobra.Command) error {
	ctx := cmd.Context()
	opts, err := e.options()
	if err != nil {
		return err
	}
	st, err := e.running(ctx, opts)
	if err != nil {
		return err
	}
	if st == nil {
		h, err := e.prepare(&opts)
		if err != nil {
			return err
		}
		e.say("Starting a network in %s ...", h.Dir())
		argv := []string{e.name, "up", "--report", "--home", h.Dir(), "--stchaind", opts.Stchaind}
		for _, name := range []string{"validators", "authorities", "gateways", "nodes", "base-port", "epoch", "no-restart"} {
			if f := cmd.Flags().Lookup(name); f.Changed {
				argv = append(argv, "--"+name+"="+f.Value.String())
			}
		}
		if st, err = devnet.Detach(ctx, h, argv); err != nil {
			return e.overtaken(ctx, opts, err)
		}
	}
	return e.summary(ctx, st)
}

// summary shows how to reach the network.
func (e *env) summary(ctx context.Context, st *devnet.Status) error {
	if st == nil {
		return nil
	}
	hold := map[mesh.Account]string{}
	if !e.json {
		hold = held(ctx, st)
	}
	return e.print(st, func(w io.Writer) {
		fmt.Fprintf(w, "Stratos is up (%s).\n\n", (time.Duration(st.TookMS) * time.Millisecond).Round(100*time.Millisecond))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, u := range []struct{ what, url string }{
			{"S3", st.Endpoints.S3}, {"HTTP", st.Endpoints.HTTP}, {"Sites", home.Gateway{HTTP: st.Endpoints.HTTP}.Site("BUCKET")}, {"Postgres", st.Endpoints.Postgres}, {"Status pages", st.Endpoints.Status}, {"Ethereum JSON-RPC", st.Endpoints.Eth}, {"Cosmos REST", st.Endpoints.REST}, {"CometBFT RPC", st.Endpoints.CometBFT},
		} {
			if u.url != "" {
				fmt.Fprintf(t, "%s\t%s\n", u.what, u.url)
			}
		}
		if st.Network != nil && st.Network.Nodes >= wiredatabase.Replicas(1) {
			fmt.Fprintf(t, "Databases\tstratos db create NAME\n")
		}
		fmt.Fprintf(t, "EVM chain id\t%d\n", st.EVMChainID)
		fmt.Fprintf(t, "Home\t%s\n", st.Home)
		fmt.Fprintf(t, "Logs\t%s\n", filepath.Join(st.Logs, "*.log"))
		t.Flush()
		fmt.Fprintf(w, "\nAccounts for development; everybody knows their keys:\n")
		for _, a := range st.Accounts {
			if a.Operates == "" {
				fmt.Fprintf(w, "  %-6s %s%s\n         %s\n         key %s\n", a.Name, a.Address, hold[a.Address], a.EthAddress, a.PrivateKey)
			}
		}
		fmt.Fprintf(w, "\n%s run. See how they are with: stratos status\n", plural(len(st.Processes), "process", "processes"))
	})
}

// heldTime bounds how long the summary waits for what accounts hold.
const heldTime = 5 * time.Second

// held tells what people's accounts hold now. What nobody answers is left out: what they began with would be a guess.
func held(ctx context.Context, st *devnet.Status) map[mesh.Account]string {
	ctx, cancel := context.WithTimeout(ctx, heldTime)
	defer cancel()
	all := map[mesh.Account]string{}
	c, err := chain.Dial(ctx, st.Endpoints.Eth, st.EVMChainID)
	if err != nil {
		return all
	}
	defer c.Close()
	for _, a := range st.Accounts {
		if a.Operates != "" {
			continue
		}
		if b, oz, err := holdings(ctx, c, a.Address); err == nil {
			all[a.Address] = fmt.Sprintf("  %s, %s", b, oz)
		}
	}
	return all
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// progress shows the supervisor's log to a person, a line an event. It ignores groups and levels below info.
type progress struct {
	w     io.Writer
	quiet bool
}

func (p *progress) Enabled(_ context.Context, l slog.Level) bool {
	return !p.quiet && l >= slog.LevelInfo
}
func (p *progress) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p *progress) WithGroup(string) slog.Handler      { return p }
func (p *progress) Handle(_ context.Context, r slog.Record) error {
	line := r.Time.Format("15:04:05 ")
	var rest string
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "process" {
			line += a.Value.String() + ": "
			return true
		}
		rest += fmt.Sprintf(" %s=%s", a.Key, a.Value)
		return true
	})
	_, err := fmt.Fprintln(p.w, line+r.Message+rest)
	return err
}
