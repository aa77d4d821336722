package genesis

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"

	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"github.com/stratosmesh/stratos/chain/x/pot"
	"github.com/stratosmesh/stratos/chain/x/register"
	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/chain/x/sds"
	"github.com/stratosmesh/stratos/chain/x/sds/sdspb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/economy"
)

// economyState fills the genesis of the modules of Stratos: who takes part with which deposit, and the ozone that
// accounts bought on the curve after all deposits were made. Every coin that this takes is minted on top of balances.
func economyState(cdc codec.JSONCodec, spec *devspec.Spec, state map[string]json.RawMessage, held ledger) error {
	registry, pool, err := members(spec)
	if err != nil {
		return err
	}
	issued := new(big.Int).Set(pool.Remaining)
	held.add(mesh.Account(authtypes.NewModuleAddress(register.ModuleName)), math.NewIntFromBigInt(pool.Deposits))
	for _, m := range registry.Nodes {
		held.add(mesh.Account(m.Operator), math.ZeroInt())
	}
	for _, m := range registry.Authorities {
		held.add(mesh.Account(m.Operator), math.ZeroInt())
	}
	ozone, pool, err := buyOzone(spec, pool)
	if err != nil {
		return err
	}
	held.add(mesh.Account(authtypes.NewModuleAddress(sds.ModuleName)), math.NewIntFromBigInt(pool.Prepaid))

	settlement := pot.DefaultGenesis()
	settlement.Params.MaturityEpochs = spec.MaturityEpochs
	state[register.ModuleName] = cdc.MustMarshalJSON(registry)
	state[pot.ModuleName] = cdc.MustMarshalJSON(settlement)
	state[sds.ModuleName] = cdc.MustMarshalJSON(&sdspb.GenesisState{Ozone: ozone, Pool: sdspb.Pool{
		Deposits:  math.NewIntFromBigInt(pool.Deposits),
		Prepaid:   math.NewIntFromBigInt(pool.Prepaid),
		Remaining: math.NewIntFromBigInt(pool.Remaining),
		Issued:    math.NewIntFromBigInt(issued),
	}})
	return nil
}

// members lists nodes and authorities by rising id, and the pool after their deposits.
func members(spec *devspec.Spec) (*registerpb.GenesisState, economy.Pool, error) {
	g := register.DefaultGenesis()
	g.Params.EpochBlocks = spec.EpochBlocks
	pool := economy.NewPool()
	deposit := func(w mesh.Wei) math.Int {
		pool, _ = pool.Deposit(w.Big())
		return math.NewIntFromBigInt(w.Big())
	}
	for _, n := range spec.Nodes {
		id := mesh.NodeIDOf(n.NodeKey)
		g.Nodes = append(g.Nodes, registerpb.Node{Id: id[:], Operator: n.Operator[:], NodeKey: n.NodeKey[:], TlsKey: n.TLSKey[:],
			Kinds: n.Kinds, Tier: n.Tier, Address: n.Address, Domain: n.Domain, Status: registerpb.NodeActive, Deposit: deposit(n.Deposit)})
	}
	for _, a := range spec.Authorities {
		id := mesh.AuthorityIDOf(a.ReportKey)
		g.Authorities = append(g.Authorities, registerpb.Authority{Id: id[:], Operator: a.Operator[:], ReportKey: a.ReportKey[:],
			ConsensusKey: a.ConsensusKey[:], TlsKey: a.TLSKey[:], Address: a.Address, Status: registerpb.AuthorityPresent, Deposit: deposit(a.Deposit)})
	}
	slices.SortFunc(g.Nodes, func(a, b registerpb.Node) int { return bytes.Compare(a.Id, b.Id) })
	slices.SortFunc(g.Authorities, func(a, b registerpb.Authority) int { return bytes.Compare(a.Id, b.Id) })
	return g, pool, register.ValidateGenesis(g)
}

// buyOzone buys for each account exactly what it asks for, in the order of the description, with the smallest amount
// that suffices. What the rounding would give beyond that stays in the pool.
func buyOzone(spec *devspec.Spec, pool economy.Pool) (ozone []sdspb.Ozone, _ economy.Pool, err error) {
	for _, a := range spec.Accounts {
		if a.Ozone == 0 {
			continue
		}
		if pool, _, err = pool.PrepayExactly(new(big.Int).SetUint64(uint64(a.Ozone))); err != nil {
			return nil, pool, mesh.Errorf(mesh.KindOf(err), "account %s: %w", a.Name, err)
		}
		if i := slices.IndexFunc(ozone, func(o sdspb.Ozone) bool { return bytes.Equal(o.Account, a.Address[:]) }); i >= 0 {
			return nil, pool, mesh.Errorf(mesh.Conflict, "account %s is described twice", a.Address)
		}
		ozone = append(ozone, sdspb.Ozone{Account: a.Address[:], CreditedNoz: uint64(a.Ozone)})
	}
	slices.SortFunc(ozone, func(a, b sdspb.Ozone) int { return bytes.Compare(a.Account, b.Account) })
	return ozone, pool, nil
}
