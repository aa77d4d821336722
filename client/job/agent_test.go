package job_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var jobSource = job.Source

// memory is a content that is no object.
type memory []byte

func (m memory) Size() uint64 { return uint64(len(m)) }
func (m memory) Open(offset, length uint64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[offset : offset+length])), nil
}

// spec is a job that sorts lines: of an object that two nodes hold, of small ones in two buckets, and of a content, with files of both kinds.
func (w *world) spec(level job.Level) job.Spec {
	stage := &wirepb.Stage{Module: make([]byte, 32), Pages: 1, Fuel: 1000, OutputBytes: 64 << 20}
	s := job.Spec{Map: job.Program{Module: []byte("map"), Stage: stage, Files: []job.File{{Name: "script", Input: job.Input{Content: memory("a script")}}}},
		Reduce: &job.Program{Module: []byte("reduce"), Stage: stage}, Parts: 2, Output: mesh.Path{Bucket: "box", Key: "out/"}, Level: level, Budget: 1000, Timeout: 2 * time.Minute}
	lines := func(name string, n int) (b []byte) {
		for i := range n {
			b = fmt.Appendf(b, "%s line %d\n", name, i*7919%n)
		}
		return b
	}
	for _, p := range []mesh.Path{{Bucket: "box", Key: "in/large"}, {Bucket: "box", Key: "in/x/small"}, {Bucket: "box", Key: "in/y/small"}, {Bucket: "other", Key: "small"}} {
		n := 10
		if p.Key == "in/large" {
			n = 40_000
		}
		s.Inputs = append(s.Inputs, job.Input{Object: w.put(p, lines(p.String(), n))})
	}
	s.Inputs = append(s.Inputs, job.Input{Content: memory(lines("rows", 10))})
	s.Files = []job.File{{Name: "object", Input: s.Inputs[1]}, {Name: "content", Input: job.Input{Content: memory("a content")}}}
	return s
}

// result is what the job gives, as a plain program computes it.
func (w *world) result(s job.Spec) string {
	var all []string
	for _, in := range s.Inputs {
		b, _ := in.Content.(memory)
		if in.Object != nil {
			b = w.objects[in.Object.Path].content
		}
		all = append(all, strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	for i, l := range all {
		all[i] = strings.TrimSuffix(l, "\n") + "\n"
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// What workers store, say and fail to do; and what the job comes to.
func TestAgent(t *testing.T) {
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/3] ^= 1
		return b
	}
	spoil := func(stage string, times int, how func([]byte) []byte) func(*world) {
		return func(w *world) {
			w.store = func(_ mesh.NodeID, s string, b []byte) []byte {
				w.mu.Lock()
				defer w.mu.Unlock()
				if s == stage && times > 0 {
					times--
					return how(b)
				}
				return b
			}
		}
	}
	const maps, reduces = 6, 2 // the large input is two
	var digest compute.Digest
	for _, c := range []struct {
		name  string
		level job.Level
		wrong func(*world)
		maps  int // that were run
		kind  mesh.Kind
		say   string
	}{
		{name: "receipt", level: job.Receipt, maps: maps},
		{name: "spot", level: job.Spot, maps: maps},
		{name: "pair", level: job.Pair, maps: 2 * maps},
		{name: "quorum", level: job.Quorum, maps: 3 * maps},
		{name: "a spill is spoiled", level: job.Spot, wrong: spoil("map", 1, flip), maps: maps + 1},
		{name: "a spill is missing", level: job.Spot, wrong: spoil("map", 1, func([]byte) []byte { return nil }), maps: maps + 1},
		{name: "a spill is too short", level: job.Spot, wrong: spoil("map", 1, func(b []byte) []byte { return b[1:] }), maps: maps + 1},
		{name: "spills are spoiled that others have", level: job.Pair, wrong: func(w *world) {
			w.store = func(n mesh.NodeID, s string, b []byte) []byte {
				if s == "map" && n == w.nodes[0] {
					return flip(b)
				}
				return b
			}
		}, maps: 2 * maps},
		{name: "spills are always spoiled", level: job.Spot, wrong: spoil("map", 1000, flip), kind: mesh.Corrupt, say: "was never what its result says"},
		{name: "a result is spoiled", level: job.Spot, wrong: spoil("reduce", 1, flip), maps: maps},
		{name: "a result is missing", level: job.Pair, wrong: spoil("reduce", 2, func([]byte) []byte { return nil }), maps: 2 * maps},
		{name: "a result is spoiled that is not verified", level: job.Receipt, wrong: spoil("reduce", 1, flip), maps: maps},
		{name: "it comes to something else when it is run again", level: job.Spot, wrong: func(w *world) {
			spoil("map", 1, flip)(w)
			w.claim = func(_ mesh.NodeID, stage string, r *wirepb.TaskResult) {
				if len(w.tasks) > maps+reduces {
					r.Fuel++
				}
			}
		}, kind: mesh.Corrupt, say: "one of the nodes has lied"},
		{name: "a node never answers", level: job.Spot, wrong: func(w *world) {
			w.fail = func(n mesh.NodeID, _ string) error {
				if n == w.nodes[1] {
					return mesh.Errorf(mesh.Unavailable, "it is down")
				}
				return nil
			}
		}, maps: maps},
		{name: "a reduce blames what it reads for nothing", level: job.Spot, wrong: func(w *world) {
			times := 3
			w.fail = func(_ mesh.NodeID, stage string) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				if stage == "reduce" && times > 0 {
					times--
					return mesh.Errorf(mesh.Corrupt, "an input is wrong")
				}
				return nil
			}
		}, maps: maps},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.spec(c.level)
				if c.wrong != nil {
					c.wrong(w)
				}
				var logs []string
				s.Log = func(l job.LogLine) { logs = append(logs, fmt.Sprintf("%s %d: %s", l.Stage, l.Task, l.Text)) }
				trouble := ""
				s.Progress = func(p job.Progress) { trouble = p.Trouble }
				want := w.result(s)
				o, err := job.Run(t.Context(), w, w, s)
				if !w.ended || len(w.keys(mesh.Path{Bucket: "box", Key: "out/.job"})) > 0 {
					t.Errorf("the job goes on: %v; left is %q", !w.ended, w.keys(mesh.Path{Bucket: "box", Key: "out/"}))
				}
				if c.say != "" {
					if err == nil || mesh.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.say) {
						t.Fatalf("%v, %v", o, err)
					}
					return
				}
				if err != nil {
					t.Fatalf("%v; %s", err, trouble)
				}
				if digest == (compute.Digest{}) {
					digest = o.Digest
				}
				if o.Digest != digest || o.Maps != maps || o.Reduces != reduces {
					t.Errorf("%+v, before %x", o, digest)
				}
				var got []string
				for _, p := range o.Objects {
					got = append(got, strings.SplitAfter(string(w.objects[p].content), "\n")...)
				}
				slices.Sort(got)
				if strings.Join(got, "") != want {
					t.Errorf("%d bytes of results, want %d", len(strings.Join(got, "")), len(want))
				}
				ran := 0
				for _, stage := range w.ran {
					if stage == "map" {
						ran++
					}
				}
				if ran != c.maps {
					t.Errorf("%d maps were run, want %d", ran, c.maps)
				}
				slices.Sort(logs)
				if len(logs) != maps+reduces || logs[0] != "map 0: done" {
					t.Errorf("the log: %q", logs)
				}
				if log := w.objects[job.LogPath("box", o.Job)]; log == nil || bytes.Count(log.content, []byte("\n")) != maps+reduces {
					t.Errorf("the log that is kept: %v", log)
				}
			})
		})
	}
}

// Logs are told and kept while tasks run, once at every level; those of jobs that are long over are removed.
func TestAgentLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.slow = 14 * time.Second
		s := w.spec(job.Pair)
		old, mine := job.LogPath("box", mesh.JobID{1}), mesh.Path{Bucket: "box", Key: ".jobs/notes.txt"}
		w.put(old, []byte("{}\n"))
		w.put(mine, []byte("a file of the owner's"))
		time.Sleep(8 * 24 * time.Hour)
		w.access = newWorld(t).access // the first has expired
		began := time.Now()
		told := map[string][]time.Duration{}
		s.Log = func(l job.LogLine) {
			told[fmt.Sprintf("%s %d: %s", l.Stage, l.Task, l.Text)] = append(told[fmt.Sprintf("%s %d: %s", l.Stage, l.Task, l.Text)], time.Since(began))
		}
		kept := 0
		time.AfterFunc(13*time.Second, func() { kept = len(w.keys(mesh.Path{Bucket: "box", Key: ".jobs/"})) })
		if _, err := job.Run(t.Context(), w, w, s); err != nil {
			t.Fatal(err)
		}
		if len(told) != 16 || len(told["map 0: begun"]) != 1 || len(told["map 0: done"]) != 1 || told["map 0: begun"][0] > 3*time.Second || told["map 0: done"][0] < w.slow {
			t.Errorf("told: %v", told)
		}
		if kept != 3 {
			t.Errorf("%d logs and files are there while tasks run, want 3", kept)
		}
		if left := w.keys(mesh.Path{Bucket: "box", Key: ".jobs/"}); len(left) != 2 || slices.Contains(left, old.Key) || !slices.Contains(left, mine.Key) {
			t.Errorf("left is %q", left)
		}
	})
}

// A job that cannot begin leaves nothing.
func TestAgentRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*job.Spec)
	}{
		{"level", func(s *job.Spec) { s.Level = 9 }},
		{"place", func(s *job.Spec) { s.Output.Key = "out" }},
		{"files", func(s *job.Spec) { s.Files = append(s.Files, s.Files[0]) }},
		{"places of files", func(s *job.Spec) {
			for i := range compute.MaxAccesses {
				o := *s.Inputs[0].Object
				o.Path.Key = fmt.Sprintf("%d/file", i)
				s.Files = append(s.Files, job.File{Name: o.Path.Key, Input: job.Input{Object: &o}})
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.spec(job.Spot)
			before := len(w.objects)
			c.edit(&s)
			if _, err := job.Run(t.Context(), w, w, s); err == nil || mesh.KindOf(err) != mesh.Invalid {
				t.Fatal(err)
			}
			if len(w.objects) != before {
				t.Errorf("%d objects, before %d", len(w.objects), before)
			}
		})
	}
}
