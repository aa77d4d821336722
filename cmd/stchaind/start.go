package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cast"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/rpc/client/local"

	cmtcfg "github.com/cometbft/cometbft/config"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/api"
	cmtlog "github.com/cosmos/cosmos-sdk/server/log"
	"github.com/cosmos/cosmos-sdk/types/mempool"
	evmserver "github.com/cosmos/evm/server"
	evmcfg "github.com/cosmos/evm/server/config"

	"github.com/stratosmesh/stratos/chain/app"
)

// gcPercent makes the collector run earlier than Go's 100: a small validator's heap is mostly garbage of its
// transactions, and several validators share a developer's machine. GOGC overrides it.
const gcPercent = 40

func startCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a node until it is told to stop",
		Long: `Runs the application and CometBFT in this process, with the interfaces that app.toml and config.toml of
the home switch on. It stops on SIGTERM or SIGINT, and after a SIGKILL it goes on where it was.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			clientCtx, err := client.GetClientQueryContext(cmd)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return run(ctx, server.GetServerContextFromCmd(cmd), clientCtx)
		},
	}
	cmd.Flags().String(server.FlagPruning, "", "default, nothing, everything or custom; empty: as app.toml says")
	cmd.Flags().Uint64(server.FlagHaltHeight, 0, "height at which to stop")
	return cmd
}

// run builds the node from its home and runs it until ctx ends or a part of it fails.
func run(ctx context.Context, srv *server.Context, clientCtx client.Context) (err error) {
	config, err := evmcfg.GetConfig(srv.Viper)
	if err != nil {
		return fmt.Errorf("app.toml: %w", err)
	}
	if err := config.ValidateBasic(); err != nil {
		return fmt.Errorf("app.toml: %w", err)
	}
	comet := srv.Config
	evmserver.SetEVMLogger(evmserver.NewSlogFromCosmosLogger(srv.Logger.With("module", "evm"), comet.LogLevel))
	genesisDoc, err := evmserver.GenDocProvider(comet)()
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	genesisBytes, err := os.ReadFile(comet.GenesisFile())
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	db, err := dbm.NewDB("application", dbm.GoLevelDBBackend, filepath.Join(comet.RootDir, "data"))
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	pruning, err := server.GetPruningOptionsFromFlags(srv.Viper)
	if err != nil {
		return err
	}
	a := app.New(srv.Logger, db, app.NetworkOf(genesisBytes), srv.Viper,
		baseapp.SetChainID(genesisDoc.ChainID),
		baseapp.SetPruning(pruning),
		baseapp.SetMinGasPrices(config.MinGasPrices),
		baseapp.SetHaltHeight(config.HaltHeight),
		baseapp.SetMinRetainBlocks(config.MinRetainBlocks),
		baseapp.SetIAVLCacheSize(cast.ToInt(config.IAVLCacheSize)),
		baseapp.SetIAVLDisableFastNode(config.IAVLDisableFastNode),
		baseapp.SetQueryGasLimit(config.QueryGasLimit),
		baseapp.SetMempool(mempool.NoOpMempool{}), // CometBFT's own pool is the only one
	)
	defer func() { err = errors.Join(err, a.Close()) }()

	bft, err := startComet(srv, a)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	serveErr := serve(ctx, g, srv, clientCtx.WithHomeDir(comet.RootDir).WithChainID(genesisDoc.ChainID).WithClient(local.New(bft)), a, &config)
	if serveErr == nil {
		g.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case <-bft.Quit():
				return errors.New("CometBFT stopped by itself; its log says why")
			}
		})
		serveErr = g.Wait()
	}
	if bft.IsRunning() {
		if stopErr := bft.Stop(); stopErr != nil {
			return errors.Join(serveErr, fmt.Errorf("stop CometBFT: %w", stopErr))
		}
		bft.Wait()
	}
	return serveErr
}

func startComet(srv *server.Context, a *app.App) (*node.Node, error) {
	cfg := srv.Config
	nodeKey, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	bft, err := node.NewNode(cfg,
		privval.LoadOrGenFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()),
		nodeKey,
		proxy.NewLocalClientCreator(server.NewCometABCIWrapper(a)),
		evmserver.GenDocProvider(cfg),
		cmtcfg.DefaultDBProvider,
		node.DefaultMetricsProvider(cfg.Instrumentation),
		cmtlog.CometLoggerWrapper{Logger: srv.Logger.With("server", "node")},
	)
	if err != nil {
		return nil, fmt.Errorf("CometBFT: %w", err)
	}
	if err := bft.Start(); err != nil {
		return nil, fmt.Errorf("start CometBFT: %w", err)
	}
	return bft, nil
}

// serve starts the interfaces that the configuration switches on. They end with ctx; g waits for them.
func serve(ctx context.Context, g *errgroup.Group, srv *server.Context, clientCtx client.Context, a *app.App, config *evmcfg.Config) error {
	a.RegisterTxService(clientCtx)
	a.RegisterTendermintService(clientCtx)
	a.RegisterNodeService(clientCtx, config.Config)
	grpcServer, clientCtx, err := server.StartGrpcServer(ctx, g, config.GRPC, clientCtx, srv, a)
	if err != nil {
		return fmt.Errorf("gRPC: %w", err)
	}
	if config.API.Enable {
		rest := api.New(clientCtx, srv.Logger.With("server", "api"), grpcServer)
		a.RegisterAPIRoutes(rest, config.API)
		g.Go(func() error { return rest.Start(ctx, config.Config) })
	}
	if config.JSONRPC.Enable {
		if _, err := evmserver.StartJSONRPC(ctx, srv, clientCtx, g, config, nil, a, cometPool{ctx: clientCtx}); err != nil {
			return fmt.Errorf("JSON-RPC: %w", err)
		}
	}
	return nil
}
