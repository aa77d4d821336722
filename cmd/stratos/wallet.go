package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
)

func newWalletCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wallet",
		Short: "Keep accounts and send STOS",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(newWalletNewCommand(e), newWalletImportCommand(e), newWalletListCommand(e), newWalletBalanceCommand(e),
		newWalletSendCommand(e), newWalletExportCommand(e))
	return cmd
}

// An accountView is an account as commands show it.
type accountView struct {
	Name       string       `json:"name,omitempty"`
	Address    mesh.Account `json:"address"`
	EthAddress string       `json:"eth_address"`
	Mnemonic   string       `json:"mnemonic,omitempty"`
	PrivateKey string       `json:"private_key,omitempty"`
	Balance    *mesh.Wei    `json:"balance_wei,omitempty"`
	Ozone      *mesh.Noz    `json:"ozone_noz,omitempty"`
}

func view(name string, a mesh.Account) accountView {
	return accountView{Name: name, Address: a, EthAddress: wallet.EthAddress(a)}
}

func newWalletNewCommand(e *env) *cobra.Command {
	var light bool
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Draw a new account and show its 24 words once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			words, err := wallet.NewMnemonic()
			if err != nil {
				return err
			}
			tree, err := wallet.ParseMnemonic(words)
			if err != nil {
				return err
			}
			k, err := tree.Key(0)
			if err != nil {
				return err
			}
			if err := e.keep(cmd.Context(), args[0], k, light); err != nil {
				return err
			}
			v := view(args[0], k.Account())
			v.Mnemonic = words
			return e.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s is %s\n%*s    %s\n\n", v.Name, v.Address, len(v.Name), "", v.EthAddress)
				fmt.Fprintf(w, "Its 24 words, shown only now. Whoever has them has the account; without them and the password it is lost:\n\n  %s\n", words)
			})
		},
	}
	lightFlag(cmd, &light)
	return cmd
}

func lightFlag(cmd *cobra.Command, light *bool) {
	cmd.Flags().BoolVar(light, "light", false, "protect the key with little work, for tests")
}

func newWalletImportCommand(e *env) *cobra.Command {
	var light, words bool
	var index uint32
	cmd := &cobra.Command{
		Use:   "import NAME",
		Short: "Keep an account whose private key or words you have",
		Long: `Asks for the private key (64 hexadecimal digits), or with --mnemonic for the words; without a terminal it reads
one line of standard input. Secrets are never taken from the command line, where others could see them.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, read := "Private key", wallet.ParseKey
			if words {
				prompt, read = "Words", func(s string) (wallet.Key, error) {
					tree, err := wallet.ParseMnemonic(s)
					if err != nil {
						return wallet.Key{}, err
					}
					return tree.Key(index)
				}
			}
			secret, err := e.secretLine(cmd.Context(), prompt)
			if err != nil {
				return err
			}
			k, err := read(secret)
			if err != nil {
				return err
			}
			if err := e.keep(cmd.Context(), args[0], k, light); err != nil {
				return err
			}
			v := view(args[0], k.Account())
			return e.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s is %s\n%*s    %s\n", v.Name, v.Address, len(v.Name), "", v.EthAddress)
			})
		},
	}
	cmd.Flags().BoolVar(&words, "mnemonic", false, "import from 12 to 24 words of BIP-39")
	cmd.Flags().Uint32Var(&index, "index", 0, "with --mnemonic: the last part of m/44'/60'/0'/0/INDEX")
	lightFlag(cmd, &light)
	return cmd
}

// keep stores a key, creating the home if there is none.
func (e *env) keep(ctx context.Context, name string, k wallet.Key, light bool) error {
	if err := wallet.CheckName(name); err != nil {
		return err
	}
	h, err := home.Create(e.cfg.Get(config.Home))
	if err != nil {
		return err
	}
	password, err := e.password(ctx, "New password for "+name, true)
	if err != nil {
		return err
	}
	strength := wallet.Standard
	if light {
		strength = wallet.Light
	}
	return wallet.OpenStore(h.Keys()).Add(name, k, password, strength)
}

func newWalletListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the accounts that are kept here",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := e.wallet()
			if err != nil {
				return err
			}
			entries, err := store.List()
			if err != nil {
				return err
			}
			views := []accountView{}
			for _, entry := range entries {
				views = append(views, view(entry.Name, entry.Account))
			}
			return e.print(map[string][]accountView{"accounts": views}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, v := range views {
					fmt.Fprintf(t, "%s\t%s\t%s\n", v.Name, v.Address, v.EthAddress)
				}
				t.Flush()
			})
		},
	}
}

func newWalletBalanceCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "balance [NAME | st1... | 0x...]...",
		Short: "Show what accounts hold: STOS, and ozone for traffic",
		Long: `Shows what accounts hold on the value layer: STOS, and ozone, which pays for traffic. Ozone that was used is taken off when the epoch
of its use is reported.`,
		RunE: func(cmd *cobra.Command, refs []string) error {
			store, err := e.wallet()
			if err != nil {
				return err
			}
			if len(refs) == 0 {
				entry, err := e.account(store)
				if err != nil {
					return err
				}
				refs = []string{entry.Name}
			}
			views := []accountView{}
			for _, ref := range refs {
				a, err := store.Resolve(ref)
				if err != nil {
					return err
				}
				name := ""
				if entry, err := store.Find(ref); err == nil {
					name = entry.Name
				}
				views = append(views, view(name, a))
			}
			c, err := e.chain(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			for i := range views {
				b, oz, err := holdings(cmd.Context(), c, views[i].Address)
				if err != nil {
					return err
				}
				views[i].Balance, views[i].Ozone = &b, &oz
			}
			return e.print(map[string][]accountView{"accounts": views}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, v := range views {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.Name, v.Address, v.Balance, v.Ozone)
				}
				t.Flush()
			})
		},
	}
}

// holdings returns what an account has on the value layer.
func holdings(ctx context.Context, c *chain.Client, a mesh.Account) (mesh.Wei, mesh.Noz, error) {
	b, err := c.Balance(ctx, a)
	if err != nil {
		return b, 0, err
	}
	out, err := c.Query(ctx, abi.SDS(), "ozoneOf", common.Address(a))
	if err != nil {
		return b, 0, err
	}
	return b, mesh.Noz(out[0].(uint64)), nil
}

func newWalletSendCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "send TO AMOUNT",
		Short: "Send STOS to an account",
		Long: `Sends from the acting account (--account) to a name, st1... or 0x..., and waits until it is in a block. An amount
is a number with a unit: 1.5stos, 20gwei or 7wei; without a unit it counts STOS.`,
		Example: "  stratos wallet send bob 1.5stos\n  stratos --account bob wallet send 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 20gwei",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := mesh.ParseWei(args[1])
			if err != nil {
				return mesh.WithHint(err, "write it as 1.5stos, 20gwei or 7wei")
			}
			store, err := e.wallet()
			if err != nil {
				return err
			}
			to, err := store.Resolve(args[0])
			if err != nil {
				return err
			}
			from, err := e.account(store)
			if err != nil {
				return err
			}
			c, err := e.chain(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			k, err := e.key(cmd.Context(), store, from)
			if err != nil {
				return err
			}
			r, err := c.Send(cmd.Context(), k, chain.Call{To: to, Value: amount})
			if err != nil {
				return err
			}
			out := struct {
				Hash   string       `json:"hash"`
				Block  mesh.Height  `json:"block"`
				From   mesh.Account `json:"from"`
				To     mesh.Account `json:"to"`
				Amount mesh.Wei     `json:"amount_wei"`
				Fee    mesh.Wei     `json:"fee_wei"`
			}{r.Hash.Hex(), r.Block, from.Account, to, amount, r.Fee}
			return e.print(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s sent %s to %s in block %d, for a fee of %s.\n%s\n", from.Name, amount, to, r.Block, r.Fee, out.Hash)
			})
		},
	}
}

func newWalletExportCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "export NAME",
		Short: "Show the private key of an account",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := e.wallet()
			if err != nil {
				return err
			}
			entry, err := store.Find(args[0])
			if err != nil {
				return err
			}
			k, err := e.key(cmd.Context(), store, entry)
			if err != nil {
				return err
			}
			v := view(entry.Name, entry.Account)
			v.PrivateKey = k.Secret()
			return e.print(v, func(w io.Writer) { fmt.Fprintln(w, v.PrivateKey) })
		},
	}
}
