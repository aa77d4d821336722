package register

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/stratosmesh/stratos/chain/cli"
	pb "github.com/stratosmesh/stratos/chain/x/register/registerpb"
)

// GetTxCmd is `stchaind tx register`.
func (Module) GetTxCmd() *cobra.Command {
	return cli.Group(ModuleName, "Register nodes and authorities; keys and proofs are hexadecimal, . leaves a value out", cli.Command{
		Use: "register-node NODE_KEY TLS_KEY KINDS TIER ADDRESS DOMAIN DEPOSIT PROOF", Short: "Add a resource node",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgRegisterNode{Operator: from, NodeKey: a.Hex(), TlsKey: a.Hex(), Kinds: uint32(a.Number()), Tier: uint32(a.Number()),
				Address: a.Text(), Domain: a.Text(), Deposit: a.Amount(), Proof: a.Hex()}
		},
	}, cli.Command{
		Use: "update-node ID ADDRESS DOMAIN NODE_KEY TLS_KEY PROOF", Short: "Change a node's address, domain or keys",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgUpdateNode{Operator: from, Id: a.NodeID(), Address: a.Text(), Domain: a.Text(), NodeKey: a.Hex(), TlsKey: a.Hex(), Proof: a.Hex()}
		},
	}, cli.Command{
		Use: "deactivate-node ID", Short: "Take a node out of service and its deposit back",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgDeactivateNode{Operator: from, Id: a.NodeID()}
		},
	}, cli.Command{
		Use: "convict-node CONVICTION SIGNERS SIGNATURES", Short: "Suspend a node that authorities have convicted; signers and signatures have commas between",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgConvictNode{Sender: from, Conviction: a.Hex(), Signers: a.HexList(), Signatures: a.HexList()}
		},
	}, cli.Command{
		Use: "register-authority REPORT_KEY CONSENSUS_KEY TLS_KEY ADDRESS DEPOSIT REPORT_PROOF CONSENSUS_PROOF", Short: "Make a candidate",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgRegisterAuthority{Operator: from, ReportKey: a.Hex(), ConsensusKey: a.Hex(), TlsKey: a.Hex(), Address: a.Text(),
				Deposit: a.Amount(), ReportProof: a.Hex(), ConsensusProof: a.Hex()}
		},
	}, cli.Command{
		Use: "update-authority ID ADDRESS REPORT_KEY CONSENSUS_KEY TLS_KEY REPORT_PROOF CONSENSUS_PROOF", Short: "Change an authority's address or keys",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgUpdateAuthority{Operator: from, Id: a.AuthorityID(), Address: a.Text(), ReportKey: a.Hex(), ConsensusKey: a.Hex(),
				TlsKey: a.Hex(), ReportProof: a.Hex(), ConsensusProof: a.Hex()}
		},
	}, cli.Command{
		Use: "vote-authority VOTER TARGET", Short: "Vote a candidate in, or a present authority out",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgVoteAuthority{Operator: from, Voter: a.AuthorityID(), Target: a.AuthorityID()}
		},
	}, cli.Command{
		Use: "leave-authority ID", Short: "Leave, and take the deposit back",
		Tx: func(from string, a *cli.Args) sdk.Msg {
			return &pb.MsgLeaveAuthority{Operator: from, Id: a.AuthorityID()}
		},
	})
}

// GetQueryCmd is `stchaind query register`.
func (Module) GetQueryCmd() *cobra.Command {
	return cli.Group(ModuleName, "Nodes and authorities", cli.Command{
		Use: "params", Short: "Durations and least deposits",
		Query: func(ctx context.Context, c client.Context, _ *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Params(ctx, &pb.QueryParamsRequest{})
		},
	}, cli.Command{
		Use: "node ID", Short: "One node",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Node(ctx, &pb.QueryNodeRequest{Id: a.NodeID()})
		},
	}, cli.Command{
		Use: "nodes AFTER", Short: "Up to 200 nodes behind an id in hexadecimal, or the first with .",
		Query: func(ctx context.Context, c client.Context, a *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Nodes(ctx, &pb.QueryNodesRequest{After: a.Hex()})
		},
	}, cli.Command{
		Use: "authorities", Short: "Candidates, present and leaving authorities",
		Query: func(ctx context.Context, c client.Context, _ *cli.Args) (proto.Message, error) {
			return pb.NewQueryClient(c).Authorities(ctx, &pb.QueryAuthoritiesRequest{})
		},
	})
}
