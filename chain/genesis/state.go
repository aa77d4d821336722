package genesis

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	cmttypes "github.com/cometbft/cometbft/types"

	"cosmossdk.io/math"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/stratosmesh/stratos/chain/app"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/devspec"
)

// Commission of a genesis validator, and how far and fast it may rise.
var (
	commission        = math.LegacyNewDecWithPrec(5, 2)
	maxCommission     = math.LegacyNewDecWithPrec(20, 2)
	maxCommissionStep = math.LegacyNewDecWithPrec(1, 2)
)

// ledger collects who holds what, so that the supply is the sum by construction.
type ledger map[mesh.Account]math.Int

func (l ledger) add(to mesh.Account, amount math.Int) {
	if held, ok := l[to]; ok {
		amount = amount.Add(held)
	}
	l[to] = amount
}

func (l ledger) balances() (balances []banktypes.Balance, supply sdk.Coins) {
	for to, amount := range l {
		if amount.IsZero() {
			continue
		}
		coins := sdk.NewCoins(sdk.NewCoin(app.Denom, amount))
		balances = append(balances, banktypes.Balance{Address: to.String(), Coins: coins})
		supply = supply.Add(coins...)
	}
	slices.SortFunc(balances, func(a, b banktypes.Balance) int { return cmp.Compare(a.Address, b.Address) })
	return balances, supply
}

// document returns the genesis document of the network in its final bytes.
func document(spec *devspec.Spec, keys []cmttypes.PrivValidator) ([]byte, error) {
	state, err := appState(spec, keys)
	if err != nil {
		return nil, err
	}
	stateJSON, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	params := cmttypes.DefaultConsensusParams()
	params.Block.MaxGas = app.BlockGas
	params.Block.MaxBytes = app.BlockBytes
	doc, err := json.MarshalIndent(&genutiltypes.AppGenesis{
		AppName:       app.Name,
		GenesisTime:   spec.GenesisTime.UTC(),
		ChainID:       spec.ChainID,
		InitialHeight: 1,
		AppState:      stateJSON,
		Consensus:     &genutiltypes.ConsensusGenesis{Params: params},
	}, "", " ")
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSpace(doc), '\n'), nil
}

func appState(spec *devspec.Spec, keys []cmttypes.PrivValidator) (map[string]json.RawMessage, error) {
	encoding := app.NewEncoding(spec.EVMChainID)
	cdc := encoding.Codec
	state := app.DefaultGenesis(cdc)
	held := ledger{}
	for _, acc := range spec.Accounts {
		held.add(acc.Address, math.NewIntFromBigInt(acc.Balance.Big()))
	}

	var staking stakingtypes.GenesisState
	if err := cdc.UnmarshalJSON(state[stakingtypes.ModuleName], &staking); err != nil {
		return nil, err
	}
	for i, v := range spec.Validators {
		validator, delegation, err := bond(v, keys[i])
		if err != nil {
			return nil, fmt.Errorf("validator %s: %w", v.Name, err)
		}
		staking.Validators = append(staking.Validators, validator)
		staking.Delegations = append(staking.Delegations, delegation)
		held.add(mesh.Account(authtypes.NewModuleAddress(stakingtypes.NotBondedPoolName)), validator.Tokens)
		held.add(v.Operator, math.ZeroInt())
	}
	state[stakingtypes.ModuleName] = cdc.MustMarshalJSON(&staking)

	if err := economyState(cdc, spec, state, held); err != nil {
		return nil, err
	}
	balances, supply := held.balances()
	state[banktypes.ModuleName] = cdc.MustMarshalJSON(banktypes.NewGenesisState(banktypes.DefaultParams(), balances, supply,
		[]banktypes.Metadata{app.CoinMetadata()}, nil))
	state[authtypes.ModuleName] = cdc.MustMarshalJSON(authtypes.NewGenesisState(authtypes.DefaultParams(), accounts(held)))
	return state, app.Basics().ValidateGenesis(cdc, encoding.TxConfig, state)
}

// accounts lists an account for whoever is in the ledger but the modules, which make their own.
func accounts(held ledger) (out []authtypes.GenesisAccount) {
	blocked := app.BlockedAddresses()
	var addresses []mesh.Account
	for a := range held {
		if !blocked[a.String()] {
			addresses = append(addresses, a)
		}
	}
	slices.SortFunc(addresses, func(a, b mesh.Account) int { return bytes.Compare(a[:], b[:]) })
	for i, a := range addresses {
		out = append(out, authtypes.NewBaseAccount(a[:], nil, uint64(i), 0))
	}
	return out
}

// bond describes a validator that stakes on itself. It begins unbonded, with its tokens in the pool for that, because
// bonding it in the first block is what tells the slashing module about it.
func bond(v devspec.Validator, key cmttypes.PrivValidator) (stakingtypes.Validator, stakingtypes.Delegation, error) {
	none := stakingtypes.Delegation{}
	pub, err := key.GetPubKey()
	if err != nil {
		return stakingtypes.Validator{}, none, err
	}
	consensusKey, err := cryptocodec.FromCmtPubKeyInterface(pub)
	if err != nil {
		return stakingtypes.Validator{}, none, err
	}
	packed, err := codectypes.NewAnyWithValue(consensusKey)
	if err != nil {
		return stakingtypes.Validator{}, none, err
	}
	stake := math.NewIntFromBigInt(v.Stake.Big())
	operator := sdk.ValAddress(v.Operator[:]).String()
	return stakingtypes.Validator{
		OperatorAddress:   operator,
		ConsensusPubkey:   packed,
		Status:            stakingtypes.Unbonded,
		Tokens:            stake,
		DelegatorShares:   math.LegacyNewDecFromInt(stake),
		Description:       stakingtypes.Description{Moniker: v.Name},
		Commission:        stakingtypes.NewCommission(commission, maxCommission, maxCommissionStep),
		MinSelfDelegation: math.OneInt(),
	}, stakingtypes.NewDelegation(v.Operator.String(), operator, math.LegacyNewDecFromInt(stake)), nil
}
