package compute

import (
	"io/fs"
	"math"
	"path"
	"strings"

	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/fuel"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Bounds of a task.
const (
	MaxPages   = 32_768    // of 64 KiB: 2 GiB of memory
	MaxOutput  = 1 << 30   // bytes
	MaxInputs  = MaxMaps   // a reduce reads from each map
	MaxFiles   = 64        // beside the input
	MaxName    = 128       // bytes of a file's name, so that there are few folders in each other
	MaxWords   = 1000      // arguments, and variables
	MaxLetters = 64 << 10  // of all of them
	MaxMaps    = 1 << 16   // tasks of a job's map
	MaxNanos   = 1<<62 - 1 // about the year 2116
)

// How a task ended, as TaskResult.End says. The first five are those of a worker.
const (
	Exited uint32 = iota
	Trapped
	OutOfFuel
	OutOfStack
	OutOfOutput
	Unsortable // a line of a map is too long to be sorted
	ends
)

// NumberVariable is the variable that tells a task its number in its stage.
const NumberVariable = "STRATOS_TASK"

// A Digest names a task or its result: BLAKE3 of a word and of the message's deterministic encoding.
type Digest [32]byte

func digest(word string, m proto.Message) Digest {
	return blake3.Sum256(append(append([]byte(word), 0), wire.Encode(m)...))
}

// TaskDigest names a task.
func TaskDigest(t *wirepb.TaskText) Digest { return digest("stratos task 1", t) }

// ResultDigest names a result. Who signs it says what the task gave and what it cost.
func ResultDigest(r *wirepb.TaskResult) Digest { return digest("stratos result 1", r) }

// SetSeed gives a task the seed that follows from all else of it.
func SetSeed(t *wirepb.TaskText) {
	t.Seed = nil
	seed := digest("stratos seed 1", t)
	t.Seed = seed[:]
}

// CheckTask refuses, as Invalid, a task that is malformed or past a bound.
func CheckTask(t *wirepb.TaskText) error {
	bad := func(format string, a ...any) error {
		return mesh.Errorf(mesh.Invalid, "task: "+format, a...)
	}
	if len(t.Rules) != 32 {
		return bad("its rules are named by %d bytes, not 32", len(t.Rules))
	}
	want := proto.CloneOf(t)
	if SetSeed(want); string(want.Seed) != string(t.Seed) {
		return bad("its seed is not the one that follows from it")
	}
	if t.Nanos < 0 || t.Nanos > MaxNanos {
		return bad("its clock begins at %d", t.Nanos)
	}
	if err := CheckStage(t.Stage); err != nil {
		return err
	}
	if len(t.Inputs) > MaxInputs || t.Number >= MaxMaps {
		return bad("number %d with %d inputs", t.Number, len(t.Inputs))
	}
	if t.Parts > MaxParts || t.Of > MaxParts || t.Parts > 0 && t.Stage.OutputBytes > MaxSpill {
		return bad("%d parts of %d bytes, %d spilled parts to read", t.Parts, t.Stage.OutputBytes, t.Of)
	}
	if t.Merge != (t.Of > 0) || t.Merge && t.Number >= t.Of {
		return bad("it reads part %d of %d", t.Number, t.Of)
	}
	for i, in := range t.Inputs {
		switch {
		case len(in.Root) != 32:
			return bad("input %d is named by %d bytes, not 32", i, len(in.Root))
		case in.From > in.To || in.To > in.Size:
			return bad("input %d is from %d to %d of %d bytes", i, in.From, in.To, in.Size)
		case (t.Merge || in.Whole) && (in.From > 0 || in.To < in.Size):
			return bad("input %d is a range of what is read whole", i)
		}
	}
	return nil
}

// CheckStage refuses, as Invalid, a stage that is malformed or past a bound.
func CheckStage(s *wirepb.Stage) error {
	bad := func(format string, a ...any) error {
		return mesh.Errorf(mesh.Invalid, "stage: "+format, a...)
	}
	switch {
	case s == nil:
		return bad("it is missing")
	case len(s.Module) != 32:
		return bad("its module is named by %d bytes, not 32", len(s.Module))
	case s.Pages < 1 || s.Pages > MaxPages:
		return bad("%d pages of memory, 1 to %d are possible", s.Pages, MaxPages)
	case s.Fuel < 1 || s.Fuel > fuel.MaxFuel:
		return bad("%d fuel a task, 1 to %d are possible", s.Fuel, uint64(fuel.MaxFuel))
	case s.OutputBytes < 1 || s.OutputBytes > MaxOutput:
		return bad("%d bytes of output a task, 1 to %d are possible", s.OutputBytes, MaxOutput)
	case len(s.Files) > MaxFiles:
		return bad("%d files, %d are the most", len(s.Files), MaxFiles)
	}
	letters := 0
	for _, words := range [][]string{s.Args, s.Env} {
		if len(words) > MaxWords {
			return bad("%d arguments or variables, %d are the most", len(words), MaxWords)
		}
		for _, w := range words {
			if letters += len(w); strings.IndexByte(w, 0) >= 0 {
				return bad("%q has a zero byte", w)
			}
		}
	}
	if letters > MaxLetters {
		return bad("arguments and variables of %d bytes, %d are the most", letters, MaxLetters)
	}
	for _, v := range s.Env {
		if strings.Index(v, "=") < 1 {
			return bad("variable %q is not NAME=value", v)
		}
		if strings.HasPrefix(v, "STRATOS_") {
			return bad("variable %q: names that begin with STRATOS_ are ours", v)
		}
	}
	return checkFiles(s.Files)
}

// checkFiles refuses files that cannot lie beside each other, or in the folder that is the task's own.
func checkFiles(files []*wirepb.ComputeFile) error {
	names := map[string]bool{}
	for _, f := range files {
		if !fs.ValidPath(f.Name) || f.Name == "." || len(f.Name) > MaxName || f.Name == "tmp" || strings.HasPrefix(f.Name, "tmp/") || len(f.Root) != 32 || f.Size > math.MaxInt64 {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "stage: a file cannot be called %q", f.Name),
				"a name is like in/customers.csv, of at most %d bytes, without . and .., and not in tmp", MaxName)
		}
		if names[f.Name] {
			return mesh.Errorf(mesh.Invalid, "stage: two files are called %s", f.Name)
		}
		names[f.Name] = true
	}
	for name := range names {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if names[dir] {
				return mesh.Errorf(mesh.Invalid, "stage: file %s is also the folder of another", dir)
			}
		}
	}
	return nil
}

// CheckResult refuses, as Invalid, a result that no run of the task can give.
func CheckResult(t *wirepb.TaskText, r *wirepb.TaskResult) error {
	return CheckClaim(DemandOf(t, nil), r)
}

// CheckClaim is CheckResult for who knows only what the task may spend and give.
func CheckClaim(d *wirepb.TaskDemand, r *wirepb.TaskResult) error {
	switch {
	case string(r.GetTask()) != string(d.Task):
		return mesh.Errorf(mesh.Invalid, "result: it is another task's")
	case r.End >= ends || r.End != Exited && r.Code != 0 || r.Fuel > d.Fuel || len(r.Output) != 32:
		return mesh.Errorf(mesh.Invalid, "result: end %d, code %d, %d fuel of %d", r.End, r.Code, r.Fuel, d.Fuel)
	case r.OutputBytes > d.OutputBytes || !Succeeded(r) && (r.OutputBytes > 0 || Digest(r.Output) != nothing()):
		return mesh.Errorf(mesh.Invalid, "result: %d bytes of output, %d are the most", r.OutputBytes, d.OutputBytes)
	}
	return nil
}

// mostOutput is how many bytes a task may give, with what its spill has besides lines.
func mostOutput(t *wirepb.TaskText) uint64 {
	if t.Parts > 0 {
		return t.Stage.OutputBytes + uint64(SpillHead(t.Parts)) + 1
	}
	return t.Stage.OutputBytes
}

// nothing is the BLAKE3 of no bytes: the output of a task that did not succeed.
func nothing() Digest { return blake3.Sum256(nil) }

// Succeeded tells whether a task exited with code 0.
func Succeeded(r *wirepb.TaskResult) bool { return r.End == Exited && r.Code == 0 }

// Failed is nil for a task that succeeded, and else says how it ended; who ran out of something is Exhausted.
func Failed(r *wirepb.TaskResult) error {
	switch {
	case Succeeded(r):
		return nil
	case r.End == Exited:
		return mesh.Errorf(mesh.Invalid, "it exited with code %d", r.Code)
	case r.End == Trapped:
		return mesh.Errorf(mesh.Invalid, "it trapped")
	case r.End == Unsortable:
		return mesh.Errorf(mesh.Invalid, "it gave a line of more than %d bytes, which cannot be sorted", MaxRecord)
	case r.End == OutOfFuel:
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "it is out of fuel"), "give each task more by --fuel")
	case r.End == OutOfStack:
		return mesh.Errorf(mesh.Exhausted, "it is out of stack: its calls are nested too deeply")
	}
	return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "it is out of output: it gives more than it may"), "let each task give more by --output-bytes")
}
