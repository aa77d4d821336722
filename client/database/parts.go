package database

import (
	"context"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// parts are what a large program is divided into. Of a small one there are none.
type parts struct {
	db       *DB
	data     [][]byte
	envelope wirepb.Envelope // what it says of them
	rounds   int             // in which they were delivered
}

const (
	// partsAtOnce is how many parts are under way at once: a cell takes 4 MiB of a database's.
	partsAtOnce = 6
	// partTime bounds one attempt to give a part to one replica.
	partTime = 10 * time.Second
	// partsTime bounds the delivery of all parts, partKept how long the cell keeps them for the envelope.
	partsTime = wiredatabase.MaxAheadMs / 4 * time.Millisecond
	partKept  = wiredatabase.MaxAheadMs / 2 * time.Millisecond
)

// deliver gives all parts to the cell. It asks one replica, and others when that fails: a part cannot be falsified, and whether all
// are there, the envelope tells. In each round another replica comes first.
func (p *parts) deliver(ctx context.Context) error {
	if p.data == nil {
		return nil
	}
	d := p.db
	ctx, cancel := context.WithTimeout(ctx, partsTime)
	defer cancel()
	d.mu.Lock()
	first := d.first + p.rounds
	d.mu.Unlock()
	p.rounds++
	notAfter := time.Now().Add(partKept).UnixMilli()
	errs := make(chan error, partsAtOnce)
	next := make(chan []byte)
	var all sync.WaitGroup
	for range min(partsAtOnce, len(p.data)) {
		all.Go(func() {
			for data := range next {
				m := &wirepb.ProgramPart{Database: d.id[:], Data: data, NotAfterMs: notAfter}
				tx := &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_PART, Messages: []*wirepb.Signed{d.sign(sign.Program, m)}}
				if err := d.deliverPart(ctx, first, tx); err != nil {
					errs <- err
					cancel() // one that is missing is as bad as all
					return
				}
			}
		})
	}
	for _, data := range p.data {
		select {
		case next <- data:
		case <-ctx.Done():
		}
	}
	close(next)
	all.Wait()
	select {
	case err := <-errs: // the first: others follow from it
		return err
	default:
	}
	if ctx.Err() != nil {
		return mesh.Errorf(mesh.Unavailable, "the parts of the program were not all taken in time: %w", ctx.Err())
	}
	return nil
}

// deliverPart gives a part to a member, from first on, until one has applied it. So many refusals of one kind that one of those who
// refuse is honest are an error.
func (d *DB) deliverPart(ctx context.Context, first int, tx *wirepb.CellTx) error {
	n := len(d.cell.Members)
	refused := make([]error, n)
	for k := 0; ; k++ {
		i := (first + k) % n
		attempt, cancel := context.WithTimeout(ctx, partTime)
		err := d.admitted(attempt, i, wirepb.CellSubmitPath, tx, new(wirepb.DatabaseReply))
		cancel()
		if err == nil {
			return nil
		}
		if decided(err) {
			refused[i] = err
			same := 0
			for _, o := range refused {
				if o != nil && mesh.KindOf(o) == mesh.KindOf(err) {
					same++
				}
			}
			if same > d.cell.Faults() {
				return err
			}
		}
		pause := time.Duration(0)
		if (k+1)%n == 0 {
			pause = d.opts.Retry
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return mesh.Errorf(mesh.Unavailable, "no replica took a part of the program in time: %w", err)
		}
	}
}
