package main

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"text/tabwriter"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/audit"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/report"
)

// withChain runs f with the value layer, the wallet and the account that acts.
func (e *env) withChain(ctx context.Context, f func(*chain.Client, wallet.Store, wallet.Entry) error) error {
	store, err := e.wallet()
	if err != nil {
		return err
	}
	entry, err := e.account(store)
	if err != nil {
		return err
	}
	c, err := e.chain(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c, store, entry)
}

func newPrepayCommand(e *env) *cobra.Command {
	var simulate bool
	var beneficiary string
	cmd := &cobra.Command{
		Use:   "prepay AMOUNT",
		Short: "Buy ozone, which pays for traffic",
		Long: `Buys ozone with STOS at the price of the moment. 1 oz pays for 10^9 bytes on the wire, parity included. It cannot be
sold again.`,
		Example: `  stratos prepay 2.5
  stratos prepay --simulate 1stos
  stratos prepay --for bob 0.1stos`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := mesh.ParseWei(args[0])
			if err != nil {
				return err
			}
			return e.withChain(cmd.Context(), func(c *chain.Client, store wallet.Store, entry wallet.Entry) error {
				to := entry.Account
				if beneficiary != "" {
					if to, err = store.Resolve(beneficiary); err != nil {
						return err
					}
				}
				return e.prepay(cmd.Context(), c, store, entry, to, amount, simulate)
			})
		},
	}
	cmd.Flags().BoolVar(&simulate, "simulate", false, "only say what the amount would buy now")
	cmd.Flags().StringVar(&beneficiary, "for", "", "account that gets the ozone: a name, st1... or 0x...")
	return cmd
}

func (e *env) prepay(ctx context.Context, c *chain.Client, store wallet.Store, entry wallet.Entry, to mesh.Account, amount mesh.Wei, simulate bool) error {
	out, err := c.Query(ctx, abi.SDS(), "simulatePrepay", amount.Big())
	if err != nil {
		return err
	}
	bought := mesh.Noz(out[0].(*big.Int).Uint64())
	v := struct {
		Amount      mesh.Wei     `json:"amount_wei"`
		Noz         mesh.Noz     `json:"noz"`
		Beneficiary mesh.Account `json:"beneficiary"`
		Simulated   bool         `json:"simulated"`
		Transaction string       `json:"transaction,omitempty"`
	}{amount, bought, to, simulate, ""}
	if simulate {
		return e.print(v, func(w io.Writer) { fmt.Fprintf(w, "%s would buy %s\n", amount, bought) })
	}
	k, err := e.key(ctx, store, entry)
	if err != nil {
		return err
	}
	before, err := c.Query(ctx, abi.SDS(), "ozoneOf", common.Address(to))
	if err != nil {
		return err
	}
	r, err := c.Transact(ctx, k, abi.SDS(), amount, "prepay", common.Address(to))
	if err != nil {
		return err
	}
	after, err := c.Query(ctx, abi.SDS(), "ozoneOf", common.Address(to))
	if err != nil {
		return err
	}
	v.Noz, v.Transaction = mesh.Noz(after[0].(uint64)-before[0].(uint64)), r.Hash.Hex()
	return e.print(v, func(w io.Writer) { fmt.Fprintf(w, "%s bought %s for %s\n", amount, v.Noz, to) })
}

func newRewardsCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rewards [ACCOUNT]",
		Short: "Show what an account earned, what matures, what can be withdrawn",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withChain(cmd.Context(), func(c *chain.Client, store wallet.Store, entry wallet.Entry) error {
				of := entry.Account
				if len(args) == 1 {
					var err error
					if of, err = store.Resolve(args[0]); err != nil {
						return err
					}
				}
				r, err := c.Query(cmd.Context(), abi.Pot(), "rewards", common.Address(of))
				if err != nil {
					return err
				}
				wei := func(i int) mesh.Wei { return mesh.NewWei(r[i].(*big.Int)) }
				v := struct {
					Account      mesh.Account `json:"account"`
					Earned       mesh.Wei     `json:"earned_wei"`
					Maturing     mesh.Wei     `json:"maturing_wei"`
					Withdrawable mesh.Wei     `json:"withdrawable_wei"`
					Withdrawn    mesh.Wei     `json:"withdrawn_wei"`
				}{of, wei(0), wei(1), wei(2), wei(3)}
				return e.print(v, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					fmt.Fprintf(t, "earned\t%s\nmaturing\t%s\nwithdrawable\t%s\nwithdrawn\t%s\n", v.Earned, v.Maturing, v.Withdrawable, v.Withdrawn)
					t.Flush() // into memory
				})
			})
		},
	}
	cmd.AddCommand(newWithdrawCommand(e))
	return cmd
}

func newWithdrawCommand(e *env) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "withdraw",
		Short: "Take out the rewards that have matured",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withChain(cmd.Context(), func(c *chain.Client, store wallet.Store, entry wallet.Entry) error {
				ctx, account := cmd.Context(), entry.Account
				if to != "" {
					var err error
					if account, err = store.Resolve(to); err != nil {
						return err
					}
				}
				r, err := c.Query(ctx, abi.Pot(), "rewards", common.Address(entry.Account))
				if err != nil {
					return err
				}
				amount := mesh.NewWei(r[2].(*big.Int))
				if amount.Cmp(mesh.Wei{}) == 0 {
					return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "%s has nothing to withdraw yet", entry.Name), "see what matures: stratos rewards")
				}
				k, err := e.key(ctx, store, entry)
				if err != nil {
					return err
				}
				receipt, err := c.Transact(ctx, k, abi.Pot(), mesh.Wei{}, "withdraw", common.Address(account))
				if err != nil {
					return err
				}
				v := map[string]any{"amount_wei": amount, "to": account, "transaction": receipt.Hash.Hex()}
				return e.print(v, func(w io.Writer) { fmt.Fprintf(w, "withdrew %s to %s\n", amount, account) })
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "account that gets them; default the one that earned them")
	return cmd
}

// An epochView is an epoch's settled report: the ledger line of the value layer, and what its header says.
type epochView struct {
	Epoch           mesh.Epoch  `json:"epoch"`
	FromEpoch       mesh.Epoch  `json:"from_epoch"`
	Status          string      `json:"status"`
	Signed          uint32      `json:"signed"`
	Authorities     uint32      `json:"authorities"`
	MetaHeight      mesh.Height `json:"meta_height"`
	Volume          mesh.Noz    `json:"volume_noz"`
	Fees            mesh.Noz    `json:"fees_noz"`
	Taken           mesh.Noz    `json:"taken_noz"`
	CarriedIn       mesh.Noz    `json:"carried_in_noz"`
	Settled         mesh.Noz    `json:"settled_noz"`
	Returned        mesh.Noz    `json:"returned_noz"`
	CarriedOut      mesh.Noz    `json:"carried_out_noz"`
	Clipped         mesh.Noz    `json:"clipped_noz"`
	Reward          mesh.Wei    `json:"reward_wei"`
	Tax             mesh.Wei    `json:"tax_wei"`
	Nodes           mesh.Wei    `json:"nodes_wei"`
	AuthoritiesPart mesh.Wei    `json:"authorities_wei"`
	Chain           mesh.Wei    `json:"chain_wei"`
	Remainder       mesh.Wei    `json:"remainder_wei"`
	Balanced        bool        `json:"balanced"`   // taken + carried in = settled + returned + carried out
	Recomputed      bool        `json:"recomputed"` // all of it, and nothing differs
	Wallets         int         `json:"wallets"`    // whose reward was computed again
	Differences     []string    `json:"differences,omitempty"`
	Unchecked       []string    `json:"unchecked,omitempty"`
}

var reportStates = []string{"none", "open", "settling", "final", "abandoned"}

func newEpochCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "epoch [N]",
		Short: "Show an epoch's report as the value layer settled it, computed again; or which epoch it is",
		Long: `Shows the line of an epoch in the value layer's ledger, and computes it again from the report's pages, which the
authorities hold: what was debited, which volumes settle and which are carried, the reward by the curve, its parts, and
what each wallet earned. Whatever differs is listed, and the command fails.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.chain(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			if len(args) == 0 {
				now, err := c.Query(cmd.Context(), abi.Pot(), "epoch")
				if err != nil {
					return err
				}
				v := map[string]uint64{"epoch": now[0].(uint64), "next_report": now[1].(uint64)}
				return e.print(v, func(w io.Writer) {
					fmt.Fprintf(w, "epoch %d; reported up to epoch %d\n", v["epoch"], int64(v["next_report"])-1)
				})
			}
			n, err := strconv.ParseUint(args[0], 10, 62)
			if err != nil {
				return mesh.Errorf(mesh.Invalid, "%q is no number of an epoch", args[0])
			}
			v, err := epochOf(cmd.Context(), c, mesh.Epoch(n))
			if err != nil {
				return err
			}
			if err := e.recompute(cmd.Context(), c, v); err != nil {
				return err
			}
			if err := e.print(v, v.write); err != nil || len(v.Differences) == 0 {
				return err
			}
			return mesh.WithHint(mesh.Errorf(mesh.Corrupt, "epoch %d was not settled by the rules, in %s", n, count(len(v.Differences), "point")), "tell the validators and authorities")
		},
	}
}

func epochOf(ctx context.Context, c *chain.Client, n mesh.Epoch) (*epochView, error) {
	r, err := c.Query(ctx, abi.Pot(), "report", uint64(n))
	if err != nil {
		return nil, err
	}
	state := r[1].(uint8)
	if state == reportUnknown || int(state) >= len(reportStates) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "no report ends with epoch %d", n), "an epoch without traffic is part of the next report; see: stratos epoch")
	}
	h, err := report.DecodeHeader(r[0].([]byte))
	if err != nil {
		return nil, err
	}
	v := &epochView{Epoch: n, FromEpoch: h.FromEpoch, Status: reportStates[state], Signed: r[4].(uint32), Authorities: r[5].(uint32), MetaHeight: h.MetaHeight, Fees: h.Fees}
	for t := report.Table(0); t < report.Tables; t++ {
		if !t.IsDebits() {
			v.Volume += h.Tables[t].Noz
		}
	}
	if v.Status != "final" && v.Status != "abandoned" {
		return v, nil
	}
	l, err := audit.ReadLine(ctx, c, n)
	if err != nil {
		return nil, err
	}
	v.Taken, v.CarriedIn, v.Settled, v.Returned, v.CarriedOut, v.Clipped = l.Taken, l.CarriedIn, l.Settled, l.Returned, l.CarriedOut, l.Clipped
	for to, from := range map[*mesh.Wei]*big.Int{&v.Reward: l.Reward, &v.Tax: l.Tax, &v.Nodes: l.Nodes, &v.AuthoritiesPart: l.Authorities, &v.Chain: l.Chain, &v.Remainder: l.Remainder} {
		*to = mesh.NewWei(from)
	}
	v.Balanced = l.Balanced()
	return v, nil
}

// recompute computes a settled report again from the authorities' pages.
func (e *env) recompute(ctx context.Context, c *chain.Client, v *epochView) error {
	if v.Status != "final" {
		return nil
	}
	return e.withClient(ctx, func(m *client.Client) error {
		f, err := audit.Epoch(ctx, c, m, v.Epoch)
		if err != nil {
			return err
		}
		v.Recomputed = len(f.Differences)+len(f.Unchecked) == 0
		v.Wallets, v.Differences, v.Unchecked = f.Wallets, f.Differences, f.Unchecked
		return nil
	})
}

func (v *epochView) write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush() // into memory
	fmt.Fprintf(t, "epochs\t%d to %d, %s\n", v.FromEpoch, v.Epoch, v.Status)
	fmt.Fprintf(t, "signed by\t%d of %d authorities, at height %d of the meta layer\n", v.Signed, v.Authorities, v.MetaHeight)
	fmt.Fprintf(t, "volume\t%s, fees for log writes %s\n", v.Volume, v.Fees)
	if v.Status != "final" && v.Status != "abandoned" {
		return
	}
	fmt.Fprintf(t, "taken\t%s, and %s carried in\n", v.Taken, v.CarriedIn)
	fmt.Fprintf(t, "settled\t%s, returned %s, carried out %s\n", v.Settled, v.Returned, v.CarriedOut)
	if v.Clipped > 0 {
		fmt.Fprintf(t, "clipped\t%s: accounts had less\n", v.Clipped)
	}
	fmt.Fprintf(t, "reward\t%s, of it tax %s\n", v.Reward, v.Tax)
	fmt.Fprintf(t, "to nodes\t%s\nto authorities\t%s\nto the chain\t%s\nremainder\t%s\n", v.Nodes, v.AuthoritiesPart, v.Chain, v.Remainder)
	for _, u := range v.Unchecked {
		fmt.Fprintf(t, "not recomputed\t%s\n", u)
	}
	for _, d := range v.Differences {
		fmt.Fprintf(t, "DIFFERS\t%s\n", d)
	}
	if v.Recomputed {
		fmt.Fprintf(t, "recomputed\tequal, with the rewards of %s\n", count(v.Wallets, "wallet"))
	}
	if !v.Balanced {
		fmt.Fprintf(t, "\tTHE LINE DOES NOT HOLD: taken + carried in = settled + returned + carried out\n")
	}
}
