package sds

import (
	"context"

	"github.com/stratosmesh/stratos/chain/x/sds/sdspb"
	"github.com/stratosmesh/stratos/mesh"
)

// DefaultGenesis is an empty pool.
func DefaultGenesis() *sdspb.GenesisState { return &sdspb.GenesisState{Pool: emptyPool()} }

// ValidateGenesis tells what in a genesis cannot be.
func ValidateGenesis(g *sdspb.GenesisState) error {
	if g.Pool.Deposits.IsNegative() || g.Pool.Prepaid.IsNegative() || g.Pool.Remaining.IsNegative() || g.Pool.Issued.IsNegative() {
		return mesh.Errorf(mesh.Invalid, "sds: an amount in the pool is negative")
	}
	for _, o := range g.Ozone {
		if _, err := mesh.FromBytes[mesh.Account](o.Account); err != nil {
			return err
		}
		if o.DebitedNoz > o.CreditedNoz || o.CreditedNoz > uint64(mesh.MaxNoz) {
			return mesh.Errorf(mesh.Invalid, "sds: account %x was credited %d noz and debited %d", o.Account, o.CreditedNoz, o.DebitedNoz)
		}
	}
	return nil
}

// InitGenesis fills the state and tells the meta layer about every account's ozone.
func (k *Keeper) InitGenesis(ctx context.Context, g *sdspb.GenesisState) error {
	if err := k.pool.Set(ctx, g.Pool); err != nil {
		return err
	}
	for _, o := range g.Ozone {
		if err := k.ozone.Set(ctx, o.Account, o); err != nil {
			return err
		}
		if err := k.emitCredited(ctx, o); err != nil {
			return err
		}
		if o.DebitedNoz > 0 {
			if err := k.emitDebited(ctx, o, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// ExportGenesis writes the state down.
func (k *Keeper) ExportGenesis(ctx context.Context) (*sdspb.GenesisState, error) {
	g := DefaultGenesis()
	if has, err := k.pool.Has(ctx); err != nil {
		return nil, err
	} else if has {
		if g.Pool, err = k.pool.Get(ctx); err != nil {
			return nil, err
		}
	}
	return g, k.ozone.Walk(ctx, nil, func(_ []byte, o sdspb.Ozone) (bool, error) {
		g.Ozone = append(g.Ozone, o)
		return false, nil
	})
}
