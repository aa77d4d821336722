package pot

import (
	"context"
	"errors"

	"cosmossdk.io/collections"

	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Defaults with epochs of 10 minutes.
const (
	defaultMaturityEpochs = 14 * 144
	defaultMaxCarryEpochs = 100
)

// DefaultGenesis has parameters and no report.
func DefaultGenesis() *potpb.GenesisState {
	p, c := database.DefaultPrices(), compute.DefaultPrices()
	return &potpb.GenesisState{Params: potpb.Params{MaturityEpochs: defaultMaturityEpochs, MaxCarryEpochs: defaultMaxCarryEpochs,
		DatabasePrices: potpb.DatabasePrices{Gas: p.Gas, Row: p.Row, ByteIn: p.ByteIn, ByteOut: p.ByteOut, ByteHour: p.ByteHour},
		ComputePrices:  potpb.ComputePrices{Fuel: c.Fuel, OutputByte: c.OutputByte}}}
}

// CheckParams tells what in parameters cannot be.
func CheckParams(p potpb.Params) error {
	if p.MaturityEpochs > 1<<32 || p.MaxCarryEpochs == 0 || p.MaxCarryEpochs > 1<<32 {
		return mesh.Errorf(mesh.Invalid, "pot: a duration is 0 or above 2^32")
	}
	if err := database.CheckPrices(pricesOf(p)); err != nil {
		return mesh.Errorf(mesh.Invalid, "pot: %w", err)
	}
	if err := compute.CheckPrices(computePricesOf(p)); err != nil {
		return mesh.Errorf(mesh.Invalid, "pot: %w", err)
	}
	return nil
}

// pricesOf are the prices of databases as the meta layer is told them.
func pricesOf(p potpb.Params) *wirepb.Prices {
	d := p.DatabasePrices
	return &wirepb.Prices{Gas: d.Gas, Row: d.Row, ByteIn: d.ByteIn, ByteOut: d.ByteOut, ByteHour: d.ByteHour}
}

// computePricesOf are those of tasks.
func computePricesOf(p potpb.Params) *wirepb.ComputePrices {
	return &wirepb.ComputePrices{Fuel: p.ComputePrices.Fuel, OutputByte: p.ComputePrices.OutputByte}
}

// ValidateGenesis tells what in a genesis cannot be.
func ValidateGenesis(g *potpb.GenesisState) error {
	if err := CheckParams(g.Params); err != nil {
		return err
	}
	for _, list := range [][]potpb.Carry{g.Carries, g.Fresh, g.Settling} {
		for _, c := range list {
			if len(c.Node) != len(mesh.NodeID{}) || c.Noz > uint64(mesh.MaxNoz) {
				return mesh.Errorf(mesh.Invalid, "pot: the volume of node %x is malformed", c.Node)
			}
		}
	}
	for _, w := range g.Wallets {
		if len(w.Account) != len(mesh.Account{}) || w.Earned.IsNil() || w.Withdrawn.IsNil() || w.Withdrawn.IsNegative() || w.Withdrawn.GT(w.Earned) {
			return mesh.Errorf(mesh.Invalid, "pot: the wallet of %x is malformed", w.Account)
		}
	}
	for _, r := range g.Rewards {
		if len(r.Account) != len(mesh.Account{}) || r.Amount.IsNil() || r.Amount.IsNegative() || r.Forfeited.IsNil() || r.Forfeited.IsNegative() || r.Forfeited.GT(r.Amount) {
			return mesh.Errorf(mesh.Invalid, "pot: the reward of %x is malformed", r.Account)
		}
	}
	return nil
}

// InitGenesis fills the state and tells the meta layer what it counts by. Heights begin anew or go on as the genesis
// document says.
func (k *Keeper) InitGenesis(ctx context.Context, g *potpb.GenesisState) error {
	errs := []error{k.params.Set(ctx, g.Params), k.next.Set(ctx, g.NextReport)}
	keep := func(err error) { errs = append(errs, err) }
	for _, r := range g.Reports {
		keep(k.reports.Set(ctx, r.Epoch, r.Report))
	}
	for _, l := range g.Ledger {
		keep(k.ledger.Set(ctx, l.Epoch, l))
	}
	for _, c := range g.Carries {
		keep(k.putCarry(ctx, c))
	}
	for _, w := range g.Wallets {
		keep(k.wallets.Set(ctx, w.Account, w))
	}
	for _, r := range g.Rewards {
		keep(k.rewards.Set(ctx, collections.Join(r.Account, r.Epoch), r))
	}
	for _, s := range g.Slots {
		keep(k.slots.Set(ctx, collections.Join(uint64(s.Kind), uint64(s.Index)), s.Slot))
	}
	for _, c := range g.Fresh {
		keep(k.fresh.Set(ctx, c.Node, c.Noz))
	}
	for _, c := range g.Settling {
		keep(k.settling.Set(ctx, c.Node, c.Noz))
	}
	if g.Work != nil {
		keep(k.work.Set(ctx, *g.Work))
	}
	keep(k.emitParams(ctx))
	return errors.Join(errs...)
}

func (k *Keeper) emitParams(ctx context.Context) error {
	p, err := k.params.Get(ctx)
	if err != nil {
		return err
	}
	r, err := k.Registry.Params(ctx)
	if err != nil {
		return err
	}
	return k.Outbox.Append(ctx, &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Params{
		Params: &wirepb.NetworkParams{EpochBlocks: r.EpochBlocks, MaturityEpochs: p.MaturityEpochs, DatabasePrices: pricesOf(p), ComputePrices: computePricesOf(p)}}})
}

// ExportGenesis writes the state down, an open report included.
func (k *Keeper) ExportGenesis(ctx context.Context) (*potpb.GenesisState, error) {
	g := new(potpb.GenesisState)
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	var err error
	g.Params, err = k.params.Get(ctx)
	keep(err)
	g.NextReport, err = get(ctx, k.next)
	keep(err)
	keep(k.reports.Walk(ctx, nil, func(e uint64, r potpb.Report) (bool, error) {
		g.Reports = append(g.Reports, potpb.EpochReport{Epoch: e, Report: r})
		return false, nil
	}))
	keep(k.ledger.Walk(ctx, nil, func(_ uint64, l potpb.LedgerLine) (bool, error) {
		g.Ledger = append(g.Ledger, l)
		return false, nil
	}))
	keep(k.carries.Walk(ctx, nil, func(_ nodeKey, c potpb.Carry) (bool, error) {
		g.Carries = append(g.Carries, c)
		return false, nil
	}))
	keep(k.wallets.Walk(ctx, nil, func(_ []byte, w potpb.Wallet) (bool, error) {
		g.Wallets = append(g.Wallets, w)
		return false, nil
	}))
	keep(k.rewards.Walk(ctx, nil, func(_ collections.Pair[[]byte, uint64], r potpb.Reward) (bool, error) {
		g.Rewards = append(g.Rewards, r)
		return false, nil
	}))
	keep(k.slots.Walk(ctx, nil, func(key collections.Pair[uint64, uint64], s potpb.ShareSlot) (bool, error) {
		g.Slots = append(g.Slots, potpb.OpenSlot{Kind: uint32(key.K1()), Index: uint32(key.K2()), Slot: s})
		return false, nil
	}))
	keep(k.fresh.Walk(ctx, nil, func(n nodeKey, noz uint64) (bool, error) {
		g.Fresh = append(g.Fresh, potpb.Carry{Node: n, Noz: noz})
		return false, nil
	}))
	keep(k.settling.Walk(ctx, nil, func(n nodeKey, noz uint64) (bool, error) {
		g.Settling = append(g.Settling, potpb.Carry{Node: n, Noz: noz})
		return false, nil
	}))
	if w, ok, err := k.openWork(ctx); ok {
		g.Work = &w
	} else {
		keep(err)
	}
	return g, errors.Join(errs...)
}
