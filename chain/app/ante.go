package app

import (
	"github.com/ethereum/go-ethereum/common"

	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkante "github.com/cosmos/cosmos-sdk/x/auth/ante"
	vestingtypes "github.com/cosmos/cosmos-sdk/x/auth/vesting/types"

	evmante "github.com/cosmos/evm/ante"
	cosmosante "github.com/cosmos/evm/ante/cosmos"
	monoante "github.com/cosmos/evm/ante/evm"
	antetypes "github.com/cosmos/evm/ante/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"
	"github.com/cosmos/gogoproto/proto"
)

// setAnteHandler decides what a transaction must satisfy before it runs: the EVM's checks for an Ethereum
// transaction, the SDK's for any other. An Ethereum transaction cannot hide inside the other kind.
func (app *App) setAnteHandler(maxGasWanted uint64) {
	ethereumTx := "/" + proto.MessageName(&evmtypes.ExtensionOptionsEthereumTx{})
	app.SetAnteHandler(func(ctx sdk.Context, tx sdk.Tx, simulate bool) (sdk.Context, error) {
		market := app.FeeMarketKeeper.GetParams(ctx)
		if t, ok := tx.(sdkante.HasExtensionOptionsTx); ok {
			if o := t.GetExtensionOptions(); len(o) > 0 && o[0].GetTypeUrl() == ethereumTx {
				params := app.EVMKeeper.GetParams(ctx)
				return sdk.ChainAnteDecorators(
					monoante.NewEVMMonoDecorator(app.AccountKeeper, app.FeeMarketKeeper, app.EVMKeeper, maxGasWanted, &params, &market),
					evmante.NewTxListenerDecorator(app.notifyPending),
				)(ctx, tx, simulate)
			}
		}
		return sdk.ChainAnteDecorators(
			cosmosante.NewRejectMessagesDecorator(),
			cosmosante.NewAuthzLimiterDecorator(sdk.MsgTypeURL(&evmtypes.MsgEthereumTx{}), sdk.MsgTypeURL(&vestingtypes.MsgCreateVestingAccount{})),
			sdkante.NewSetUpContextDecorator(),
			sdkante.NewExtensionOptionsDecorator(antetypes.HasDynamicFeeExtensionOption),
			sdkante.NewValidateBasicDecorator(),
			sdkante.NewTxTimeoutHeightDecorator(),
			sdkante.NewValidateMemoDecorator(app.AccountKeeper),
			cosmosante.NewMinGasPriceDecorator(&market),
			sdkante.NewConsumeGasForTxSizeDecorator(app.AccountKeeper),
			sdkante.NewDeductFeeDecorator(app.AccountKeeper, app.BankKeeper, app.FeeGrantKeeper, monoante.NewDynamicFeeChecker(&market)),
			sdkante.NewSetPubKeyDecorator(app.AccountKeeper),
			sdkante.NewValidateSigCountDecorator(app.AccountKeeper),
			sdkante.NewSigGasConsumeDecorator(app.AccountKeeper, evmante.SigVerificationGasConsumer),
			sdkante.NewSigVerificationDecorator(app.AccountKeeper, app.encoding.TxConfig.SignModeHandler()),
			sdkante.NewIncrementSequenceDecorator(app.AccountKeeper),
		)(ctx, tx, simulate)
	})
}

func (app *App) notifyPending(tx common.Hash) {
	for _, listener := range app.pendingListeners {
		listener(tx)
	}
}

// RegisterPendingTxListener calls f with each Ethereum transaction that enters the pool. Call it before the node runs.
func (app *App) RegisterPendingTxListener(f func(common.Hash)) {
	app.pendingListeners = append(app.pendingListeners, f)
}
