// Package sdd is the module that anchors databases: what one held at a height of its cell, as more than two thirds of the authorities
// say that 2f+1 of its replicas have certified, so that contracts and auditors can hold a copy against it.
//
// It keeps the newest anchor of each database. Module register says who the authorities are.
package sdd

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/store"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/chain/x/sdd/sddpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ModuleName names the module and its store.
const ModuleName = "sdd"

// gasPerSignature is what checking one ed25519 signature costs, as much as the SDK charges for a signer's own.
const gasPerSignature = 3000

// Registry says who signs.
type Registry interface {
	Present(ctx context.Context) ([]registerpb.Authority, error)
	Network(ctx context.Context) (mesh.NetworkID, error)
}

// A Keeper holds the module's state.
type Keeper struct {
	registry Registry
	anchors  collections.Map[[]byte, sddpb.Anchored]
}

// NewKeeper uses the store named ModuleName.
func NewKeeper(cdc codec.BinaryCodec, s store.KVStoreService, registry Registry) (*Keeper, error) {
	b := collections.NewSchemaBuilder(s)
	k := &Keeper{registry: registry, anchors: collections.NewMap(b, collections.NewPrefix(0), "anchors", collections.BytesKey, codec.CollValue[sddpb.Anchored](cdc))}
	_, err := b.Build()
	return k, err
}

// Anchor keeps an anchor, if enough of the present authorities signed it and it is newer than the database's last. Who posts it does not
// matter.
func (k *Keeper) Anchor(ctx context.Context, anchor []byte, signed []report.Signed) error {
	a, err := database.DecodeAnchor(anchor)
	if err != nil {
		return err
	}
	_, last, err := k.Newest(ctx, mesh.DatabaseID(a.Database))
	switch {
	case err == nil && (string(last.Owner) != string(a.Owner) || last.LogHeight >= a.LogHeight):
		return mesh.Errorf(mesh.Conflict, "database %x is anchored at height %d of its cell's log", a.Database, last.LogHeight)
	case err != nil && mesh.KindOf(err) != mesh.NotFound:
		return err
	}
	present, err := k.registry.Present(ctx)
	if err != nil {
		return err
	}
	network, err := k.registry.Network(ctx)
	if err != nil {
		return err
	}
	keys := make(map[mesh.AuthorityID]mesh.PublicKey, len(present))
	for _, a := range present {
		keys[mesh.AuthorityID(a.Id)] = mesh.PublicKey(a.ReportKey)
	}
	c := sdk.UnwrapSDKContext(ctx)
	c.GasMeter().ConsumeGas(gasPerSignature*uint64(min(len(signed), report.MaxAuthorities)), "signatures of an anchor")
	if err := report.VerifySigned(network, sign.Anchor, keys, anchor, signed); err != nil {
		return err
	}
	return k.anchors.Set(ctx, a.Database, sddpb.Anchored{Anchor: anchor, Height: c.BlockHeight()})
}

// Newest returns a database's newest anchor; NotFound where there is none.
func (k *Keeper) Newest(ctx context.Context, id mesh.DatabaseID) (sddpb.Anchored, *wirepb.Anchor, error) {
	kept, err := k.anchors.Get(ctx, id[:])
	if errors.Is(err, collections.ErrNotFound) {
		return kept, nil, mesh.Errorf(mesh.NotFound, "database %s was never anchored", id)
	}
	if err != nil {
		return kept, nil, err
	}
	a, err := database.DecodeAnchor(kept.Anchor)
	return kept, a, err
}
