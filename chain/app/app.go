package app

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cast"

	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/baseapp/txnrunner"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/runtime"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	"github.com/cosmos/cosmos-sdk/x/auth/posthandler"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	authzkeeper "github.com/cosmos/cosmos-sdk/x/authz/keeper"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	consensuskeeper "github.com/cosmos/cosmos-sdk/x/consensus/keeper"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	distrkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	evidencekeeper "github.com/cosmos/cosmos-sdk/x/evidence/keeper"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	feegrantkeeper "github.com/cosmos/cosmos-sdk/x/feegrant/keeper"
	govkeeper "github.com/cosmos/cosmos-sdk/x/gov/keeper"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	slashingkeeper "github.com/cosmos/cosmos-sdk/x/slashing/keeper"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	upgradekeeper "github.com/cosmos/cosmos-sdk/x/upgrade/keeper"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	evmaddress "github.com/cosmos/evm/encoding/address"
	precompiletypes "github.com/cosmos/evm/precompiles/types"
	srvflags "github.com/cosmos/evm/server/flags"
	erc20keeper "github.com/cosmos/evm/x/erc20/keeper"
	erc20types "github.com/cosmos/evm/x/erc20/types"
	feemarketkeeper "github.com/cosmos/evm/x/feemarket/keeper"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	evmkeeper "github.com/cosmos/evm/x/vm/keeper"
	vmrunner "github.com/cosmos/evm/x/vm/runner"
	evmtypes "github.com/cosmos/evm/x/vm/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/stratosmesh/stratos/chain/x/outbox"
	"github.com/stratosmesh/stratos/chain/x/pot"
	"github.com/stratosmesh/stratos/chain/x/register"
	"github.com/stratosmesh/stratos/chain/x/sdc"
	"github.com/stratosmesh/stratos/chain/x/sdd"
	"github.com/stratosmesh/stratos/chain/x/sds"
	"github.com/stratosmesh/stratos/mesh"
	outboxkeys "github.com/stratosmesh/stratos/protocol/outbox"
)

// modulePermissions lists every module account and what it may do with coins.
var modulePermissions = map[string][]string{
	authtypes.FeeCollectorName:     nil,
	distrtypes.ModuleName:          nil,
	stakingtypes.BondedPoolName:    {authtypes.Burner, authtypes.Staking},
	stakingtypes.NotBondedPoolName: {authtypes.Burner, authtypes.Staking},
	govtypes.ModuleName:            {authtypes.Burner},
	evmtypes.ModuleName:            {authtypes.Minter, authtypes.Burner},
	feemarkettypes.ModuleName:      nil,
	erc20types.ModuleName:          {authtypes.Minter, authtypes.Burner},
	register.ModuleName:            nil,
	sds.ModuleName:                 nil,
	pot.ModuleName:                 nil,
	sdc.ModuleName:                 nil,
}

// An App is the value layer's state machine. Fields are for wiring and tests; nothing outside changes them.
type App struct {
	*baseapp.BaseApp
	network          mesh.NetworkID
	encoding         Encoding
	keys             map[string]*storetypes.KVStoreKey
	objectKeys       map[string]*storetypes.ObjectStoreKey
	pendingListeners []func(common.Hash)

	AccountKeeper   authkeeper.AccountKeeper
	BankKeeper      bankkeeper.Keeper
	StakingKeeper   *stakingkeeper.Keeper
	SlashingKeeper  slashingkeeper.Keeper
	DistrKeeper     distrkeeper.Keeper
	GovKeeper       *govkeeper.Keeper
	UpgradeKeeper   *upgradekeeper.Keeper
	AuthzKeeper     authzkeeper.Keeper
	EvidenceKeeper  *evidencekeeper.Keeper
	FeeGrantKeeper  feegrantkeeper.Keeper
	ConsensusKeeper consensuskeeper.Keeper
	FeeMarketKeeper feemarketkeeper.Keeper
	EVMKeeper       *evmkeeper.Keeper
	ERC20Keeper     erc20keeper.Keeper

	OutboxKeeper   outbox.Keeper
	RegisterKeeper *register.Keeper
	SDSKeeper      *sds.Keeper
	PotKeeper      *pot.Keeper
	SDDKeeper      *sdd.Keeper
	SDCKeeper      *sdc.Keeper

	Modules *module.Manager
}

// NetworkOf names the network that begins with this genesis document.
func NetworkOf(genesis []byte) mesh.NetworkID { return sha256.Sum256(genesis) }

// New builds the application over db and loads its latest state. It panics when the stored state or the wiring is
// broken: such a process cannot go on. The network is written into the state with the genesis, so that a node with
// another genesis differs from the first block on.
func New(logger log.Logger, db dbm.DB, network mesh.NetworkID, opts servertypes.AppOptions, baseOpts ...func(*baseapp.BaseApp)) *App {
	evmChainID := cast.ToUint64(opts.Get(srvflags.EVMChainID))
	enc := NewEncoding(evmChainID)
	base := baseapp.NewBaseApp(Name, logger, db, enc.TxConfig.TxDecoder(), baseOpts...)
	base.SetInterfaceRegistry(enc.Registry)
	base.SetTxEncoder(enc.TxConfig.TxEncoder())
	base.SetDisableBlockGasMeter(true) // the EVM keeps block gas itself

	app := &App{
		BaseApp:  base,
		network:  network,
		encoding: enc,
		keys: storetypes.NewKVStoreKeys(
			authtypes.StoreKey, banktypes.StoreKey, stakingtypes.StoreKey, distrtypes.StoreKey, slashingtypes.StoreKey,
			govtypes.StoreKey, consensustypes.StoreKey, upgradetypes.StoreKey, feegrant.StoreKey, evidencetypes.StoreKey,
			authzkeeper.StoreKey, evmtypes.StoreKey, feemarkettypes.StoreKey, erc20types.StoreKey,
			outboxkeys.StoreKey, register.ModuleName, sds.ModuleName, pot.ModuleName, sdd.ModuleName, sdc.ModuleName,
		),
		objectKeys: storetypes.NewObjectStoreKeys(banktypes.ObjectStoreKey, evmtypes.ObjectKey),
	}
	app.buildSDKKeepers(logger, cast.ToString(opts.Get(flags.FlagHome)))
	app.buildStratosKeepers()
	app.buildEVM(evmChainID, cast.ToString(opts.Get(srvflags.EVMTracer)))
	hydrateEVM := app.buildModules()

	app.MountKVStores(app.keys)
	app.MountObjectStores(app.objectKeys)
	app.SetInitChainer(app.initChain)
	app.SetPreBlocker(func(ctx sdk.Context, _ *abci.RequestFinalizeBlock) (*sdk.ResponsePreBlock, error) {
		return app.Modules.PreBlock(ctx)
	})
	app.SetBeginBlocker(func(ctx sdk.Context) (sdk.BeginBlock, error) { return app.Modules.BeginBlock(ctx) })
	app.SetEndBlocker(func(ctx sdk.Context) (sdk.EndBlock, error) { return app.Modules.EndBlock(ctx) })
	app.setAnteHandler(cast.ToUint64(opts.Get(srvflags.EVMMaxTxGasWanted)))
	post, err := posthandler.NewPostHandler(posthandler.HandlerOptions{})
	must(err)
	app.SetPostHandler(post)
	_, err = proto.MergedRegistry()
	must(err)
	must(app.LoadLatestVersion())
	hydrateEVM(app.NewContextLegacy(true, cmtproto.Header{Height: app.LastBlockHeight(), ChainID: app.ChainID()}))
	vmrunner.SetRunner(base, txnrunner.NewDefaultRunner(enc.TxConfig.TxDecoder()))
	return app
}

func (app *App) buildSDKKeepers(logger log.Logger, home string) {
	cdc := app.encoding.Codec
	store := func(name string) *storetypes.KVStoreKey { return app.keys[name] }
	authority := authtypes.NewModuleAddress(govtypes.ModuleName).String()
	accounts := evmaddress.NewEvmCodec(mesh.AccountPrefix)

	app.ConsensusKeeper = consensuskeeper.NewKeeper(cdc, runtime.NewKVStoreService(store(consensustypes.StoreKey)), authority,
		runtime.EventService{})
	app.SetParamStore(app.ConsensusKeeper.ParamsStore)
	app.AccountKeeper = authkeeper.NewAccountKeeper(cdc, runtime.NewKVStoreService(store(authtypes.StoreKey)),
		authtypes.ProtoBaseAccount, maps.Clone(modulePermissions), accounts, mesh.AccountPrefix, authority)
	app.BankKeeper = bankkeeper.NewBaseKeeper(cdc, runtime.NewKVStoreService(store(banktypes.StoreKey)), app.AccountKeeper,
		BlockedAddresses(), authority, logger).WithObjStoreKey(app.objectKeys[banktypes.ObjectStoreKey])
	app.StakingKeeper = stakingkeeper.NewKeeper(cdc, runtime.NewKVStoreService(store(stakingtypes.StoreKey)), app.AccountKeeper,
		app.BankKeeper, authority, evmaddress.NewEvmCodec(validatorPrefix), evmaddress.NewEvmCodec(consensusPrefix))
	app.DistrKeeper = distrkeeper.NewKeeper(cdc, runtime.NewKVStoreService(store(distrtypes.StoreKey)), app.AccountKeeper,
		app.BankKeeper, app.StakingKeeper, authtypes.FeeCollectorName, authority)
	app.SlashingKeeper = slashingkeeper.NewKeeper(cdc, app.encoding.Amino, runtime.NewKVStoreService(store(slashingtypes.StoreKey)),
		app.StakingKeeper, authority)
	app.FeeGrantKeeper = feegrantkeeper.NewKeeper(cdc, runtime.NewKVStoreService(store(feegrant.StoreKey)), app.AccountKeeper)
	app.StakingKeeper.SetHooks(stakingtypes.NewMultiStakingHooks(app.DistrKeeper.Hooks(), app.SlashingKeeper.Hooks()))
	app.AuthzKeeper = authzkeeper.NewKeeper(runtime.NewKVStoreService(store(authzkeeper.StoreKey)), cdc, app.MsgServiceRouter(),
		app.AccountKeeper)
	app.UpgradeKeeper = upgradekeeper.NewKeeper(map[int64]bool{}, runtime.NewKVStoreService(store(upgradetypes.StoreKey)), cdc,
		home, app.BaseApp, authority)
	app.GovKeeper = govkeeper.NewKeeper(cdc, runtime.NewKVStoreService(store(govtypes.StoreKey)), app.AccountKeeper, app.BankKeeper,
		app.DistrKeeper, app.MsgServiceRouter(), govtypes.DefaultConfig(), authority,
		govkeeper.NewDefaultCalculateVoteResultsAndVotingPower(app.StakingKeeper))
	app.EvidenceKeeper = evidencekeeper.NewKeeper(cdc, runtime.NewKVStoreService(store(evidencetypes.StoreKey)), app.StakingKeeper,
		app.SlashingKeeper, app.AccountKeeper.AddressCodec(), runtime.ProvideCometInfoService())
}

func (app *App) buildStratosKeepers() {
	cdc := app.encoding.Codec
	account := func(module string) sdk.AccAddress { return authtypes.NewModuleAddress(module) }
	governor := account(govtypes.ModuleName)
	var err error
	app.OutboxKeeper = outbox.NewKeeper(runtime.NewKVStoreService(app.keys[outboxkeys.StoreKey]))
	app.SDSKeeper, err = sds.NewKeeper(cdc, runtime.NewKVStoreService(app.keys[sds.ModuleName]), app.BankKeeper, app.OutboxKeeper,
		account(sds.ModuleName), Denom)
	must(err)
	app.RegisterKeeper, err = register.NewKeeper(cdc, runtime.NewKVStoreService(app.keys[register.ModuleName]), app.BankKeeper, app.SDSKeeper,
		app.OutboxKeeper, account(register.ModuleName), governor, Denom)
	must(err)
	app.SDDKeeper, err = sdd.NewKeeper(cdc, runtime.NewKVStoreService(app.keys[sdd.ModuleName]), app.RegisterKeeper)
	must(err)
	app.SDCKeeper, err = sdc.NewKeeper(cdc, runtime.NewKVStoreService(app.keys[sdc.ModuleName]), app.BankKeeper, app.RegisterKeeper, account(sdc.ModuleName), Denom)
	must(err)
	app.PotKeeper, err = pot.NewKeeper(cdc, runtime.NewKVStoreService(app.keys[pot.ModuleName]), pot.Wiring{
		Bank:         app.BankKeeper,
		Community:    app.DistrKeeper,
		Registry:     app.RegisterKeeper,
		Ozone:        app.SDSKeeper,
		Outbox:       app.OutboxKeeper,
		Account:      account(pot.ModuleName),
		Governor:     governor,
		FeeCollector: authtypes.FeeCollectorName,
		Denom:        Denom,
	})
	must(err)
	app.RegisterKeeper.ForfeitTo(app.PotKeeper)
}

// CheckInvariants tells where coins or ozone do not add up across the modules. It walks the whole state: for tests
// and for an operator who doubts, not for blocks.
func (app *App) CheckInvariants(ctx sdk.Context) error {
	deposits, err := app.RegisterKeeper.Deposits(ctx)
	if err != nil {
		return err
	}
	unsettled, err := app.PotKeeper.Unsettled(ctx)
	if err != nil {
		return err
	}
	return errors.Join(app.RegisterKeeper.CheckInvariants(ctx), app.SDSKeeper.CheckInvariants(ctx, deposits, unsettled), app.PotKeeper.CheckInvariants(ctx),
		app.SDCKeeper.CheckInvariants(ctx))
}

func (app *App) buildEVM(chainID uint64, tracer string) {
	cdc := app.encoding.Codec
	authority := authtypes.NewModuleAddress(govtypes.ModuleName)
	app.FeeMarketKeeper = feemarketkeeper.NewKeeper(cdc, authority, app.keys[feemarkettypes.StoreKey])

	// A precompile that fails must take back what it wrote in any store, so the EVM snapshots all of them.
	var stores []storetypes.StoreKey
	for _, k := range app.keys {
		stores = append(stores, k)
	}
	for _, k := range app.objectKeys {
		stores = append(stores, k)
	}
	precompiles := precompiletypes.NewStaticPrecompiles().
		WithPraguePrecompiles().WithP256Precompile().WithBech32Precompile().
		WithStakingPrecompile(*app.StakingKeeper, app.BankKeeper).
		WithDistributionPrecompile(app.DistrKeeper, *app.StakingKeeper, app.BankKeeper).
		WithGovPrecompile(*app.GovKeeper, app.BankKeeper, cdc).
		WithSlashingPrecompile(app.SlashingKeeper, app.BankKeeper)
	for _, p := range app.stratosPrecompiles() {
		precompiles[p.Address()] = p
	}
	app.EVMKeeper = evmkeeper.NewKeeper(cdc, app.keys[evmtypes.StoreKey], app.objectKeys[evmtypes.ObjectKey], stores, authority,
		app.AccountKeeper, app.BankKeeper, app.StakingKeeper, app.FeeMarketKeeper, &app.ConsensusKeeper, &app.ERC20Keeper,
		chainID, tracer).WithStaticPrecompiles(precompiles)
	app.EVMKeeper.EnableVirtualFeeCollection()
	app.ERC20Keeper = erc20keeper.NewKeeper(app.keys[erc20types.StoreKey], cdc, authority, app.AccountKeeper, app.BankKeeper,
		app.EVMKeeper, app.StakingKeeper, nil)
}

// initChain fills the state from genesis.
func (app *App) initChain(ctx sdk.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	var state map[string]json.RawMessage
	if err := json.Unmarshal(req.AppStateBytes, &state); err != nil {
		return nil, fmt.Errorf("genesis state: %w", err)
	}
	if err := app.UpgradeKeeper.SetModuleVersionMap(ctx, app.Modules.GetVersionMap()); err != nil {
		return nil, err
	}
	if err := app.RegisterKeeper.SetNetwork(ctx, app.network); err != nil {
		return nil, err
	}
	return app.Modules.InitGenesis(ctx, app.encoding.Codec, state)
}

// BlockedAddresses are the module accounts, which nobody may send coins to.
func BlockedAddresses() map[string]bool {
	blocked := make(map[string]bool, len(modulePermissions))
	for name := range modulePermissions {
		blocked[authtypes.NewModuleAddress(name).String()] = true
	}
	return blocked
}

// must stops a process whose wiring is broken.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
