package state

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// taskID is what names a task among those of all jobs.
func taskID(job []byte, n uint32) []byte { return append(append([]byte(nil), job...), be32(n)...) }

// askAttestation has the authorities sign what the log has verified of a task, for the value layer.
func (s *step) askAttestation(m *wirepb.Attesting, by mesh.PublicKey, msg *wirepb.Signed) error {
	r, err := s.authored(m.Job, by)
	if err != nil {
		return err
	}
	t, err := r.task(m.Number)
	switch {
	case err != nil:
		return err
	case r.job.Level < compute.Pair:
		return mesh.Errorf(mesh.Invalid, "tasks of level pair and above are attested: below, their author has a say in what counts")
	case t.State != taskVerified:
		return mesh.Errorf(mesh.Unavailable, "task %d of job %x is not verified", m.Number, m.Job)
	}
	a := &wirepb.Attestation{Account: r.job.Account, Job: m.Job, Number: m.Number, Level: r.job.Level, Chosen: t.Chosen, Result: t.Result}
	for _, w := range t.Workers {
		if w.State == workerDropped {
			a.Dropped++
		}
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	return s.want(wantedAttestations, taskID(m.Job, m.Number), a, r.job.Account, len(msg.Body))
}

// signAttestation keeps an authority's signature of one.
func (s *step) signAttestation(m *wirepb.Attestation, by mesh.PublicKey, msg *wirepb.Signed) error {
	return s.signWanted(wantedAttestations, taskID(m.Job, m.Number), by, msg)
}

// attestation answers one of a job of the asker's account, and who has signed it.
func (r *Reader) attestation(q *wirepb.TaskName, asker mesh.PublicKey, nowMs int64) (*wirepb.SignedAnswer, error) {
	if j, err := r.ownJob(q.Job, asker, nowMs); j == nil || err != nil {
		return nil, err
	}
	return r.wantedAnswer(wantedAttestations, taskID(q.Job, q.Number)), nil
}
