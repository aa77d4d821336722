package app

import (
	"context"

	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/x/auth"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	authzmodule "github.com/cosmos/cosmos-sdk/x/authz/module"
	"github.com/cosmos/cosmos-sdk/x/bank"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/cosmos-sdk/x/consensus"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	distr "github.com/cosmos/cosmos-sdk/x/distribution"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	"github.com/cosmos/cosmos-sdk/x/evidence"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	feegrantmodule "github.com/cosmos/cosmos-sdk/x/feegrant/module"
	"github.com/cosmos/cosmos-sdk/x/genutil"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	"github.com/cosmos/cosmos-sdk/x/gov"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	"github.com/cosmos/cosmos-sdk/x/slashing"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	"github.com/cosmos/cosmos-sdk/x/upgrade"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	"github.com/cosmos/evm/x/erc20"
	erc20types "github.com/cosmos/evm/x/erc20/types"
	"github.com/cosmos/evm/x/feemarket"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	"github.com/cosmos/evm/x/vm"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/stratosmesh/stratos/chain/x/pot"
	"github.com/stratosmesh/stratos/chain/x/register"
	"github.com/stratosmesh/stratos/chain/x/sdc"
	"github.com/stratosmesh/stratos/chain/x/sdd"
	"github.com/stratosmesh/stratos/chain/x/sds"
)

// Orders in which modules run. Fees are distributed before validators are judged and the set changes.
var (
	preBlockOrder   = []string{upgradetypes.ModuleName, authtypes.ModuleName, evmtypes.ModuleName}
	beginBlockOrder = []string{erc20types.ModuleName, feemarkettypes.ModuleName, evmtypes.ModuleName, distrtypes.ModuleName,
		slashingtypes.ModuleName, evidencetypes.ModuleName, stakingtypes.ModuleName, authtypes.ModuleName, banktypes.ModuleName,
		govtypes.ModuleName, genutiltypes.ModuleName, authz.ModuleName, feegrant.ModuleName, consensustypes.ModuleName}
	endBlockOrder = []string{banktypes.ModuleName, govtypes.ModuleName, stakingtypes.ModuleName, authtypes.ModuleName,
		evmtypes.ModuleName, erc20types.ModuleName, feemarkettypes.ModuleName, distrtypes.ModuleName, slashingtypes.ModuleName,
		genutiltypes.ModuleName, evidencetypes.ModuleName, authz.ModuleName, feegrant.ModuleName, upgradetypes.ModuleName,
		consensustypes.ModuleName, register.ModuleName, pot.ModuleName}
	genesisOrder = []string{authtypes.ModuleName, banktypes.ModuleName, distrtypes.ModuleName, stakingtypes.ModuleName,
		slashingtypes.ModuleName, govtypes.ModuleName, evmtypes.ModuleName, feemarkettypes.ModuleName, erc20types.ModuleName,
		genutiltypes.ModuleName, evidencetypes.ModuleName, authz.ModuleName, feegrant.ModuleName, upgradetypes.ModuleName,
		consensustypes.ModuleName, sds.ModuleName, register.ModuleName, pot.ModuleName, sdd.ModuleName, sdc.ModuleName}
)

// buildModules registers every module. It returns what restores the EVM's process-wide settings from the state.
func (app *App) buildModules() (hydrateEVM func(context.Context)) {
	cdc, registry := app.encoding.Codec, app.encoding.Registry
	vmModule := vm.NewAppModule(app.EVMKeeper, app.AccountKeeper, app.BankKeeper, app.AccountKeeper.AddressCodec())
	app.Modules = module.NewManager(
		genutil.NewAppModule(app.AccountKeeper, app.StakingKeeper, app, app.encoding.TxConfig),
		auth.NewAppModule(cdc, app.AccountKeeper, nil, nil),
		bank.NewAppModule(cdc, app.BankKeeper, app.AccountKeeper, nil),
		feegrantmodule.NewAppModule(cdc, app.AccountKeeper, app.BankKeeper, app.FeeGrantKeeper, registry),
		gov.NewAppModule(cdc, app.GovKeeper, app.AccountKeeper, app.BankKeeper, nil),
		slashing.NewAppModule(cdc, app.SlashingKeeper, app.AccountKeeper, app.BankKeeper, app.StakingKeeper, nil, registry),
		distr.NewAppModule(cdc, app.DistrKeeper, app.AccountKeeper, app.BankKeeper, app.StakingKeeper, nil),
		staking.NewAppModule(cdc, app.StakingKeeper, app.AccountKeeper, app.BankKeeper, nil),
		upgrade.NewAppModule(app.UpgradeKeeper, app.AccountKeeper.AddressCodec()),
		evidence.NewAppModule(*app.EvidenceKeeper),
		authzmodule.NewAppModule(cdc, app.AuthzKeeper, app.AccountKeeper, app.BankKeeper, registry),
		consensus.NewAppModule(cdc, app.ConsensusKeeper),
		vmModule,
		feemarket.NewAppModule(app.FeeMarketKeeper),
		erc20.NewAppModule(app.ERC20Keeper, app.AccountKeeper),
		sds.NewModule(app.SDSKeeper),
		register.NewModule(app.RegisterKeeper),
		pot.NewModule(app.PotKeeper),
		sdd.NewModule(app.SDDKeeper),
		sdc.NewModule(app.SDCKeeper),
	)
	app.Modules.SetOrderPreBlockers(preBlockOrder...)
	app.Modules.SetOrderBeginBlockers(beginBlockOrder...)
	app.Modules.SetOrderEndBlockers(endBlockOrder...)
	app.Modules.SetOrderInitGenesis(genesisOrder...)
	app.Modules.SetOrderExportGenesis(genesisOrder...)
	must(app.Modules.RegisterServices(module.NewConfigurator(cdc, app.MsgServiceRouter(), app.GRPCQueryRouter())))
	return vmModule.HydrateGlobals
}
