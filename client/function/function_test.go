package function_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/function"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeNetwork is nodes by number, each of an operator of its own, that run a program in Go. They are drawn by rising number.
type fakeNetwork struct {
	nodes   int
	program func(node byte, ask func(string) (string, error)) (string, error)

	mu    sync.Mutex
	calls []byte // nodes that were called, in order
}

func (f *fakeNetwork) DrawWorkers(_ context.Context, count int, beside []mesh.NodeID) (all []transfer.Node, err error) {
	for n := 1; n <= f.nodes && len(all) < count; n++ {
		if id := (mesh.NodeID{byte(n)}); !slices.Contains(beside, id) {
			all = append(all, transfer.Node{ID: id})
		}
	}
	if len(all) < count {
		return nil, mesh.Errorf(mesh.Unavailable, "too few nodes")
	}
	return all, nil
}

func (f *fakeNetwork) Call(ctx context.Context, node transfer.Node, c *client.Call) (*client.Called, error) {
	f.mu.Lock()
	f.calls = append(f.calls, node.ID[0])
	f.mu.Unlock()
	var asked compute.Asked
	out, err := f.program(node.ID[0], func(q string) (string, error) {
		a, err := c.Answer(ctx, []byte(q))
		asked.Add([]byte(q), a)
		return string(a), err
	})
	if err != nil {
		return nil, err
	}
	name, sum := compute.TaskDigest(c.Text), blake3.Sum256([]byte(out))
	return &client.Called{Result: &wirepb.TaskResult{Task: name[:], Fuel: 7, OutputBytes: uint64(len(out)), Output: sum[:], Asked: asked.Sum()}, Output: []byte(out), Cost: 10}, nil
}

func (f *fakeNetwork) called() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// A fakeSession counts what is asked in one attempt, and refuses as many commits as it is told to.
type fakeSession struct {
	of        *sessions
	questions []string
}

type sessions struct {
	begun     int
	refuse    int
	broken    error // of answers
	committed []string
	asked     [][]string // of committed attempts
}

func (s *sessions) begin() function.Session { s.begun++; return &fakeSession{of: s} }

func (s *fakeSession) Answer(_ context.Context, q []byte) ([]byte, error) {
	if s.of.broken != nil {
		return nil, s.of.broken
	}
	s.questions = append(s.questions, string(q))
	return fmt.Appendf(nil, "%s#%d", q, len(s.questions)), nil
}

func (s *fakeSession) Commit(_ context.Context, output []byte) error {
	if s.of.refuse > 0 {
		s.of.refuse--
		return mesh.Errorf(mesh.Conflict, "somebody has written")
	}
	s.of.committed = append(s.of.committed, string(output))
	s.of.asked = append(s.of.asked, s.questions)
	return nil
}

func at(level uint32) *function.Function {
	return &function.Function{ID: "f", Level: level, Stage: &wirepb.Stage{Module: make([]byte, 32), Pages: 1, Fuel: 1000, OutputBytes: 1000}}
}

func newRunner(t *testing.T, o function.Options) *function.Runner {
	r := function.New(o, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// honest asks two things, and gives what it was told.
func honest(ask func(string) (string, error)) (string, error) {
	a, err := ask("a")
	if err != nil {
		return "", err
	}
	b, err := ask("b")
	return a + b, err
}

// Whoever lies, in whatever way, is found out and gets no calls any more, and what counts is what honest nodes gave and asked.
func TestLiars(t *testing.T) {
	lies := map[string]func(ask func(string) (string, error)) (string, error){
		"output":    func(ask func(string) (string, error)) (string, error) { _, err := honest(ask); return "lie", err },
		"first ask": func(ask func(string) (string, error)) (string, error) { _, err := ask("steal"); return "lie", err },
		"second ask": func(ask func(string) (string, error)) (string, error) {
			_, _ = ask("a")
			_, err := ask("steal")
			return "lie", err
		},
		"asks no more": func(ask func(string) (string, error)) (string, error) { a, err := ask("a"); return a, err },
		"asks more": func(ask func(string) (string, error)) (string, error) {
			out, err := honest(ask)
			if err == nil {
				_, err = ask("c")
			}
			return out, err
		},
	}
	for name, lie := range lies {
		for _, liar := range []byte{1, 2} {
			for _, level := range []uint32{compute.Pair, compute.Quorum} {
				t.Run(fmt.Sprintf("%s by %d at %d", name, liar, level), func(t *testing.T) {
					order := make(chan struct{}) // the liar is the first to ask, or the last
					f := &fakeNetwork{nodes: 7, program: func(n byte, ask func(string) (string, error)) (string, error) {
						if n == liar {
							if liar == 1 {
								defer close(order)
							} else {
								<-order
							}
							return lie(ask)
						}
						if n <= 2 {
							if liar == 1 {
								<-order
							} else {
								defer close(order)
							}
						}
						return honest(ask)
					}}
					once := f.program
					var mu sync.Mutex
					seen := map[byte]bool{}
					f.program = func(n byte, ask func(string) (string, error)) (string, error) {
						mu.Lock()
						again := seen[n]
						seen[n] = true
						mu.Unlock()
						if again || n > 3 {
							if n == liar {
								t.Error("the liar is called again")
							}
							return honest(ask)
						}
						return once(n, ask)
					}
					s := new(sessions)
					r := newRunner(t, function.Options{})
					for range 2 {
						o, err := r.Run(t.Context(), f, at(level), nil, nil, s.begin)
						if err != nil || string(o.Output) != "a#1b#2" {
							t.Fatalf("%+v, %v", o, err)
						}
					}
					if !slices.Equal(s.committed, []string{"a#1b#2", "a#1b#2"}) {
						t.Fatalf("committed %q", s.committed)
					}
					for _, q := range s.asked {
						if len(q) < 2 || q[0] != "a" || q[1] != "b" {
							t.Errorf("an attempt that counts asked %q", q)
						}
					}
				})
			}
		}
	}
}

// A node that gives nothing is replaced; where there are no others, it is tried again.
func TestReplaced(t *testing.T) {
	dead := errors.New("no")
	f := &fakeNetwork{nodes: 4, program: func(n byte, ask func(string) (string, error)) (string, error) {
		if n == 2 {
			return "", dead
		}
		return honest(ask)
	}}
	s, r := new(sessions), newRunner(t, function.Options{})
	if o, err := r.Run(t.Context(), f, at(compute.Pair), nil, nil, s.begin); err != nil || string(o.Output) != "a#1b#2" || s.begun != 2 || o.Cost != 30 {
		t.Fatalf("%+v, %v, %d attempts", o, err, s.begun)
	}
	f.mu.Lock()
	f.calls = nil
	f.mu.Unlock()
	if _, err := r.Run(t.Context(), f, at(compute.Pair), nil, nil, s.begin); err != nil || slices.Contains(f.called(), 2) {
		t.Fatalf("%v; called %v", err, f.called())
	}
	few := &fakeNetwork{nodes: 2, program: f.program}
	if _, err := newRunner(t, function.Options{}).Run(t.Context(), few, at(compute.Pair), nil, nil, s.begin); mesh.KindOf(err) != mesh.Unavailable || err == nil || len(few.called()) < 4 {
		t.Fatalf("%v; called %v", err, few.called())
	}
}

// What was seen and changed meanwhile is seen again; a session that cannot answer ends the call; and what fails by itself is not applied.
func TestCommit(t *testing.T) {
	f := &fakeNetwork{nodes: 3, program: func(_ byte, ask func(string) (string, error)) (string, error) { return honest(ask) }}
	r := newRunner(t, function.Options{})
	s := &sessions{refuse: 2}
	if o, err := r.Run(t.Context(), f, at(compute.Pair), nil, nil, s.begin); err != nil || s.begun != 3 || len(s.committed) != 1 || o.Cost != 60 {
		t.Fatalf("%+v, %v, %+v", o, err, s)
	}
	s = &sessions{refuse: 100}
	if o, err := r.Run(t.Context(), f, at(compute.Receipt), nil, nil, s.begin); mesh.KindOf(err) != mesh.Conflict || err == nil {
		t.Fatalf("%+v, %v", o, err)
	}
	s = &sessions{broken: mesh.Errorf(mesh.Exhausted, "no ozone")}
	if o, err := r.Run(t.Context(), f, at(compute.Pair), nil, nil, s.begin); mesh.KindOf(err) != mesh.Exhausted || err == nil || s.begun != 1 {
		t.Fatalf("%+v, %v, %d attempts", o, err, s.begun)
	}
}

// At level spot a call is run again now and then, when it was answered; who lied in one that is checked gets no more.
func TestSpot(t *testing.T) {
	f := &fakeNetwork{nodes: 5, program: func(n byte, ask func(string) (string, error)) (string, error) {
		out, err := honest(ask)
		if n == 1 {
			out = "lie"
		}
		return out, err
	}}
	draws := 0
	r := newRunner(t, function.Options{Chance: func(int) int { draws++; return draws % 2 }})
	s := new(sessions)
	if o, err := r.Run(t.Context(), f, at(compute.Spot), nil, nil, s.begin); err != nil || string(o.Output) != "lie" {
		t.Fatalf("%+v, %v", o, err)
	}
	if o, err := r.Run(t.Context(), f, at(compute.Spot), nil, nil, s.begin); err != nil || string(o.Output) != "lie" { // answered, and checked
		t.Fatalf("%+v, %v", o, err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		o, err := r.Run(t.Context(), f, at(compute.Spot), nil, nil, s.begin)
		if err == nil && string(o.Output) == "a#1b#2" {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%+v, %v", o, err)
		}
	}
}
