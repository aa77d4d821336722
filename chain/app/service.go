package app

import (
	"fmt"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	"github.com/cosmos/cosmos-sdk/client/grpc/node"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/server/api"
	"github.com/cosmos/cosmos-sdk/server/config"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	"github.com/cosmos/cosmos-sdk/x/staking"
)

var _ servertypes.Application = (*App)(nil)

// Encoding is how the application's messages and transactions are written.
func (app *App) Encoding() Encoding { return app.encoding }

// Basics are the modules' types, default genesis, commands and routes.
func (app *App) Basics() module.BasicManager {
	return module.NewBasicManagerFromManager(app.Modules, nil)
}

// RegisterAPIRoutes serves the modules' queries and transactions over REST.
func (app *App) RegisterAPIRoutes(s *api.Server, _ config.APIConfig) {
	authtx.RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
	cmtservice.RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
	node.RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
	app.Basics().RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
}

// RegisterTxService serves transaction queries and simulation.
func (app *App) RegisterTxService(c client.Context) {
	authtx.RegisterTxService(app.GRPCQueryRouter(), c, app.Simulate, app.encoding.Registry)
}

// RegisterTendermintService serves queries about blocks and validators.
func (app *App) RegisterTendermintService(c client.Context) {
	cmtservice.RegisterTendermintService(c, app.GRPCQueryRouter(), app.encoding.Registry, app.Query)
}

// RegisterNodeService serves the node's own settings.
func (app *App) RegisterNodeService(c client.Context, cfg config.Config) {
	node.RegisterNodeService(c, app.GRPCQueryRouter(), cfg, app.CommitMultiStore().EarliestVersion)
}

// Export writes the whole state as a genesis that continues at the next height.
func (app *App) Export(moduleNames []string) (servertypes.ExportedApp, error) {
	ctx := app.NewContext(true)
	state, err := app.Modules.ExportGenesisForModules(ctx, app.encoding.Codec, moduleNames)
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	b, err := codec.MarshalJSONIndent(app.encoding.Amino, state)
	if err != nil {
		return servertypes.ExportedApp{}, fmt.Errorf("encode state: %w", err)
	}
	validators, err := staking.WriteValidators(ctx, app.StakingKeeper)
	return servertypes.ExportedApp{
		AppState:        b,
		Validators:      validators,
		Height:          app.LastBlockHeight() + 1,
		ConsensusParams: app.GetConsensusParams(ctx),
	}, err
}
