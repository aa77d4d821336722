package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node"
	"github.com/stratosmesh/stratos/protocol/abi"
)

func newNodeInitCommand(e *env) *cobra.Command {
	var name, transfer, status, databases, databaseHost string
	var capacity uint64
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a node's folder with keys of its own, for the network of the home's profile",
		Example: `  stratos node init /srv/stratos --transfer 203.0.113.7:26300
  stratos node register /srv/stratos
  stratos node run --home /srv/stratos`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := e.home()
			if err != nil {
				return err
			}
			p, err := h.Profile()
			if err != nil {
				return err
			}
			if _, err := node.ReadConfig(args[0]); err == nil {
				return mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is a node in %s already", args[0]), "choose another folder")
			}
			id, err := node.Init(args[0])
			if err != nil {
				return err
			}
			members, err := membersOf(p)
			if err != nil {
				return err
			}
			if databases, err = databasePorts(databases, transfer); err != nil {
				return err
			}
			c := node.Config{Name: name, Network: p.Network, Transfer: transfer, Status: status, Authorities: members, Capacity: capacity, SettleEvery: node.Every(10 * time.Second),
				Database: databases, DatabaseHost: databaseHost}
			if err := c.Check(); err != nil {
				return err
			}
			if err := node.WriteConfig(args[0], c); err != nil {
				return err
			}
			return e.print(id, func(w io.Writer) {
				fmt.Fprintf(w, "%s in %s\nnext: stratos node register %s\n", id.ID, args[0], args[0])
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "node", "what its logs and pages call it")
	cmd.Flags().StringVar(&transfer, "transfer", "127.0.0.1:26390", "HOST:PORT for slices, at which others reach it")
	cmd.Flags().StringVar(&status, "status", "127.0.0.1:26391", "HOST:PORT of its status page, for you")
	cmd.Flags().StringVar(&databases, "database", "", "HOST:PORT of the first of 8 ports in a row for replicas of databases, at which others reach them; default two behind that of --transfer; none: it runs none")
	cmd.Flags().StringVar(&databaseHost, "database-host", "", "HOST at which others reach these; default that of --database")
	cmd.Flags().Uint64Var(&capacity, "capacity", 0, "bytes that it offers; 0 means all that the disk has")
	return cmd
}

// databasePorts returns where replicas of databases listen: two ports behind that for slices, unless it is given; "" for none.
func databasePorts(given, transfer string) (string, error) {
	switch given {
	case "none":
		return "", nil
	case "":
		host, port, err := net.SplitHostPort(transfer)
		n, errPort := strconv.ParseUint(port, 10, 16)
		if err != nil || errPort != nil {
			return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "the transfer address %q", transfer), "it looks like 203.0.113.7:26300")
		}
		return net.JoinHostPort(host, strconv.FormatUint(n+2, 10)), nil
	}
	return given, nil
}

// tierDeposits is what a node of each tier deposits.
var tierDeposits = map[uint32]mesh.Wei{1: mesh.Stos(800), 2: mesh.Stos(1600), 3: mesh.Stos(3200)}

func newNodeRegisterCommand(e *env) *cobra.Command {
	var tier uint32
	var domain, address string
	cmd := &cobra.Command{
		Use:   "register DIR",
		Short: "Register a node with its deposit, under the account that acts",
		Long: `Registers the node whose folder is given. The deposit (800, 1600 or 3200 STOS, by tier) is locked for at least 180
days. The account becomes the node's operator: rewards are paid to it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			deposit, ok := tierDeposits[tier]
			if !ok {
				return mesh.Errorf(mesh.Invalid, "there is no tier %d: 1, 2 or 3", tier)
			}
			c, err := node.ReadConfig(args[0])
			if err != nil {
				return err
			}
			if address == "" {
				address = c.Transfer
			}
			return e.withChain(cmd.Context(), func(v *chain.Client, store wallet.Store, entry wallet.Entry) error {
				return e.registerNode(cmd.Context(), v, store, entry, args[0], c, tier, deposit, address, domain)
			})
		},
	}
	cmd.Flags().Uint32Var(&tier, "tier", 1, "1: 8 cores, 16 GB, 4 TB; 2: twice that; 3: four times")
	cmd.Flags().StringVar(&domain, "domain", "", "what fails together with it: a rack, a site; nodes of one operator and domain never hold two pieces of a segment")
	cmd.Flags().StringVar(&address, "address", "", "HOST:PORT at which others reach it; default that of its settings")
	return cmd
}

func (e *env) registerNode(ctx context.Context, v *chain.Client, store wallet.Store, entry wallet.Entry, dir string, c node.Config, tier uint32, deposit mesh.Wei, address, domain string) error {
	id, proof, err := node.Prove(dir, c.Network, entry.Account)
	if err != nil {
		return err
	}
	k, err := e.key(ctx, store, entry)
	if err != nil {
		return err
	}
	const compute, database, storage = 1, 2, 4
	kinds := uint32(compute | storage)
	if c.Database != "" { // else cells would wait for a node that has no replicas
		kinds |= database
	}
	r, err := v.Transact(ctx, k, abi.Register(), deposit, "registerNode", [32]byte(id.NodeKey), [32]byte(id.TLSKey), kinds, tier, address, domain, proof)
	if err != nil {
		return err
	}
	return e.print(map[string]any{"node": id.ID, "operator": entry.Account, "deposit_wei": deposit, "transaction": r.Hash.Hex()}, func(w io.Writer) {
		fmt.Fprintf(w, "registered %s under %s with a deposit of %s\nnext: stratos node run --home %s\n", id.ID, entry.Name, deposit, dir)
	})
}

func newNodeLeaveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "leave NODE",
		Short: "Take a node of the account that acts out of service, and its deposit back",
		Long: `From then on no new piece is placed on the node. What it holds is read from it for as long as it runs. The deposit is paid
when it has unbonded.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := mesh.ParseNodeID(args[0])
			if err != nil {
				return mesh.WithHint(err, "see: stratos node status")
			}
			return e.withChain(cmd.Context(), func(v *chain.Client, store wallet.Store, entry wallet.Entry) error {
				k, err := e.key(cmd.Context(), store, entry)
				if err != nil {
					return err
				}
				r, err := v.Transact(cmd.Context(), k, abi.Register(), mesh.Wei{}, "deactivateNode", [20]byte(id))
				if err != nil {
					return err
				}
				return e.print(map[string]any{"node": id, "transaction": r.Hash.Hex()}, func(w io.Writer) { fmt.Fprintf(w, "%s leaves\n", id) })
			})
		},
	}
}

func newNodeStatusCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "status [NODE...]",
		Short: "Show what the meta layer thinks of nodes: online, space, score, and why",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				all, err := c.Nodes(cmd.Context())
				if err != nil {
					return err
				}
				views := []nodeView{}
				for _, n := range all {
					if len(args) == 0 || named(n, args) {
						views = append(views, viewNode(n))
					}
				}
				if len(views) == 0 && len(args) > 0 {
					return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no node %s is registered", strings.Join(args, ", ")), "see all: stratos node status")
				}
				return e.print(map[string]any{"nodes": views}, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					fmt.Fprintln(t, "NODE\tADDRESS\tSTATE\tUSED\tFREE\tSCORE\tWHY")
					for _, v := range views {
						fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.3f\t%s\n", v.ID, v.Address, v.State, bytesText(v.UsedBytes), bytesText(v.FreeBytes), float64(v.Score)/1e6, strings.Join(v.Reasons, "; "))
					}
					t.Flush() // into memory
				})
			})
		},
	}
}

type nodeView struct {
	ID        mesh.NodeID  `json:"id"`
	Operator  mesh.Account `json:"operator"`
	Address   string       `json:"address"`
	Domain    string       `json:"domain"`
	State     string       `json:"state"` // online, offline, inactive, suspended
	FreeBytes uint64       `json:"free_bytes"`
	UsedBytes uint64       `json:"used_bytes"`
	Score     uint64       `json:"score"` // parts of 1,000,000
	Reasons   []string     `json:"reasons,omitempty"`
}

func viewNode(n client.NodeInfo) nodeView {
	state := "offline"
	switch {
	case n.Suspended: // its deposit is held, so it is inactive too
		state = "suspended"
	case !n.Active:
		state = "inactive"
	case n.Online:
		state = "online"
	}
	return nodeView{n.ID, n.Operator, n.Address, n.Domain, state, n.FreeBytes, n.UsedBytes, n.Score, n.Reasons}
}

func named(n client.NodeInfo, names []string) bool {
	for _, s := range names {
		if s == n.ID.String() || s == n.Address {
			return true
		}
	}
	return false
}

func newMetaStatusCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show where the meta layer stands",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				g, err := c.Group(cmd.Context())
				if err != nil {
					return err
				}
				v := map[string]any{"height": g.Height, "epoch": g.Epoch, "value_height": g.ValueHeight, "domains": g.Domains, "objects": g.Objects, "segments": g.Segments, "reduced": g.Reduced}
				return e.print(v, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					fmt.Fprintf(t, "height\t%d\nepoch\t%d\nvalue layer\tverified up to height %d\nfailure domains\t%d\nobjects\t%d\nsegments\t%d, of them %d lack pieces\n",
						g.Height, g.Epoch, g.ValueHeight, g.Domains, g.Objects, g.Segments, g.Reduced)
					t.Flush() // into memory
				})
			})
		},
	}
}
