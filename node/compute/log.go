package compute

import (
	"sync"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Log tells an agent what a task of its has written to its standard error so far, as long as the host has the task: until the log has what it gave.
func (h *Host) Log(agent mesh.PublicKey, q *wirepb.TaskLogRequest) (*wirepb.TaskLogAnswer, error) {
	job, err := mesh.FromBytes[mesh.JobID](q.Job)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	t := h.tasks[taskName{job, q.Number}]
	h.mu.Unlock()
	if t == nil || t.agent != agent {
		return nil, mesh.Errorf(mesh.NotFound, "the node has no task %d of job %s from this session", q.Number, job)
	}
	a := new(wirepb.TaskLogAnswer)
	a.Log, a.LogBytes = t.log.behind(q.From)
	return a, nil
}

// A lastBytes keeps the end of what is written. It is safe for concurrent use.
type lastBytes struct {
	mu  sync.Mutex
	b   []byte
	all uint64 // that were written
}

func (l *lastBytes) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, b...)
	l.b = append(l.b[:0], l.b[max(0, len(l.b)-compute.MaxTaskLog):]...)
	l.all += uint64(len(b))
	return len(b), nil
}

// behind gives what is kept of what was written behind the first from bytes, and how many were written.
func (l *lastBytes) behind(from uint64) ([]byte, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.all - min(from, l.all)
	return append([]byte(nil), l.b[uint64(len(l.b))-min(fresh, uint64(len(l.b))):]...), l.all
}
