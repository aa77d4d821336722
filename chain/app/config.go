package app

import (
	sdk "github.com/cosmos/cosmos-sdk/types"
	evmutils "github.com/cosmos/evm/utils"

	"github.com/stratosmesh/stratos/mesh"
)

// Name is the application's name as ABCI reports it.
const Name = "stchaind"

// The coin: 1 stos = 10^18 wei.
const (
	Denom        = "wei"
	DisplayDenom = "stos"
)

const coinType = 60 // Ethereum's in BIP-44

// Configure sets the SDK's process-wide address prefixes, coin type and denomination. Programs and tests call it
// before they touch anything else of the SDK.
func Configure() {
	c := sdk.GetConfig()
	c.SetBech32PrefixForAccount(mesh.AccountPrefix, mesh.AccountPrefix+"pub")
	c.SetBech32PrefixForValidator(validatorPrefix, validatorPrefix+"pub")
	c.SetBech32PrefixForConsensusNode(consensusPrefix, consensusPrefix+"pub")
	c.SetCoinType(coinType)
	sdk.DefaultPowerReduction = evmutils.AttoPowerReduction
	sdk.DefaultBondDenom = Denom
}

const (
	validatorPrefix = mesh.AccountPrefix + "valoper"
	consensusPrefix = mesh.AccountPrefix + "valcons"
)
