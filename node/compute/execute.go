package compute

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/wasi"
	"github.com/stratosmesh/stratos/node/compute/worker"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/fuel"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Rules is the digest of the versions and prices by which this program runs tasks. Two that differ in it cannot check each other.
func Rules() compute.Digest {
	f, w := fuel.Digest(), wasi.Digest()
	b := append([]byte("stratos rules 1\x00"), f[:]...)
	b = append(b, w[:]...)
	return blake3.Sum256(binary.BigEndian.AppendUint64(b, worker.TmpBytes))
}

// Sources are what a task reads. Their authors see to it that the bytes are those which the task's text names.
type Sources interface {
	Module(ctx context.Context) (io.ReadCloser, error)
	Input(ctx context.Context, n int) (compute.Source, error)
	File(ctx context.Context, n int) (io.ReaderAt, error)
}

// An Answerer is what sources are too, where the task may ask.
type Answerer interface {
	Answer(request []byte) ([]byte, error)
}

// Execute runs a task by its text, and writes its output, or the spill of that, to out; what stands there counts only with a result that
// succeeded. The error is the node's or the sources'; a task that fails has a result. log gets what the task writes to its standard error.
func (p *Pool) Execute(ctx context.Context, tenant string, t *wirepb.TaskText, src Sources, out, log io.Writer) (*wirepb.TaskResult, error) {
	if err := compute.CheckTask(t); err != nil {
		return nil, err
	}
	if r := Rules(); !bytes.Equal(t.Rules, r[:]) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the task is to be run by the rules %x, this program has %x", t.Rules[:4], r[:4]), "run the same version of Stratos as the job's author")
	}
	name := compute.TaskDigest(t)
	in := &input{ctx: ctx, task: t, src: src}
	hash := blake3.New(32, nil)
	task := worker.Task{
		Args: t.Stage.Args, Env: append(t.Stage.Env[:len(t.Stage.Env):len(t.Stage.Env)], numbered(t)), Fuel: int64(t.Stage.Fuel), Nanos: t.Nanos,
		Seed: [32]byte(t.Seed), Most: int64(t.Stage.OutputBytes), Input: in, Log: log,
	}
	var asked compute.Asked
	if a, ok := src.(Answerer); ok {
		task.Ask = func(request []byte) ([]byte, error) {
			answer, err := a.Answer(request)
			if err == nil {
				asked.Add(request, answer)
			}
			return answer, err
		}
	}
	var lines bytes.Buffer
	counted := &count{w: io.MultiWriter(out, hash)}
	if task.Output = counted; t.Parts > 0 {
		task.Output = &lines
	}
	for i, f := range t.Stage.Files {
		content, err := src.File(ctx, i)
		if err != nil {
			return nil, err
		}
		task.Files = append(task.Files, worker.File{Name: f.Name, Size: int64(f.Size), Content: content})
	}
	got, err := p.Do(ctx, Program{tenant, ModuleID(t.Stage.Module), t.Stage.Pages}, src.Module, task)
	if err := errors.Join(err, in.Close()); err != nil {
		return nil, err
	}
	if log != nil && got.Reason != "" {
		if _, err := fmt.Fprintf(log, "%s: %s\n", got.End, got.Reason); err != nil {
			return nil, err
		}
	}
	r := &wirepb.TaskResult{Task: name[:], End: uint32(got.End), Code: got.Code, Fuel: uint64(got.Fuel), Asked: asked.Sum()}
	if t.Parts > 0 && compute.Succeeded(r) {
		if err := spill(t, r, lines.Bytes(), counted); err != nil {
			return nil, err
		}
	}
	if !compute.Succeeded(r) {
		hash.Reset()
		counted.n = 0
	}
	r.Output, r.OutputBytes = hash.Sum(nil), counted.n
	return r, compute.CheckResult(t, r)
}

// numbered is the variable that tells a task its number.
func numbered(t *wirepb.TaskText) string {
	return fmt.Sprintf("%s=%d", compute.NumberVariable, t.Number)
}

// spill sorts what a map gave, which its fuel must pay too, and writes it to w.
func spill(t *wirepb.TaskText, r *wirepb.TaskResult, lines []byte, w io.Writer) error {
	cost := uint64(compute.ShuffleFuel(lines))
	if cost > t.Stage.Fuel-r.Fuel {
		r.End, r.Fuel = compute.OutOfFuel, t.Stage.Fuel
		return nil
	}
	r.Fuel += cost
	b, err := compute.Spill(lines, t.Parts)
	if mesh.KindOf(err) == mesh.Invalid && err != nil {
		r.End = compute.Unsortable
		return nil
	}
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// A count is a writer that counts.
type count struct {
	w io.Writer
	n uint64
}

func (c *count) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += uint64(n)
	return n, err
}

// An input is what a task reads on its standard input: its parts are opened one after the other, or, where they are spills, all at once.
type input struct {
	ctx  context.Context // of the task, for as long as it runs
	task *wirepb.TaskText
	src  Sources
	open []io.Closer
	r    io.Reader // of the present part
	next int
}

func (in *input) Read(b []byte) (int, error) {
	for {
		if in.r == nil {
			if in.next == len(in.task.Inputs) {
				return 0, io.EOF
			}
			if err := in.advance(); err != nil {
				return 0, err
			}
		}
		n, err := in.r.Read(b)
		if err == io.EOF {
			in.r = nil
			if err = in.Close(); err == nil && n == 0 {
				continue
			}
		}
		return n, err
	}
}

// advance opens the next part, or all spills.
func (in *input) advance() error {
	if !in.task.Merge {
		part := in.task.Inputs[in.next]
		s, err := in.source()
		if err != nil {
			return err
		}
		var r io.ReadCloser
		if part.Whole {
			r, err = s.Open(0, part.Size)
		} else {
			r = compute.Lines(s, part.From, part.To)
		}
		if err != nil {
			return err
		}
		in.r, in.open = r, append(in.open, r)
		return nil
	}
	var runs []io.Reader
	for in.next < len(in.task.Inputs) {
		r, err := in.part()
		if err != nil {
			return err
		}
		runs, in.open = append(runs, r), append(in.open, r)
	}
	in.r = compute.Merge(runs)
	return nil
}

// source gives the next input, which must be as long as the text says.
func (in *input) source() (compute.Source, error) {
	n := in.next
	in.next++
	s, err := in.src.Input(in.ctx, n)
	if err == nil && s.Size() != in.task.Inputs[n].Size {
		err = mesh.Errorf(mesh.Corrupt, "input %d has %d bytes, the task is about %d", n, s.Size(), in.task.Inputs[n].Size)
	}
	return s, err
}

// part opens the task's part of the next spill.
func (in *input) part() (io.ReadCloser, error) {
	s, err := in.source()
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(s.Size(), uint64(compute.SpillHead(in.task.Of))))
	h, err := s.Open(0, uint64(len(head)))
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(h, head); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	if err := h.Close(); err != nil {
		return nil, err
	}
	from, to, err := compute.SpillPart(head, in.task.Of, in.task.Number, s.Size())
	if err != nil {
		return nil, err
	}
	return s.Open(from, to-from)
}

// Close closes what is open.
func (in *input) Close() (err error) {
	for _, c := range in.open {
		err = errors.Join(err, c.Close())
	}
	in.open = nil
	return err
}
