package compute

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Bounds of orders: tasks that the value layer pays for. DESIGN.md of chain/x/sdc says what they are.
const (
	// MaxOrderText is how long the text of an ordered task is at most.
	MaxOrderText = 8 << 10
	// MaxOrderDrops is how many of its workers the author may have had replaced.
	MaxOrderDrops = 2

	maxAttestation = 512
)

// DecodeOrder reads the text of a task that somebody orders, which reads nothing that is stored.
func DecodeOrder(b []byte) (*wirepb.TaskText, error) {
	t := new(wirepb.TaskText)
	if err := wire.Decode(b, MaxOrderText, t); err != nil {
		return nil, err
	}
	if err := CheckTask(t); err != nil {
		return nil, err
	}
	if len(t.Inputs)+len(t.Stage.Files) > 0 || t.Parts > 0 || t.Merge || t.Number > 0 {
		return nil, mesh.Errorf(mesh.Invalid, "an ordered task is the only one of its stage, and reads nothing but its arguments and variables")
	}
	return t, nil
}

// orderJobs begins the ids of jobs for orders, and of no others.
const orderJobs = "order:"

// OrderJob is the id of the job in which a taker has an order's task run, for the order's claim of this number: "order:" and the first 10 bytes of
// SHA-256 of
//
//	"stratos order job 1" 0x00 | order u64 | claim u64 | taker 20
//
// so that he cannot open one after the other until the draw of workers pleases him, and nobody else can open it before him.
func OrderJob(order, claim uint64, taker mesh.Account) mesh.JobID {
	b := append([]byte("stratos order job 1"), 0)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, order), claim)
	sum := sha256.Sum256(append(b, taker[:]...))
	return mesh.JobID(append([]byte(orderJobs), sum[:]...)[:16])
}

// CheckJobID refuses an id that belongs to a job for an order where the job is not that, or another account's.
func CheckJobID(j *wirepb.Job, author mesh.Account) error {
	want := OrderJob(j.Order, j.Claim, author)
	if of := strings.HasPrefix(string(j.Id), orderJobs); of && string(j.Id) != string(want[:]) || !of && (j.Order != 0 || j.Claim != 0) {
		return mesh.Errorf(mesh.Denied, "job %x is not that of claim %d of order %d by %s", j.Id, j.Claim, j.Order, author)
	}
	return nil
}

// DecodeAttestation reads what authorities say that the log has verified of a task.
func DecodeAttestation(b []byte) (*wirepb.Attestation, error) {
	a := new(wirepb.Attestation)
	if err := wire.Decode(b, maxAttestation, a); err != nil {
		return nil, err
	}
	if r := a.Result; len(a.Account) != len(mesh.Account{}) || len(a.Job) != len(mesh.JobID{}) || len(r.GetTask()) != len(Digest{}) || len(r.Output) != len(Digest{}) {
		return nil, mesh.Errorf(mesh.Invalid, "an attestation names an account, a job, a task and its output")
	}
	return a, nil
}

// CheckAnswer refuses an attestation that does not answer an order: of another task, in another job than that of its claim, at a lower level, or
// with workers whom the taker could choose.
func CheckAnswer(a *wirepb.Attestation, order, claim uint64, taker mesh.Account, task Digest, level uint32) error {
	job := OrderJob(order, claim, taker)
	switch {
	case string(a.Result.Task) != string(task[:]):
		return mesh.Errorf(mesh.Invalid, "the attestation is of task %x, order %d wants %x", a.Result.Task, order, task)
	case string(a.Account) != string(taker[:]) || string(a.Job) != string(job[:]) || a.Number != 0: // others of the job would be draws to choose from
		return mesh.Errorf(mesh.Invalid, "the attestation is of task %d of job %x of %x, order %d is answered by task 0 of job %s of %s", a.Number, a.Job, a.Account, order, job, taker)
	case a.Level < level:
		return mesh.Errorf(mesh.Invalid, "the task was verified at level %d, order %d wants %d", a.Level, order, level)
	case a.Chosen || a.Dropped > MaxOrderDrops:
		return mesh.Errorf(mesh.Invalid, "the task's author named nodes for it, or had %d workers replaced; %d are the most", a.Dropped, MaxOrderDrops)
	}
	return nil
}
