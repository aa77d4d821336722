package sdc

import (
	"context"
	"errors"

	"cosmossdk.io/collections"

	"github.com/stratosmesh/stratos/chain/x/sdc/sdcpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// DefaultGenesis has no orders.
func DefaultGenesis() *sdcpb.GenesisState { return &sdcpb.GenesisState{} }

func live(s sdcpb.OrderStatus) bool { return s == sdcpb.OrderOpen || s == sdcpb.OrderClaimed }

// ValidateGenesis tells what in a genesis cannot be.
func ValidateGenesis(g *sdcpb.GenesisState) error {
	seen := map[uint64]bool{}
	for _, o := range g.Orders {
		if o.Number < 1 || o.Number > g.Last || seen[o.Number] || len(o.Owner) != len(mesh.Account{}) || len(o.Task) != len(compute.Digest{}) || o.Price.IsNil() || !o.Price.IsPositive() ||
			o.Status < sdcpb.OrderOpen || o.Status > sdcpb.OrderReturned || o.Status == sdcpb.OrderClaimed && len(o.Taker) != len(mesh.Account{}) {
			return mesh.Errorf(mesh.Invalid, "sdc: order %d stands twice, or is malformed", o.Number)
		}
		seen[o.Number] = true
		if !live(o.Status) {
			continue
		}
		t, err := compute.DecodeOrder(o.Text)
		if err != nil {
			return err
		}
		if d := compute.TaskDigest(t); string(d[:]) != string(o.Task) {
			return mesh.Errorf(mesh.Invalid, "sdc: the text of order %d is another task's", o.Number)
		}
	}
	return nil
}

// InitGenesis fills the state. What it owes lies on its account.
func (k *Keeper) InitGenesis(ctx context.Context, g *sdcpb.GenesisState) error {
	if err := k.last.Set(ctx, g.Last); err != nil {
		return err
	}
	for _, o := range g.Orders {
		if live(o.Status) {
			if err := k.open.Set(ctx, o.Number); err != nil {
				return err
			}
		}
		if err := k.orders.Set(ctx, o.Number, o); err != nil {
			return err
		}
	}
	return nil
}

// ExportGenesis writes the state down.
func (k *Keeper) ExportGenesis(ctx context.Context) (*sdcpb.GenesisState, error) {
	g := DefaultGenesis()
	var err error
	if g.Last, err = k.last.Get(ctx); err != nil && !errors.Is(err, collections.ErrNotFound) {
		return nil, err
	}
	return g, k.orders.Walk(ctx, nil, func(_ uint64, o sdcpb.Order) (bool, error) {
		g.Orders = append(g.Orders, o)
		return false, nil
	})
}
