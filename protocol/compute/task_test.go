package compute_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func bytes32(b byte) []byte { return []byte(strings.Repeat(string(rune(b)), 32)) }

func stage() *wirepb.Stage {
	return &wirepb.Stage{Module: bytes32('m'), Pages: 16, Fuel: 1000, OutputBytes: 100, Args: []string{"words"}, Env: []string{"A=1"},
		Files: []*wirepb.ComputeFile{{Name: "in/a", Size: 5, Root: bytes32('f')}}}
}

func job() *compute.Job {
	return &compute.Job{Rules: compute.Digest(bytes32('r')), Map: stage(), Reduce: stage(), Parts: 3, Nanos: 7}
}

// shown tells tasks shortly: the inputs of each, by the first letter of their root.
func shown(tasks []*wirepb.TaskText) string {
	var all []string
	for _, t := range tasks {
		var parts []string
		for _, in := range t.Inputs {
			parts = append(parts, fmt.Sprintf("%c %d-%d", in.Root[0], in.From, in.To))
		}
		all = append(all, strings.Join(parts, " + "))
	}
	return strings.Join(all, " | ")
}

func TestMaps(t *testing.T) {
	in := func(name byte, size uint64, cuts ...uint64) compute.Input {
		return compute.Input{Root: compute.Digest(bytes32(name)), Size: size, Cuts: cuts}
	}
	whole := in('w', 10)
	whole.Whole = true
	of := func(folder string, in compute.Input) compute.Input { in.Folder = folder; return in }
	for _, c := range []struct {
		inputs []compute.Input
		want   string
	}{
		{nil, ""},
		{[]compute.Input{in('a', 0)}, "a 0-0"},
		{[]compute.Input{in('a', 10), in('b', 20), in('c', 0)}, "a 0-10 + b 0-20 + c 0-0"},
		{[]compute.Input{in('a', 100, 30, 60), in('b', 20), in('c', 5)}, "a 0-30 | a 30-60 | a 60-100 | b 0-20 + c 0-5"},
		{[]compute.Input{in('a', compute.Small), in('b', 0), in('c', 1), in('d', compute.Small)}, "a 0-1048576 + b 0-0 | c 0-1 | d 0-1048576"},
		{[]compute.Input{in('a', 3*compute.Small), in('b', 1)}, "a 0-3145728 | b 0-1"},
		{[]compute.Input{in('a', 1), whole, whole, in('b', 1)}, "a 0-1 | w 0-10 | w 0-10 | b 0-1"},
		{[]compute.Input{of("x/", in('a', 1)), of("x/", in('b', 1)), of("y/", in('c', 1)), of("x/", in('d', 1))}, "a 0-1 + b 0-1 | c 0-1 | d 0-1"},
	} {
		tasks, err := job().Maps(c.inputs)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(tasks); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		for i, k := range tasks {
			if k.Number != uint32(i) || k.Parts != 3 || k.Merge {
				t.Errorf("task %d: %v", i, k)
			}
		}
	}
	many := in('a', 1<<20)
	for i := range uint64(compute.MaxMaps) {
		many.Cuts = append(many.Cuts, i+1)
	}
	if _, err := job().Maps([]compute.Input{many}); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("too many tasks: %v", err)
	}
}

func TestReduces(t *testing.T) {
	j := job()
	tasks, err := j.Reduces(compute.Outputs([]*wirepb.TaskResult{{Output: bytes32('x'), OutputBytes: 50}, {Output: bytes32('y'), OutputBytes: 60}}))
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(tasks); got != "x 0-50 + y 0-60 | x 0-50 + y 0-60 | x 0-50 + y 0-60" {
		t.Error(got)
	}
	if string(tasks[0].Seed) == string(tasks[1].Seed) || tasks[2].Of != 3 || !tasks[2].Merge || tasks[2].Parts != 0 {
		t.Errorf("%v", tasks)
	}
}

func TestCheckTask(t *testing.T) {
	tasks, err := job().Maps([]compute.Input{{Root: compute.Digest(bytes32('a')), Size: 10}})
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) func(*wirepb.TaskText) {
		return func(t *wirepb.TaskText) {
			t.Stage.Files = append(t.Stage.Files, &wirepb.ComputeFile{Name: name, Root: bytes32('g')})
		}
	}
	for name, edit := range map[string]func(*wirepb.TaskText){
		"rules":            func(t *wirepb.TaskText) { t.Rules = nil },
		"no stage":         func(t *wirepb.TaskText) { t.Stage = nil },
		"module":           func(t *wirepb.TaskText) { t.Stage.Module = []byte("m") },
		"no pages":         func(t *wirepb.TaskText) { t.Stage.Pages = 0 },
		"pages":            func(t *wirepb.TaskText) { t.Stage.Pages = compute.MaxPages + 1 },
		"no fuel":          func(t *wirepb.TaskText) { t.Stage.Fuel = 0 },
		"fuel":             func(t *wirepb.TaskText) { t.Stage.Fuel = math.MaxUint64 },
		"no output":        func(t *wirepb.TaskText) { t.Stage.OutputBytes = 0 },
		"output":           func(t *wirepb.TaskText) { t.Stage.OutputBytes = compute.MaxOutput + 1 },
		"output to sort":   func(t *wirepb.TaskText) { t.Stage.OutputBytes = compute.MaxSpill + 1 },
		"zero byte":        func(t *wirepb.TaskText) { t.Stage.Args[0] = "a\x00" },
		"variable":         func(t *wirepb.TaskText) { t.Stage.Env[0] = "A" },
		"our variable":     func(t *wirepb.TaskText) { t.Stage.Env[0] = "STRATOS_TASK=1" },
		"long argument":    func(t *wirepb.TaskText) { t.Stage.Args[0] = strings.Repeat("a", compute.MaxLetters) },
		"many arguments":   func(t *wirepb.TaskText) { t.Stage.Args = make([]string, compute.MaxWords+1) },
		"clock":            func(t *wirepb.TaskText) { t.Nanos = -1 },
		"parts":            func(t *wirepb.TaskText) { t.Parts = compute.MaxParts + 1 },
		"no parts to read": func(t *wirepb.TaskText) { t.Merge = true },
		"part":             func(t *wirepb.TaskText) { t.Merge, t.Of, t.Number = true, 3, 3 },
		"range of a spill": func(t *wirepb.TaskText) { t.Merge, t.Of, t.Inputs[0].From = true, 3, 1 },
		"input's name":     func(t *wirepb.TaskText) { t.Inputs[0].Root = nil },
		"backwards":        func(t *wirepb.TaskText) { t.Inputs[0].From, t.Inputs[0].To = 5, 4 },
		"past the end":     func(t *wirepb.TaskText) { t.Inputs[0].To = 11 },
		"part of a whole":  func(t *wirepb.TaskText) { t.Inputs[0].Whole, t.Inputs[0].To = true, 5 },
		"file twice":       file("in/a"), "file in a file": file("in/a/b"), "file above": file("in"), "no name": file(""), "rooted": file("/a"), "dots": file("a/../b"),
		"in tmp": file("tmp/a"), "tmp": file("tmp"), "dot": file("."), "long name": file(strings.Repeat("a", compute.MaxName+1)),
	} {
		bad := proto.CloneOf(tasks[0])
		if edit(bad); bad.Stage != nil {
			compute.SetSeed(bad)
		}
		if err := compute.CheckTask(bad); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := proto.CloneOf(tasks[0])
	bad.Seed[3]++
	if err := compute.CheckTask(bad); err == nil {
		t.Error("a chosen seed passes")
	}
}

func TestCheckResult(t *testing.T) {
	tasks, err := job().Maps([]compute.Input{{Root: compute.Digest(bytes32('a')), Size: 10}})
	if err != nil {
		t.Fatal(err)
	}
	k := tasks[0]
	name := compute.TaskDigest(k)
	good := &wirepb.TaskResult{Task: name[:], Fuel: 10, OutputBytes: uint64(100 + compute.SpillHead(3)), Output: bytes32('o')}
	if err := compute.CheckResult(k, good); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(*wirepb.TaskResult){
		"another task":          func(r *wirepb.TaskResult) { r.Task = bytes32('x') },
		"more fuel than given":  func(r *wirepb.TaskResult) { r.Fuel = 1001 },
		"no such end":           func(r *wirepb.TaskResult) { r.End = 6 },
		"a code of a trap":      func(r *wirepb.TaskResult) { r.End, r.Code = compute.Trapped, 1 },
		"more output":           func(r *wirepb.TaskResult) { r.OutputBytes += 2 },
		"output of who failed":  func(r *wirepb.TaskResult) { r.Code = 1 },
		"a root that is no one": func(r *wirepb.TaskResult) { r.Output = nil },
	} {
		bad := proto.CloneOf(good)
		edit(bad)
		if err := compute.CheckResult(k, bad); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Digests are of the format: whoever changes them breaks with all that was signed.
func TestDigests(t *testing.T) {
	tasks, err := job().Maps([]compute.Input{{Root: compute.Digest(bytes32('a')), Size: 10}})
	if err != nil {
		t.Fatal(err)
	}
	name := compute.TaskDigest(tasks[0])
	r := &wirepb.TaskResult{Task: name[:], Fuel: 10, OutputBytes: 3, Output: bytes32('o')}
	for what, c := range map[string]struct {
		got  compute.Digest
		want string
	}{
		"seed":    {compute.Digest(tasks[0].Seed), "171916898cf537dbfcd88a373c571dd1e1eb981bb4e0ea093f62e7d00630783f"},
		"task":    {name, "65a8638aa8d6c9494a5a2e8dd0defa748b2b89ee195a7adbe452c3db1ab994de"},
		"result":  {compute.ResultDigest(r), "dab4748bebcd5b2e27e1ad7c2f0324aa1ebf9cde843ba038d8a77b91bb117e89"},
		"outcome": {compute.Outcome([]*wirepb.TaskResult{r, r}), "2b2d63394b88814593738bb64df3160e30af840fff8a24811a65b5af22b61773"},
	} {
		if got := fmt.Sprintf("%x", c.got); got != c.want {
			t.Errorf("%s is %s, want %s", what, got, c.want)
		}
	}
}

func TestCheckTaskRequest(t *testing.T) {
	tasks, err := job().Maps([]compute.Input{{Root: compute.Digest(bytes32('a')), Size: 10}})
	if err != nil {
		t.Fatal(err)
	}
	object := func(key string) *wirepb.StoredObject {
		return &wirepb.StoredObject{Bucket: "b", Key: key, Version: []byte("0123456789abcdef")}
	}
	good := &wirepb.TaskRequest{Job: []byte("0123456789abcdef"), Text: tasks[0], Access: []*wirepb.Delegation{{}}, Module: object("m"),
		Files: []*wirepb.StoredObject{object("f")}, Inputs: []*wirepb.StoredObject{object("i")}, Output: &wirepb.StoredObject{Bucket: "b", Key: "o"}}
	if err := compute.CheckTaskRequest(good); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(*wirepb.TaskRequest){
		"job":           func(q *wirepb.TaskRequest) { q.Job = nil },
		"no text":       func(q *wirepb.TaskRequest) { q.Text = nil },
		"text":          func(q *wirepb.TaskRequest) { q.Text.Rules = nil },
		"no module":     func(q *wirepb.TaskRequest) { q.Module = nil },
		"no output":     func(q *wirepb.TaskRequest) { q.Output = nil },
		"files":         func(q *wirepb.TaskRequest) { q.Files = nil },
		"inputs":        func(q *wirepb.TaskRequest) { q.Inputs = append(q.Inputs, object("j")) },
		"access":        func(q *wirepb.TaskRequest) { q.Inputs[0].Access = 1 },
		"many accesses": func(q *wirepb.TaskRequest) { q.Access = make([]*wirepb.Delegation, compute.MaxAccesses+1) },
		"key":           func(q *wirepb.TaskRequest) { q.Output.Key = "" },
		"version":       func(q *wirepb.TaskRequest) { q.Files[0].Version = nil },
	} {
		bad := proto.CloneOf(good)
		edit(bad)
		if err := compute.CheckTaskRequest(bad); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
