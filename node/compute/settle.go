package compute

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// idleEvery is how often the log is asked while the host has no task: an agent's request makes it ask at once.
const idleEvery = 5 * time.Second

// Run runs the pool, follows the log, and tells it results, until ctx ends.
func (h *Host) Run(ctx context.Context) error {
	err := errors.Join(h.own.Go(h.pool.Run), h.own.Go(h.follow))
	select {
	case <-ctx.Done():
	case <-h.own.Context().Done(): // one of them failed
	}
	return errors.Join(err, h.own.Close(), h.retire(time.Now().Add(time.Hour)))
}

// follow asks the log again and again, and does what its answers allow.
func (h *Host) follow(ctx context.Context) error {
	failures := 0
	for {
		work, err := h.round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			failures = 0
		} else if failures++; failures == 3 {
			h.log.Warn("computing: keeping in step with the log fails", "err", err)
		}
		wait := idleEvery
		if work {
			wait = h.opts.Every
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-h.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// round asks once, and tells the log what is due. It tells whether there is more to come.
func (h *Host) round(ctx context.Context) (bool, error) {
	err := h.retire(time.Now().Add(-driveTime))
	h.mu.Lock()
	busy := len(h.tasks) > 0 || h.awaiting > 0
	h.mu.Unlock()
	if !busy {
		return false, err
	}
	answers, askErr := h.meta.Tasks(ctx)
	if askErr != nil {
		return true, errors.Join(err, askErr)
	}
	commit, open := h.learn(answers)
	err = errors.Join(err, h.tell(ctx, wirepb.TxKind_TX_COMMITMENTS, sign.Commitment, commit), h.tell(ctx, wirepb.TxKind_TX_OPENINGS, sign.Opening, open))
	return true, err
}

// tell puts a message on the log, if there is one.
func (h *Host) tell(ctx context.Context, kind wirepb.TxKind, purpose sign.Purpose, m proto.Message) error {
	if m == nil {
		return nil
	}
	return h.meta.Submit(ctx, wire.Encode(&wirepb.Tx{Kind: kind, Message: signed.Seal(h.opts.Domain, h.opts.Key, purpose, m)}))
}

// learn takes what the log says of the node's tasks, and gives what it is to be told: commitments to results that are new, and openings of those that
// may be opened. What the log does not want of the node any more is ended and forgotten.
func (h *Host) learn(answers []*wirepb.TaskAnswer) (commit, open proto.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.drawn)
	c, o := &wirepb.Commitments{Node: h.opts.Node[:]}, &wirepb.Openings{Node: h.opts.Node[:]}
	for _, a := range answers {
		if len(a.Job) != len(mesh.JobID{}) || len(a.Workers) != 1 {
			continue
		}
		name := taskName{mesh.JobID(a.Job), a.Number}
		h.drawn[name] = a
		t, w := h.tasks[name], a.Workers[0]
		if t == nil || t.result == nil {
			continue
		}
		switch {
		case w.State == compute.WorkerDrawn && a.Level != compute.Receipt && len(c.Commitments) < compute.MaxBatch:
			d := compute.Commitment(compute.ResultDigest(t.result), h.opts.Node, t.salt[:])
			c.Commitments = append(c.Commitments, &wirepb.Commitment{Job: a.Job, Number: a.Number, Commitment: d[:]})
		case w.State == compute.WorkerDrawn && a.Level == compute.Receipt && len(o.Openings) < compute.MaxBatch:
			o.Openings = append(o.Openings, &wirepb.Opening{Job: a.Job, Number: a.Number, Result: t.result})
		case w.State == compute.WorkerCommitted && w.OpenMs > 0 && len(o.Openings) < compute.MaxBatch:
			o.Openings = append(o.Openings, &wirepb.Opening{Job: a.Job, Number: a.Number, Result: t.result, Salt: t.salt[:]})
		}
	}
	for name, t := range h.tasks {
		if h.drawn[name] == nil && t.known { // dropped, or done
			t.cancel()
			delete(h.tasks, name)
		}
		t.known = h.drawn[name] != nil
	}
	close(h.asked)
	h.asked = make(chan struct{})
	if len(c.Commitments) > 0 {
		commit = c
	}
	if len(o.Openings) > 0 {
		open = o
	}
	return commit, open
}

// finish keeps a task's result, for the log.
func (h *Host) finish(t *hosted, r *wirepb.TaskResult) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t.result = r
	rand.Read(t.salt[:])
	h.poke()
}

// poke has the log asked soon.
func (h *Host) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}
