package wasi

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

// A Config is all that a task sees. Two machines that run the same module on equal Configs, with equal fuel, get the same.
type Config struct {
	Args []string // the first is the program's name
	Env  []string // NAME=value; order and repetitions are kept

	// Stdin is read until its end, at most once; nil is empty. Reads of the guest are filled whatever portions it comes in.
	Stdin io.Reader
	// Stdout and Stderr get what the guest writes, one call for each of its buffers; nil drops it. A writer must not keep
	// what it is given. They are best buffered.
	Stdout, Stderr io.Writer
	// StdoutBytes and StderrBytes bound them; 0 means MaxStdout and MaxStderr, which are also the most.
	StdoutBytes, StderrBytes int64

	// Files are the read-only files by their paths, which begin without a slash: "data/a.csv". Directories are implied.
	Files map[string]File
	// TmpBytes and TmpEntries bound /tmp; 0 means MaxTmpBytes and MaxTmpEntries, which are also the most.
	TmpBytes   int64
	TmpEntries int

	// Ask answers a request that the guest writes to AskPath, a line without its newline; what it returns is without one too, and the guest's
	// to see. nil: there is no such file. What it answers must be the same wherever the task runs.
	Ask func(request []byte) (answer []byte, err error)

	Begin int64    // when the task begins: nanoseconds of Unix, 0 to MaxTime
	Seed  [32]byte // of random_get: whoever must not foresee it, must not know this

	// Globals are those of the task's instance, and its fuel is set: what it then spends makes its clocks go.
	Globals fuel.Globals
}

// A File is a read-only file. Content must give the same bytes at every place each time, and all of Size.
type File struct {
	Size    int64
	Content io.ReaderAt
}

// Exit is how proc_exit ends a task: the code that it was given.
type Exit uint32

func (e Exit) Error() string { return fmt.Sprintf("the task exits with code %d", uint32(e)) }

// The two ways in which a task is exhausted here.
var (
	ErrFuel   = mesh.Errorf(mesh.Exhausted, "the task's fuel does not pay for a function of WASI")
	ErrOutput = mesh.Errorf(mesh.Exhausted, "the task writes more to its standard output than it may")
)

// A NodeError says that this machine failed the task: a reader or a writer of its Config, or this package. It is no verdict
// on the task, which another machine may finish.
type NodeError struct {
	Op  string // the function of WASI
	Err error
}

func (e *NodeError) Error() string {
	return fmt.Sprintf("the node failed its task in %s: %v", e.Op, e.Err)
}
func (e *NodeError) Unwrap() error { return e.Err }

// runError makes what a run ended with an error of Call's. A panic of Go's own can only be a mistake of the node, and who
// closes the instance is none of the task.
func runError(err error) error {
	var fault runtime.Error
	var closed *sys.ExitError
	if errors.As(err, &fault) || errors.As(err, &closed) {
		return &NodeError{"a call", err}
	}
	return err
}

// A Task is one run of a program: its descriptors, its files, its clock. It ends with its instance.
type Task struct {
	tree
	globals     fuel.Globals
	memory      api.Memory // of the instance, nil if it has none
	op          string     // the function that runs, for errors
	ended       error      // what ended the task
	args, env   []string
	descriptors [MaxOpen]descriptor
	in          stdin
	out, log    output
	begin       int64
	given       int64 // the fuel when the task was made
	slept       int64 // nanoseconds, by poll_oneoff
	random      *rand.ChaCha8
	ask         func([]byte) ([]byte, error)
	scratch     [][]byte // of vectors
}

// New makes a task. What it refuses is Invalid or, past a bound, Exhausted.
func New(c Config) (*Task, error) {
	if err := checkStrings("arguments", c.Args); err != nil {
		return nil, err
	}
	if err := checkStrings("variables", c.Env); err != nil {
		return nil, err
	}
	for _, v := range c.Env {
		if strings.Index(v, "=") < 1 {
			return nil, mesh.Errorf(mesh.Invalid, "variable %q is not of the form NAME=value", v)
		}
	}
	for _, b := range []struct {
		what      string
		n         *int64
		zero, max int64
	}{
		{"StdoutBytes", &c.StdoutBytes, MaxStdout, MaxStdout},
		{"StderrBytes", &c.StderrBytes, MaxStderr, MaxStderr},
		{"TmpBytes", &c.TmpBytes, MaxTmpBytes, MaxTmpBytes},
		{"Begin", &c.Begin, 0, MaxTime},
	} {
		if *b.n < 0 || *b.n > b.max {
			return nil, mesh.Errorf(mesh.Invalid, "%s is %d, not of 0 to %d", b.what, *b.n, b.max)
		}
		if *b.n == 0 {
			*b.n = b.zero
		}
	}
	if c.TmpEntries < 0 || c.TmpEntries > MaxTmpEntries {
		return nil, mesh.Errorf(mesh.Invalid, "TmpEntries is %d, not of 0 to %d", c.TmpEntries, MaxTmpEntries)
	}
	if c.TmpEntries == 0 {
		c.TmpEntries = MaxTmpEntries
	}
	t := &Task{
		globals: c.Globals, args: c.Args, env: c.Env, begin: c.Begin, given: int64(c.Globals.Fuel.Get()),
		in:     stdin{r: c.Stdin, done: c.Stdin == nil},
		out:    output{c.Stdout, c.StdoutBytes},
		log:    output{c.Stderr, c.StderrBytes},
		random: rand.NewChaCha8(c.Seed),
		ask:    c.Ask,
	}
	if err := t.plant(c); err != nil {
		return nil, err
	}
	for i, s := range []stream{streamIn, streamOut, streamLog} {
		t.descriptors[i] = descriptor{stream: s, read: s == streamIn, write: s != streamIn}
	}
	t.descriptors[rootFD] = descriptor{node: t.root}
	t.root.open++
	return t, nil
}

func checkStrings(what string, list []string) error {
	total := 0
	for _, s := range list {
		total += len(s) + 1
		if strings.IndexByte(s, 0) >= 0 {
			return mesh.Errorf(mesh.Invalid, "%s: %q holds a zero byte", what, s)
		}
	}
	if len(list) > MaxStrings || total > MaxStringBytes {
		return mesh.Errorf(mesh.Exhausted, "%d %s of %d bytes; at most %d of %d bytes are given", len(list), what, total, MaxStrings, MaxStringBytes)
	}
	return nil
}

// charge takes the fuel of n units. If it is not there, the fuel is negative afterwards and the task ends.
func (t *Task) charge(p Price, n uint64) {
	left := int64(t.globals.Fuel.Get()) - p.cost(n)
	t.globals.Fuel.Set(uint64(left))
	if left < 0 {
		t.end(ErrFuel)
	}
}

// end ends the task, from within a function of WASI: wazero unwinds the guest.
func (t *Task) end(err error) {
	t.ended = err
	panic(err)
}

// fail ends the task because the node failed.
func (t *Task) fail(err error) { t.end(&NodeError{t.op, err}) }

// elapsed is the guest's monotonic clock: nanoseconds since the task began, by what it spent and what it slept.
func (t *Task) elapsed() int64 {
	return max(t.given-int64(t.globals.Fuel.Get()), 0)/FuelPerNanosecond + t.slept
}

// now is the guest's time of day. Neither clock wraps: MaxTime, the greatest fuel and maxSleep together fit.
func (t *Task) now() int64 { return t.begin + t.elapsed() }

// maxSleep is the most that a task sleeps in all; later timers are due at once.
const maxSleep = 1 << 61
