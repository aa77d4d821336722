package sdc

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/stratosmesh/stratos/chain/cli"
	"github.com/stratosmesh/stratos/chain/x/sdc/sdcpb"
)

// GetTxCmd is `stchaind tx sdc`.
func (Module) GetTxCmd() *cobra.Command {
	return cli.Group(ModuleName, "Order tasks, and answer orders", cli.Command{
		Use: "order TEXT LEVEL BLOCKS PRICE", Short: "Have a task run, by its text; level 3 is pair, 4 quorum",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &sdcpb.MsgOrder{Sender: from, Text: a.Hex(), Level: uint32(a.Number()), Blocks: a.Number(), Price: a.Amount()}
		},
	}, cli.Command{
		Use: "claim ORDER", Short: "Take an order, with its price as a bond",
		Tx: func(from string, a *cli.Args) sdk.Msg { return &sdcpb.MsgClaim{Sender: from, Number: a.Number()} },
	}, cli.Command{
		Use: "answer ORDER ATTESTATION SIGNERS SIGNATURES", Short: "Answer an order; signers and signatures have commas between",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &sdcpb.MsgAnswer{Sender: from, Number: a.Number(), Attestation: a.Hex(), Signers: a.HexList(), Signatures: a.HexList()}
		},
	}, cli.Command{
		Use: "close ORDER", Short: "End a claim, or an order, that has had its time",
		Tx: func(from string, a *cli.Args) sdk.Msg { return &sdcpb.MsgClose{Sender: from, Number: a.Number()} },
	})
}

// GetQueryCmd is `stchaind query sdc`.
func (Module) GetQueryCmd() *cobra.Command {
	return cli.Group(ModuleName, "Orders of tasks", cli.Command{
		Use: "order ORDER", Short: "An order, by its number",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return sdcpb.NewQueryClient(c).Order(ctx, &sdcpb.QueryOrderRequest{Number: a.Number()})
		},
	}, cli.Command{
		Use: "open AFTER", Short: "At most 100 orders that are open or claimed, behind a number",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return sdcpb.NewQueryClient(c).Open(ctx, &sdcpb.QueryOpenRequest{After: a.Number(), Limit: maxOpen})
		},
	})
}
