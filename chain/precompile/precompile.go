// Package precompile is what the precompiled contracts of Stratos share: it decodes a call by the contract's ABI,
// enforces what the ABI says about it, runs the method over the modules' state, and keeps EVM and bank balances in
// step.
//
// The methods themselves stand with what they reach: package send beside it, and precompile.go of each module.
package precompile

import (
	"errors"
	"fmt"
	"math/big"

	ethabi "github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/vm"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	cmn "github.com/cosmos/evm/precompiles/common"

	"github.com/stratosmesh/stratos/protocol/abi"
)

// A Call is one call of a method. The caller is whoever called the precompile itself: for a contract in between, that
// contract and never the account that sent the transaction.
type Call struct {
	Ctx    sdk.Context
	Caller sdk.AccAddress
	Value  *big.Int // wei that came with the call; it lies on the precompile's own account
	Args   []any    // as the ABI types them
}

// A Method carries out a call and returns what the ABI lists as outputs. When it fails, nothing that it wrote stays.
type Method func(Call) ([]any, error)

// A Precompile is a contract that is written in Go.
type Precompile struct {
	cmn.Precompile
	contract abi.Contract
	methods  map[string]Method
}

// New returns a precompile with a method for every function of the contract. A function without one is a
// programmer's mistake.
func New(contract abi.Contract, bank cmn.BankKeeper, methods map[string]Method) *Precompile {
	for name := range contract.Methods {
		if methods[name] == nil {
			panic(fmt.Sprintf("precompile %s: no method for %s", contract.Name, name))
		}
	}
	return &Precompile{
		Precompile: cmn.Precompile{
			KvGasConfig:           storetypes.KVGasConfig(),
			TransientKVGasConfig:  storetypes.TransientGasConfig(),
			ContractAddress:       contract.Address,
			BalanceHandlerFactory: cmn.NewBalanceHandlerFactory(bank),
		},
		contract: contract,
		methods:  methods,
	}
}

// Account is the precompile's own account, where the value of a call lies.
func (p *Precompile) Account() sdk.AccAddress { return p.ContractAddress.Bytes() }

// Name is the contract's name, for traces.
func (p *Precompile) Name() string { return p.contract.Name }

// RequiredGas is what a call costs before it starts. Each access to the state is charged when it happens.
func (p *Precompile) RequiredGas(input []byte) uint64 {
	m, err := p.contract.MethodById(input)
	if err != nil {
		return 0
	}
	return p.Precompile.RequiredGas(input, !m.IsConstant())
}

// Run carries out a call. A call by DELEGATECALL, CALLCODE or STATICCALL arrives as read-only, so it reaches views
// only: nobody acts here under a borrowed name.
func (p *Precompile) Run(evm *vm.EVM, contract *vm.Contract, readOnly bool) ([]byte, error) {
	return p.RunNativeAction(evm, contract, func(ctx sdk.Context) ([]byte, error) {
		m, err := p.contract.MethodById(contract.Input)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.contract.Name, err)
		}
		call := Call{Ctx: ctx, Caller: contract.Caller().Bytes(), Value: value(contract)}
		if err := check(m, call.Value, readOnly); err != nil {
			return nil, fmt.Errorf("%s.%s: %w", p.contract.Name, m.Name, err)
		}
		if call.Args, err = m.Inputs.Unpack(contract.Input[4:]); err != nil {
			return nil, fmt.Errorf("%s.%s: arguments: %w", p.contract.Name, m.Name, err)
		}
		out, err := p.methods[m.Name](call)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", p.contract.Name, m.Name, err)
		}
		return m.Outputs.Pack(out...)
	})
}

func check(m *ethabi.Method, value *big.Int, readOnly bool) error {
	if readOnly && !m.IsConstant() {
		return errors.New("it changes the state, so it must be reached by a plain call, not by staticcall, delegatecall or callcode")
	}
	if value.Sign() != 0 && !m.IsPayable() {
		return errors.New("it takes no value")
	}
	return nil
}

func value(c *vm.Contract) *big.Int {
	v := c.Value() // nil in a delegated call
	if v == nil {
		return new(big.Int)
	}
	return v.ToBig()
}

// Is tells whether a is the address of a precompile of Stratos: 0x5300 to 0x53ff.
func Is(a common.Address) bool {
	for _, b := range a[:18] {
		if b != 0 {
			return false
		}
	}
	return a[18] == 0x53
}
