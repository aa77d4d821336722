package sdc

import (
	"encoding/json"

	"github.com/grpc-ecosystem/grpc-gateway/runtime"

	"cosmossdk.io/core/appmodule"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/types/msgservice"

	"github.com/stratosmesh/stratos/chain/x/sdc/sdcpb"
)

var (
	_ module.AppModuleBasic = Module{}
	_ module.HasABCIGenesis = Module{}
	_ module.HasServices    = Module{}
	_ appmodule.AppModule   = Module{}
)

// A Module plugs the keeper into an application. Without a keeper it still knows types and default genesis.
type Module struct{ k *Keeper }

// NewModule returns the module over k, which may be nil.
func NewModule(k *Keeper) Module { return Module{k} }

func (Module) IsAppModule()                                                {}
func (Module) IsOnePerModuleType()                                         {}
func (Module) Name() string                                                { return ModuleName }
func (Module) ConsensusVersion() uint64                                    { return 1 }
func (Module) RegisterLegacyAminoCodec(*codec.LegacyAmino)                 {}
func (Module) RegisterGRPCGatewayRoutes(client.Context, *runtime.ServeMux) {}

// RegisterInterfaces makes the messages known.
func (Module) RegisterInterfaces(r types.InterfaceRegistry) {
	r.RegisterImplementations((*sdk.Msg)(nil), &sdcpb.MsgOrder{}, &sdcpb.MsgClaim{}, &sdcpb.MsgAnswer{}, &sdcpb.MsgClose{})
	msgservice.RegisterMsgServiceDesc(r, &sdcpb.Msg_serviceDesc)
}

// DefaultGenesis has no orders.
func (Module) DefaultGenesis(cdc codec.JSONCodec) json.RawMessage {
	return cdc.MustMarshalJSON(DefaultGenesis())
}

// ValidateGenesis tells what in a genesis cannot be.
func (Module) ValidateGenesis(cdc codec.JSONCodec, _ client.TxEncodingConfig, b json.RawMessage) error {
	var g sdcpb.GenesisState
	if err := cdc.UnmarshalJSON(b, &g); err != nil {
		return err
	}
	return ValidateGenesis(&g)
}

// RegisterServices serves messages and queries.
func (m Module) RegisterServices(c module.Configurator) {
	sdcpb.RegisterMsgServer(c.MsgServer(), msgServer{m.k})
	sdcpb.RegisterQueryServer(c.QueryServer(), queryServer{m.k})
}

// InitGenesis panics when the genesis does not hold: such a chain must not begin.
func (m Module) InitGenesis(ctx sdk.Context, cdc codec.JSONCodec, b json.RawMessage) []abci.ValidatorUpdate {
	var g sdcpb.GenesisState
	cdc.MustUnmarshalJSON(b, &g)
	if err := ValidateGenesis(&g); err != nil {
		panic(err)
	}
	if err := m.k.InitGenesis(ctx, &g); err != nil {
		panic(err)
	}
	return nil
}

// ExportGenesis writes the state down.
func (m Module) ExportGenesis(ctx sdk.Context, cdc codec.JSONCodec) json.RawMessage {
	g, err := m.k.ExportGenesis(ctx)
	if err != nil {
		panic(err)
	}
	return cdc.MustMarshalJSON(g)
}
