package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/protocol/abi"
	wirecompute "github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// orderTime is how long a taker gives an order's task; its claim lasts no less.
const orderTime = 4 * time.Minute

func newOrderCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "order", Short: "Have tasks run for contracts, or run them for pay", Args: cobra.NoArgs, RunE: showHelp,
		Long: `An order on the value layer escrows what the result of a task is worth to an account or a contract (module "sdc"). Whoever takes it has the task run as a
job at level pair or quorum, and is paid when more than two thirds of the authorities say that the log has verified it.`}
	cmd.AddCommand(newOrderCreateCommand(e), newOrderListCommand(e), newOrderShowCommand(e), newOrderTakeCommand(e), newOrderCloseCommand(e))
	return cmd
}

func newOrderCreateCommand(e *env) *cobra.Command {
	var price, level string
	var blocks, fuel, output uint64
	var memory uint32
	var text bool
	cmd := &cobra.Command{
		Use:   "create MODULE [ARGUMENT...]",
		Short: "Order a run of a WebAssembly program with arguments",
		Long: `Orders a run of a program of WASI preview 1, which reads nothing but its arguments. With --text nothing is sent: the task's text is printed for a contract
that orders it (method order of the contract "sdc" at 0x…5305).`,
		Example: "  stratos order create primes.wasm 1000 --price 2stos --level quorum\n  stratos order create primes.wasm 1000 --text",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			module, err := os.ReadFile(args[0])
			if err != nil {
				return mesh.Errorf(mesh.NotFound, "the module: %w", err)
			}
			sum, rules := sha256.Sum256(module), compute.Rules()
			t := &wirepb.TaskText{Rules: rules[:], Stage: &wirepb.Stage{Module: sum[:], Pages: memory << 4, Fuel: fuel, OutputBytes: output, Args: append([]string{filepath.Base(args[0])}, args[1:]...)}}
			wirecompute.SetSeed(t)
			body := wire.Encode(t)
			if _, err := wirecompute.DecodeOrder(body); err != nil {
				return &usageError{err}
			}
			task := wirecompute.TaskDigest(t)
			if text {
				v := struct {
					Task string `json:"task"` // digest
					Text string `json:"text"`
				}{hex.EncodeToString(task[:]), "0x" + hex.EncodeToString(body)}
				return e.print(v, func(w io.Writer) { fmt.Fprintln(w, v.Text) })
			}
			amount, err := mesh.ParseWei(price)
			if err != nil {
				return &usageError{err}
			}
			l, err := job.ParseLevel(level)
			if err != nil {
				return &usageError{err}
			}
			return e.withChain(cmd.Context(), func(c *chain.Client, store wallet.Store, entry wallet.Entry) error {
				return e.transactOrder(cmd.Context(), c, store, entry, "ordered", amount, "order", body, uint32(l), blocks)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&price, "price", "1stos", "what the result is worth")
	f.StringVar(&level, "level", "quorum", "of verification: pair or quorum")
	f.Uint64Var(&blocks, "blocks", 7200, "of the value layer, for which the order stands")
	f.Uint64Var(&fuel, "fuel", 100_000_000_000, "that the task may spend")
	f.Uint64Var(&output, "output-bytes", 1<<20, "that the task may give")
	f.Uint32Var(&memory, "memory", 16, "MiB that the program may have")
	f.BoolVar(&text, "text", false, "print the task's text instead")
	return cmd
}

// transactOrder sends a transaction to the contract of orders, and says so.
func (e *env) transactOrder(ctx context.Context, c *chain.Client, store wallet.Store, entry wallet.Entry, done string, value mesh.Wei, method string, args ...any) error {
	k, err := e.key(ctx, store, entry)
	if err != nil {
		return err
	}
	r, err := c.Transact(ctx, k, abi.SDC(), value, method, args...)
	if err != nil {
		return err
	}
	v := struct {
		Transaction string `json:"transaction"`
	}{r.Hash.Hex()}
	return e.print(v, func(w io.Writer) { fmt.Fprintf(w, "%s, in transaction %s\n", done, v.Transaction) })
}

var orderStates = [...]string{"", "open", "claimed", "answered", "returned"}

// An orderView is an order as people see it.
type orderView struct {
	Order  uint64   `json:"order"`
	State  string   `json:"state"`
	Owner  string   `json:"owner"`
	Task   string   `json:"task"` // digest
	Level  string   `json:"level"`
	Price  mesh.Wei `json:"price_wei"`
	Until  uint64   `json:"until_block"`
	Taker  string   `json:"taker,omitempty"`
	Claims uint64   `json:"claims"`
	End    uint32   `json:"end"`  // how the task ended, once it is answered: 0 is that it exited
	Code   uint32   `json:"code"` // with this code
	Fuel   uint64   `json:"fuel"`
	Bytes  uint64   `json:"output_bytes"`
	Output string   `json:"output,omitempty"` // BLAKE3

	taker mesh.Account
}

func readOrder(ctx context.Context, c *chain.Client, n uint64) (v orderView, err error) {
	o, err := c.Query(ctx, abi.SDC(), "orderOf", n)
	if err != nil {
		return v, err
	}
	task := o[1].([32]byte)
	v = orderView{Order: n, Owner: o[0].(common.Address).Hex(), Task: hex.EncodeToString(task[:]), Level: job.Level(o[2].(uint32)).String(), Price: mesh.NewWei(o[3].(*big.Int)),
		Until: o[4].(uint64), State: orderStates[min(int(o[5].(uint8)), len(orderStates)-1)], Claims: o[7].(uint64), taker: mesh.Account(o[6].(common.Address))}
	if v.taker != (mesh.Account{}) {
		v.Taker = o[6].(common.Address).Hex()
	}
	r, err := c.Query(ctx, abi.SDC(), "resultOf", n)
	if err != nil {
		return v, err
	}
	v.End, v.Code, v.Fuel, v.Bytes = r[1].(uint32), r[2].(uint32), r[3].(uint64), r[4].(uint64)
	if out := r[5].([32]byte); out != ([32]byte{}) {
		v.Output = hex.EncodeToString(out[:])
	}
	return v, nil
}

func newOrderListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List orders that are open or claimed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.chain(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			all := []orderView{}
			for after := uint64(0); ; {
				page, err := c.Query(cmd.Context(), abi.SDC(), "openOrders", after, uint32(100))
				if err != nil {
					return err
				}
				numbers := page[0].([]uint64)
				if len(numbers) == 0 {
					break
				}
				for _, n := range numbers {
					v, err := readOrder(cmd.Context(), c, n)
					if err != nil {
						return err
					}
					all, after = append(all, v), n
				}
			}
			return e.print(all, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "ORDER\tSTATE\tLEVEL\tPRICE\tUNTIL BLOCK\tOWNER")
				for _, v := range all {
					fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%s\n", v.Order, v.State, v.Level, v.Price, v.Until, v.Owner)
				}
				t.Flush()
			})
		},
	}
}

func orderNumber(s string) (n uint64, err error) {
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n == 0 {
		return 0, &usageError{mesh.Errorf(mesh.Invalid, "%q is no number of an order", s)}
	}
	return n, nil
}

func newOrderShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show ORDER", Short: "Show an order and its answer", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := orderNumber(args[0])
			if err != nil {
				return err
			}
			c, err := e.chain(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := readOrder(cmd.Context(), c, n)
			if err != nil {
				return err
			}
			return e.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s, level %s, %s, until block %d\nowner   %s\ntask    %s\n", v.State, v.Level, v.Price, v.Until, v.Owner, v.Task)
				if v.Output != "" {
					fmt.Fprintf(w, "taker   %s\nended   %d, with code %d\nfuel    %d\noutput  %d bytes, BLAKE3 %s\n", v.Taker, v.End, v.Code, v.Fuel, v.Bytes, v.Output)
				}
			})
		},
	}
}

func newOrderCloseCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "close ORDER", Short: "End a claim, or an order, that has had its time", Args: cobra.ExactArgs(1),
		Long: "A claim that was not answered in time gives its bond to who ordered, and the order is open again. An order that nobody answered in time gives its price back. Anybody may say so.",
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := orderNumber(args[0])
			if err != nil {
				return err
			}
			return e.withChain(cmd.Context(), func(c *chain.Client, store wallet.Store, entry wallet.Entry) error {
				return e.transactOrder(cmd.Context(), c, store, entry, "closed", mesh.Wei{}, "close", n)
			})
		},
	}
}

func newOrderTakeCommand(e *env) *cobra.Command {
	var module, output, budget string
	cmd := &cobra.Command{
		Use:   "take ORDER --module FILE --output stratos://BUCKET/FOLDER",
		Short: "Run an order's task on nodes, for its price",
		Long: `Claims an order with its price as a bond, runs its task as a job of the account at the order's level, has the authorities sign what the log has verified, and
answers. The price and the bond come back with the answer; a claim that is not answered costs the bond. What the nodes earn is paid in ozone.`,
		Example: "  stratos order take 7 --module primes.wasm --output stratos://orders/7",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := orderNumber(args[0])
			if err != nil {
				return err
			}
			s := job.Spec{Timeout: orderTime}
			if s.Budget, err = parseBudget(budget); err != nil {
				return &usageError{err}
			}
			if s.Output, err = mesh.ParsePath(output); err != nil || !mesh.IsPath(output) {
				return &usageError{mesh.Errorf(mesh.Invalid, "--output names where on the network the task's output goes: stratos://BUCKET/FOLDER")}
			}
			if s.Output.Key != "" && !strings.HasSuffix(s.Output.Key, "/") {
				s.Output.Key += "/"
			}
			if s.Map.Module, err = os.ReadFile(module); err != nil {
				return mesh.Errorf(mesh.NotFound, "the module: %w", err)
			}
			return e.withChain(cmd.Context(), func(c *chain.Client, store wallet.Store, entry wallet.Entry) error {
				return e.takeOrder(cmd.Context(), c, store, entry, n, s)
			})
		},
	}
	cmd.Flags().StringVar(&module, "module", "", "the program that the order's task names")
	cmd.Flags().StringVar(&output, "output", "", "where the task's output goes")
	cmd.Flags().StringVar(&budget, "budget", "1oz", "what the task may cost; what is not used returns")
	cmd.MarkFlagRequired("module")
	cmd.MarkFlagRequired("output")
	return cmd
}

// takeOrder claims an order, has its task run, and answers.
func (e *env) takeOrder(ctx context.Context, c *chain.Client, store wallet.Store, entry wallet.Entry, n uint64, s job.Spec) error {
	k, err := e.key(ctx, store, entry)
	if err != nil {
		return err
	}
	v, err := readOrder(ctx, c, n)
	if err != nil {
		return err
	}
	if v.State != "open" {
		return mesh.Errorf(mesh.Conflict, "order %d is %s", n, v.State)
	}
	body, err := c.Query(ctx, abi.SDC(), "textOf", n)
	if err != nil {
		return err
	}
	text, err := wirecompute.DecodeOrder(body[0].([]byte))
	if err != nil {
		return err
	}
	switch sum, rules := sha256.Sum256(s.Map.Module), compute.Rules(); {
	case string(text.Rules) != string(rules[:]):
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "order %d is to be run by the rules %x, this program has %x", n, text.Rules[:4], rules[:4]), "take it with the version of Stratos that it was ordered for")
	case string(text.Stage.Module) != string(sum[:]):
		return mesh.Errorf(mesh.Invalid, "order %d runs module %x, the file is %x", n, text.Stage.Module, sum)
	}
	if s.Level, err = job.ParseLevel(v.Level); err != nil {
		return err
	}
	var a *client.Attestation
	var stored mesh.Path
	err = e.withClient(ctx, func(cl *client.Client) error {
		p := newJobProgress(e)
		s.Progress = p.tell
		id, output, err := job.RunOrder(ctx, cl, cl, job.Order{Number: n, Claim: v.Claims + 1, Text: text, Take: func(ctx context.Context) error { return claimOrder(ctx, c, k, v) }}, s)
		stored = output
		if p.close(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, anchorTime)
		defer cancel()
		a, err = cl.AttestTask(ctx, id, 0)
		return err
	})
	if err != nil {
		return err
	}
	ids, sigs := signedBy(a.Signers, a.Signatures)
	if _, err := c.Transact(ctx, k, abi.SDC(), mesh.Wei{}, "answer", n, a.Body, ids, sigs); err != nil {
		return err
	}
	if v, err = readOrder(ctx, c, n); err != nil {
		return err
	}
	return e.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "answered order %d for %s\noutput  %d bytes, BLAKE3 %s\n", n, v.Price, v.Bytes, v.Output)
		if stored != (mesh.Path{}) {
			fmt.Fprintf(w, "in      %s\n", stored)
		}
	})
}

// claimOrder claims an order as it was seen; another claim than that has been faster.
func claimOrder(ctx context.Context, c *chain.Client, k wallet.Key, seen orderView) error {
	if _, err := c.Transact(ctx, k, abi.SDC(), seen.Price, "claim", seen.Order); err != nil {
		return err
	}
	v, err := readOrder(ctx, c, seen.Order)
	if err == nil && (v.taker != k.Account() || v.Claims != seen.Claims+1) {
		err = mesh.WithHint(mesh.Errorf(mesh.Conflict, "order %d has been claimed and closed since it was looked at", seen.Order), "close the claim when it has had its time: the bond goes to who ordered")
	}
	return err
}
