package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/stratosmesh/stratos/mesh"
)

// A Process is a worker as its node sees it. One goroutine at a time uses it, but that Close may be called at any time. After an error
// it has ended, and what it was doing has no result: the task may be given to another.
type Process struct {
	cmd  *exec.Cmd
	wire *wire
	last tail // of its standard error
	kill func()
}

// Start starts a worker, which has no module yet; command is a command line that calls Serve. Its process ends with this one.
func Start(command []string) (*Process, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{"GOTRACEBACK=single"} // what else is in the environment is none of a stranger's business
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{cmd: cmd}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "starting a worker: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "starting a worker: %w", err)
	}
	cmd.Stderr = &p.last
	if err := cmd.Start(); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "starting a worker: %w", err)
	}
	p.wire = newWire(out, in)
	p.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // how it ended is of no interest: it was told to
	})
	return p, nil
}

// Close kills the worker and waits for its end. What it was doing fails.
func (p *Process) Close() error {
	p.kill()
	return nil
}

// Load has the worker check, meter and compile a module, and then give up all rights that running it does not need. A module that cannot
// be run is refused as Invalid or Exhausted, wherever it is loaded; the worker has ended then, too.
func (p *Process) Load(ctx context.Context, m Module) error {
	var l loaded
	err := p.during(ctx, "loading the module", func() error {
		if err := p.wire.writeJSON(frameLoad, m); err != nil {
			return err
		}
		body, err := p.wire.expect(frameLoaded)
		if err != nil {
			return err
		}
		return decode(body, &l)
	})
	if err == nil && l.Refusal != "" {
		p.kill()
		err = mesh.Errorf(l.Kind, "%s", l.Refusal)
		if l.Hint != "" {
			err = mesh.WithHint(err, "%s", l.Hint)
		}
	}
	return err
}

// during runs f, whose error ends the worker, as ctx does.
func (p *Process) during(ctx context.Context, doing string, f func() error) error {
	stop := context.AfterFunc(ctx, p.kill)
	err := f()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	p.kill()
	if ctx.Err() != nil {
		return mesh.Errorf(mesh.Unavailable, "%s: %w", doing, ctx.Err())
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
		return mesh.Errorf(mesh.Unavailable, "%s: the worker has ended: %s: %s", doing, p.cmd.ProcessState, p.last.String())
	}
	return mesh.Errorf(mesh.KindOf(err), "%s: %w", doing, err)
}

// Run runs a task to its end. An error says nothing of the task: the node, the input or the output failed, or ctx ended.
func (p *Process) Run(ctx context.Context, t Task) (Result, error) {
	if err := t.check(); err != nil {
		return Result{}, err
	}
	var r Result
	err := p.during(ctx, "running a task", func() (err error) {
		a := assignment{Args: t.Args, Env: t.Env, Fuel: t.Fuel, Nanos: t.Nanos, Seed: t.Seed, Files: t.Files, Most: t.Most, Asks: t.Ask != nil}
		if err := p.wire.writeJSON(frameTask, a); err != nil {
			return err
		}
		r, err = p.serve(&t)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// MaxLog is how many bytes of a task's log are taken; the rest is dropped.
const MaxLog = 1 << 20

// serve answers what the worker asks, until its task is done.
func (p *Process) serve(t *Task) (Result, error) {
	buf := make([]byte, MaxFrame)
	left, log := t.Most, int64(MaxLog)
	for {
		kind, body, err := p.wire.read()
		if err != nil {
			return Result{}, err
		}
		switch kind {
		case frameRead:
			n, err := wanted(body, 0)
			if err != nil {
				return Result{}, err
			}
			if n, err = read(t.Input, buf[:n]); err != nil {
				return Result{}, mesh.Errorf(mesh.KindOf(err), "reading the input: %w", err)
			}
			if err := p.wire.write(frameData, buf[:n]); err != nil {
				return Result{}, err
			}
		case frameFile:
			n, err := wanted(body, 12)
			if err != nil {
				return Result{}, err
			}
			i, at := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint64(body[4:])
			if int64(i) >= int64(len(t.Files)) || at > uint64(t.Files[i].Size) {
				return Result{}, mesh.Errorf(mesh.Corrupt, "the worker asks for file %d at %d", i, at)
			}
			f := t.Files[i]
			n = int(min(int64(n), f.Size-int64(at)))
			if got, err := f.Content.ReadAt(buf[:n], int64(at)); got < n {
				return Result{}, mesh.Errorf(mesh.KindOf(err), "reading the file %q: %w", f.Name, err)
			}
			if err := p.wire.write(frameData, buf[:n]); err != nil {
				return Result{}, err
			}
		case frameOutput:
			if left -= int64(len(body)); left < 0 {
				return Result{}, mesh.Errorf(mesh.Corrupt, "the worker gives more output than the task may have")
			}
			if t.Output != nil {
				if _, err := t.Output.Write(body); err != nil {
					return Result{}, mesh.Errorf(mesh.KindOf(err), "writing the output: %w", err)
				}
			}
		case frameLog:
			body = body[:min(int64(len(body)), log)]
			if log -= int64(len(body)); t.Log != nil && len(body) > 0 {
				if _, err := t.Log.Write(body); err != nil {
					return Result{}, mesh.Errorf(mesh.KindOf(err), "writing the log: %w", err)
				}
			}
		case frameAsk:
			if t.Ask == nil {
				return Result{}, mesh.Errorf(mesh.Corrupt, "the worker asks for a task that can ask nobody")
			}
			answer, err := t.Ask(bytes.Clone(body))
			if err == nil && len(answer) > MaxFrame {
				err = mesh.Errorf(mesh.Internal, "an answer of %d bytes, %d are the most", len(answer), MaxFrame)
			}
			if err != nil {
				return Result{}, mesh.Errorf(mesh.KindOf(err), "answering the task: %w", err)
			}
			if err := p.wire.write(frameAnswer, answer); err != nil {
				return Result{}, err
			}
		case frameDone:
			var e ending
			if err := decode(body, &e); err != nil {
				return Result{}, err
			}
			if e.Failure != "" {
				return Result{}, mesh.Errorf(mesh.Unavailable, "the worker failed: %s", e.Failure)
			}
			if e.End >= ends || e.Fuel < 0 || e.Fuel > t.Fuel {
				return Result{}, mesh.Errorf(mesh.Corrupt, "the worker says that the task is %s after %d fuel of %d", e.End, e.Fuel, t.Fuel)
			}
			return e.Result, nil
		default:
			return Result{}, mesh.Errorf(mesh.Corrupt, "the worker sent a frame of kind %d", kind)
		}
	}
}

// wanted decodes how many bytes a request asks for, which stands behind at bytes, and is the last.
func wanted(body []byte, at int) (int, error) {
	if len(body) != at+4 {
		return 0, mesh.Errorf(mesh.Corrupt, "the worker's request has %d bytes, not %d", len(body), at+4)
	}
	n := binary.LittleEndian.Uint32(body[at:])
	if n > MaxFrame {
		return 0, mesh.Errorf(mesh.Corrupt, "the worker asks for %d bytes, %d are the most", n, MaxFrame)
	}
	return int(n), nil
}

// read fills b, but at the end of the input.
func read(r io.Reader, b []byte) (int, error) {
	if r == nil {
		return 0, nil
	}
	n, err := io.ReadFull(r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

// A tail keeps the last of what is written to it. It is safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-tailSize):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
