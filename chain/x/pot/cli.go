package pot

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/stratosmesh/stratos/chain/cli"
	pb "github.com/stratosmesh/stratos/chain/x/pot/potpb"
)

// GetTxCmd is `stchaind tx pot`.
func (Module) GetTxCmd() *cobra.Command {
	return cli.Group(ModuleName, "Reports and rewards; bytes are hexadecimal", cli.Command{
		Use: "submit-report HEADER SIGNERS SIGNATURES", Short: "Open the report of an epoch; signers and signatures have commas between",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgSubmitReport{Sender: from, Header: a.Hex(), Signers: a.HexList(), Signatures: a.HexList()}
		},
	}, cli.Command{
		Use: "submit-page EPOCH TABLE INDEX PAGE", Short: "Hand in the next page of the open report",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgSubmitPage{Sender: from, Epoch: a.Number(), Table: uint32(a.Number()), Index: uint32(a.Number()), Page: a.Hex()}
		},
	}, cli.Command{
		Use: "withdraw TO", Short: "Pay matured rewards to an account; . is oneself",
		Tx: func(from string, a *cli.Args) sdk.Msg { return &pb.MsgWithdraw{Sender: from, To: a.Text()} },
	})
}

// GetQueryCmd is `stchaind query pot`.
func (Module) GetQueryCmd() *cobra.Command {
	return cli.Group(ModuleName, "Epochs, reports, ledger and rewards", cli.Command{
		Use: "params", Short: "How long rewards mature and volumes are carried",
		Query: func(ctx context.Context, c client.Context, _ *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Params(ctx, &pb.QueryParamsRequest{})
		},
	}, cli.Command{
		Use: "epoch", Short: "The running epoch, and the one with which the next report begins",
		Query: func(ctx context.Context, c client.Context, _ *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Epoch(ctx, &pb.QueryEpochRequest{})
		},
	}, cli.Command{
		Use: "report EPOCH", Short: "The report of an epoch and how far it is",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Report(ctx, &pb.QueryReportRequest{Epoch: a.Number()})
		},
	}, cli.Command{
		Use: "ledger EPOCH", Short: "What an epoch took, settled, carried and paid",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Ledger(ctx, &pb.QueryLedgerRequest{Epoch: a.Number()})
		},
	}, cli.Command{
		Use: "rewards ACCOUNT", Short: "What an account earned, and how much of it can be withdrawn",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Rewards(ctx, &pb.QueryRewardsRequest{Account: a.Text()})
		},
	}, cli.Command{
		Use: "reward-of ACCOUNT EPOCH", Short: "What an account earned in an epoch",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).RewardOf(ctx, &pb.QueryRewardOfRequest{Account: a.Text(), Epoch: a.Number()})
		},
	})
}
