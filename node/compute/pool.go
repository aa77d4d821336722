package compute

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/worker"
)

// Options of a pool.
type Options struct {
	Home    string   // folder of modules, in the clear and compiled
	Command []string // command line that calls worker.Serve
	// Slots is how many tasks run at once. Default: as many as there are processors.
	Slots int
	// Memory is how many bytes the instances of all tasks may have. Default 2 GiB. The workers' own memory comes on top.
	Memory int64
	// Waiting is how many tasks of one tenant may wait. Default 1,000.
	Waiting int
	// Idle is how many workers with a module are kept when they have nothing to do, and IdleTime for how long. Default 4, a minute.
	Idle     int
	IdleTime time.Duration
	// LoadTime is how long a worker may check and compile a module. Default a minute.
	LoadTime time.Duration
	// Disk is how many bytes of modules are kept, and as much again of compiled ones. Default 1 GiB.
	Disk int64
}

func (o Options) withDefaults() Options {
	o.Slots = cmp.Or(o.Slots, runtime.NumCPU())
	o.Memory = cmp.Or(o.Memory, 2<<30)
	o.Waiting = cmp.Or(o.Waiting, 1000)
	o.Idle = cmp.Or(o.Idle, 4)
	o.IdleTime = cmp.Or(o.IdleTime, time.Minute)
	o.LoadTime = cmp.Or(o.LoadTime, time.Minute)
	o.Disk = cmp.Or(o.Disk, 1<<30)
	return o
}

// A Program is what a worker is loaded with. No two tenants share a worker.
type Program struct {
	Tenant string // whose tasks these are
	Module ModuleID
	Pages  uint32 // of 64 KiB, that an instance may have
}

func (p Program) memory() int64 { return int64(p.Pages) << 16 }

// A Pool runs tasks in workers. Make it with New, call Run once, then Do from as many goroutines as there are tasks.
type Pool struct {
	opts    Options
	modules modules
	gate    *gate
	log     *slog.Logger

	mu    sync.Mutex
	own   *lifecycle.Group // nil until Run
	spare *worker.Process  // without a module, so that the next does not wait for a process; none while there is nothing to do
	used  time.Time        // when a worker was asked for last
	idle  []*idleWorker    // that was used last comes last
}

// An idleWorker waits for another task of its program.
type idleWorker struct {
	program Program
	process *worker.Process
	since   time.Time
}

// New makes a pool over its folder.
func New(o Options, log *slog.Logger) (*Pool, error) {
	o = o.withDefaults()
	p := &Pool{opts: o, modules: modules{o.Home, o.Disk}, gate: newGate(o.Slots, o.Memory, o.Waiting), log: log}
	return p, p.modules.open()
}

// Run keeps a worker ready while there is something to do, and ends those that are idle for too long, until ctx ends. All workers end with it.
func (p *Pool) Run(ctx context.Context) error {
	own := lifecycle.New(ctx)
	p.mu.Lock()
	p.own = own
	p.mu.Unlock()
	tick := time.NewTicker(p.opts.IdleTime / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.retire(time.Now().Add(-p.opts.IdleTime))
		case <-ctx.Done():
			err := own.Close()
			p.mu.Lock()
			p.own = nil
			p.mu.Unlock()
			p.retire(time.Now().Add(time.Hour))
			return err
		}
	}
}

// prepare starts the worker that is to come next, unless there is one.
func (p *Pool) prepare() {
	p.mu.Lock()
	own := p.own
	there := p.spare != nil
	p.mu.Unlock()
	if there || own == nil {
		return
	}
	_ = own.Go(func(context.Context) error { // the group may be closed: then nobody needs it
		w, err := worker.Start(p.opts.Command)
		if err != nil {
			p.log.Warn("computing: a worker does not start", "err", err)
			return nil
		}
		p.mu.Lock()
		if p.spare == nil && p.own != nil {
			p.spare, w = w, nil
		}
		p.mu.Unlock()
		if w != nil {
			return w.Close()
		}
		return nil
	})
}

// retire ends workers that have had nothing to do since before, and idle ones beyond what is kept.
func (p *Pool) retire(before time.Time) {
	p.mu.Lock()
	var end []*worker.Process
	for i := 0; i < len(p.idle); {
		if w := p.idle[i]; w.since.Before(before) || i < len(p.idle)-p.opts.Idle {
			end, p.idle = append(end, w.process), slices.Delete(p.idle, i, i+1)
		} else {
			i++
		}
	}
	if p.spare != nil && p.used.Before(before) {
		end, p.spare = append(end, p.spare), nil
	}
	p.mu.Unlock()
	for _, w := range end {
		_ = w.Close() // it never fails
	}
}

// Do runs a task of a program when there is room for it. fetch brings the module when it is not there. A result, also of a task that
// failed, is the task's; an error is the node's or ctx's, but for Invalid, Exhausted and Corrupt of loading, which are the module's.
func (p *Pool) Do(ctx context.Context, prog Program, fetch func(context.Context) (io.ReadCloser, error), t worker.Task) (worker.Result, error) {
	if prog.Pages == 0 || prog.Pages > worker.MaxPages || prog.memory() > p.opts.Memory {
		return worker.Result{}, mesh.Errorf(mesh.Exhausted, "%d pages of memory; this node gives 1 to %d", prog.Pages, min(worker.MaxPages, p.opts.Memory>>16))
	}
	if err := p.fetch(ctx, prog.Module, fetch); err != nil {
		return worker.Result{}, err
	}
	if err := p.gate.enter(ctx, prog.Tenant, prog.memory()); err != nil {
		return worker.Result{}, err
	}
	defer p.gate.leave(prog.Tenant, prog.memory())
	if ask := t.Ask; ask != nil {
		t.Ask = func(request []byte) ([]byte, error) { // while it waits, it keeps its memory and leaves its slot to others
			p.gate.rest(prog.Tenant)
			defer p.gate.resume(prog.Tenant)
			return ask(request)
		}
	}
	w, err := p.worker(ctx, prog)
	if err != nil {
		return worker.Result{}, err
	}
	r, err := w.Run(ctx, t)
	if err != nil {
		return worker.Result{}, errors.Join(err, w.Close())
	}
	p.mu.Lock()
	if p.own == nil { // it runs no more
		p.mu.Unlock()
		return r, w.Close()
	}
	p.idle = append(p.idle, &idleWorker{prog, w, time.Now()})
	p.mu.Unlock()
	p.retire(time.Time{})
	return r, nil
}

// Has tells whether a module is there.
func (p *Pool) Has(id ModuleID) bool { return p.modules.use(id) }

// Put keeps a module.
func (p *Pool) Put(id ModuleID, r io.Reader) error { return p.modules.put(id, r) }

// fetch sees to it that a module is there.
func (p *Pool) fetch(ctx context.Context, id ModuleID, fetch func(context.Context) (io.ReadCloser, error)) error {
	if p.modules.use(id) {
		return nil
	}
	r, err := fetch(ctx)
	if err != nil {
		return err
	}
	return errors.Join(p.modules.put(id, r), r.Close())
}

// worker gives a worker that is loaded with the program.
func (p *Pool) worker(ctx context.Context, prog Program) (*worker.Process, error) {
	p.mu.Lock()
	p.used = time.Now()
	if i := slices.IndexFunc(p.idle, func(w *idleWorker) bool { return w.program == prog }); i >= 0 {
		w := p.idle[i]
		p.idle = slices.Delete(p.idle, i, i+1)
		p.mu.Unlock()
		return w.process, nil
	}
	w := p.spare
	p.spare = nil
	p.mu.Unlock()
	p.prepare()
	if w == nil {
		var err error
		if w, err = worker.Start(p.opts.Command); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.opts.LoadTime)
	defer cancel()
	err := w.Load(ctx, worker.Module{Path: p.modules.path(prog.Module), Hash: prog.Module, Pages: prog.Pages, Cache: p.modules.cache(prog)})
	if err == nil {
		return w, nil
	}
	if mesh.KindOf(err) == mesh.Corrupt {
		err = errors.Join(err, p.modules.forget(prog.Module))
	}
	return nil, errors.Join(err, w.Close())
}
