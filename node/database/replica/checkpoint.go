package replica

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const dropped = database.Dropped

// publishWait is after which time a signature that is not on the log is looked after: the checkpoint may have been given up.
const publishWait = 2 * time.Second

// A job is a checkpoint whose databases are pinned, to be read through beside the log.
type job struct {
	checkpoint *wirepb.Checkpoint
	state      *pebble.Snapshot // nil when the state has gone on since
	pinned     []pinned
	backups    [][]byte // databases to be copied, by id
}

type pinned struct {
	id       mesh.DatabaseID
	snapshot *engine.Snapshot
}

// checkpoint pins the databases as the pending checkpoint has them, and hands them over. One that waits still is given up: what was
// asked for last counts.
func (a *app) checkpoint() error {
	v := a.view()
	p := v.pending()
	if v.fault != nil || p == nil {
		return v.fault
	}
	j, err := a.pin(p.Checkpoint)
	if err != nil || j == nil {
		return err
	}
	if j.backups = v.wanted(p.Checkpoint); v.fault != nil {
		return errors.Join(v.fault, a.unpin(j))
	}
	select {
	case old := <-a.jobs:
		err = a.unpin(old)
	default:
	}
	a.jobs <- j // only this goroutine sends
	return err
}

// pin takes a snapshot of each database of a checkpoint, nil when one of them has gone on since.
func (a *app) pin(c *wirepb.Checkpoint) (*job, error) {
	j := &job{checkpoint: c}
	if tip := a.view().tip(); tip.Height == c.Height {
		j.state = a.db.NewSnapshot()
	}
	for _, d := range c.Databases {
		id := mesh.DatabaseID(d.Database)
		f, err := a.files.use(id)
		if mesh.KindOf(err) == mesh.NotFound && err != nil {
			return nil, a.unpin(j)
		}
		if err != nil {
			return nil, errors.Join(err, a.unpin(j))
		}
		s, err := f.Snapshot()
		if err != nil {
			return nil, errors.Join(err, a.files.done(id), a.unpin(j))
		}
		j.pinned = append(j.pinned, pinned{id, s})
		switch sum := s.Digest(); {
		case s.Height() > uint64(d.Height):
			return nil, a.unpin(j)
		case s.Height() < uint64(d.Height) || string(sum[:]) != string(d.Digest):
			return nil, errors.Join(mesh.Errorf(mesh.Corrupt, "database %s is at height %d, and should be at %d", id, s.Height(), d.Height), a.unpin(j))
		}
	}
	return j, nil
}

func (a *app) unpin(j *job) error {
	var errs []error
	for _, p := range j.pinned {
		errs = append(errs, p.snapshot.Close(), a.files.done(p.id))
	}
	j.pinned = nil
	if j.state != nil {
		errs = append(errs, j.state.Close())
		j.state = nil
	}
	return errors.Join(errs...)
}

// resume takes up a checkpoint that this replica had not signed when it ended.
func (a *app) resume(own int) error {
	v := a.view()
	p := v.pending()
	if p == nil || p.Certified || v.has(key(voteKey, []byte{byte(own)})) || v.fault != nil {
		return v.fault
	}
	return a.checkpoint()
}

// A known content is that of a database at a height, so that one that nobody writes to is read once.
type known struct {
	height  int64
	content [32]byte
}

// checkpoints reads databases through and has the digests signed and put on the log, until ctx ends.
func (a *app) checkpoints(ctx context.Context, seal func(*wirepb.Checkpoint) *wirepb.Signed, submit func(context.Context, []byte) error) error {
	contents := map[mesh.DatabaseID]known{}
	for {
		select {
		case <-ctx.Done():
			select {
			case j := <-a.jobs:
				return a.unpin(j)
			default:
				return nil
			}
		case j := <-a.jobs:
			err := a.scan(ctx, j, contents)
			if err == nil && j.state != nil {
				a.exports.make(ctx, j)
			}
			if err == nil {
				a.backups.make(ctx, j)
			}
			err = errors.Join(err, a.unpin(j))
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return a.fail(err)
			}
			a.mu.Lock()
			a.own = j.checkpoint
			a.mu.Unlock()
			if err := a.compare(); err != nil {
				return a.fail(err)
			}
			a.publish(ctx, j.checkpoint, wire.Encode(&wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_CHECKPOINT, Messages: []*wirepb.Signed{seal(j.checkpoint)}}), submit)
		}
	}
}

// scan fills in what the databases hold.
func (a *app) scan(ctx context.Context, j *job, contents map[mesh.DatabaseID]known) error {
	listed := map[mesh.DatabaseID]bool{}
	for i, p := range j.pinned {
		d := j.checkpoint.Databases[i]
		k, ok := contents[p.id]
		if !ok || k.height != d.Height {
			sum, err := p.snapshot.Content(ctx)
			if err != nil {
				return err
			}
			k = known{d.Height, sum}
			contents[p.id] = k
		}
		d.Content = k.content[:]
		listed[p.id] = true
	}
	for id := range contents {
		if !listed[id] {
			delete(contents, id)
		}
	}
	return nil
}

// publish puts a checkpoint on the log, until it is there or nobody waits for it any more.
func (a *app) publish(ctx context.Context, c *wirepb.Checkpoint, raw []byte, submit func(context.Context, []byte) error) {
	for a.waitsFor(c) {
		try, cancel := context.WithTimeout(ctx, publishWait)
		err := submit(try, raw)
		cancel()
		if k := mesh.KindOf(err); err == nil || ctx.Err() != nil || k == mesh.Conflict {
			return
		} else if k != mesh.Unavailable {
			a.log.Error("the log refuses this replica's checkpoint", "height", c.Height, "err", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(publishWait / 20): // it may take nothing at all now
		}
	}
}

// waitsFor tells whether a checkpoint is the one that waits for signatures. In doubt it is: then the log says so.
func (a *app) waitsFor(c *wirepb.Checkpoint) bool {
	v := a.view()
	p := v.pending()
	return p == nil || p.Checkpoint.Height == c.Height
}

// compare fails when 2f+1 members certified another checkpoint than this replica has computed.
func (a *app) compare() error {
	a.mu.Lock()
	own := a.own
	a.mu.Unlock()
	if own == nil {
		return nil
	}
	v := a.view()
	c := v.certificate()
	if c == nil || v.fault != nil {
		return v.fault
	}
	m := new(wirepb.Checkpoint)
	if err := wire.Decode(c.Checkpoints[0].Body, signed.MaxBody, m); err != nil {
		return err
	}
	if m.Height != own.Height {
		return nil
	}
	for i, d := range m.Databases {
		if i < len(own.Databases) && string(d.Content) != string(own.Databases[i].Content) {
			return mesh.WithHint(mesh.Errorf(mesh.Corrupt, "database %x is not at height %d what the other replicas have", d.Database, m.Height),
				"the replica's disk may be failing; begin again with an empty home but for its keys")
		}
	}
	return nil
}

// seal signs a checkpoint.
func (r *Replica) seal(c *wirepb.Checkpoint) *wirepb.Signed {
	return signed.Seal(r.cell.domain, r.answerKey, sign.Checkpoint, c)
}
