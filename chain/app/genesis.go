package app

import (
	"encoding/json"
	"slices"
	"time"

	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"
)

// The chain's parameters at genesis; governance can change them later.
const (
	maxValidators   = 100
	unbondingTime   = 21 * 24 * time.Hour
	signingWindow   = 10_000 // blocks
	downtimeJail    = 6 * time.Hour
	votingPeriod    = 7 * 24 * time.Hour
	expeditedVoting = 24 * time.Hour
	govDepositSTOS  = 100
	MinGasPrice     = 1_000_000_000 // wei: 1 gwei
	BlockGas        = 100_000_000
	BlockBytes      = 4 << 20
)

var (
	doubleSignSlash = math.LegacyNewDecWithPrec(5, 2)   // 5 %
	downtimeSlash   = math.LegacyNewDecWithPrec(2, 4)   // 0.02 %
	voteThreshold   = math.LegacyNewDecWithPrec(334, 3) // quorum and veto: 33.4 %
)

// DefaultGenesis returns the genesis of every module with the parameters of Stratos, but no account, validator or
// coin.
func DefaultGenesis(cdc codec.JSONCodec) map[string]json.RawMessage {
	state := Basics().DefaultGenesis(cdc)

	staking := stakingtypes.DefaultGenesisState()
	staking.Params.BondDenom = Denom
	staking.Params.MaxValidators = maxValidators
	staking.Params.UnbondingTime = unbondingTime
	state[stakingtypes.ModuleName] = cdc.MustMarshalJSON(staking)

	slashing := slashingtypes.DefaultGenesisState()
	slashing.Params.SignedBlocksWindow = signingWindow
	slashing.Params.DowntimeJailDuration = downtimeJail
	slashing.Params.SlashFractionDoubleSign = doubleSignSlash
	slashing.Params.SlashFractionDowntime = downtimeSlash
	state[slashingtypes.ModuleName] = cdc.MustMarshalJSON(slashing)

	// The community tax is taken from traffic rewards when they are paid, so distribution takes none of its own.
	distr := distrtypes.DefaultGenesisState()
	distr.Params.CommunityTax = math.LegacyZeroDec()
	state[distrtypes.ModuleName] = cdc.MustMarshalJSON(distr)

	gov := govv1.DefaultGenesisState()
	deposit := sdk.NewCoin(Denom, math.NewInt(govDepositSTOS).Mul(math.NewIntWithDecimal(1, 18)))
	gov.Params.MinDeposit = sdk.NewCoins(deposit)
	gov.Params.ExpeditedMinDeposit = sdk.NewCoins(deposit.Add(deposit))
	period, expedited := votingPeriod, expeditedVoting
	gov.Params.MaxDepositPeriod, gov.Params.VotingPeriod, gov.Params.ExpeditedVotingPeriod = &period, &period, &expedited
	gov.Params.Quorum, gov.Params.VetoThreshold = voteThreshold.String(), voteThreshold.String()
	state[govtypes.ModuleName] = cdc.MustMarshalJSON(gov)

	evm := evmtypes.DefaultGenesisState()
	evm.Params.EvmDenom = Denom
	evm.Params.ExtendedDenomOptions = &evmtypes.ExtendedDenomOptions{ExtendedDenom: Denom}
	evm.Params.ActiveStaticPrecompiles = activePrecompiles()
	evm.Preinstalls = slices.Concat(evmtypes.DefaultPreinstalls, placeholders())
	state[evmtypes.ModuleName] = cdc.MustMarshalJSON(evm)

	market := feemarkettypes.DefaultGenesisState()
	market.Params.NoBaseFee = false
	market.Params.BaseFee = math.LegacyNewDec(MinGasPrice)
	market.Params.MinGasPrice = math.LegacyNewDec(MinGasPrice)
	market.Params.MinGasMultiplier = math.LegacyZeroDec() // gas that was not used is not paid for
	state[feemarkettypes.ModuleName] = cdc.MustMarshalJSON(market)
	return state
}

// CoinMetadata describes the coin; the EVM reads its 18 decimals from it.
func CoinMetadata() banktypes.Metadata {
	return banktypes.Metadata{
		Description: "the coin of Stratos",
		Base:        Denom,
		Display:     DisplayDenom,
		Name:        "Stos",
		Symbol:      "STOS",
		DenomUnits:  []*banktypes.DenomUnit{{Denom: Denom}, {Denom: "gwei", Exponent: 9}, {Denom: DisplayDenom, Exponent: 18}},
	}
}
