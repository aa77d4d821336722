// Package outbox appends facts for the meta layer to a store of their own. Package protocol/outbox states keys, records
// and limits. The other modules call it; it has no messages and no genesis of its own, because with each genesis the
// modules write what is true then, from sequence 0.
package outbox

import (
	"context"
	"errors"

	"cosmossdk.io/core/store"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Keeper appends to the outbox.
type Keeper struct{ store store.KVStoreService }

// NewKeeper uses the store named outbox.StoreKey.
func NewKeeper(s store.KVStoreService) Keeper { return Keeper{s} }

// Append writes a record under the next sequence number. The height is set here.
func (k Keeper) Append(ctx context.Context, r *wirepb.OutboxRecord) error {
	r.Height = uint64(max(sdk.UnwrapSDKContext(ctx).BlockHeight(), 0))
	if err := outbox.Check(r); err != nil {
		return err
	}
	n, err := k.Count(ctx)
	if err != nil {
		return err
	}
	s := k.store.OpenKVStore(ctx)
	return errors.Join(
		s.Set(outbox.RecordKey(outbox.Sequence(n)), outbox.Encode(r)),
		s.Set(outbox.HeadKey(), outbox.EncodeHead(n+1)),
	)
}

// Count is the number of records.
func (k Keeper) Count(ctx context.Context) (uint64, error) {
	b, err := k.store.OpenKVStore(ctx).Get(outbox.HeadKey())
	if err != nil || b == nil {
		return 0, err
	}
	return outbox.DecodeHead(b)
}

// Record reads one record.
func (k Keeper) Record(ctx context.Context, s outbox.Sequence) (*wirepb.OutboxRecord, error) {
	b, err := k.store.OpenKVStore(ctx).Get(outbox.RecordKey(s))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, mesh.Errorf(mesh.NotFound, "the outbox has no record %d", s)
	}
	return outbox.Decode(b)
}
