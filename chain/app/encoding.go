package app

import (
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/x/auth"
	authzmodule "github.com/cosmos/cosmos-sdk/x/authz/module"
	"github.com/cosmos/cosmos-sdk/x/bank"
	"github.com/cosmos/cosmos-sdk/x/consensus"
	distr "github.com/cosmos/cosmos-sdk/x/distribution"
	"github.com/cosmos/cosmos-sdk/x/evidence"
	feegrantmodule "github.com/cosmos/cosmos-sdk/x/feegrant/module"
	"github.com/cosmos/cosmos-sdk/x/genutil"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	"github.com/cosmos/cosmos-sdk/x/gov"
	"github.com/cosmos/cosmos-sdk/x/slashing"
	"github.com/cosmos/cosmos-sdk/x/staking"
	"github.com/cosmos/cosmos-sdk/x/upgrade"

	evmencoding "github.com/cosmos/evm/encoding"
	"github.com/cosmos/evm/x/erc20"
	"github.com/cosmos/evm/x/feemarket"
	"github.com/cosmos/evm/x/vm"

	"github.com/stratosmesh/stratos/chain/x/pot"
	"github.com/stratosmesh/stratos/chain/x/register"
	"github.com/stratosmesh/stratos/chain/x/sdc"
	"github.com/stratosmesh/stratos/chain/x/sdd"
	"github.com/stratosmesh/stratos/chain/x/sds"
)

// An Encoding writes and reads the application's messages and transactions. It needs no state.
type Encoding struct {
	Amino    *codec.LegacyAmino
	Codec    codec.Codec
	Registry types.InterfaceRegistry
	TxConfig client.TxConfig
}

// NewEncoding knows every message of every module.
func NewEncoding(evmChainID uint64) Encoding {
	c := evmencoding.MakeConfig(evmChainID)
	Basics().RegisterLegacyAminoCodec(c.Amino)
	Basics().RegisterInterfaces(c.InterfaceRegistry)
	return Encoding{c.Amino, c.Codec, c.InterfaceRegistry, c.TxConfig}
}

// Basics are the parts of the modules that need no state: types and default genesis. Commands and routes need more:
// App.Basics.
func Basics() module.BasicManager {
	return module.NewBasicManager(
		auth.AppModuleBasic{},
		authzmodule.AppModuleBasic{},
		bank.AppModuleBasic{},
		consensus.AppModuleBasic{},
		distr.AppModuleBasic{},
		erc20.AppModuleBasic{},
		evidence.AppModuleBasic{},
		feegrantmodule.AppModuleBasic{},
		feemarket.AppModuleBasic{},
		genutil.NewAppModuleBasic(genutiltypes.DefaultMessageValidator),
		gov.NewAppModuleBasic(nil),
		slashing.AppModuleBasic{},
		staking.AppModuleBasic{},
		upgrade.AppModuleBasic{},
		vm.AppModuleBasic{},
		sds.NewModule(nil),
		register.NewModule(nil),
		pot.NewModule(nil),
		sdd.NewModule(nil),
		sdc.NewModule(nil),
	)
}
