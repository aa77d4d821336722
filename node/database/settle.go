package database

import (
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// lateTime is how long a certificate waits for the signatures of all members, so that one that is handed in pays all of them.
const lateTime = 3 * time.Second

// A certified is how far a host is with having its cell's newest certificate settled. It belongs to the goroutine that watches.
type certified struct {
	height  int64     // of the certificate
	since   time.Time // it is known
	settled int64     // height of the one that the log has settled
	waiting time.Time // since when there is more to be settled
	handed  uint32    // members whose signatures were handed in with the certificate, by place
}

// settle hands the newest certificate in to the log, which pays the members for it. Every member's node does so, one after the other,
// and with signatures that come late once more; the log takes each once.
func (r *hosted) settle(ctx context.Context, d *transfer.Dialer, s *wirepb.CellStatus) error {
	r.mu.Lock()
	cell, c := r.cell, r.config
	r.mu.Unlock()
	if cell == nil || s.Checkpoint == 0 || s.Checkpoint < cell.SettledHeight {
		return nil
	}
	now, x, all := time.Now(), &r.certified, len(c.Members)
	if x.height != s.Checkpoint {
		if cell.SettledHeight >= x.height { // nothing has waited until now
			x.waiting = now
		}
		x.height, x.since, x.handed = s.Checkpoint, now, 0
	}
	if x.settled != cell.SettledHeight {
		x.settled, x.waiting = cell.SettledHeight, now
	}
	known := x.handed
	if cell.SettledHeight == s.Checkpoint {
		known |= cell.SettledMembers
	}
	place := slices.IndexFunc(c.Members, func(m replica.Member) bool { return m.Node == r.host.opts.Node })
	if bits.OnesCount32(known) == all || now.Sub(x.waiting) < time.Duration(place)*r.host.opts.Turn {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	cert := new(wirepb.Certificate)
	hc, err := d.Client(r.key)
	if err == nil {
		err = rpc.Call(asking, hc, "https://"+c.Service+wirepb.CellCertificatePath, wiredatabase.MaxReply, new(wirepb.CertificateRequest), cert)
	}
	if err != nil {
		return err
	}
	m := wiredatabase.NewSettlement(r.host.opts.Node, cert, now.UnixMilli())
	p, signers, err := wiredatabase.CheckSettlement(r.host.opts.Domain, m, c.AnswerKeys())
	switch {
	case err != nil:
		return err
	case p.Height != s.Checkpoint || signers&^known == 0: // there is another since, or nothing new
		return nil
	case bits.OnesCount32(signers) < all && now.Sub(x.since) < lateTime && now.Sub(x.waiting) < 3*lateTime:
		return nil
	}
	err = r.host.meta.Submit(asking, wire.Encode(&wirepb.Tx{Kind: wirepb.TxKind_TX_CELL_SETTLEMENT,
		Message: signed.Seal(r.host.opts.Domain, r.host.opts.Key, sign.Certified, m)}))
	if err != nil && mesh.KindOf(err) != mesh.Conflict { // another member was faster
		return mesh.Errorf(mesh.KindOf(err), "handing in the certificate of height %d: %w", p.Height, err)
	}
	x.handed |= signers
	return nil
}
