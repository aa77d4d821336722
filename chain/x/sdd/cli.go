package sdd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/stratosmesh/stratos/chain/cli"
	"github.com/stratosmesh/stratos/chain/x/sdd/sddpb"
)

// GetTxCmd is `stchaind tx sdd`.
func (Module) GetTxCmd() *cobra.Command {
	return cli.Group(ModuleName, "Anchor databases", cli.Command{
		Use: "anchor ANCHOR SIGNERS SIGNATURES", Short: "Keep what a database held; signers and signatures have commas between",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &sddpb.MsgAnchor{Sender: from, Anchor: a.Hex(), Signers: a.HexList(), Signatures: a.HexList()}
		},
	})
}

// GetQueryCmd is `stchaind query sdd`.
func (Module) GetQueryCmd() *cobra.Command {
	return cli.Group(ModuleName, "Anchors of databases", cli.Command{
		Use: "anchor DATABASE", Short: "A database's newest anchor, by its id",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return sddpb.NewQueryClient(c).Anchor(ctx, &sddpb.QueryAnchorRequest{Database: a.Hex()})
		},
	})
}
