// Package cli makes the commands `stchaind tx MODULE ...` and `stchaind query MODULE ...` of the modules of Stratos:
// each is a name, its arguments, and how they become a message.
package cli

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/client/tx"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/stratosmesh/stratos/mesh"
)

// Args reads a command's arguments in order and keeps the first error.
type Args struct {
	words []string
	err   error
}

func (a *Args) next() string {
	w := a.words[0] // cobra has counted them
	a.words = a.words[1:]
	return w
}

func (a *Args) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// Text reads any word; a single dot stands for nothing.
func (a *Args) Text() string {
	if w := a.next(); w != "." {
		return w
	}
	return ""
}

// Hex reads bytes in hexadecimal; a single dot stands for none.
func (a *Args) Hex() []byte {
	w := a.Text()
	b, err := hex.DecodeString(strings.TrimPrefix(w, "0x"))
	if err != nil {
		a.fail(mesh.Errorf(mesh.Invalid, "%q is not hexadecimal", w))
	}
	return b
}

// HexList reads bytes in hexadecimal with commas between.
func (a *Args) HexList() (list [][]byte) {
	for _, w := range strings.Split(a.next(), ",") {
		b, err := hex.DecodeString(strings.TrimPrefix(w, "0x"))
		if err != nil {
			a.fail(mesh.Errorf(mesh.Invalid, "%q is not hexadecimal", w))
		}
		list = append(list, b)
	}
	return list
}

// NodeID reads a node's name, stsds1....
func (a *Args) NodeID() []byte {
	id, err := mesh.ParseNodeID(a.next())
	if err != nil {
		a.fail(err)
	}
	return id[:]
}

// AuthorityID reads an authority's name, stmeta1....
func (a *Args) AuthorityID() []byte {
	id, err := mesh.ParseAuthorityID(a.next())
	if err != nil {
		a.fail(err)
	}
	return id[:]
}

// Number reads an integer that is not negative.
func (a *Args) Number() uint64 {
	w := a.next()
	n, err := strconv.ParseUint(w, 10, 64)
	if err != nil {
		a.fail(mesh.Errorf(mesh.Invalid, "%q is not a number", w))
	}
	return n
}

// Amount reads an amount of coins, such as 1.5stos.
func (a *Args) Amount() math.Int {
	w, err := mesh.ParseWei(a.next())
	if err != nil {
		a.fail(err)
	}
	return math.NewIntFromBigInt(w.Big())
}

// A Command is one line of help and what carries it out.
type Command struct {
	Use, Short string
	Tx         func(from string, a *Args) sdk.Msg                                          // of a transaction
	Query      func(ctx context.Context, c client.Context, a *Args) (proto.Message, error) // of a query
}

func (c Command) cobra() *cobra.Command {
	cmd := &cobra.Command{Use: c.Use, Short: c.Short, Args: cobra.ExactArgs(strings.Count(c.Use, " "))}
	if c.Tx != nil {
		cmd.RunE = c.send
		flags.AddTxFlagsToCmd(cmd)
		return cmd
	}
	cmd.RunE = c.ask
	flags.AddQueryFlagsToCmd(cmd)
	return cmd
}

func (c Command) send(cmd *cobra.Command, words []string) error {
	ctx, err := client.GetClientTxContext(cmd)
	if err != nil {
		return err
	}
	args := &Args{words: words}
	msg := c.Tx(ctx.GetFromAddress().String(), args)
	if args.err != nil {
		return args.err
	}
	return tx.GenerateOrBroadcastTxCLI(ctx, cmd.Flags(), msg)
}

func (c Command) ask(cmd *cobra.Command, words []string) error {
	ctx, err := client.GetClientQueryContext(cmd)
	if err != nil {
		return err
	}
	args := &Args{words: words}
	answer, err := c.Query(cmd.Context(), ctx, args)
	if args.err != nil {
		return args.err
	}
	if err != nil {
		return err
	}
	return ctx.PrintProto(answer)
}

// Group makes a module's command of its subcommands.
func Group(module, short string, commands ...Command) *cobra.Command {
	group := &cobra.Command{Use: module, Short: short, RunE: client.ValidateCmd}
	for _, c := range commands {
		group.AddCommand(c.cobra())
	}
	return group
}
