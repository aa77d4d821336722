package supervise

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/logfile"
)

// probeInterval is how often a child that is not ready yet is asked.
const probeInterval = 50 * time.Millisecond

// tailLines is how much of its log goes into the error about a child.
const tailLines = 12

// A child is one process over all its restarts.
type child struct {
	s    *Supervisor
	spec Process
	log  *logfile.Writer // open while Run runs

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change of what follows
	phase    Phase
	held     bool
	pid      int  // 0 while no process runs
	mine     bool // the process has not been reaped, so the id is its own and may be signalled
	ready    bool
	early    int // exits since the last release without having been ready
	restarts int
	lastExit string
}

func newChild(s *Supervisor, p Process) *child {
	return &child{s: s, spec: p, changed: make(chan struct{}), phase: Waiting}
}

// set changes the child's state and wakes whoever waits for a change.
func (c *child) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// await blocks until ok, which is called with c.mu held, tells true.
func (c *child) await(ctx context.Context, ok func() bool) error {
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// run keeps the child alive until ctx is done. Its thread stays with the children that it starts: they get their
// death signal when the thread that started them ends.
func (c *child) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var wait time.Duration
	for c.await(ctx, func() bool { return !c.held }) == nil {
		began := time.Now()
		c.once(ctx)
		if ctx.Err() != nil {
			break
		}
		wait = c.s.opts.backoff(wait, time.Since(began))
		if !c.pause(ctx, wait) {
			wait = 0
		}
	}
	return nil
}

// pause blocks until the child is due again; false means that somebody asked for it, rather than the clock.
func (c *child) pause(ctx context.Context, wait time.Duration) bool {
	timed, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if c.await(timed, func() bool { return c.phase != Backoff }) != nil {
		return true
	}
	_ = c.await(ctx, func() bool { return c.phase == Waiting }) // run sees when ctx is done
	return false
}

// once starts the process and returns when it has ended and everything in its process group with it.
func (c *child) once(ctx context.Context) {
	cmd := exec.Command(c.spec.Argv[0], c.spec.Argv[1:]...)
	cmd.Env = append(os.Environ(), c.spec.Env...)
	cmd.Dir = c.spec.Dir
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // for a descendant that left the group and holds the pipe
	if c.spec.Tied {
		if _, err := cmd.StdinPipe(); err != nil { // held open by cmd until the process has ended
			c.exited(ctx, err.Error())
			return
		}
	}

	c.mu.Lock()
	if c.held { // since run looked
		c.phase = Held
		c.mu.Unlock()
		return
	}
	if err := cmd.Start(); err != nil {
		c.mu.Unlock()
		c.exited(ctx, err.Error())
		return
	}
	c.pid, c.mine = cmd.Process.Pid, true
	c.mu.Unlock()
	c.set(func() { c.phase = Starting })
	c.s.record.add(c.spec.Name, cmd.Process.Pid, c.s.log)
	c.s.log.Info("process started", "process", c.spec.Name, "pid", cmd.Process.Pid)
	fmt.Fprintf(c.log, "[supervisor] %s started, pid %d\n", c.spec.Name, cmd.Process.Pid)

	own := lifecycle.New(context.WithoutCancel(ctx))
	_ = own.Go(c.probe)
	_ = own.Go(func(exited context.Context) error { c.terminate(ctx, exited); return nil })
	waitExit(cmd.Process.Pid) // still to be reaped, so the id is still its own
	c.signal(-1, syscall.SIGKILL)
	c.mu.Lock()
	c.mine = false
	c.mu.Unlock()
	err := cmd.Wait()
	how := "exit status 0"
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		how = err.Error()
	}
	_ = own.Close()
	c.exited(ctx, how)
}

func (c *child) exited(ctx context.Context, how string) {
	var phase Phase
	c.set(func() {
		if !c.ready && !c.held {
			c.early++
		}
		c.pid, c.ready, c.lastExit = 0, false, how
		switch {
		case ctx.Err() != nil:
			c.phase = Stopped
		case c.held:
			c.phase = Held
		case c.s.opts.NoRestart:
			c.phase = Dead
		default:
			c.phase = Backoff
			c.restarts++
		}
		phase = c.phase
	})
	fmt.Fprintf(c.log, "[supervisor] %s ended: %s\n", c.spec.Name, how)
	c.s.log.Info("process ended", "process", c.spec.Name, "how", how, "phase", string(phase))
}

// signal sends sig to the process (scope 1) or to its whole group (scope -1) while it is known to be ours.
func (c *child) signal(scope int, sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mine {
		_ = syscall.Kill(scope*c.pid, sig) // what fails here has ended already
	}
}

// terminate asks the process to end once stop is done, and makes it end when it does not.
func (c *child) terminate(stop, exited context.Context) {
	for _, step := range []struct {
		scope int
		sig   syscall.Signal
		after time.Duration
		say   string
	}{
		{1, syscall.SIGTERM, 0, ""},
		{1, syscall.SIGQUIT, c.s.opts.Grace, "stops late: its stacks follow"},
		{-1, syscall.SIGKILL, c.s.opts.DumpGrace, "still runs and is killed"},
	} {
		select {
		case <-exited.Done():
			return
		case <-stop.Done():
		}
		timer := time.NewTimer(step.after)
		select {
		case <-exited.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if step.say != "" {
			c.s.log.Warn("process "+step.say, "process", c.spec.Name)
			fmt.Fprintf(c.log, "[supervisor] %s %s\n", c.spec.Name, step.say)
		}
		c.signal(step.scope, step.sig)
	}
}

// probe asks until the child is ready.
func (c *child) probe(ctx context.Context) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for !c.answers(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	if ctx.Err() == nil {
		c.set(func() { c.phase, c.ready, c.early = Running, true, 0 })
		c.s.log.Info("process ready", "process", c.spec.Name)
	}
	return nil
}

func (c *child) answers(ctx context.Context) bool {
	if c.spec.Ready == "" {
		return true
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.spec.Ready, nil)
	if err != nil {
		return false
	}
	resp, err := c.s.http.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (c *child) status(ctx context.Context) Status {
	c.mu.Lock()
	st := Status{Role: c.spec.Role, Name: c.spec.Name, PID: c.pid, Phase: c.phase, Restarts: c.restarts,
		LastExit: c.lastExit, Log: c.spec.Log}
	c.mu.Unlock()
	st.Healthy = st.PID != 0 && c.answers(ctx)
	return st
}

func (c *child) hold() {
	c.set(func() {
		c.held = true
		if c.pid == 0 {
			c.phase = Held
		}
	})
	c.signal(-1, syscall.SIGKILL)
}

func (c *child) release() {
	c.set(func() {
		if c.held || c.phase == Dead || c.phase == Backoff {
			c.held, c.phase, c.early = false, Waiting, 0
		}
	})
}

// awaitAnswer is awaitReady for a child that may have died a moment ago without anybody having noticed yet.
func (c *child) awaitAnswer(ctx context.Context) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		if err := c.awaitReady(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		held := c.held
		c.mu.Unlock()
		if held || c.answers(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (c *child) awaitGone(ctx context.Context) error {
	err := c.await(ctx, func() bool { return c.pid == 0 })
	if err != nil {
		return fmt.Errorf("wait for %s to end: %w", c.spec.Name, err)
	}
	return nil
}

// awaitReady waits until the child has become ready, or is held, or has failed too often.
func (c *child) awaitReady(ctx context.Context) error {
	var failed bool
	err := c.await(ctx, func() bool {
		failed = !c.held && c.early >= c.s.opts.EarlyExits
		return failed || c.ready || c.held
	})
	if err == nil && !failed {
		return nil
	}
	reason := "not ready within " + c.s.opts.ReadyTimeout.String()
	if failed {
		c.mu.Lock()
		reason = c.lastExit
		c.mu.Unlock()
	}
	tail, tailErr := logfile.Tail(c.spec.Log, tailLines)
	if tailErr != nil {
		tail = []string{tailErr.Error()}
	}
	return &StartError{Name: c.spec.Name, Reason: reason, Tail: tail}
}
