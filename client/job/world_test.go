package job_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var domain = sign.Domain{Network: mesh.NetworkID{7}, Group: 1}

// A world is a network as an agent sees it, in memory: objects, a log, and nodes whose tasks need no module. A map gives the lines of its input, a reduce
// what it reads. It refuses what the real ones refuse.
type world struct {
	t      *testing.T
	access *client.Access
	nodes  []mesh.NodeID
	key    mesh.PublicKey // to which nodes have grants made out

	mu      sync.Mutex
	objects map[mesh.Path]*stored
	job     *wirepb.Job
	tasks   []*logged
	ended   bool
	ran     []string // stage and node, of each request that had a reply

	// What is wrong in this world; each may be nil.
	store func(node mesh.NodeID, stage string, content []byte) []byte // what a worker stores; nil: nothing
	claim func(node mesh.NodeID, stage string, r *wirepb.TaskResult)  // what it says
	fail  func(node mesh.NodeID, stage string) error                  // instead of a reply
	slow  time.Duration                                               // how long tasks take, and say "begun" first
}

type stored struct {
	content  []byte
	version  mesh.VersionID
	modified time.Time
}

// logged is a task on the log.
type logged struct {
	demand   *wirepb.TaskDemand
	workers  []*wirepb.TaskWorker
	results  map[mesh.NodeID]*wirepb.TaskResult
	accepted bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	owner, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, objects: map[mesh.Path]*stored{}}
	if w.access, err = client.NewAccess(domain, account.NewKey(owner), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	copy(w.key[:], public)
	for i := range 5 {
		w.nodes = append(w.nodes, mesh.NodeID{byte(i + 1)})
	}
	return w
}

func (w *world) Access() *client.Access { return w.access }

func (w *world) object(p mesh.Path, s *stored) *client.Object {
	return &client.Object{Path: p, Size: uint64(len(s.content)), Version: s.version, PlainHash: blake3.Sum256(s.content), Modified: s.modified}
}

func (w *world) Put(_ context.Context, p mesh.Path, r io.Reader, _ client.PutOptions) (*client.Object, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return w.put(p, b), nil
}

func (w *world) put(p mesh.Path, b []byte) *client.Object {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := blake3.Sum256(append([]byte(p.Key), b...))
	s := &stored{b, mesh.VersionID(name[:16]), time.Now()}
	w.objects[p] = s
	return w.object(p, s)
}

func (w *world) Stat(_ context.Context, p mesh.Path) (*client.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.objects[p]
	if s == nil {
		return nil, mesh.Errorf(mesh.NotFound, "there is no %s", p)
	}
	return w.object(p, s), nil
}

func (w *world) Look(ctx context.Context, p mesh.Path, version *mesh.VersionID) (*client.Bucket, *client.Object, error) {
	o, err := w.Stat(ctx, p)
	if mesh.KindOf(err) == mesh.NotFound && err != nil || err == nil && o.Version != *version {
		return nil, nil, nil
	}
	return nil, o, err
}

func (w *world) Open(ctx context.Context, o *client.Object, offset, length uint64) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.objects[o.Path]
	if s == nil || s.version != o.Version {
		return nil, mesh.Errorf(mesh.Conflict, "%s is gone", o.Path)
	}
	return io.NopCloser(bytes.NewReader(s.content[offset : offset+length])), nil
}

func (w *world) Copy(ctx context.Context, from, to mesh.Path) (*client.Object, error) {
	o, err := w.Stat(ctx, from)
	if err != nil {
		return nil, err
	}
	return w.put(to, w.objects[o.Path].content), nil
}

func (w *world) Delete(_ context.Context, p mesh.Path) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.objects, p)
	return nil
}

func (w *world) List(_ context.Context, p mesh.Path, _ string, f func(client.Listed) error) error {
	for _, k := range w.keys(p) {
		if err := f(client.Listed{Key: k, Modified: w.objects[mesh.Path{Bucket: p.Bucket, Key: k}].modified}); err != nil {
			return err
		}
	}
	return nil
}

// keys are those that begin as p does.
func (w *world) keys(p mesh.Path) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o := range w.objects {
		if o.Bucket == p.Bucket && strings.HasPrefix(o.Key, p.Key) {
			all = append(all, o.Key)
		}
	}
	slices.Sort(all)
	return all
}

func (w *world) Identity(_ context.Context, o *client.Object) ([32]byte, error) {
	return blake3.Sum256(append([]byte("identity "), o.PlainHash[:]...)), nil
}

func (w *world) Stretches(_ context.Context, o *client.Object) ([]client.Stretch, error) {
	return []client.Stretch{{To: o.Size / 2, Node: w.nodes[0]}, {From: o.Size / 2, To: o.Size, Node: w.nodes[1]}}, nil
}

func (w *world) OpenJob(_ context.Context, j *wirepb.Job) error {
	w.job = j
	return compute.CheckJob(j, time.Now().UnixMilli())
}

func (w *world) AddTasks(_ context.Context, m *wirepb.Tasks) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int(m.First) != len(w.tasks) {
		return mesh.Errorf(mesh.Conflict, "the job has had %d tasks", len(w.tasks))
	}
	for _, d := range m.Tasks {
		if err := compute.CheckDemand(d); err != nil {
			return err
		}
		k := &logged{demand: d, results: map[mesh.NodeID]*wirepb.TaskResult{}}
		w.tasks = append(w.tasks, k)
		for range compute.Workers(w.job.Level) {
			w.draw(k)
		}
	}
	return nil
}

// draw gives a task one more worker.
func (w *world) draw(k *logged) {
	at := len(w.tasks) - 1
	node := w.nodes[at%len(w.nodes)]
	for slices.ContainsFunc(k.workers, func(x *wirepb.TaskWorker) bool { return bytes.Equal(x.Node, node[:]) }) {
		at++
		node = w.nodes[at%len(w.nodes)]
	}
	k.workers = append(k.workers, &wirepb.TaskWorker{Node: node[:], State: compute.WorkerDrawn})
}

func (w *world) ReissueTask(_ context.Context, r *wirepb.Reissue) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.tasks[r.Number]
	for _, x := range k.workers {
		if bytes.Equal(x.Node, r.Node) {
			if k.results[mesh.NodeID(x.Node)] != nil {
				return mesh.Errorf(mesh.Conflict, "the worker has committed")
			}
			x.State = compute.WorkerDropped
		}
	}
	w.draw(k)
	return nil
}

func (w *world) AcceptTasks(_ context.Context, a *wirepb.Acceptance) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range a.Numbers {
		w.tasks[n].accepted = true
	}
	return nil
}

func (w *world) EndJob(context.Context, mesh.JobID) error {
	if w.job == nil {
		return mesh.Errorf(mesh.NotFound, "there is no such job")
	}
	w.ended = true
	return nil
}

func (w *world) JobTasks(_ context.Context, id mesh.JobID, from uint32) (all []*wirepb.TaskAnswer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, k := range w.tasks[from:] {
		a := &wirepb.TaskAnswer{Job: id[:], Number: from + uint32(n), Task: k.demand.Task, State: compute.TaskDrawn}
		var given []*wirepb.TaskResult
		waits := false
		for _, x := range k.workers {
			r := k.results[mesh.NodeID(x.Node)]
			if r != nil {
				given = append(given, r)
				x.State = compute.WorkerCommitted
			}
			waits = waits || r == nil && x.State != compute.WorkerDropped
			a.Workers = append(a.Workers, proto.CloneOf(x))
		}
		if !waits {
			a.Result = given[0]
			if a.State = compute.TaskVerified; w.job.Level == compute.Receipt && !k.accepted {
				a.State = compute.TaskCommitted
			}
			for _, r := range given[1:] {
				if !proto.Equal(r, given[0]) {
					a.State, a.Result = compute.TaskFailed, nil
				}
			}
		}
		if time.Now().UnixMilli() > w.job.DeadlineMs {
			a.State, a.Result = compute.TaskDropped, nil
		}
		all = append(all, a)
	}
	return all, nil
}

func (w *world) CallNode(ctx context.Context, node mesh.NodeID, path string, _ int, req, answer proto.Message) error {
	if _, keys := req.(*wirepb.TaskKeysRequest); keys { // at once: who waits for it holds a lock, which is nothing that a bubble's time passes over
		answer.(*wirepb.TaskKeysAnswer).Keys = [][]byte{w.key[:]}
		return nil
	}
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch q := req.(type) {
	case *wirepb.TaskLogRequest:
		if w.slow == 0 {
			return mesh.Errorf(mesh.NotFound, "it is done")
		}
		a := answer.(*wirepb.TaskLogAnswer)
		a.Log, a.LogBytes = []byte("begun\n")[min(q.From, 6):], 6
		return nil
	case *wirepb.TaskRequest:
		if err := compute.CheckTaskRequest(q); err != nil {
			w.t.Errorf("a request: %v", err)
		}
		text := "done\n"
		if w.slow > 0 {
			text = "begun\n" + text
			time.Sleep(w.slow)
		}
		r, err := w.work(ctx, node, q)
		if err != nil {
			return err
		}
		a := answer.(*wirepb.TaskReply)
		a.Result, a.Log, a.LogBytes = r, []byte(text), uint64(len(text))
		return nil
	}
	return mesh.Errorf(mesh.Invalid, "no method %s", path)
}

// read opens what a request names, as a host does.
func (w *world) read(ctx context.Context, q *wirepb.TaskRequest, o *wirepb.StoredObject, root []byte, size uint64) (compute.Source, error) {
	rights, err := grant.Verify(domain, q.Access[o.Access].Chain)
	if err != nil {
		return nil, err
	}
	name := o.Bucket + "/" + o.Key
	if folder := name[:strings.LastIndexByte(name, '/')+1]; !strings.HasPrefix(name, rights.Prefix) || len(rights.Prefix) < len(folder) {
		w.t.Errorf("the grant for %s opens %q", name, rights.Prefix)
	}
	version := mesh.VersionID(o.Version)
	_, object, err := w.Look(ctx, mesh.Path{Bucket: o.Bucket, Key: o.Key}, &version)
	if err != nil || object == nil {
		return nil, mesh.Errorf(mesh.NotFound, "there is no %s: %v", name, err)
	}
	s := jobSource(ctx, w, object)
	if o.Tree {
		return compute.Treed(s, compute.Digest(root), size)
	}
	if id, err := w.Identity(ctx, object); err != nil || !bytes.Equal(id[:], root) {
		return nil, mesh.Errorf(mesh.Corrupt, "%s is something else: %v", name, err)
	}
	return s, nil
}

// work runs a task.
func (w *world) work(ctx context.Context, node mesh.NodeID, q *wirepb.TaskRequest) (*wirepb.TaskResult, error) {
	stage := "map"
	if q.Text.Merge {
		stage = "reduce"
	}
	if w.fail != nil {
		if err := w.fail(node, stage); err != nil {
			return nil, err
		}
	}
	for i, f := range q.Text.Stage.Files {
		s, err := w.read(ctx, q, q.Files[i], f.Root, f.Size)
		if err != nil {
			return nil, err
		}
		if _, err := readSource(s, 0, f.Size); err != nil {
			return nil, err
		}
	}
	var readers []io.Reader
	for i, in := range q.Text.Inputs {
		s, err := w.read(ctx, q, q.Inputs[i], in.Root, in.Size)
		if err != nil {
			return nil, err
		}
		if !q.Text.Merge {
			readers = append(readers, compute.Lines(s, in.From, in.To))
			continue
		}
		head, err := readSource(s, 0, uint64(compute.SpillHead(q.Text.Of)))
		if err != nil {
			return nil, err
		}
		from, to, err := compute.SpillPart(head, q.Text.Of, q.Text.Number, in.Size)
		if err != nil {
			return nil, err
		}
		b, err := readSource(s, from, to-from)
		if err != nil {
			return nil, err
		}
		readers = append(readers, bytes.NewReader(b))
	}
	in := io.MultiReader(readers...)
	if q.Text.Merge {
		in = compute.Merge(readers)
	}
	out, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if q.Text.Parts > 0 {
		if out, err = compute.Spill(out, q.Text.Parts); err != nil {
			return nil, err
		}
	}
	name, root := compute.TaskDigest(q.Text), blake3.Sum256(out)
	r := &wirepb.TaskResult{Task: name[:], Fuel: 100, Output: root[:], OutputBytes: uint64(len(out))}
	content := out
	if q.Text.Parts > 0 {
		treed, _, err := compute.WithTree(bytes.NewReader(out), uint64(len(out)))
		if err != nil {
			return nil, err
		}
		if content, err = io.ReadAll(treed); err != nil {
			return nil, err
		}
	}
	if w.store != nil {
		content = w.store(node, stage, content)
	}
	if content != nil {
		w.put(mesh.Path{Bucket: q.Output.Bucket, Key: q.Output.Key}, content)
	}
	if w.claim != nil {
		w.claim(node, stage, r)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks[q.Number].results[node] = r
	w.ran = append(w.ran, stage)
	return r, nil
}

func readSource(s compute.Source, offset, length uint64) ([]byte, error) {
	r, err := s.Open(offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
