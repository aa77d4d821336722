// Package supervise runs child processes: it starts them stage by stage, restarts what dies, holds down what it is
// told to, and stops them in reverse order. A child never outlives its supervisor, not even one that is killed.
//
// It knows nothing of what the children do beyond a URL that answers 200 when one is ready. It is for Linux. It
// signals no process but those that it started: a process id is believed only with the start time that goes with it.
// Package devnet calls it, and a node for its replicas of databases.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/logfile"
)

// A Process is one row of the table of children.
type Process struct {
	Role  string   // what kind of child it is; for the status only
	Name  string   // unique
	Stage int      // a stage is started when all of the earlier ones are ready, and stopped before them
	Argv  []string // Argv[0] is the path of the program
	Env   []string // added to the supervisor's own environment
	Dir   string   // working directory; empty means the supervisor's
	Ready string   // URL that answers 200 when the child is usable; empty means from the start
	Log   string   // path of the file that takes its output
	Tied  bool     // its standard input is a pipe that ends when the supervisor does; else it is empty
}

// Options are how a supervisor treats its children. A zero duration or count means its default.
type Options struct {
	NoRestart    bool            // leave a child that dies alone
	ReadyTimeout time.Duration   // for a stage to become ready; default 90 s
	Grace        time.Duration   // from SIGTERM to SIGQUIT, which asks for a stack dump; default 10 s
	DumpGrace    time.Duration   // from SIGQUIT to SIGKILL; default 2 s
	BackoffMin   time.Duration   // before the first restart; doubled for each further one; default 200 ms
	BackoffMax   time.Duration   // default 10 s; a child that ran longer than this begins at BackoffMin again
	EarlyExits   int             // exits of a child that never was ready, after which starting has failed; default 3
	Logs         logfile.Options // of the children's logs
	Record       string          // path of the record of running children; required
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.ReadyTimeout, 90*time.Second)
	set(&o.Grace, 10*time.Second)
	set(&o.DumpGrace, 2*time.Second)
	set(&o.BackoffMin, 200*time.Millisecond)
	set(&o.BackoffMax, 10*time.Second)
	if o.EarlyExits <= 0 {
		o.EarlyExits = 3
	}
	if o.NoRestart {
		o.EarlyExits = 1
	}
	return o
}

// backoff tells how long to wait before a restart, from the wait before and how long the child ran after that.
func (o Options) backoff(last, ran time.Duration) time.Duration {
	if last == 0 || ran > o.BackoffMax {
		return o.BackoffMin
	}
	return min(2*last, o.BackoffMax)
}

// A Phase is where in its life a child is.
type Phase string

// The phases.
const (
	Waiting  Phase = "waiting"  // for its stage
	Starting Phase = "starting" // runs, was not ready yet
	Running  Phase = "running"  // was ready
	Backoff  Phase = "backoff"  // died, will be restarted
	Held     Phase = "held"     // stopped by Hold until Release
	Dead     Phase = "dead"     // died and is not restarted
	Stopped  Phase = "stopped"  // with the supervisor
)

// A Status is what can be seen of a child.
type Status struct {
	Role     string `json:"role"`
	Name     string `json:"name"`
	PID      int    `json:"pid"` // 0 while it does not run
	Phase    Phase  `json:"phase"`
	Healthy  bool   `json:"healthy"` // its URL answers 200 now
	Restarts int    `json:"restarts"`
	LastExit string `json:"last_exit,omitempty"` // how it ended the last time
	Log      string `json:"log"`
}

// A StartError says which child did not become ready, why, and what it said last.
type StartError struct {
	Name   string
	Reason string
	Tail   []string
}

func (e *StartError) Error() string {
	s := e.Name + " did not start: " + e.Reason
	if len(e.Tail) > 0 {
		s += "; its log ends with\n    " + strings.Join(e.Tail, "\n    ")
	}
	return s
}

// ErrUnknown is in the error of Hold and Release for a name that no child has.
var ErrUnknown = errors.New("no such process")

// A Supervisor owns the children. Make it with New, then call Run once.
type Supervisor struct {
	opts     Options
	log      *slog.Logger
	children []*child
	record   *record
	ready    chan struct{}
	http     *http.Client
}

// New prepares a supervisor for the children in procs; it starts nothing.
func New(procs []Process, log *slog.Logger, opts Options) (*Supervisor, error) {
	s := &Supervisor{
		opts:   opts.withDefaults(),
		log:    log,
		ready:  make(chan struct{}),
		record: &record{path: opts.Record, children: map[string]identity{}},
		http: &http.Client{
			Timeout:   2 * time.Second,
			Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
		},
	}
	if opts.Record == "" {
		return nil, errors.New("supervise: no path for the record")
	}
	for _, p := range procs {
		if p.Name == "" || len(p.Argv) == 0 || p.Log == "" {
			return nil, fmt.Errorf("supervise: process %q lacks a name, a command or a log", p.Name)
		}
		if s.find(p.Name) != nil {
			return nil, fmt.Errorf("supervise: two processes are named %q", p.Name)
		}
		s.children = append(s.children, newChild(s, p))
	}
	return s, nil
}

func (s *Supervisor) find(name string) *child {
	i := slices.IndexFunc(s.children, func(c *child) bool { return c.spec.Name == name })
	if i < 0 {
		return nil
	}
	return s.children[i]
}

// Ready is closed when every child has been ready once.
func (s *Supervisor) Ready() <-chan struct{} { return s.ready }

// stages returns the children by stage, in the order of the stages.
func (s *Supervisor) stages() [][]*child {
	by := map[int][]*child{}
	for _, c := range s.children {
		by[c.spec.Stage] = append(by[c.spec.Stage], c)
	}
	var out [][]*child
	for _, n := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[n])
	}
	return out
}

// Run ends what an earlier supervisor with the same record left running, starts the children, and keeps them until
// ctx is done or starting has failed (then with a *StartError). When it returns, no child runs.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := Sweep(s.opts.Record); err != nil {
		return err
	}
	for _, c := range s.children {
		var err error
		if c.log, err = logfile.Open(c.spec.Log, s.opts.Logs); err != nil {
			return err
		}
		defer c.log.Close()
	}
	stages := s.stages()
	groups := make([]*lifecycle.Group, len(stages))
	err := s.start(ctx, stages, groups)
	if err == nil {
		close(s.ready)
		<-ctx.Done()
	}
	for _, g := range slices.Backward(groups) {
		if g != nil {
			err = errors.Join(err, g.Close())
		}
	}
	for _, c := range s.children {
		c.set(func() { c.phase = Stopped })
	}
	s.http.CloseIdleConnections()
	return errors.Join(err, s.record.remove())
}

func (s *Supervisor) start(ctx context.Context, stages [][]*child, groups []*lifecycle.Group) error {
	for i, stage := range stages {
		// Not a child of ctx: the stages stop one after the other when Run closes their groups.
		groups[i] = lifecycle.New(context.WithoutCancel(ctx))
		for _, c := range stage {
			if err := groups[i].Go(c.run); err != nil {
				return err
			}
		}
		deadline, cancel := context.WithTimeout(ctx, s.opts.ReadyTimeout)
		err := awaitAll(deadline, stage)
		cancel()
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func awaitAll(ctx context.Context, children []*child) error {
	for _, c := range children {
		if err := c.awaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Status tells how the children are, in the order of the table.
func (s *Supervisor) Status(ctx context.Context) []Status {
	out := make([]Status, len(s.children))
	var wg sync.WaitGroup
	for i, c := range s.children {
		wg.Go(func() { out[i] = c.status(ctx) })
	}
	wg.Wait()
	return out
}

// Hold kills the named children (SIGKILL) and keeps them down until Release. It returns when they are gone.
func (s *Supervisor) Hold(ctx context.Context, names ...string) error {
	children, err := s.named(names)
	if err != nil {
		return err
	}
	for _, c := range children {
		c.hold()
	}
	for _, c := range children {
		if err := c.awaitGone(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Release starts the named children that are held or dead, and returns when all of them are ready.
func (s *Supervisor) Release(ctx context.Context, names ...string) error {
	children, err := s.named(names)
	if err != nil {
		return err
	}
	for _, c := range children {
		c.release()
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.ReadyTimeout)
	defer cancel()
	for _, c := range children {
		if err := c.awaitAnswer(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Supervisor) named(names []string) ([]*child, error) {
	var out []*child
	for _, n := range names {
		c := s.find(n)
		if c == nil {
			return nil, fmt.Errorf("%w: %q", ErrUnknown, n)
		}
		out = append(out, c)
	}
	return out, nil
}
