package compute_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/fuel"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A commitment is of the format, and another for each node, result and salt.
func TestCommitment(t *testing.T) {
	result, node, salt := compute.Digest(bytes32('r')), mesh.NodeID([]byte("nnnnnnnnnnnnnnnnnnnn")), bytes32('s')
	got := compute.Commitment(result, node, salt)
	if want := "a7c4554162f8187e9e91fa669bf1810ad6229731b4070468efba57fbe927b938"; fmt.Sprintf("%x", got) != want {
		t.Errorf("%x, want %s", got, want)
	}
	for _, other := range []compute.Digest{compute.Commitment(compute.Digest(bytes32('q')), node, salt), compute.Commitment(result, mesh.NodeID{1}, salt),
		compute.Commitment(result, node, bytes32('t'))} {
		if other == got {
			t.Error("two statements have one commitment")
		}
	}
}

func TestCheckJob(t *testing.T) {
	const now = 1_700_000_000_000
	good := &wirepb.Job{Id: make([]byte, 16), Level: compute.Spot, Budget: 1, DeadlineMs: now + compute.MaxDeadlineMs}
	if err := compute.CheckJob(good, now); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(*wirepb.Job){
		"id": func(j *wirepb.Job) { j.Id = j.Id[1:] }, "no level": func(j *wirepb.Job) { j.Level = 0 }, "level": func(j *wirepb.Job) { j.Level = 5 },
		"no budget": func(j *wirepb.Job) { j.Budget = 0 }, "budget": func(j *wirepb.Job) { j.Budget = 1 << 63 },
		"past": func(j *wirepb.Job) { j.DeadlineMs = now }, "far": func(j *wirepb.Job) { j.DeadlineMs++ },
	} {
		bad := proto.CloneOf(good)
		if edit(bad); mesh.KindOf(compute.CheckJob(bad, now)) != mesh.Invalid || compute.CheckJob(bad, now) == nil {
			t.Errorf("%s passes", what)
		}
	}
}

func TestCheckDemand(t *testing.T) {
	tasks, err := job().Maps([]compute.Input{{Root: compute.Digest(bytes32('a')), Size: 10}})
	if err != nil {
		t.Fatal(err)
	}
	good := compute.DemandOf(tasks[0], make([]mesh.NodeID, 9))
	if err := compute.CheckDemand(good); err != nil || len(good.Near) != compute.MaxNear || good.Fuel != 1000 {
		t.Fatalf("%v: %v", good, err)
	}
	for what, edit := range map[string]func(*wirepb.TaskDemand){
		"name": func(d *wirepb.TaskDemand) { d.Task = nil }, "no fuel": func(d *wirepb.TaskDemand) { d.Fuel = 0 }, "fuel": func(d *wirepb.TaskDemand) { d.Fuel = fuel.MaxFuel + 1 },
		"no output": func(d *wirepb.TaskDemand) { d.OutputBytes = 0 }, "output": func(d *wirepb.TaskDemand) { d.OutputBytes = 2 << 30 },
		"no pages": func(d *wirepb.TaskDemand) { d.Pages = 0 }, "pages": func(d *wirepb.TaskDemand) { d.Pages = compute.MaxPages + 1 },
		"near many": func(d *wirepb.TaskDemand) { d.Near = append(d.Near, d.Near[0]) }, "near what": func(d *wirepb.TaskDemand) { d.Near[1] = nil },
	} {
		bad := proto.CloneOf(good)
		if edit(bad); mesh.KindOf(compute.CheckDemand(bad)) != mesh.Invalid || compute.CheckDemand(bad) == nil {
			t.Errorf("%s passes", what)
		}
	}
	// The most that a task of this demand may give is what its result may say.
	r := &wirepb.TaskResult{Task: good.Task, Fuel: good.Fuel, OutputBytes: good.OutputBytes, Output: bytes32('o')}
	if err := compute.CheckResult(tasks[0], r); err != nil {
		t.Error(err)
	}
	if r.OutputBytes++; compute.CheckResult(tasks[0], r) == nil || compute.CheckClaim(good, r) == nil {
		t.Error("a result beyond the demand passes")
	}
}

func TestPrice(t *testing.T) {
	p := compute.DefaultPrices()
	for _, c := range []struct{ fuel, output, want uint64 }{
		{0, 0, 0}, {1, 0, 1}, {100_000, 0, 1}, {100_001, 0, 2}, {0, 7, 7}, {250_000, 10, 13}, {fuel.MaxFuel, 0, 46116860184274}, {math.MaxUint64, 1 << 40, 184467440737096 + 1<<40},
	} {
		if got := compute.Price(p, c.fuel, c.output); got != c.want {
			t.Errorf("%d fuel and %d bytes cost %d, want %d", c.fuel, c.output, got, c.want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 { // against the plain way
		p := &wirepb.ComputePrices{Fuel: r.Uint64N(1e12 + 1), OutputByte: r.Uint64N(1e12 + 1)}
		f, o := r.Uint64()>>r.IntN(64), r.Uint64N(1<<40)>>r.IntN(40)
		mul := func(a, b uint64) *big.Int {
			return new(big.Int).Mul(new(big.Int).SetUint64(a), new(big.Int).SetUint64(b))
		}
		sum := new(big.Int).Add(mul(f, p.Fuel), new(big.Int).Mul(mul(o, p.OutputByte), big.NewInt(1_000_000)))
		sum.Div(sum.Add(sum, big.NewInt(1e12-1)), big.NewInt(1e12))
		if most := big.NewInt(math.MaxInt64); sum.Cmp(most) > 0 {
			sum = most
		}
		if got := compute.Price(p, f, o); got != sum.Uint64() {
			t.Fatalf("%d fuel at %d and %d bytes at %d cost %d, want %s", f, p.Fuel, o, p.OutputByte, got, sum)
		}
	}
	if compute.CheckPrices(p) != nil || compute.CheckPrices(nil) == nil || compute.CheckPrices(&wirepb.ComputePrices{Fuel: 1, OutputByte: 1 << 60}) == nil {
		t.Error("the wrong prices pass")
	}
}
