package compute

import (
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/fuel"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Levels of verification of a job.
const (
	Receipt uint32 = 1 // one worker, and the author accepts what it gave
	Spot    uint32 = 2 // one worker, and for some tasks, drawn when it cannot change its result any more, another that checks it
	Pair    uint32 = 3 // two workers of different operators
	Quorum  uint32 = 4 // three
)

// Bounds of jobs on the log.
const (
	MaxTasks      = MaxMaps + MaxParts // of a job
	MaxBatch      = 512                // tasks of one message
	MaxNear       = 4                  // nodes near a task
	MaxNodeTasks  = 64                 // that were drawn for a node and have no result yet
	MaxJobs       = 64                 // open ones of an account
	MaxDeadlineMs = 7 * 24 * 3600 * 1000

	// PatienceMs is how long a worker has, from when it was drawn or may open, before its task may be given to another.
	PatienceMs = 5000
	// VerifyMs is how long committed tasks of a job that has ended have to be verified, and how long the author has to bring a check to its end.
	VerifyMs = 60_000

	// SaltBytes is the length of a commitment's salt.
	SaltBytes = 32
)

// Workers is how many nodes a task of a level is drawn for at first.
func Workers(level uint32) int {
	switch level {
	case Pair:
		return 2
	case Quorum:
		return 3
	}
	return 1
}

// Commitment binds a node to a result that nobody can read yet: BLAKE3 of
//
//	"stratos commitment 1" 0x00 | result's digest 32 | node 20 | salt 32
//
// The node is in it, so that nobody opens a commitment that he copied.
func Commitment(result Digest, node mesh.NodeID, salt []byte) Digest {
	b := append([]byte("stratos commitment 1"), 0)
	b = append(append(append(b, result[:]...), node[:]...), salt...)
	return blake3.Sum256(b)
}

// CheckJob refuses, as Invalid, a job's message that is malformed by itself. now is the block's time.
func CheckJob(j *wirepb.Job, nowMs int64) error {
	switch {
	case len(j.Id) != len(mesh.JobID{}):
		return mesh.Errorf(mesh.Invalid, "a job's id has %d bytes, want %d", len(j.Id), len(mesh.JobID{}))
	case j.Level < Receipt || j.Level > Quorum:
		return mesh.Errorf(mesh.Invalid, "there is no level %d of verification: 1 is receipt, 2 spot, 3 pair, 4 quorum", j.Level)
	case j.Budget == 0 || j.Budget > uint64(mesh.MaxNoz):
		return mesh.Errorf(mesh.Invalid, "a job's budget is %d noz", j.Budget)
	case j.DeadlineMs <= nowMs || j.DeadlineMs > nowMs+MaxDeadlineMs:
		return mesh.Errorf(mesh.Invalid, "a job's deadline is after now, and at most %d days ahead", MaxDeadlineMs/(24*3600*1000))
	}
	return nil
}

// CheckDemand refuses, as Invalid, a demand that is malformed or past a bound of tasks.
func CheckDemand(d *wirepb.TaskDemand) error {
	switch {
	case len(d.GetTask()) != len(Digest{}):
		return mesh.Errorf(mesh.Invalid, "a task is named by %d bytes, want %d", len(d.GetTask()), len(Digest{}))
	case d.Fuel < 1 || d.Fuel > fuel.MaxFuel:
		return mesh.Errorf(mesh.Invalid, "a task of %d fuel, 1 to %d are possible", d.Fuel, uint64(fuel.MaxFuel))
	case d.OutputBytes < 1 || d.OutputBytes > MaxOutput+uint64(SpillHead(MaxParts))+1:
		return mesh.Errorf(mesh.Invalid, "a task that gives %d bytes, 1 to %d are possible", d.OutputBytes, MaxOutput)
	case d.Pages < 1 || d.Pages > MaxPages:
		return mesh.Errorf(mesh.Invalid, "a task with %d pages of memory, 1 to %d are possible", d.Pages, MaxPages)
	case len(d.Near) > MaxNear:
		return mesh.Errorf(mesh.Invalid, "a task near %d nodes, at most %d", len(d.Near), MaxNear)
	}
	for _, n := range d.Near {
		if len(n) != len(mesh.NodeID{}) {
			return mesh.Errorf(mesh.Invalid, "a node's id has %d bytes, want %d", len(n), len(mesh.NodeID{}))
		}
	}
	return nil
}

// DemandOf is what a task wants of the nodes that run it. near are those that hold what it reads.
func DemandOf(t *wirepb.TaskText, near []mesh.NodeID) *wirepb.TaskDemand {
	name := TaskDigest(t)
	d := &wirepb.TaskDemand{Task: name[:], Fuel: t.Stage.Fuel, OutputBytes: mostOutput(t), Pages: t.Stage.Pages}
	for _, n := range near[:min(len(near), MaxNear)] {
		d.Near = append(d.Near, n[:])
	}
	return d
}
