package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/stratosmesh/stratos/node/compute/local"
)

// A progressLine shows a line again and again until it ends: redrawn in place on a terminal, else as a line every ten seconds. It
// says nothing with --json.
type progressLine struct {
	env      *env
	line     func() string
	terminal bool
	stop     chan struct{}
	ended    sync.WaitGroup
	once     sync.Once
}

func newProgressLine(e *env, line func() string) *progressLine {
	p := &progressLine{env: e, line: line, stop: make(chan struct{})}
	if e.json {
		return p
	}
	every := 10 * time.Second
	if f, ok := e.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every, p.terminal = 200*time.Millisecond, true
	}
	p.ended.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-p.stop:
				p.clear()
				return
			case <-t.C:
			}
			if p.terminal {
				fmt.Fprintf(e.stderr, "\r\x1b[K%s", p.line())
			} else {
				fmt.Fprintln(e.stderr, p.line())
			}
		}
	})
	return p
}

// clear removes the line from a terminal.
func (p *progressLine) clear() {
	if p.terminal {
		fmt.Fprint(p.env.stderr, "\r\x1b[K")
	}
}

func (p *progressLine) close() {
	p.once.Do(func() { close(p.stop) })
	p.ended.Wait()
}

// A transferProgress shows how far a transfer is, with rate and remaining time.
type transferProgress struct {
	*progressLine
	total int64 // 0 when it is not known
	done  atomic.Int64
	began time.Time
}

func newTransferProgress(e *env, files []transferFile) *transferProgress {
	p := &transferProgress{began: time.Now()}
	for _, f := range files {
		p.total += f.size
	}
	p.progressLine = newProgressLine(e, p.text)
	return p
}

func (p *transferProgress) add(n int) { p.done.Add(int64(n)) }

func (p *transferProgress) text() string {
	done, took := p.done.Load(), time.Since(p.began)
	rate := float64(done) / max(took.Seconds(), 0.001)
	s := fmt.Sprintf("%s, %s/s", bytesText(uint64(done)), bytesText(uint64(rate)))
	if p.total > 0 && rate > 0 {
		left := time.Duration(float64(p.total-done)/rate) * time.Second
		s = fmt.Sprintf("%3d %%  %s of %s, %s/s, %s left", 100*done/p.total, bytesText(uint64(done)), bytesText(uint64(p.total)), bytesText(uint64(rate)), max(left, 0))
	}
	return s
}

// A taskProgress shows how many tasks of a job are done, and the logs of tasks above that.
type taskProgress struct {
	*progressLine
	mu  sync.Mutex
	now local.Progress
}

func newTaskProgress(e *env) *taskProgress {
	p := new(taskProgress)
	p.progressLine = newProgressLine(e, p.text)
	return p
}

func (p *taskProgress) tell(now local.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

func (p *taskProgress) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%s: %d of %s done, fuel %d", p.now.Stage, p.now.Done, count(uint32(p.now.Tasks), "task"), p.now.Fuel)
}

// log shows the lines of a task's log, each with its task.
func (p *taskProgress) log(stage string, number uint32) io.Writer {
	return &taskLog{of: p, name: fmt.Sprintf("%s %d: ", stage, number)}
}

// A taskLog gathers lines. What has no newline at a task's end is not shown.
type taskLog struct {
	of   *taskProgress
	name string
	part []byte
}

func (l *taskLog) Write(b []byte) (int, error) {
	l.part = append(l.part, b...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			return len(b), nil
		}
		l.of.mu.Lock()
		l.of.clear()
		fmt.Fprintf(l.of.env.stderr, "%s%s\n", l.name, visible(string(l.part[:i]), '\t'))
		l.of.mu.Unlock()
		l.part = l.part[i+1:]
	}
}
