package pot

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// stepsPerBlock bounds the nodes that a block ranks, selects, pays or cleans up after. 10,000 nodes settle in about
// 40 blocks.
const stepsPerBlock = 1000

// EndBlock does a block's share of the open report's settlement. A step that fails leaves nothing behind and is tried
// again in the next block: a block is never refused for it.
func (k *Keeper) EndBlock(ctx context.Context) error {
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	cached, write := sdkCtx.CacheContext()
	if err := k.settleSafely(cached); err != nil {
		sdkCtx.Logger().Error("settlement does not go on; it will be tried again", "error", err)
		return nil
	}
	write()
	return nil
}

func (k *Keeper) settleSafely(ctx sdk.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	w, open, err := k.openWork(ctx)
	if err != nil || !open {
		return err
	}
	for left := stepsPerBlock; left > 0 && w.Phase != potpb.PhasePages; {
		used, done, err := k.step(ctx, &w, left)
		if err != nil {
			return fmt.Errorf("%s of epoch %d: %w", w.Phase, w.Epoch, err)
		}
		if done {
			return nil
		}
		left -= used
	}
	return k.work.Set(ctx, w)
}

// step does at most limit units of the current phase and moves on to the next when there is no more to do. done tells
// that the report is final.
func (k *Keeper) step(ctx context.Context, w *potpb.Work, limit int) (used int, done bool, err error) {
	switch w.Phase {
	case potpb.PhaseRank:
		used, err = k.rank(ctx, w, limit)
		if err == nil && used < limit {
			w.Phase = potpb.PhaseSelect
			w.Standing, err = get(ctx, k.carried)
		}
	case potpb.PhaseSelect:
		used, err = k.selectLargest(ctx, w, limit)
		if err == nil && used < limit {
			w.Phase = potpb.PhaseDue
		}
	case potpb.PhaseDue:
		used, err = k.selectOldest(ctx, w, limit)
		if err == nil && used < limit {
			w.Phase = potpb.PhasePay
			err = k.price(ctx, w)
		}
	case potpb.PhasePay:
		used, err = k.payNodes(ctx, w, limit)
		if err == nil && used < limit {
			w.Phase = potpb.PhaseClean
			err = k.closeLine(ctx, w)
		}
	case potpb.PhaseClean:
		used, err = k.clean(ctx, limit)
		if err == nil && used < limit {
			return used, true, k.finish(ctx, w)
		}
	default:
		err = fmt.Errorf("unknown phase %d", w.Phase)
	}
	return used + 1, false, err // the change of phase counts, so that a block's loop ends
}

// rank lets fresh volumes join what their nodes carry.
func (k *Keeper) rank(ctx context.Context, w *potpb.Work, limit int) (int, error) {
	fresh, err := firstEntries(ctx, k.fresh, limit)
	if err != nil {
		return 0, err
	}
	for _, f := range fresh {
		c, err := k.takeCarry(ctx, f.Key)
		if errors.Is(err, collections.ErrNotFound) {
			c = potpb.Carry{Node: f.Key, Since: w.Epoch}
		} else if err != nil {
			return 0, err
		}
		c.Noz += f.Value
		if err := errors.Join(k.putCarry(ctx, c), k.fresh.Remove(ctx, f.Key)); err != nil {
			return 0, err
		}
	}
	return len(fresh), nil
}

// falling turns an amount into a key that sorts from large to small.
func falling(noz uint64) uint64 { return math.MaxUint64 - noz }

func (k *Keeper) putCarry(ctx context.Context, c potpb.Carry) error {
	total, err := get(ctx, k.carried)
	if err != nil {
		return err
	}
	return errors.Join(
		k.carries.Set(ctx, c.Node, c),
		k.byVolume.Set(ctx, collections.Join(falling(c.Noz), c.Node)),
		k.bySince.Set(ctx, collections.Join(c.Since, c.Node)),
		k.carried.Set(ctx, total+c.Noz),
	)
}

func (k *Keeper) takeCarry(ctx context.Context, node nodeKey) (potpb.Carry, error) {
	c, err := k.carries.Get(ctx, node)
	if err != nil {
		return c, err
	}
	total, err := get(ctx, k.carried)
	if err != nil {
		return c, err
	}
	return c, errors.Join(
		k.carries.Remove(ctx, node),
		k.byVolume.Remove(ctx, collections.Join(falling(c.Noz), node)),
		k.bySince.Remove(ctx, collections.Join(c.Since, node)),
		k.carried.Set(ctx, total-c.Noz),
	)
}

// selectLargest settles the largest volumes until they are 80 % of all that stand.
func (k *Keeper) selectLargest(ctx context.Context, w *potpb.Work, limit int) (used int, err error) {
	nodes, err := firstNodes(ctx, k.byVolume, limit, func(uint64) bool { return true })
	if err != nil {
		return 0, err
	}
	for _, n := range nodes {
		if economy.TopReached(mesh.Noz(w.Selected), mesh.Noz(w.Standing)) {
			return used, nil
		}
		noz, err := k.settleNode(ctx, w, n)
		if err != nil {
			return used, err
		}
		w.Selected += noz
		used++
	}
	return used, nil
}

// selectOldest settles what has waited as long as a carry may.
func (k *Keeper) selectOldest(ctx context.Context, w *potpb.Work, limit int) (used int, err error) {
	p, err := k.params.Get(ctx)
	if err != nil {
		return 0, err
	}
	nodes, err := firstNodes(ctx, k.bySince, limit, func(since uint64) bool { return since+p.MaxCarryEpochs <= w.Epoch })
	if err != nil {
		return 0, err
	}
	for _, n := range nodes {
		if _, err := k.settleNode(ctx, w, n); err != nil {
			return used, err
		}
		used++
	}
	return used, nil
}

// settleNode takes a node's volume out of the carries. That of a node that is gone returns to the pool.
func (k *Keeper) settleNode(ctx context.Context, w *potpb.Work, node nodeKey) (noz uint64, err error) {
	c, err := k.takeCarry(ctx, node)
	if err != nil {
		return 0, err
	}
	_, registered, err := k.Registry.NodeOperator(ctx, mesh.NodeID(node))
	if err != nil {
		return 0, err
	}
	if !registered {
		w.Line.Returned += c.Noz
		return c.Noz, nil
	}
	w.Line.Settled += c.Noz
	return c.Noz, k.settling.Set(ctx, node, c.Noz)
}

// price computes the reward of what settles and pays every part but the nodes'. The reward is priced before fees and
// other returned ozone go back, so that these change nobody's reward.
func (k *Keeper) price(ctx context.Context, w *potpb.Work) error {
	carried, err := get(ctx, k.carried)
	if err != nil {
		return err
	}
	w.Line.CarriedOut = carried
	pool, _, err := k.Ozone.Pool(ctx)
	if err != nil {
		return err
	}
	w.Line.PoolDeposits, w.Line.PoolPrepaid = sdkmath.NewIntFromBigInt(pool.Deposits), sdkmath.NewIntFromBigInt(pool.Prepaid)
	w.Line.PoolRemaining = sdkmath.NewIntFromBigInt(pool.Remaining)
	reward, err := k.Ozone.Settle(ctx, mesh.Noz(w.Line.Settled), ModuleName)
	if err != nil {
		return err
	}
	if err := k.Ozone.Return(ctx, mesh.Noz(w.Line.Returned)); err != nil {
		return err
	}
	split := economy.SplitReward(reward)
	authorities, err := k.payAuthorities(ctx, w, split.Authorities)
	if err != nil {
		return err
	}
	if split.Chain.Sign() > 0 {
		if err := k.Bank.SendCoinsFromModuleToModule(ctx, ModuleName, k.FeeCollector, k.coins(split.Chain)); err != nil {
			return err
		}
	}
	if err := k.fundCommunity(ctx, split.Tax); err != nil {
		return err
	}
	remainder := new(big.Int).Sub(split.Authorities, authorities)
	remainder.Add(remainder, split.Remainder)
	l := &w.Line
	l.Reward, l.Tax, l.Chain = sdkmath.NewIntFromBigInt(reward), sdkmath.NewIntFromBigInt(split.Tax), sdkmath.NewIntFromBigInt(split.Chain)
	l.Authorities, l.Remainder = sdkmath.NewIntFromBigInt(authorities), sdkmath.NewIntFromBigInt(remainder)
	w.NodePart, w.NodePaid = sdkmath.NewIntFromBigInt(split.Nodes), sdkmath.ZeroInt()
	return nil
}

// payAuthorities shares part equally among the present authorities, rounded down, and returns what it paid.
func (k *Keeper) payAuthorities(ctx context.Context, w *potpb.Work, part *big.Int) (paid *big.Int, err error) {
	paid = new(big.Int)
	present, err := k.Registry.Present(ctx)
	if err != nil || len(present) == 0 {
		return paid, err
	}
	w.Line.Sharers = uint32(len(present))
	each := new(big.Int).Quo(part, big.NewInt(int64(len(present))))
	for _, a := range present {
		if err := k.earn(ctx, w, mesh.Account(a.Operator), each); err != nil {
			return nil, err
		}
		paid.Add(paid, each)
	}
	return paid, nil
}

// payNodes shares the nodes' part by volume. What a node would have got that went since it was selected stays over.
func (k *Keeper) payNodes(ctx context.Context, w *potpb.Work, limit int) (int, error) {
	entries, err := firstEntries(ctx, k.settling, limit)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		operator, ok, err := k.Registry.NodeOperator(ctx, mesh.NodeID(e.Key))
		if err != nil {
			return 0, err
		}
		if ok {
			amount := economy.Share(w.NodePart.BigInt(), mesh.Noz(e.Value), mesh.Noz(w.Line.Settled))
			if err := k.earn(ctx, w, operator, amount); err != nil {
				return 0, err
			}
			w.NodePaid = w.NodePaid.Add(sdkmath.NewIntFromBigInt(amount))
		}
		if err := k.settling.Remove(ctx, e.Key); err != nil {
			return 0, err
		}
	}
	return len(entries), nil
}

// closeLine gives what rounding left over to the community and writes the epoch's line into the ledger.
func (k *Keeper) closeLine(ctx context.Context, w *potpb.Work) error {
	w.Line.Nodes = w.NodePaid
	w.Line.Remainder = w.Line.Remainder.Add(w.NodePart.Sub(w.NodePaid))
	return errors.Join(k.fundCommunity(ctx, w.Line.Remainder.BigInt()), k.ledger.Set(ctx, w.Epoch, w.Line))
}

// clean drops the volume tables.
func (k *Keeper) clean(ctx context.Context, limit int) (int, error) {
	slots, err := firstEntries(ctx, k.slots, limit)
	if err != nil {
		return 0, err
	}
	for _, s := range slots {
		if err := k.slots.Remove(ctx, s.Key); err != nil {
			return 0, err
		}
	}
	return len(slots), nil
}

func (k *Keeper) finish(ctx context.Context, w *potpb.Work) error {
	r, err := k.reports.Get(ctx, w.Epoch)
	if err != nil {
		return err
	}
	r.Status = potpb.ReportFinal
	if w.Abandoned {
		r.Status = potpb.ReportAbandoned
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(sdk.NewEvent("report_final",
		sdk.NewAttribute("epoch", fmt.Sprint(w.Epoch)), sdk.NewAttribute("settled_noz", fmt.Sprint(w.Line.Settled)),
		sdk.NewAttribute("reward_wei", w.Line.Reward.String())))
	return errors.Join(
		k.reports.Set(ctx, w.Epoch, r),
		k.next.Set(ctx, w.Epoch+1),
		k.work.Remove(ctx),
		k.Outbox.Append(ctx, &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_ReportFinal{
			ReportFinal: &wirepb.ReportFinal{Epoch: w.Epoch, HeaderHash: r.HeaderHash}}}),
	)
}

// firstEntries reads at most limit entries of a map. Nothing may be removed from a map while it is walked.
func firstEntries[K, V any](ctx context.Context, m collections.Map[K, V], limit int) (entries []collections.KeyValue[K, V], err error) {
	err = m.Walk(ctx, nil, func(key K, v V) (bool, error) {
		entries = append(entries, collections.KeyValue[K, V]{Key: key, Value: v})
		return len(entries) == limit, nil
	})
	return entries, err
}

// firstNodes reads the nodes at the head of an order, as long as they are wanted, at most limit.
func firstNodes(ctx context.Context, s collections.KeySet[collections.Pair[uint64, nodeKey]], limit int, wanted func(uint64) bool) (nodes []nodeKey, err error) {
	err = s.Walk(ctx, nil, func(key collections.Pair[uint64, nodeKey]) (bool, error) {
		if !wanted(key.K1()) {
			return true, nil
		}
		nodes = append(nodes, key.K2())
		return len(nodes) == limit, nil
	})
	return nodes, err
}
