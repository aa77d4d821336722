package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/transfer"
)

// withGroup runs f with the authorities of the profile, under a key that means nothing to them.
func withGroup(p *home.Profile, f func(*group.Group) error) (err error) {
	members, err := membersOf(p)
	if err != nil {
		return err
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return mesh.Errorf(mesh.Internal, "drawing a key: %w", err)
	}
	d := transfer.NewDialer(key, 5*time.Second)
	defer d.Close()
	g, err := group.New(members, d, group.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	return f(g)
}

func newMetaInitCommand(e *env) *cobra.Command {
	var c meta.Config
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make an authority's folder with keys of its own, for the group of the home's profile",
		Long: `Makes a folder with keys of its own and what is needed to follow the group's log: its genesis, which more than a third of
the authorities must give alike, and their consensus addresses. Run, it follows the log; registered and voted in by more
than two thirds of the authorities, it takes part.`,
		Example: `  stratos meta init /srv/authority --api 203.0.113.7:26100 --p2p 203.0.113.7:26101
  stratos meta register /srv/authority
  stratos meta run --home /srv/authority`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := e.home()
			if err != nil {
				return err
			}
			p, err := h.Profile()
			if err != nil {
				return err
			}
			if _, err := meta.ReadConfig(args[0]); mesh.KindOf(err) != mesh.NotFound {
				return mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is an authority in %s already", args[0]), "choose another folder")
			}
			c.Network, c.ValueEth, c.EVMChain = p.Network, p.Endpoints.Eth, p.EVMChainID
			if p.Endpoints.CometBFT != "" {
				c.ValueRPC = []string{p.Endpoints.CometBFT}
			}
			if err := c.Check(); err != nil {
				return err
			}
			var genesis []byte
			if err := withGroup(p, func(g *group.Group) error {
				genesis, c.Peers, err = g.AskJoin(cmd.Context())
				return err
			}); err != nil {
				return err
			}
			id, err := meta.Init(args[0])
			if err != nil {
				return err
			}
			if err := meta.WriteConfig(args[0], c, genesis); err != nil {
				return err
			}
			return e.print(id, func(w io.Writer) {
				fmt.Fprintf(w, "%s in %s\nnext: stratos meta register %s\n", id.ID, args[0], args[0])
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "authority", "what its logs and pages call it")
	f.StringVar(&c.API, "api", "127.0.0.1:26190", "HOST:PORT for clients, nodes and other authorities, at which they reach it")
	f.StringVar(&c.P2P, "p2p", "127.0.0.1:26191", "HOST:PORT for consensus, at which the other authorities reach it")
	f.StringVar(&c.Status, "status", "127.0.0.1:26192", "HOST:PORT of its status page, for you")
	return cmd
}

func newMetaRegisterCommand(e *env) *cobra.Command {
	var deposit, address string
	var post bool
	cmd := &cobra.Command{
		Use:   "register DIR",
		Short: "Make an authority a candidate, under the account that acts",
		Long: `Registers the authority whose folder is given, with a deposit that is locked for at least 180 days. The account becomes
its operator. The authorities vote: stratos meta vote.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := mesh.ParseWei(deposit)
			if err != nil {
				return err
			}
			c, err := meta.ReadConfig(args[0])
			if err != nil {
				return err
			}
			if address == "" {
				address = c.API
			}
			ctx := cmd.Context()
			return e.withChain(ctx, func(v *chain.Client, store wallet.Store, entry wallet.Entry) error {
				id, report, consensus, err := meta.Prove(args[0], c.Network, entry.Account)
				if err != nil {
					return err
				}
				k, err := e.key(ctx, store, entry)
				if err != nil {
					return err
				}
				r, err := v.Transact(ctx, k, abi.Register(), amount, "registerAuthority", [32]byte(id.ReportKey), [32]byte(id.ConsensusKey), [32]byte(id.TLSKey), address, report[:], consensus[:])
				if err != nil {
					return err
				}
				if post {
					if err := e.keepOperator(ctx, args[0], k); err != nil {
						return err
					}
				}
				return e.print(map[string]any{"authority": id.ID, "operator": entry.Account, "deposit_wei": amount, "transaction": r.Hash.Hex()}, func(w io.Writer) {
					fmt.Fprintf(w, "%s is a candidate under %s with a deposit of %s\nnext: stratos meta run --home %s, and the authorities vote: stratos meta vote %s\n", id.ID, entry.Name, amount, args[0], id.ID)
				})
			})
		},
	}
	cmd.Flags().StringVar(&deposit, "deposit", "1000stos", "deposit; the value layer names the least")
	cmd.Flags().StringVar(&address, "address", "", "HOST:PORT of the API at which others reach it; default that of its settings")
	cmd.Flags().BoolVar(&post, "post", false, "keep the account's key in DIR too, so that the authority posts reports and pays for that")
	return cmd
}

// keepOperator gives an authority the account with which it posts reports.
func (e *env) keepOperator(ctx context.Context, dir string, k wallet.Key) error {
	password, err := e.password(ctx, "New password for the operator's key in "+dir, true)
	if err != nil {
		return err
	}
	return wallet.OpenStore(filepath.Join(dir, meta.OperatorDir)).Add(meta.OperatorName, k, password, wallet.Standard)
}

// An authorityView is an authority as the value layer registers it.
type authorityView struct {
	ID       mesh.AuthorityID `json:"id"`
	Operator mesh.Account     `json:"operator"`
	Address  string           `json:"address"`
	State    string           `json:"state"` // candidate, present, unbonding
	Votes    uint32           `json:"votes"` // to come in, or to go
	Deposit  mesh.Wei         `json:"deposit_wei"`
}

var authorityStates = []string{"unknown", "candidate", "present", "unbonding"}

// authoritiesOf lists the present authorities, then the candidates.
func authoritiesOf(ctx context.Context, v *chain.Client) ([]authorityView, error) {
	all := []authorityView{}
	var ids [][20]byte
	for _, method := range []string{"authorities", "candidates"} {
		out, err := v.Query(ctx, abi.Register(), method)
		if err != nil {
			return nil, err
		}
		ids = append(ids, out[0].([][20]byte)...)
	}
	for _, id := range ids {
		a, err := authorityOf(ctx, v, id)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func authorityOf(ctx context.Context, v *chain.Client, id mesh.AuthorityID) (authorityView, error) {
	a, err := v.Query(ctx, abi.Register(), "authority", [20]byte(id))
	if err != nil {
		return authorityView{}, err
	}
	view := authorityView{ID: id, Operator: mesh.Account(a[0].(common.Address)), Address: a[4].(string), Votes: a[7].(uint32), Deposit: mesh.NewWei(a[6].(*big.Int))}
	if s := a[5].(uint32); int(s) < len(authorityStates) {
		view.State = authorityStates[s]
	}
	return view, nil
}

func newMetaListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the authorities and candidates that the value layer registers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := e.chain(cmd.Context())
			if err != nil {
				return err
			}
			defer v.Close()
			all, err := authoritiesOf(cmd.Context(), v)
			if err != nil {
				return err
			}
			return e.print(map[string]any{"authorities": all}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "AUTHORITY\tADDRESS\tSTATE\tVOTES\tDEPOSIT\tOPERATOR")
				for _, a := range all {
					fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", a.ID, a.Address, a.State, a.Votes, a.Deposit, a.Operator)
				}
				t.Flush() // into memory
			})
		},
	}
}

func newMetaVoteCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "vote AUTHORITY",
		Short: "Vote a candidate in, or a present authority out, as the operator of an authority",
		Long: `Votes with each present authority of the account that acts. More than two thirds of the present authorities decide. A vote
for a candidate is for its coming in, a vote on a present authority for its going.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return e.withChain(ctx, func(v *chain.Client, store wallet.Store, entry wallet.Entry) error {
				all, err := authoritiesOf(ctx, v)
				if err != nil {
					return err
				}
				target, err := findAuthority(all, args[0])
				if err != nil {
					return err
				}
				voters := slices.DeleteFunc(slices.Clone(all), func(a authorityView) bool { return a.Operator != entry.Account || a.State != "present" })
				if len(voters) == 0 {
					return mesh.WithHint(mesh.Errorf(mesh.Denied, "%s operates no present authority and has no vote", entry.Name), "name the operator with --account; see: stratos meta list")
				}
				k, err := e.key(ctx, store, entry)
				if err != nil {
					return err
				}
				for _, voter := range voters {
					if _, err := v.Transact(ctx, k, abi.Register(), mesh.Wei{}, "voteAuthority", [20]byte(voter.ID), [20]byte(target.ID)); err != nil {
						return err
					}
				}
				now, err := authorityOf(ctx, v, target.ID)
				if err != nil {
					return err
				}
				return e.print(now, func(w io.Writer) {
					fmt.Fprintf(w, "%s is %s", now.ID, now.State)
					if now.State == target.State {
						fmt.Fprintf(w, ", with %s so far", count(now.Votes, "vote"))
					}
					fmt.Fprintln(w)
				})
			})
		},
	}
}

func newMetaLeaveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "leave AUTHORITY",
		Short: "Take an authority or candidate of the account that acts out, and its deposit back",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return e.withChain(ctx, func(v *chain.Client, store wallet.Store, entry wallet.Entry) error {
				all, err := authoritiesOf(ctx, v)
				if err != nil {
					return err
				}
				a, err := findAuthority(all, args[0])
				if err != nil {
					return err
				}
				k, err := e.key(ctx, store, entry)
				if err != nil {
					return err
				}
				r, err := v.Transact(ctx, k, abi.Register(), mesh.Wei{}, "leaveAuthority", [20]byte(a.ID))
				if err != nil {
					return err
				}
				return e.print(map[string]any{"authority": a.ID, "transaction": r.Hash.Hex()}, func(w io.Writer) {
					fmt.Fprintf(w, "%s leaves; its deposit of %s is paid when it has unbonded\n", a.ID, a.Deposit)
				})
			})
		},
	}
}

// findAuthority finds the authority whose id, or a beginning of it that names one only, is ref.
func findAuthority(all []authorityView, ref string) (authorityView, error) {
	found := slices.DeleteFunc(slices.Clone(all), func(a authorityView) bool { return !strings.HasPrefix(a.ID.String(), ref) })
	if len(found) != 1 || ref == "" {
		return authorityView{}, mesh.WithHint(mesh.Errorf(mesh.NotFound, "%d authorities have an id that begins with %q", len(found), ref), "see: stratos meta list")
	}
	return found[0], nil
}
