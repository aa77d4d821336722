package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	cmtcfg "github.com/cometbft/cometbft/config"

	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/client"
	clientcfg "github.com/cosmos/cosmos-sdk/client/config"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/client/rpc"
	"github.com/cosmos/cosmos-sdk/server"
	sdkcfg "github.com/cosmos/cosmos-sdk/server/config"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	"github.com/cosmos/cosmos-sdk/version"
	authcmd "github.com/cosmos/cosmos-sdk/x/auth/client/cli"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	evmclient "github.com/cosmos/evm/client"
	evmkeyring "github.com/cosmos/evm/crypto/keyring"
	evmcfg "github.com/cosmos/evm/server/config"
	srvflags "github.com/cosmos/evm/server/flags"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/stratosmesh/stratos/chain/app"
	"github.com/stratosmesh/stratos/chain/genesis"
	"github.com/stratosmesh/stratos/mesh"
)

func defaultHome() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ".stchaind"
	}
	return filepath.Join(home, ".stchaind")
}

func newRootCommand() *cobra.Command {
	version.Name, version.AppName = "stratos", app.Name
	// The commands need the modules' types, not the network's EVM chain id, which start reads from its home.
	encoding := app.NewEncoding(evmtypes.DefaultEVMChainID)
	initial := client.Context{}.
		WithCodec(encoding.Codec).
		WithInterfaceRegistry(encoding.Registry).
		WithTxConfig(encoding.TxConfig).
		WithLegacyAmino(encoding.Amino).
		WithInput(os.Stdin).
		WithAccountRetriever(authtypes.AccountRetriever{}).
		WithBroadcastMode(flags.FlagBroadcastMode).
		WithHomeDir(defaultHome()).
		WithViper("STCHAIND").
		WithKeyringOptions(evmkeyring.Option()).
		WithLedgerHasProtobuf(true)

	root := &cobra.Command{
		Use:           app.Name,
		Short:         "Node of the Stratos value layer",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.OutOrStdout())
			cmd.SetErr(cmd.ErrOrStderr())
			if cmd.Name() == devnetInitName {
				return nil // it has no home of its own
			}
			ctx, err := client.ReadPersistentCommandFlags(initial.WithCmdContext(cmd.Context()), cmd.Flags())
			if err != nil {
				return err
			}
			if ctx, err = clientcfg.ReadFromClientConfig(ctx); err != nil {
				return err
			}
			if err := client.SetCmdClientContextHandler(ctx, cmd); err != nil {
				return err
			}
			defaults := evmcfg.Config{Config: *sdkcfg.DefaultConfig(), EVM: *evmcfg.DefaultEVMConfig(),
				JSONRPC: *evmcfg.DefaultJSONRPCConfig(), TLS: *evmcfg.DefaultTLSConfig()}
			return server.InterceptConfigsPreRunHandler(cmd, genesis.AppConfigTemplate, defaults, cmtcfg.DefaultConfig())
		},
	}
	root.PersistentFlags().String(flags.FlagHome, defaultHome(), "directory of configuration and data")
	root.PersistentFlags().String(flags.FlagLogLevel, "info", "trace, debug, info, warn, error, or module:level pairs")
	root.PersistentFlags().String(flags.FlagVerboseLogLevel, "none", "level during an upgrade")
	root.PersistentFlags().String(flags.FlagLogFormat, "plain", "plain or json")
	root.PersistentFlags().Bool(flags.FlagLogNoColor, true, "no colours in the log")
	root.AddCommand(
		startCommand(),
		devnetInitCommand(),
		server.ExportCmd(export, defaultHome()),
		server.StatusCommand(),
		evmclient.KeyCommands(defaultHome(), true),
		version.NewVersionCommand(),
	)
	// Building an application costs time and memory that start has no use for.
	if !isCommand("start") {
		root.AddCommand(queryCommand(), txCommand())
		template := templateApp()
		template.Basics().AddQueryCommands(find(root, "query"))
		template.Basics().AddTxCommands(find(root, "tx"))
	}
	return root
}

func isCommand(name string) bool { return len(os.Args) > 1 && os.Args[1] == name }

func find(root *cobra.Command, name string) *cobra.Command {
	for _, c := range root.Commands() {
		if c.Name() == name {
			return c
		}
	}
	panic("no command " + name)
}

// templateApp is an application without state, for its modules' commands. The EVM's default chain id is the one that
// may be replaced later in the same process.
func templateApp() *app.App {
	v := viper.New()
	v.Set(srvflags.EVMChainID, uint64(evmtypes.DefaultEVMChainID))
	return app.New(log.NewNopLogger(), dbm.NewMemDB(), mesh.NetworkID{}, v)
}

func queryCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "query", Aliases: []string{"q"}, Short: "Ask a node about the chain", RunE: client.ValidateCmd}
	cmd.AddCommand(rpc.WaitTxCmd(), server.QueryBlockCmd(), server.QueryBlocksCmd(), server.QueryBlockResultsCmd(),
		authcmd.QueryTxCmd(), authcmd.QueryTxsByEventsCmd())
	return cmd
}

func txCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "tx", Short: "Make, sign and send transactions", RunE: client.ValidateCmd}
	cmd.AddCommand(authcmd.GetSignCommand(), authcmd.GetSignBatchCommand(), authcmd.GetMultiSignCommand(),
		authcmd.GetValidateSignaturesCommand(), authcmd.GetBroadcastCommand(), authcmd.GetEncodeCommand(),
		authcmd.GetDecodeCommand(), authcmd.GetSimulateCmd())
	return cmd
}

// export reads the state of a stopped node.
func export(logger log.Logger, db dbm.DB, height int64, forZeroHeight bool, _ []string, opts servertypes.AppOptions,
	modules []string) (servertypes.ExportedApp, error) {
	if forZeroHeight {
		return servertypes.ExportedApp{}, fmt.Errorf("a genesis for height 0 would forget unsettled epochs; export without --for-zero-height")
	}
	if height != -1 {
		return servertypes.ExportedApp{}, fmt.Errorf("only the latest height can be exported; stop the node there with start --halt-height")
	}
	a := app.New(logger, db, mesh.NetworkID{}, opts)
	return a.Export(modules)
}
