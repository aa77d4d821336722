package sdd

import (
	"context"

	"github.com/stratosmesh/stratos/chain/x/sdd/sddpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
)

// DefaultGenesis has no anchors.
func DefaultGenesis() *sddpb.GenesisState { return &sddpb.GenesisState{} }

// ValidateGenesis tells what in a genesis cannot be.
func ValidateGenesis(g *sddpb.GenesisState) error {
	seen := map[string]bool{}
	for _, kept := range g.Anchors {
		a, err := database.DecodeAnchor(kept.Anchor)
		if err != nil {
			return err
		}
		if seen[string(a.Database)] || kept.Height < 0 {
			return mesh.Errorf(mesh.Invalid, "sdd: the anchor of database %x stands twice, or before the first block", a.Database)
		}
		seen[string(a.Database)] = true
	}
	return nil
}

// InitGenesis fills the state.
func (k *Keeper) InitGenesis(ctx context.Context, g *sddpb.GenesisState) error {
	for _, kept := range g.Anchors {
		a, err := database.DecodeAnchor(kept.Anchor)
		if err != nil {
			return err
		}
		if err := k.anchors.Set(ctx, a.Database, kept); err != nil {
			return err
		}
	}
	return nil
}

// ExportGenesis writes the state down.
func (k *Keeper) ExportGenesis(ctx context.Context) (*sddpb.GenesisState, error) {
	g := DefaultGenesis()
	return g, k.anchors.Walk(ctx, nil, func(_ []byte, kept sddpb.Anchored) (bool, error) {
		g.Anchors = append(g.Anchors, kept)
		return false, nil
	})
}
