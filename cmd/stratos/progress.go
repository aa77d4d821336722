package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// A transferProgress shows how far a transfer is, with rate and remaining time: redrawn in place on a terminal, else a plain line
// every ten seconds. It says nothing with --json.
type transferProgress struct {
	env   *env
	total int64 // 0 when it is not known
	done  atomic.Int64
	began time.Time
	stop  chan struct{}
	ended sync.WaitGroup
	once  sync.Once
}

func newTransferProgress(e *env, files []transferFile) *transferProgress {
	p := &transferProgress{env: e, began: time.Now(), stop: make(chan struct{})}
	for _, f := range files {
		p.total += f.size
	}
	if e.json {
		return p
	}
	every, terminal := 10*time.Second, false
	if f, ok := e.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every, terminal = 200*time.Millisecond, true
	}
	p.ended.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-p.stop:
				if terminal {
					fmt.Fprint(e.stderr, "\r\x1b[K")
				}
				return
			case <-t.C:
			}
			if terminal {
				fmt.Fprintf(e.stderr, "\r\x1b[K%s", p.line())
			} else {
				fmt.Fprintln(e.stderr, p.line())
			}
		}
	})
	return p
}

func (p *transferProgress) add(n int) { p.done.Add(int64(n)) }

func (p *transferProgress) close() {
	p.once.Do(func() { close(p.stop) })
	p.ended.Wait()
}

func (p *transferProgress) line() string {
	done, took := p.done.Load(), time.Since(p.began)
	rate := float64(done) / max(took.Seconds(), 0.001)
	s := fmt.Sprintf("%s, %s/s", bytesText(uint64(done)), bytesText(uint64(rate)))
	if p.total > 0 && rate > 0 {
		left := time.Duration(float64(p.total-done)/rate) * time.Second
		s = fmt.Sprintf("%3d %%  %s of %s, %s/s, %s left", 100*done/p.total, bytesText(uint64(done)), bytesText(uint64(p.total)), bytesText(uint64(rate)), max(left, 0))
	}
	return s
}
