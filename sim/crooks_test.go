package sim_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/protocol/abi"
	wirecompute "github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A court is a network in which nodes cheat, a job for them, and what that must give.
type court struct {
	*network
	client *client.Client
	value  *chain.Client
	inputs []job.Input
	here   string         // digest of the results on this machine
	counts map[string]int // by a plain program
}

// A bentLog has a node drawn for the tasks of the first stage: an author says near which nodes his tasks are.
type bentLog struct {
	*client.Client
	near   mesh.NodeID
	opened chan<- mesh.JobID
}

func (l *bentLog) AddTasks(ctx context.Context, m *wirepb.Tasks) error {
	if m.First == 0 {
		for _, d := range m.Tasks {
			d.Near = [][]byte{l.near[:]}
		}
	}
	err := l.Client.AddTasks(ctx, m)
	if err == nil && m.First == 0 {
		l.opened <- mesh.JobID(m.Job)
	}
	return err
}

// Nodes that cheat at tasks are found out, whatever way they do it, and every job ends with the right result. The network is one of its own, which has
// suspended nodes from then on.
func TestNodesThatCheat(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	n := devnet.Default()
	n.BasePort, n.Nodes, n.Gateways, n.Epoch = 0, 10, 0, devnet.Duration(6*time.Second)
	own, err := start(filepath.Join(t.TempDir(), "home"), n)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			own.logs(os.Stderr)
		}
		if err := own.stop(); err != nil {
			t.Error(err)
		}
	}()
	c := newCourt(t, own)
	dawdler, copier, dying := own.nodeAt(t, 3), own.nodeAt(t, 4), own.nodeAt(t, 5)
	t.Run("lies in all its tasks at level spot", func(t *testing.T) { c.convicts(t, 0, liesAlways, job.Spot) })
	t.Run("lies in one task at level pair", func(t *testing.T) { c.convicts(t, 1, liesOnce, job.Pair) })
	t.Run("lies in one task at level quorum", func(t *testing.T) { c.convicts(t, 2, liesOnce, job.Quorum) })
	t.Run("dawdles", func(t *testing.T) {
		own.crook(t, 3, neverDone)
		before := c.score(t, dawdler.id)
		tasks := c.run(t, job.Spot, dawdler.id, nil)
		c.replaced(t, tasks, dawdler.id, before)
		c.gaveNothing(t, tasks, dawdler.id)
	})
	t.Run("copies", func(t *testing.T) {
		own.crook(t, 4, neverDone)
		before := c.score(t, copier.id)
		tasks := c.run(t, job.Pair, copier.id, func(id mesh.JobID) { c.copy(t, copier, id) })
		c.replaced(t, tasks, copier.id, before)
		c.gaveNothing(t, tasks, copier.id)
	})
	t.Run("dies in the middle", func(t *testing.T) {
		before := c.score(t, dying.id)
		tasks := c.run(t, job.Pair, dying.id, func(id mesh.JobID) {
			until(t, "a commitment", func() (bool, error) { return c.committed(t, id, dying.id) })
			own.down(t, "node-5")
		})
		c.replaced(t, tasks, dying.id, before)
	})
	c.unpaid(t, own.nodeAt(t, 0).id)
}

// newCourt stores words, and counts them on this machine.
func newCourt(t *testing.T, own *network) *court {
	t.Helper()
	c := &court{network: own, client: own.client(t, "alice", 0, client.Options{}), value: own.chain(t), counts: map[string]int{}}
	dir := t.TempDir()
	path := filepath.Join(dir, "words.txt")
	jobText(t, random(t), path, 24<<20, c.counts)
	out := mustCLI(t, "run", "--map", jobModules+"words.wasm", "--reduce", jobModules+"sum.wasm", "--parts", "2", "--json", path, "-o", filepath.Join(dir, "out"))
	var v jobView
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	c.here = v.Results
	until(t, "a bucket", func() (bool, error) {
		err := c.client.MakeBucket(t.Context(), "court", false)
		return err == nil || mesh.KindOf(err) == mesh.Conflict, err
	})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o, err := c.client.Put(t.Context(), mesh.Path{Bucket: "court", Key: "words.txt"}, f, client.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.inputs = []job.Input{{Object: o}}
	return c
}

// run counts the words in a job near a node, does something else meanwhile, looks whether they were counted right, and returns what the log says of the tasks.
func (c *court) run(t *testing.T, level job.Level, near mesh.NodeID, meanwhile func(mesh.JobID)) []*wirepb.TaskAnswer {
	t.Helper()
	program := func(name string) job.Program {
		b, err := os.ReadFile(jobModules + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		return job.Program{Module: b, Stage: &wirepb.Stage{Module: sum[:], Pages: 256, Fuel: 20_000_000_000, OutputBytes: 32 << 20, Args: []string{name}}}
	}
	reduce, trouble := program("sum.wasm"), ""
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	s := job.Spec{Map: program("words.wasm"), Reduce: &reduce, Parts: 2, Rules: compute.Rules(), Nanos: 1, Inputs: c.inputs,
		Output: mesh.Path{Bucket: "court", Key: fmt.Sprintf("%s-%s/", level, near)}, Level: level, Budget: 8_000_000_000, Timeout: 10 * time.Minute,
		Progress: func(p job.Progress) {
			if p.Trouble != trouble {
				trouble = p.Trouble
				t.Logf("%s: %d of %d, %d reissued: %s", p.Stage, p.Done, p.Tasks, p.Reissued, p.Trouble)
			}
		}}
	began := time.Now()
	var o *job.Outcome
	opened, done := make(chan mesh.JobID, 1), make(chan error, 1)
	go func() {
		var err error
		o, err = job.Run(ctx, c.client, &bentLog{c.client, near, opened}, s)
		done <- err
	}()
	var err error
	select {
	case id := <-opened:
		if meanwhile != nil {
			meanwhile(id)
		}
		err = <-done
	case err = <-done:
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d maps at level %s in %s, %d reissued", o.Maps, level, time.Since(began).Round(time.Second), o.Reissued)
	if got := fmt.Sprintf("%x", o.Digest); got != c.here {
		t.Errorf("results %s, on this machine %s", got, c.here)
	}
	got := map[string]int{}
	for _, p := range o.Objects {
		r, _, err := c.client.Get(t.Context(), p, 0, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		wordCounts(t, b, got)
	}
	if !maps.Equal(got, c.counts) {
		t.Errorf("%d words, want %d", len(got), len(c.counts))
	}
	tasks, err := c.client.JobTasks(t.Context(), o.Job, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tasks
}

// convicts has a node lie in a job: it is proven a liar on the log, the value layer suspends it, and it forfeits 20 times the job's value and a tenth of
// its deposit at least.
func (c *court) convicts(t *testing.T, i int, how string, level job.Level) {
	liar := c.crook(t, i, how)
	had := c.deposit(t, liar.id)
	tasks := c.run(t, level, liar.id, nil)
	convicted := 0
	for _, k := range tasks {
		right := wirecompute.ResultDigest(k.Result)
		for _, w := range k.Workers {
			if mesh.NodeID(w.Node) != liar.id {
				continue
			}
			if w.State == wirecompute.WorkerConvicted {
				convicted++
			}
			if level == job.Spot && w.State == wirecompute.WorkerOpened {
				t.Errorf("task %d counts what the liar gave", k.Number)
			}
			if w.State == wirecompute.WorkerOpened && string(w.Digest) != string(right[:]) {
				t.Errorf("task %d: a lie counts", k.Number)
			}
		}
	}
	if convicted == 0 {
		t.Fatal("nobody was convicted")
	}
	const suspended = 3
	until(t, "the value layer to suspend the liar", func() (bool, error) {
		return query(t, c.value, abi.Register(), "node", [20]byte(liar.id))[7] == uint32(suspended), nil
	})
	has := c.deposit(t, liar.id)
	lost := new(big.Int).Sub(had, has)
	if tenth := new(big.Int).Quo(had, big.NewInt(10)); lost.Cmp(tenth) < 0 || has.Sign() < 0 {
		t.Errorf("of a deposit of %s wei the liar forfeits %s", had, lost)
	}
	nodes, err := c.client.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.ID == liar.id && !n.Suspended {
			t.Error("the liar may go on")
		}
	}
}

func (c *court) deposit(t *testing.T, id mesh.NodeID) *big.Int {
	t.Helper()
	return query(t, c.value, abi.Register(), "node", [20]byte(id))[8].(*big.Int)
}

// score is a node's, once it is online.
func (c *court) score(t *testing.T, id mesh.NodeID) (score uint64) {
	t.Helper()
	until(t, "a node to be online", func() (bool, error) {
		nodes, err := c.client.Nodes(t.Context())
		for _, n := range nodes {
			if n.ID == id {
				score = n.Score
				return n.Online, err
			}
		}
		return false, err
	})
	return score
}

// replaced looks whether a node's tasks were given to others, it lost score by it, and is suspended for none of it.
func (c *court) replaced(t *testing.T, tasks []*wirepb.TaskAnswer, id mesh.NodeID, before uint64) {
	t.Helper()
	dropped := 0
	for _, k := range tasks {
		for _, w := range k.Workers {
			if mesh.NodeID(w.Node) != id {
				continue
			}
			switch w.State {
			case wirecompute.WorkerDropped:
				dropped++
			case wirecompute.WorkerConvicted:
				t.Errorf("task %d convicts a node that told no lie", k.Number)
			}
		}
	}
	if dropped == 0 {
		t.Error("the node was not replaced")
	}
	nodes, err := c.client.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.ID == id && (n.Score >= before || n.Suspended) {
			t.Errorf("its score was %d, and it is %+v", before, n)
		}
	}
}

// gaveNothing looks whether none of a node's results counts: who has opened none is paid nothing.
func (c *court) gaveNothing(t *testing.T, tasks []*wirepb.TaskAnswer, id mesh.NodeID) {
	t.Helper()
	for _, k := range tasks {
		for _, w := range k.Workers {
			if mesh.NodeID(w.Node) == id && w.State == wirecompute.WorkerOpened {
				t.Errorf("task %d counts what the node gave", k.Number)
			}
		}
	}
}

// copy has a node commit to what its pair has committed to, and try to open that with what the pair opens it with.
func (c *court) copy(t *testing.T, copier crook, id mesh.JobID) {
	committed, tried := map[uint32]bool{}, 0
	until(t, "the copier to be unmasked", func() (bool, error) {
		for number, heard := range c.eavesdrop(t, id) {
			if heard.commitment != nil && !committed[number] {
				err := copier.says(t, c.network, wirepb.TxKind_TX_COMMITMENTS, sign.Commitment, &wirepb.Commitments{Node: copier.id[:],
					Commitments: []*wirepb.Commitment{{Job: id[:], Number: number, Commitment: heard.commitment}}})
				committed[number] = err == nil || mesh.KindOf(err) == mesh.Conflict
			}
			if heard.opening != nil && committed[number] {
				err := copier.says(t, c.network, wirepb.TxKind_TX_OPENINGS, sign.Opening, &wirepb.Openings{Node: copier.id[:], Openings: []*wirepb.Opening{heard.opening}})
				if err == nil {
					t.Errorf("the copy of task %d was opened", number)
				}
				if mesh.KindOf(err) == mesh.Denied && err != nil {
					tried++
				}
			}
		}
		return tried > 0, fmt.Errorf("%d committed", len(committed))
	})
}

// committed tells whether a node has committed to something in a job, and has something left to do.
func (c *court) committed(t *testing.T, id mesh.JobID, node mesh.NodeID) (bool, error) {
	tasks, err := c.client.JobTasks(t.Context(), id, 0)
	done, left := 0, 0
	for _, k := range tasks {
		for _, w := range k.Workers {
			switch {
			case mesh.NodeID(w.Node) != node:
			case w.State == wirecompute.WorkerDrawn:
				left++
			default:
				done++
			}
		}
	}
	return done > 0 && left > 0, err
}

// unpaid looks into the reports, when all that jobs have cost is in them, whether a node has nothing of it.
func (c *court) unpaid(t *testing.T, id mesh.NodeID) {
	t.Helper()
	jobs, err := c.client.Jobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spent := mesh.Noz(0)
	for _, j := range jobs {
		spent += j.Spent
	}
	var paid map[mesh.NodeID]mesh.Noz
	until(t, "the reports of what jobs have cost", func() (bool, error) {
		paid = map[mesh.NodeID]mesh.Noz{}
		sum := mesh.Noz(0)
		for e := range query(t, c.value, abi.Pot(), "epoch")[1].(uint64) {
			rep, err := c.client.Report(t.Context(), mesh.Epoch(e))
			if mesh.KindOf(err) == mesh.NotFound && err != nil {
				continue
			}
			if err != nil {
				return false, err
			}
			for _, page := range rep.Pages[2*report.Compute] {
				for _, v := range page.Volumes {
					paid[v.Node] += v.Noz
					sum += v.Noz
				}
			}
		}
		return sum == spent, fmt.Errorf("%s of %s are in the reports", sum, spent)
	})
	if paid[id] > 0 || len(paid) == 0 {
		t.Errorf("of %d nodes that were paid, one has lied in all its tasks, and has %s", len(paid), paid[id])
	}
}
