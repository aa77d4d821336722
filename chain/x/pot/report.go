package pot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// gasPerSignature is what checking one ed25519 signature costs, as much as the SDK charges for a signer's own.
const gasPerSignature = 3000

// SubmitReport opens the report that header describes, if enough present authorities signed it, it is the next one,
// and its epoch is over. Who posts it does not matter.
func (k *Keeper) SubmitReport(ctx context.Context, header []byte, signed []report.Signed) error {
	h, err := report.DecodeHeader(header)
	if err != nil {
		return err
	}
	if w, open, err := k.openWork(ctx); err != nil {
		return err
	} else if open {
		return mesh.Errorf(mesh.Unavailable, "the report of epoch %d is not final yet", w.Epoch)
	}
	next, err := get(ctx, k.next)
	if err != nil {
		return err
	}
	if uint64(h.FromEpoch) != next {
		return mesh.Errorf(mesh.Conflict, "the report begins with epoch %d, the next one begins with %d", h.FromEpoch, next)
	}
	if err := k.followsLast(ctx, h, next); err != nil {
		return err
	}
	now, err := k.Registry.Epoch(ctx)
	if err != nil {
		return err
	}
	if h.Epoch >= now {
		return mesh.Errorf(mesh.Unavailable, "epoch %d is not over, this is epoch %d", h.Epoch, now)
	}
	present, err := k.Registry.Present(ctx)
	if err != nil {
		return err
	}
	registered := make(map[mesh.AuthorityID]mesh.PublicKey, len(present))
	for _, a := range present {
		registered[mesh.AuthorityID(a.Id)] = mesh.PublicKey(a.ReportKey)
	}
	network, err := k.Registry.Network(ctx)
	if err != nil {
		return err
	}
	sdk.UnwrapSDKContext(ctx).GasMeter().ConsumeGas(gasPerSignature*uint64(min(len(signed), report.MaxAuthorities)), "signatures of a report")
	if err := report.VerifySigned(network, sign.Report, registered, header, signed); err != nil {
		return err
	}
	carried, err := get(ctx, k.carried)
	if err != nil {
		return err
	}
	hash := report.Hash(header)
	w := potpb.Work{Epoch: uint64(h.Epoch), Line: newLine(h.Epoch, h.FromEpoch, carried), NodePart: math.ZeroInt(), NodePaid: math.ZeroInt()}
	r := potpb.Report{Header: header, HeaderHash: hash[:], Status: potpb.ReportOpen, Signed: uint32(len(signed)), Authorities: uint32(len(present))}
	return k.await(ctx, h, &w, &r)
}

// followsLast refuses a header whose meta layer is older than that of the last report.
func (k *Keeper) followsLast(ctx context.Context, h *report.Header, next uint64) error {
	if next == 0 {
		return nil
	}
	r, err := k.reports.Get(ctx, next-1)
	if err != nil {
		return err
	}
	last, err := report.DecodeHeader(r.Header)
	if err != nil {
		return err
	}
	if h.MetaHeight < last.MetaHeight {
		return mesh.Errorf(mesh.Conflict, "the report is of meta height %d, the last one was of %d", h.MetaHeight, last.MetaHeight)
	}
	return nil
}

// await moves on to the next table that has pages, or to settlement when there is none, and stores report and work.
func (k *Keeper) await(ctx context.Context, h *report.Header, w *potpb.Work, r *potpb.Report) error {
	for w.Table < uint32(report.Tables) && w.Page == h.Tables[w.Table].Pages {
		if want := h.Tables[w.Table].Noz; w.TableNoz != uint64(want) {
			return mesh.Errorf(mesh.Invalid, "table %d sums to %d noz, the header says %d", w.Table, w.TableNoz, want)
		}
		w.Table, w.Page, w.TableNoz, w.TableLeaves, w.LastKey = w.Table+1, 0, 0, 0, nil
	}
	if w.Table == uint32(report.Tables) {
		if w.FeesClaimed != uint64(h.Fees) {
			return mesh.Errorf(mesh.Invalid, "the debits hold %d noz of fees, the header says %d", w.FeesClaimed, h.Fees)
		}
		w.Phase, r.Status = potpb.PhaseRank, potpb.ReportSettling
	}
	r.NextTable, r.NextPage = w.Table, w.Page
	return errors.Join(k.work.Set(ctx, *w), k.reports.Set(ctx, w.Epoch, *r))
}

// SubmitPage applies the next page of the open report. Pages come in order, each once; one that fails leaves nothing.
func (k *Keeper) SubmitPage(ctx context.Context, epoch mesh.Epoch, table report.Table, index uint32, envelope []byte) error {
	w, open, err := k.openWork(ctx)
	if err != nil {
		return err
	}
	if !open || w.Epoch != uint64(epoch) || w.Phase != potpb.PhasePages {
		return mesh.Errorf(mesh.Conflict, "no report of epoch %d awaits pages", epoch)
	}
	if uint32(table) != w.Table || index != w.Page {
		return mesh.Errorf(mesh.Conflict, "page %d of table %d is not awaited, but page %d of table %d", index, table, w.Page, w.Table)
	}
	r, err := k.reports.Get(ctx, w.Epoch)
	if err != nil {
		return err
	}
	h, err := report.DecodeHeader(r.Header)
	if err != nil {
		return err
	}
	p, err := report.OpenPage(h, table, index, envelope)
	if err != nil {
		return err
	}
	if table.IsDebits() {
		err = k.applyDebits(ctx, h, &w, p.Debits)
	} else {
		err = k.applyVolumes(ctx, h, &w, p.Volumes)
	}
	if err != nil {
		return fmt.Errorf("page %d of table %d: %w", index, table, err)
	}
	w.Page++
	return k.await(ctx, h, &w, &r)
}

// place reads where the table's last leaf stands.
func place(w *potpb.Work) (p report.Place, first bool) {
	copy(p[:], w.LastKey)
	return p, len(w.LastKey) == 0
}

// claim adds a leaf to the table's sum, which stays within what the header says.
func claim(h *report.Header, w *potpb.Work, noz mesh.Noz) error {
	if uint64(noz) > uint64(h.Tables[w.Table].Noz)-w.TableNoz {
		return mesh.Errorf(mesh.Invalid, "the leaves sum to more than the header's %d noz", h.Tables[w.Table].Noz)
	}
	w.TableNoz += uint64(noz)
	w.TableLeaves++
	return nil
}

func (k *Keeper) applyVolumes(ctx context.Context, h *report.Header, w *potpb.Work, volumes []report.Volume) error {
	kind := uint64(report.Table(w.Table).Kind())
	for _, v := range volumes {
		if last, first := place(w); !first && !v.Follows(last) {
			return mesh.Errorf(mesh.Invalid, "node %s does not follow the node before it", v.Node)
		}
		if err := k.slots.Set(ctx, collections.Join(kind, uint64(w.TableLeaves)), potpb.ShareSlot{Node: v.Node[:], Left: uint64(v.Noz)}); err != nil {
			return err
		}
		if err := claim(h, w, v.Noz); err != nil {
			return err
		}
		at := v.Place()
		w.LastKey = at[:]
	}
	return nil
}

// A debitPage collects what a page changes, so that each slot and each node is written once.
type debitPage struct {
	slots map[uint64]potpb.ShareSlot
	fresh map[mesh.NodeID]mesh.Noz
}

func (k *Keeper) applyDebits(ctx context.Context, h *report.Header, w *potpb.Work, debits []report.Debit) error {
	kind := uint64(report.Table(w.Table).Kind())
	page := debitPage{map[uint64]potpb.ShareSlot{}, map[mesh.NodeID]mesh.Noz{}}
	for _, d := range debits {
		if last, first := place(w); !first && !d.Follows(last) {
			return mesh.Errorf(mesh.Invalid, "account %s does not follow the account before it", d.Account)
		}
		if err := claim(h, w, d.Noz); err != nil {
			return err
		}
		if uint64(d.Fees) > uint64(h.Fees)-w.FeesClaimed {
			return mesh.Errorf(mesh.Invalid, "the fees sum to more than the header's %d noz", h.Fees)
		}
		w.FeesClaimed += uint64(d.Fees)
		if err := k.applyDebit(ctx, w, kind, d, page); err != nil {
			return fmt.Errorf("account %s: %w", d.Account, err)
		}
		at := d.Place()
		w.LastKey = at[:]
	}
	for _, i := range slices.Sorted(maps.Keys(page.slots)) {
		if err := k.slots.Set(ctx, collections.Join(kind, i), page.slots[i]); err != nil {
			return err
		}
	}
	nodes := slices.SortedFunc(maps.Keys(page.fresh), func(a, b mesh.NodeID) int { return slices.Compare(a[:], b[:]) })
	for _, n := range nodes {
		v, err := k.fresh.Get(ctx, n[:])
		if err != nil && !errors.Is(err, collections.ErrNotFound) {
			return err
		}
		if err := k.fresh.Set(ctx, n[:], v+uint64(page.fresh[n])); err != nil {
			return err
		}
	}
	return nil
}

// applyDebit takes what an account owes from its balance. What is not there is clipped: first the fees, then every
// share alike, rounded down, so that the nodes are paid no more than was taken.
func (k *Keeper) applyDebit(ctx context.Context, w *potpb.Work, kind uint64, d report.Debit, page debitPage) error {
	balance, err := k.Ozone.Balance(ctx, d.Account)
	if err != nil {
		return err
	}
	fees := min(d.Fees, balance-min(balance, d.Noz))
	taken := fees
	for _, s := range d.Shares {
		slot, ok := page.slots[uint64(s.Node)]
		if !ok {
			if slot, err = k.slots.Get(ctx, collections.Join(kind, uint64(s.Node))); errors.Is(err, collections.ErrNotFound) {
				return mesh.Errorf(mesh.Invalid, "the volume table has no node %d", s.Node)
			} else if err != nil {
				return err
			}
		}
		if uint64(s.Noz) > slot.Left {
			return mesh.Errorf(mesh.Invalid, "node %x is paid for more than its volume", slot.Node)
		}
		slot.Left -= uint64(s.Noz)
		page.slots[uint64(s.Node)] = slot
		if paid := economy.Clip(s.Noz, balance, d.Noz); paid > 0 {
			page.fresh[mesh.NodeID(slot.Node)] += paid
			taken += paid
		}
	}
	w.Line.Taken += uint64(taken)
	w.Line.Returned += uint64(fees)
	w.Line.Clipped += uint64(d.Noz + d.Fees - taken)
	if taken == 0 {
		return nil
	}
	return k.Ozone.Debit(ctx, d.Account, taken, mesh.Epoch(w.Epoch))
}

// Abandon ends an open report whose pages nobody can deliver: what its pages took so far is settled.
func (k *Keeper) Abandon(ctx context.Context, epoch mesh.Epoch) error {
	w, open, err := k.openWork(ctx)
	if err != nil {
		return err
	}
	if !open || w.Epoch != uint64(epoch) || w.Phase != potpb.PhasePages {
		return mesh.Errorf(mesh.Conflict, "no report of epoch %d awaits pages", epoch)
	}
	r, err := k.reports.Get(ctx, w.Epoch)
	if err != nil {
		return err
	}
	w.Abandoned, w.Phase, r.Status = true, potpb.PhaseRank, potpb.ReportSettling
	return errors.Join(k.work.Set(ctx, w), k.reports.Set(ctx, w.Epoch, r))
}
