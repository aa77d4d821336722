package compute

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Job is a map over inputs, and perhaps a reduce of what that gives.
type Job struct {
	Rules       Digest        // by which its tasks run
	Map, Reduce *wirepb.Stage // no reduce: what the maps give is the result
	Parts       uint32        // how many reduces there are
	Nanos       int64         // Unix time at which the clocks of tasks begin
}

// An Input is an object of a job.
type Input struct {
	Root  Digest // that only this content has, as its BLAKE3, or the identity of an object
	Size  uint64
	Cuts  []uint64 // places within it, ascending, at which it is cut into tasks; as where the nodes change that hold it
	Whole bool     // it is one record, and read as it is
	// Folder is where it lies. Inputs of different folders share no task: who runs that can read no more than one folder needs.
	Folder string
}

// Small is how many bytes inputs that are not cut may have together to share a task.
const Small = 1 << 20

// Maps gives the tasks of the map, in order: an input's parts each one, small inputs that follow each other together.
func (j *Job) Maps(inputs []Input) ([]*wirepb.TaskText, error) {
	var all []*wirepb.TaskText
	const full = Small + 1
	shared, folder := uint64(full), "" // bytes of the last task, if it takes more, and of which folder
	for _, in := range inputs {
		bounds := append(append([]uint64{0}, in.Cuts...), in.Size)
		for i, from := range bounds[:len(bounds)-1] {
			part := &wirepb.ComputeInput{Root: in.Root[:], Size: in.Size, From: from, To: bounds[i+1], Whole: in.Whole}
			if shares := len(in.Cuts) == 0 && !in.Whole; shares && shared+in.Size <= Small && in.Folder == folder {
				last := all[len(all)-1]
				last.Inputs = append(last.Inputs, part)
				shared += in.Size
				continue
			} else if shared = full; shares {
				shared, folder = in.Size, in.Folder
			}
			all = append(all, &wirepb.TaskText{Stage: j.Map, Inputs: []*wirepb.ComputeInput{part}})
		}
	}
	if j.Reduce != nil {
		for _, t := range all {
			t.Parts = j.Parts
		}
	}
	if len(all) > MaxMaps {
		return nil, mesh.Errorf(mesh.Exhausted, "the inputs are cut into %d tasks, %d are the most", len(all), MaxMaps)
	}
	return all, j.finish(all)
}

// Reduces gives the tasks of the reduce, in order. spills are what the tasks of the map gave, in their order, by root and size.
func (j *Job) Reduces(spills []*wirepb.ComputeInput) ([]*wirepb.TaskText, error) {
	all := make([]*wirepb.TaskText, j.Parts)
	var inputs []*wirepb.ComputeInput
	for _, s := range spills {
		inputs = append(inputs, &wirepb.ComputeInput{Root: s.Root, Size: s.Size, To: s.Size})
	}
	for i := range all {
		all[i] = &wirepb.TaskText{Stage: j.Reduce, Inputs: inputs, Merge: true, Of: j.Parts}
	}
	return all, j.finish(all)
}

// Outputs are what tasks gave, by the BLAKE3 of their bytes.
func Outputs(results []*wirepb.TaskResult) (all []*wirepb.ComputeInput) {
	for _, r := range results {
		all = append(all, &wirepb.ComputeInput{Root: r.Output, Size: r.OutputBytes})
	}
	return all
}

// finish fills in what all tasks have.
func (j *Job) finish(all []*wirepb.TaskText) error {
	for i, t := range all {
		t.Rules, t.Nanos, t.Number = j.Rules[:], j.Nanos, uint32(i)
		SetSeed(t)
		if err := CheckTask(t); err != nil {
			return err
		}
	}
	return nil
}

// Outcome names what a job gave: its results, in order, by their bytes. It is the same however the inputs were cut, as long as the results are, and
// whoever ran it.
func Outcome(results []*wirepb.TaskResult) Digest {
	return digest("stratos outcome 1", &wirepb.JobOutcome{Outputs: Outputs(results)})
}

// Total adds up what tasks spent and gave.
func Total(results []*wirepb.TaskResult) (fuel, bytes uint64) {
	for _, r := range results {
		fuel += r.Fuel
		bytes += r.OutputBytes
	}
	return fuel, bytes
}

// States of a task on the log, and of a worker of it; see TaskAnswer and TaskWorker.
const (
	TaskDrawn uint32 = 1 + iota
	TaskCommitted
	TaskChecked
	TaskVerified
	TaskFailed
	TaskDropped
)
const (
	WorkerDrawn uint32 = 1 + iota
	WorkerCommitted
	WorkerOpened
	WorkerDropped
	WorkerConvicted
)
