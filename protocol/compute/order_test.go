package compute_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// An ordered task reads nothing that is stored, and is answered in the job of its claim only.
func TestOrders(t *testing.T) {
	good := &wirepb.TaskText{Rules: make([]byte, 32), Stage: &wirepb.Stage{Module: make([]byte, 32), Pages: 1, Fuel: 1, OutputBytes: 1, Args: []string{"x"}}}
	compute.SetSeed(good)
	text := wire.Encode(good)
	if got, err := compute.DecodeOrder(text); err != nil || !proto.Equal(got, good) {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*wirepb.TaskText){
		"reads an input": func(t *wirepb.TaskText) { t.Inputs = []*wirepb.ComputeInput{{Root: make([]byte, 32)}} },
		"reads a file":   func(t *wirepb.TaskText) { t.Stage.Files = []*wirepb.ComputeFile{{Name: "a", Root: make([]byte, 32)}} },
		"is one of two":  func(t *wirepb.TaskText) { t.Number = 1 },
		"spills":         func(t *wirepb.TaskText) { t.Parts = 1 },
		"merges":         func(t *wirepb.TaskText) { t.Merge, t.Of = true, 1 },
		"has no module":  func(t *wirepb.TaskText) { t.Stage.Module = nil },
		"is far too long": func(t *wirepb.TaskText) {
			t.Stage.Args = []string{string(bytes.Repeat([]byte("x"), compute.MaxOrderText))}
		},
	} {
		bad := proto.CloneOf(good)
		change(bad)
		compute.SetSeed(bad)
		if _, err := compute.DecodeOrder(wire.Encode(bad)); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("a task that %s: %v", name, err)
		}
	}
	if _, err := compute.DecodeOrder(append(text, 0)); err == nil {
		t.Error("bytes that trail")
	}
	taker, task := mesh.Account{1}, compute.TaskDigest(good)
	job := compute.OrderJob(7, 2, taker)
	for _, other := range []mesh.JobID{compute.OrderJob(8, 2, taker), compute.OrderJob(7, 3, taker), compute.OrderJob(7, 2, mesh.Account{2})} {
		if other == job {
			t.Error("two claims are one job")
		}
	}
	if compute.CheckJobID(&wirepb.Job{Id: job[:], Order: 7, Claim: 2}, taker) != nil || compute.CheckJobID(&wirepb.Job{Id: make([]byte, 16)}, taker) != nil {
		t.Error("a job's own id")
	}
	for _, j := range []*wirepb.Job{{Id: job[:]}, {Id: job[:], Order: 7, Claim: 1}, {Id: make([]byte, 16), Order: 7, Claim: 2}} {
		if mesh.KindOf(compute.CheckJobID(j, taker)) != mesh.Denied {
			t.Errorf("%v may have its id", j)
		}
	}
	if compute.CheckJobID(&wirepb.Job{Id: job[:], Order: 7, Claim: 2}, mesh.Account{2}) == nil {
		t.Error("another account opens the job")
	}
	a := &wirepb.Attestation{Account: taker[:], Job: job[:], Level: compute.Quorum, Dropped: compute.MaxOrderDrops, Result: &wirepb.TaskResult{Task: task[:], Output: make([]byte, 32)}}
	check := func(change func(*wirepb.Attestation)) error {
		x := proto.CloneOf(a)
		change(x)
		got, err := compute.DecodeAttestation(wire.Encode(x))
		if err != nil {
			return err
		}
		return compute.CheckAnswer(got, 7, 2, taker, task, compute.Pair)
	}
	if err := check(func(*wirepb.Attestation) {}); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*wirepb.Attestation){
		"of another task":      func(a *wirepb.Attestation) { a.Result.Task[0] ^= 1 },
		"of another job":       func(a *wirepb.Attestation) { a.Job[0] ^= 1 },
		"of another account":   func(a *wirepb.Attestation) { a.Account[0] ^= 1 },
		"of a second draw":     func(a *wirepb.Attestation) { a.Number = 1 },
		"at level spot":        func(a *wirepb.Attestation) { a.Level = compute.Spot },
		"of chosen nodes":      func(a *wirepb.Attestation) { a.Chosen = true },
		"with many replaced":   func(a *wirepb.Attestation) { a.Dropped++ },
		"without a result":     func(a *wirepb.Attestation) { a.Result = nil },
		"without an output":    func(a *wirepb.Attestation) { a.Result.Output = nil },
		"of a mangled account": func(a *wirepb.Attestation) { a.Account = a.Account[1:] },
	} {
		if err := check(change); err == nil {
			t.Errorf("an attestation %s answers", name)
		}
	}
}
