package app

import (
	"slices"

	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/chain/precompile/send"
	"github.com/stratosmesh/stratos/chain/x/pot"
	"github.com/stratosmesh/stratos/chain/x/register"
	"github.com/stratosmesh/stratos/chain/x/sdc"
	"github.com/stratosmesh/stratos/chain/x/sdd"
	"github.com/stratosmesh/stratos/chain/x/sds"
	"github.com/stratosmesh/stratos/protocol/abi"
)

// stratosPrecompiles are the contracts with which Ethereum transactions reach the modules.
func (app *App) stratosPrecompiles() []*precompile.Precompile {
	return []*precompile.Precompile{
		send.New(app.BankKeeper, Denom),
		register.NewPrecompile(app.RegisterKeeper, app.BankKeeper),
		sds.NewPrecompile(app.SDSKeeper, app.BankKeeper),
		pot.NewPrecompile(app.PotKeeper, app.BankKeeper),
		sdd.NewPrecompile(app.SDDKeeper, app.BankKeeper),
		sdc.NewPrecompile(app.SDCKeeper, app.BankKeeper),
	}
}

// activePrecompiles lists the addresses of all precompiles that do more than Ethereum's own, in the order that the
// EVM's parameters require.
func activePrecompiles() []string {
	active := []string{evmtypes.P256PrecompileAddress, evmtypes.Bech32PrecompileAddress, evmtypes.StakingPrecompileAddress,
		evmtypes.DistributionPrecompileAddress, evmtypes.GovPrecompileAddress, evmtypes.SlashingPrecompileAddress}
	for _, c := range abi.All() {
		active = append(active, c.Address.Hex())
	}
	slices.Sort(active)
	return active
}

// invalidOpcode is code that never runs: a precompile is found before code is.
const invalidOpcode = "0xfe"

// placeholders give the precompiles of Stratos code, because Solidity and client libraries refuse to call an address
// that has none.
func placeholders() (list []evmtypes.Preinstall) {
	for _, c := range abi.All() {
		list = append(list, evmtypes.Preinstall{Name: c.Name, Address: c.Address.Hex(), Code: invalidOpcode})
	}
	return list
}
