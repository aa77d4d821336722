package worker

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/wasi"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

// entry is the function that a module exports to be run.
const entry = "_start"

// Serve is what a worker process does: it takes a module and then tasks from its node, by frames on in and out, until in ends. The error
// is what went wrong here; what is wrong with a module or a task is told to the node.
func Serve(in io.Reader, out io.Writer) error {
	w := newWire(in, out)
	body, err := w.expect(frameLoad)
	if err == io.EOF {
		return nil // it was not needed
	}
	if err != nil {
		return err
	}
	var m Module
	if err := decode(body, &m); err != nil {
		return err
	}
	if m.Pages > MaxPages {
		return mesh.Errorf(mesh.Invalid, "a module with %d pages of memory, %d are the most", m.Pages, MaxPages)
	}
	if err := settle(uint64(m.Pages) << 16); err != nil {
		return err
	}
	debug.SetMemoryLimit(ownMemory * 3 / 4) // far enough from where the kernel gives no more
	ctx := experimental.WithMemoryAllocator(context.Background(), experimental.MemoryAllocatorFunc(allocate))
	e, err := load(ctx, m)
	if refused := new(refusal); errors.As(err, &refused) {
		return w.writeJSON(frameLoaded, loaded{mesh.KindOf(err), refused.Error(), mesh.HintOf(err)})
	}
	if err != nil {
		return err
	}
	if err := confine(); err != nil {
		return err
	}
	if err := w.writeJSON(frameLoaded, loaded{}); err != nil {
		return err
	}
	for {
		body, err := w.expect(frameTask)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var a assignment
		if err := decode(body, &a); err != nil {
			return err
		}
		r, err := e.run(ctx, w, a)
		if err != nil {
			return errors.Join(err, w.writeJSON(frameDone, ending{Failure: err.Error()}))
		}
		if err := w.writeJSON(frameDone, ending{Result: r}); err != nil {
			return err
		}
	}
}

// A refusal is an error of the module.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// An engine is a module that is ready to be run.
type engine struct {
	runtime  wazero.Runtime
	wasi     *wasi.Host
	compiled wazero.CompiledModule
	metered  fuel.Metered
}

// load checks, meters and compiles a module. A refusal is the module's fault; the others are the node's.
func load(ctx context.Context, m Module) (*engine, error) {
	f, err := os.Open(m.Path)
	if err != nil {
		return nil, fmt.Errorf("opening the module: %w", err)
	}
	binary, err := io.ReadAll(io.LimitReader(f, fuel.MaxModule+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading the module: %w", err)
	}
	if sha256.Sum256(binary) != m.Hash {
		return nil, &refusal{mesh.Errorf(mesh.Corrupt, "the module is not %x", m.Hash)}
	}
	e := new(engine)
	if e.metered, err = fuel.Meter(binary, fuel.Options{MemoryPages: m.Pages}); err != nil {
		return nil, &refusal{err}
	}
	if err := e.compile(ctx, m.Cache); err != nil {
		// What was kept may be damaged, which nothing but the text of an error tells: so once more, without.
		if err := errors.Join(os.RemoveAll(m.Cache), e.compile(ctx, m.Cache)); err != nil {
			return nil, err
		}
	}
	start, ok := e.compiled.ExportedFunctions()[entry]
	if !ok || len(start.ParamTypes()) > 0 || len(start.ResultTypes()) > 0 {
		return nil, mesh.WithHint(&refusal{mesh.Errorf(mesh.Invalid, "the module exports no function %s without parameters and results", entry)},
			"Build it as a program of WASI preview 1: clang --target=wasm32-wasi, or GOOS=wasip1 GOARCH=wasm go build")
	}
	i, err := e.instantiate(ctx) // it runs no code of the module, which has no start function any more
	if err != nil {
		return nil, &refusal{mesh.Errorf(mesh.Invalid, "the module cannot be instantiated: %w", err)}
	}
	return e, i.Close(ctx)
}

// compile makes the runtime and the module's code, or takes that from the folder where it is kept.
func (e *engine) compile(ctx context.Context, dir string) error {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return fmt.Errorf("the folder of the compiled module: %w", err)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).WithCompilationCache(cache))
	if e.wasi, err = wasi.Instantiate(ctx, e.runtime); err != nil {
		return err
	}
	if e.compiled, err = e.runtime.CompileModule(ctx, e.metered.Module); err != nil {
		return fmt.Errorf("compiling the module: %w", err)
	}
	return nil
}

func (e *engine) instantiate(ctx context.Context) (api.Module, error) {
	return e.runtime.InstantiateModule(ctx, e.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

// run runs a task. An error is this worker's failure.
func (e *engine) run(ctx context.Context, w *wire, a assignment) (r Result, err error) {
	defer func() {
		if p := recover(); p != nil { // no memory, of which no guest may know
			r, err = Result{}, fmt.Errorf("%v", p)
		}
	}()
	budget := a.Fuel - e.metered.Fuel
	if budget < 0 {
		return Result{End: OutOfFuel, Fuel: a.Fuel}, nil
	}
	i, err := e.instantiate(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("instantiating the module: %w", err)
	}
	defer i.Close(ctx) // it never fails
	g := fuel.Globals{Fuel: global(i, fuel.FuelExport), Stack: global(i, fuel.StackExport), Stop: global(i, fuel.StopExport)}
	g.Fuel.Set(uint64(budget))
	output, log := bufio.NewWriterSize(stream{w, frameOutput}, blockSize), &liveLog{Writer: bufio.NewWriterSize(stream{w, frameLog}, logBlock)}
	files := make(map[string]wasi.File, len(a.Files))
	for n, f := range a.Files {
		files[f.Name] = wasi.File{Size: f.Size, Content: content{w, uint32(n)}}
	}
	c := wasi.Config{
		Args: a.Args, Env: a.Env, Begin: a.Nanos, Seed: a.Seed, Files: files, Globals: g, TmpBytes: TmpBytes,
		Stdin: bufio.NewReaderSize(&ask{wire: w}, blockSize), Stdout: output, Stderr: log, StdoutBytes: a.Most,
	}
	if a.Asks {
		c.Ask = w.ask
	}
	t, err := wasi.New(c)
	if err != nil {
		return Result{}, err
	}
	if e.metered.Start {
		_, err = e.wasi.Call(ctx, t, i, fuel.StartExport)
	}
	if err == nil {
		_, err = e.wasi.Call(ctx, t, i, entry)
	}
	if r, err = verdict(g, err); err != nil {
		return Result{}, err
	}
	r.Fuel = e.metered.Fuel + g.Used(budget)
	return r, errors.Join(output.Flush(), log.Flush())
}

// verdict says how a run ended, if err does not say that this machine failed.
func verdict(g fuel.Globals, err error) (Result, error) {
	if failed := new(wasi.NodeError); errors.As(err, &failed) {
		return Result{}, err
	}
	switch g.Outcome() {
	case fuel.OutOfFuel:
		return Result{End: OutOfFuel}, nil
	case fuel.OutOfStack:
		return Result{End: OutOfStack}, nil
	case fuel.Stopped:
		return Result{}, errors.New("the task was stopped")
	}
	var code wasi.Exit
	switch {
	case err == nil:
		return Result{}, nil
	case errors.As(err, &code):
		return Result{Code: uint32(code)}, nil
	case errors.Is(err, wasi.ErrOutput):
		return Result{End: OutOfOutput}, nil
	}
	reason, _, _ := strings.Cut(err.Error(), "\n")
	if strings.Contains(reason, "stack overflow") { // of the engine, which gives that error no name: our own bound comes first, or this machine is to blame
		return Result{}, err
	}
	return Result{End: Trapped, Reason: reason}, nil
}

// global is an exported global of a metered module.
func global(i api.Module, name string) fuel.Global { return i.ExportedGlobal(name).(api.MutableGlobal) }

const (
	blockSize = 256 << 10 // how much of the input is asked for, and of the output sent, at once
	logBlock  = 4 << 10   // the same of the log, which somebody may follow
)

// logPause is how long a log is held back at most when more of it comes.
const logPause = 100 * time.Millisecond

// A liveLog sends a log in blocks, or what there is when the last block was sent a while ago: what a task says rarely is seen at once. When it is sent
// depends on the machine, and what is sent does not.
type liveLog struct {
	*bufio.Writer
	sent time.Time
}

func (l *liveLog) Write(b []byte) (int, error) {
	n, err := l.Writer.Write(b)
	if now := time.Now(); err == nil && now.Sub(l.sent) >= logPause {
		l.sent = now
		err = l.Flush()
	}
	return n, err
}

// TmpBytes is how much a task may keep in its /tmp, which lies in the worker's own memory.
const TmpBytes = 64 << 20

// An ask reads the input, which the node has.
type ask struct {
	wire *wire
	over bool
}

// Read asks the node for as much as fits into b.
func (a *ask) Read(b []byte) (int, error) {
	if a.over {
		return 0, io.EOF
	}
	n := min(len(b), MaxFrame)
	got, err := a.wire.request(frameRead, n, binary.LittleEndian.AppendUint32(nil, uint32(n)))
	if err != nil {
		return 0, err
	}
	a.over = len(got) < n
	if len(got) == 0 && n > 0 {
		return 0, io.EOF
	}
	return copy(b, got), nil
}

// A content is a file that the node has.
type content struct {
	wire *wire
	file uint32
}

// ReadAt asks the node.
func (c content) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		want := min(len(b)-n, MaxFrame)
		q := binary.LittleEndian.AppendUint32(nil, c.file)
		q = binary.LittleEndian.AppendUint64(q, uint64(at)+uint64(n))
		got, err := c.wire.request(frameFile, want, binary.LittleEndian.AppendUint32(q, uint32(want)))
		if err != nil {
			return n, err
		}
		n += copy(b[n:], got)
		if len(got) < want {
			return n, io.EOF
		}
	}
	return n, nil
}

// request asks for at most n bytes of data.
func (w *wire) request(kind byte, n int, body []byte) ([]byte, error) {
	if err := w.write(kind, body); err != nil {
		return nil, err
	}
	got, err := w.expect(frameData)
	if err == nil && len(got) > n {
		err = mesh.Errorf(mesh.Corrupt, "%d bytes came where %d were awaited", len(got), n)
	}
	return got, err
}

// ask has the node answer a request of the task.
func (w *wire) ask(request []byte) ([]byte, error) {
	if err := w.write(frameAsk, request); err != nil {
		return nil, err
	}
	return w.expect(frameAnswer)
}

// A stream sends what is written to it as frames of a kind.
type stream struct {
	wire *wire
	kind byte
}

func (s stream) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		part := b[n:min(len(b), n+MaxFrame)]
		err = s.wire.write(s.kind, part)
		n += len(part)
	}
	return n, err
}
