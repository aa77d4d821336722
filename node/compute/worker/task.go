package worker

import (
	"fmt"
	"io"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/wasi"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

// A Module is what a worker runs, from its start to its end.
type Module struct {
	Path  string   // of the WebAssembly binary
	Hash  [32]byte // SHA-256 of it, which is checked
	Pages uint32   // of 64 KiB, that a memory of it may have; at most MaxPages
	Cache string   // folder in which it is kept compiled, and nothing else; only workers write there
}

// MaxPages is the most memory that a module is given: 2 GiB.
const MaxPages = 32_768

// A Task is one run of a module, in an instance of its own. What it gives depends on nothing but the module and this.
type Task struct {
	Args  []string // the first is the program's name
	Env   []string // NAME=value
	Fuel  int64    // that it may spend, at most fuel.MaxFuel
	Nanos int64    // Unix time at which its clock begins
	Seed  [32]byte // of its random numbers
	Files []File   // that it may read
	Most  int64    // bytes of output, 1 to wasi.MaxStdout; more ends it as exhausted

	Input  io.Reader                                       // its standard input; nil: empty
	Output io.Writer                                       // its standard output; nil: dropped
	Log    io.Writer                                       // its standard error, of which there is little; nil: dropped
	Ask    func(request []byte) (answer []byte, err error) // see wasi.Config; nil: it can ask nobody
}

// A File is what a task can read under a name, beside its input.
type File struct {
	Name    string // such as "in/customers.csv", below the root
	Size    int64
	Content io.ReaderAt `json:"-"`
}

// assignment is a Task as it is sent: the content stays with the node.
type assignment struct {
	Args, Env   []string
	Fuel, Nanos int64
	Seed        [32]byte
	Files       []File
	Most        int64
	Asks        bool
}

// An End is how a task ended. It is the same wherever the task runs.
type End uint8

const (
	// Exited: by itself, with an exit code.
	Exited End = iota
	// Trapped: by a fault of its own, such as a division by zero.
	Trapped
	// OutOfFuel, OutOfStack, OutOfOutput: what it was given did not suffice.
	OutOfFuel
	OutOfStack
	OutOfOutput
	ends
)

var endNames = [ends]string{"exited", "trapped", "out of fuel", "out of stack", "out of output"}

func (e End) String() string {
	if e >= ends {
		return fmt.Sprintf("end %d", uint8(e))
	}
	return endNames[e]
}

// Exhausted tells whether the task ended for want of what it was given.
func (e End) Exhausted() bool { return e >= OutOfFuel && e < ends }

// A Result is what became of a task.
type Result struct {
	End    End
	Code   uint32 // with Exited
	Fuel   int64  // spent, from its instance's price on
	Reason string // for people: where it trapped. Not the same everywhere
}

// Err is nil for a task that exited with code 0, and else says why not; exhausted ones are of that kind.
func (r Result) Err() error {
	switch {
	case r.End.Exhausted():
		return mesh.Errorf(mesh.Exhausted, "the task is %s", r.End)
	case r.End == Trapped:
		return mesh.Errorf(mesh.Invalid, "the task trapped: %s", r.Reason)
	case r.Code != 0:
		return mesh.Errorf(mesh.Invalid, "the task exited with code %d", r.Code)
	}
	return nil
}

// loaded answers a Module, and ending a Task. A refusal binds the module's author, unlike what merely went wrong.
type loaded struct {
	Kind    mesh.Kind
	Refusal string // why the module is not run; empty: it is ready
	Hint    string
}
type ending struct {
	Result
	Failure string // what went wrong here, so that there is no result; the worker ends
}

// check refuses a task that no worker could run.
func (t *Task) check() error {
	switch {
	case t.Fuel < 0 || t.Fuel > fuel.MaxFuel:
		return mesh.Errorf(mesh.Invalid, "a task of %d fuel, at most %d are given", t.Fuel, int64(fuel.MaxFuel))
	case t.Most < 1 || t.Most > wasi.MaxStdout:
		return mesh.Errorf(mesh.Invalid, "a task of %d bytes of output, it may have 1 to %d", t.Most, int64(wasi.MaxStdout))
	}
	for _, f := range t.Files {
		if f.Size < 0 || f.Content == nil {
			return mesh.Errorf(mesh.Invalid, "file %q has no content", f.Name)
		}
	}
	return nil
}
