package sds

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/stratosmesh/stratos/chain/cli"
	"github.com/stratosmesh/stratos/chain/x/sds/sdspb"
)

// GetTxCmd is `stchaind tx sds`.
func (Module) GetTxCmd() *cobra.Command {
	return cli.Group(ModuleName, "Buy ozone", cli.Command{
		Use: "prepay BENEFICIARY AMOUNT", Short: "Buy ozone for an account, such as `prepay st1... 1.5stos`; . is oneself",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &sdspb.MsgPrepay{Sender: from, Beneficiary: a.Text(), Amount: a.Amount()}
		},
	})
}

// GetQueryCmd is `stchaind query sds`.
func (Module) GetQueryCmd() *cobra.Command {
	return cli.Group(ModuleName, "Ozone and its price", cli.Command{
		Use: "pool", Short: "Deposits, prepaid wei and remaining ozone",
		Query: func(ctx context.Context, c client.Context, _ *cli.Args) (proto.Message, error) {
			return sdspb.NewQueryClient(c).Pool(ctx, &sdspb.QueryPoolRequest{})
		},
	}, cli.Command{
		Use: "ozone ACCOUNT", Short: "What an account was credited and debited, in noz",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return sdspb.NewQueryClient(c).Ozone(ctx, &sdspb.QueryOzoneRequest{Account: a.Text()})
		},
	}, cli.Command{
		Use: "simulate-prepay AMOUNT", Short: "The ozone that an amount buys now",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return sdspb.NewQueryClient(c).SimulatePrepay(ctx, &sdspb.QuerySimulatePrepayRequest{Amount: a.Amount()})
		},
	})
}
