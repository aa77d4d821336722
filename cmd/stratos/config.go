package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
)

func newConfigCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the settings",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(newConfigShowCommand(e))
	return cmd
}

func newConfigShowCommand(e *env) *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the settings that hold",
		Long: `A flag wins over an environment variable STRATOS_NAME, which wins over config.toml in the home, which wins over
the default. Settings of a network that was created already are those it was created with.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			values := e.settings()
			return e.print(map[string][]config.Value{"settings": values}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, v := range values {
					fmt.Fprintf(t, "%s\t%s", v.Key, v.Text)
					if origin {
						fmt.Fprintf(t, "\t%s", v.Origin)
					}
					fmt.Fprintln(t)
				}
				t.Flush()
			})
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "show where each was given")
	return cmd
}

// settings returns every setting; the record of a network stands in for what nobody gave.
func (e *env) settings() []config.Value {
	recorded := map[string]string{}
	origin := config.Origin("")
	if h, err := e.home(); err == nil {
		if rec, err := devnet.ReadRecord(h); err == nil {
			recorded = rec.Network.Settings()
			origin = config.Origin(h.Path("network.json"))
		}
	}
	var out []config.Value
	for _, key := range config.Keys() {
		v := e.cfg.Value(key)
		if text, ok := recorded[key]; ok && v.Origin == config.DefaultOrigin {
			v.Text, v.Origin = text, origin
		}
		out = append(out, v)
	}
	return out
}

// doctorOptions are what `doctor` examines; it must not fail where it is to find what is wrong.
func (e *env) doctorOptions() devnet.Options {
	opts := devnet.Options{Home: e.cfg.Get(config.Home), Stchaind: e.cfg.Get(config.Stchaind)}
	if h, err := home.Open(opts.Home); err == nil {
		opts.Home = h.Dir()
	}
	return opts
}

func newJoinCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "join FILE",
		Short: "Make this home speak to the network of a profile that somebody hands over",
		Long: `Takes the profile.json of a home that belongs to the network. It names the network, its authorities with their keys, and
a node of the value layer: take it from somebody whom you trust with that. It holds no secret.`,
		Example: `  scp friend@example.org:.stratos/profile.json network.json
  stratos join network.json
  stratos wallet new me`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := home.ReadProfile(args[0])
			if err != nil {
				return err
			}
			h, err := home.Create(e.cfg.Get(config.Home))
			if err != nil {
				return err
			}
			switch old, err := h.Profile(); {
			case err == nil && old.Network != p.Network:
				return mesh.WithHint(mesh.Errorf(mesh.Conflict, "%s belongs to the network %s", h.Dir(), old.Network), "use another --home")
			case err == nil:
				p.Account = old.Account
			case mesh.KindOf(err) == mesh.NotFound:
				p.Account = ""
			default:
				return err
			}
			if err := h.SetProfile(p); err != nil {
				return err
			}
			return e.print(map[string]any{"network_id": p.Network, "home": h.Dir()}, func(w io.Writer) {
				fmt.Fprintf(w, "%s speaks to the network %s\n", h.Dir(), p.Network)
			})
		},
	}
}
