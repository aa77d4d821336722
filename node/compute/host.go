package compute

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Log is what a host needs of the meta layer.
type Log interface {
	// Tasks answers which tasks the node is drawn for and has not finished, by more authorities than may lie.
	Tasks(ctx context.Context) ([]*wirepb.TaskAnswer, error)
	// Submit puts a transaction on the log.
	Submit(ctx context.Context, tx []byte) error
}

// A Storage opens what agents let tasks use. Whoever runs a node brings one.
type Storage interface {
	// Open acts under a delegation that was made out to key, until the Drive is closed.
	Open(ctx context.Context, access *wirepb.Delegation, key ed25519.PrivateKey) (Drive, error)
}

// A Drive is objects, as far as a delegation allows. It is safe for concurrent use.
type Drive interface {
	// Source gives a version of an object, and what names its content, whatever its author says of it: see Identity of package client.
	Source(ctx context.Context, o *wirepb.StoredObject) (compute.Source, compute.Digest, error)
	// Put writes an object.
	Put(ctx context.Context, o *wirepb.StoredObject, r io.Reader) error
	// Moved tells how many bytes came over the wire so far, and how many of them from a node.
	Moved(from mesh.NodeID) (all, near mesh.Noz)
	Close() error
}

// HostOptions of a host.
type HostOptions struct {
	Domain  sign.Domain
	Node    mesh.NodeID
	Key     ed25519.PrivateKey // the node's
	Scratch string             // folder for outputs on their way; emptied at the start
	// Every is how often the log is asked while tasks are under way. Default 200 ms.
	Every time.Duration
	// Patience is how long a task may be awaited on the log that an agent sends already. Default 10 s.
	Patience time.Duration
}

// A Host runs the tasks for which the log has drawn a node, as their agents send them. Make it with NewHost, then call Run once.
type Host struct {
	opts    HostOptions
	pool    *Pool
	meta    Log
	storage Storage
	log     *slog.Logger

	own  *lifecycle.Group
	wake chan struct{} // has the log asked at once

	mu       sync.Mutex
	tasks    map[taskName]*hosted
	drives   map[driveName]*drive
	drawn    map[taskName]*wirepb.TaskAnswer // as the log said last
	asked    chan struct{}                   // closed when drawn is renewed
	awaiting int                             // tasks that are awaited on the log

	calls calls
}

// A taskName is a job and a number in it.
type taskName struct {
	job    mesh.JobID
	number uint32
}

// NewHost makes a host over a pool, which it runs.
func NewHost(o HostOptions, p *Pool, meta Log, s Storage, log *slog.Logger) (*Host, error) {
	if o.Every == 0 {
		o.Every = 200 * time.Millisecond
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if err := errors.Join(os.RemoveAll(o.Scratch), os.MkdirAll(o.Scratch, 0o700)); err != nil {
		return nil, fmt.Errorf("the folder for outputs: %w", err)
	}
	return &Host{opts: o, pool: p, meta: meta, storage: s, log: log, own: lifecycle.New(context.Background()), tasks: map[taskName]*hosted{}, drives: map[driveName]*drive{},
		drawn: map[taskName]*wirepb.TaskAnswer{}, asked: make(chan struct{}), wake: make(chan struct{}, 1),
		calls: calls{all: map[callID]*calling{}, wanted: map[mesh.PublicKey]wanted{}}}, nil
}

// Keys gives an agent keys for a job: nobody else gets the same ones, and the node knows them again after a restart.
func (h *Host) Keys(agent mesh.PublicKey, q *wirepb.TaskKeysRequest) (*wirepb.TaskKeysAnswer, error) {
	job, err := mesh.FromBytes[mesh.JobID](q.Job)
	if err != nil {
		return nil, err
	}
	if len(q.Prefixes) > compute.MaxAccesses {
		return nil, mesh.Errorf(mesh.Invalid, "%d keys, %d are the most", len(q.Prefixes), compute.MaxAccesses)
	}
	a := new(wirepb.TaskKeysAnswer)
	for _, p := range q.Prefixes {
		k := mesh.PublicKeyOf(h.key(agent, job, p))
		a.Keys = append(a.Keys, k[:])
	}
	return a, nil
}

// key is the node's key for a prefix in an agent's job.
func (h *Host) key(agent mesh.PublicKey, job mesh.JobID, prefix string) ed25519.PrivateKey {
	m := hmac.New(sha256.New, h.opts.Key.Seed())
	m.Write([]byte("stratos task key 1\x00"))
	m.Write(agent[:])
	m.Write(job[:])
	m.Write([]byte(prefix))
	return ed25519.NewKeyFromSeed(m.Sum(nil))
}

// A hosted task is one that an agent has sent. What stands above done is fixed, reply and err are when that is closed, and the rest is guarded by the host.
type hosted struct {
	agent  mesh.PublicKey
	digest compute.Digest
	cancel context.CancelFunc
	done   chan struct{}
	log    lastBytes // of its standard error

	reply *wirepb.TaskReply
	err   error

	result *wirepb.TaskResult // once it is there, with its output stored
	salt   [compute.SaltBytes]byte
	known  bool // the log has drawn the node for it
}

// Do runs a task for an agent, whose key the connection proved, to its end; the log is told in the background. Asked again, it gives the same
// reply. An error says nothing of the task: the node could not run it, and may be asked again.
func (h *Host) Do(ctx context.Context, agent mesh.PublicKey, q *wirepb.TaskRequest) (*wirepb.TaskReply, error) {
	if err := compute.CheckTaskRequest(q); err != nil {
		return nil, err
	}
	name, digest := taskName{mesh.JobID(q.Job), q.Number}, compute.TaskDigest(q.Text)
	h.mu.Lock()
	t := h.tasks[name]
	if t == nil {
		t = &hosted{agent: agent, digest: digest, done: make(chan struct{})}
		var own context.Context
		own, t.cancel = context.WithCancel(h.own.Context())
		if err := h.own.Go(func(context.Context) error { h.run(own, name, t, q); return nil }); err != nil {
			h.mu.Unlock()
			t.cancel()
			return nil, mesh.Errorf(mesh.Unavailable, "the node ends: %w", err)
		}
		h.tasks[name] = t
	}
	h.mu.Unlock()
	if t.agent != agent || t.digest != digest {
		return nil, mesh.Errorf(mesh.Conflict, "the node has another task under this number")
	}
	select {
	case <-t.done:
		return t.reply, t.err
	case <-ctx.Done():
		return nil, mesh.Errorf(mesh.Unavailable, "waiting for the task: %w", ctx.Err())
	}
}

// run runs a task that is new, and closes done. One that the node could not run is forgotten, so that it can be sent again.
func (h *Host) run(ctx context.Context, name taskName, t *hosted, q *wirepb.TaskRequest) {
	defer close(t.done)
	t.reply, t.err = h.execute(ctx, name, t, q)
	if t.err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.tasks, name)
		t.cancel()
	}
}

func (h *Host) execute(ctx context.Context, name taskName, t *hosted, q *wirepb.TaskRequest) (_ *wirepb.TaskReply, err error) {
	a, err := h.await(ctx, name)
	if err != nil {
		return nil, err
	}
	switch want := compute.DemandOf(q.Text, nil); {
	case !bytes.Equal(a.Agent, t.agent[:]):
		return nil, mesh.Errorf(mesh.Denied, "the job is another session's")
	case !bytes.Equal(a.Task, t.digest[:]):
		return nil, mesh.Errorf(mesh.Denied, "the log has another task under this number")
	case want.Fuel > a.Fuel || want.OutputBytes > a.OutputBytes || want.Pages > a.Pages:
		return nil, mesh.Errorf(mesh.Denied, "the task asks for more than the log has reserved for it")
	}
	ctx, cancel := context.WithDeadline(ctx, time.UnixMilli(a.DeadlineMs))
	defer cancel()
	src := &stored{host: h, request: q}
	defer func() { src.close() }()
	for _, access := range q.Access {
		rights, err := grant.Verify(h.opts.Domain, access.Chain)
		if err != nil {
			return nil, err
		}
		d, err := h.open(ctx, access, h.key(t.agent, name.job, rights.Prefix))
		if err != nil {
			return nil, err
		}
		src.drives = append(src.drives, d)
	}
	out, err := os.CreateTemp(h.opts.Scratch, "output-*")
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "a file for the output: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close(), os.Remove(out.Name())) }()
	r, err := h.pool.Execute(ctx, string(a.Job), q.Text, src, out, &t.log)
	if err != nil {
		return nil, err
	}
	if compute.Succeeded(r) {
		if err := src.put(ctx, out, r); err != nil {
			return nil, fmt.Errorf("storing the output: %w", err)
		}
	}
	h.finish(t, r)
	reply := &wirepb.TaskReply{Result: r}
	reply.Log, reply.LogBytes = t.log.behind(0)
	if len(q.Inputs) > 0 && !q.Text.Merge && !q.Inputs[0].Tree { // what the agent has stored lies where the outputs go
		all, near := src.drives[q.Inputs[0].Access].Moved(h.opts.Node)
		reply.ReadBytes, reply.NearBytes = uint64(all), uint64(near)
	}
	return reply, nil
}

// stored are the objects of a task.
type stored struct {
	host    *Host
	request *wirepb.TaskRequest
	drives  []*drive
}

// open gives an object, whose content must be what the task's text names: by its identity, or, where it has a tree, by its BLAKE3, of whatever is read.
func (s *stored) open(ctx context.Context, o *wirepb.StoredObject, root []byte, size uint64) (compute.Source, error) {
	src, id, err := s.drives[o.Access].Source(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Tree {
		if src, err = compute.Treed(src, compute.Digest(root), size); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", o.Bucket, o.Key, err)
		}
		return src, nil
	}
	if !bytes.Equal(id[:], root) || src.Size() != size {
		return nil, mesh.Errorf(mesh.Corrupt, "%s/%s is not what the task is about", o.Bucket, o.Key)
	}
	return src, nil
}

// put stores what the task gave: a spill with its tree, for its readers need parts of it.
func (s *stored) put(ctx context.Context, out *os.File, r *wirepb.TaskResult) error {
	content := io.Reader(out)
	if s.request.Text.Parts > 0 {
		treed, root, err := compute.WithTree(out, r.OutputBytes)
		if err == nil && !bytes.Equal(root[:], r.Output) {
			err = mesh.Errorf(mesh.Internal, "the disk gives back another output than was written")
		}
		if err != nil {
			return err
		}
		content = treed
	} else if _, err := out.Seek(0, io.SeekStart); err != nil {
		return mesh.Errorf(mesh.Internal, "reading the output: %w", err)
	}
	return s.drives[s.request.Output.Access].Put(ctx, s.request.Output, content)
}

func (s *stored) Module(ctx context.Context) (io.ReadCloser, error) {
	src, _, err := s.drives[s.request.Module.Access].Source(ctx, s.request.Module)
	if err != nil {
		return nil, err
	}
	return src.Open(0, src.Size())
}

func (s *stored) Input(ctx context.Context, n int) (compute.Source, error) {
	in := s.request.Text.Inputs[n]
	return s.open(ctx, s.request.Inputs[n], in.Root, in.Size)
}

func (s *stored) File(ctx context.Context, n int) (io.ReaderAt, error) {
	f := s.request.Text.Stage.Files[n]
	src, err := s.open(ctx, s.request.Files[n], f.Root, f.Size)
	if err != nil {
		return nil, err
	}
	return &ahead{source: src}, nil
}

func (s *stored) close() {
	for _, d := range s.drives {
		s.host.release(d)
	}
}

// await gives what the log says of a task, once the node is drawn for it.
func (h *Host) await(ctx context.Context, name taskName) (*wirepb.TaskAnswer, error) {
	patience := time.NewTimer(h.opts.Patience)
	defer patience.Stop()
	h.mu.Lock()
	h.awaiting++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.awaiting--
		h.mu.Unlock()
	}()
	for {
		h.mu.Lock()
		a, asked := h.drawn[name], h.asked
		if a == nil {
			h.poke()
		}
		h.mu.Unlock()
		if a != nil {
			return a, nil
		}
		select {
		case <-asked:
		case <-patience.C:
			return nil, mesh.Errorf(mesh.NotFound, "the log has not drawn this node for task %d of job %s", name.number, name.job)
		case <-ctx.Done():
			return nil, mesh.Errorf(mesh.Unavailable, "waiting for the log: %w", ctx.Err())
		}
	}
}

// A driveName is a delegation.
type driveName [sha256.Size]byte

// A drive is one that tasks share.
type drive struct {
	Drive
	ready chan struct{} // closed when Drive or err is there
	err   error
	users int
	since time.Time // it has no users
}

// driveTime is how long a drive is kept that nobody uses: opening one takes a transaction.
const driveTime = time.Minute

// open gives the drive of a delegation, which many tasks of a job share.
func (h *Host) open(ctx context.Context, access *wirepb.Delegation, key ed25519.PrivateKey) (*drive, error) {
	name := driveName(sha256.Sum256(append(wire.Encode(access), key.Seed()...)))
	h.mu.Lock()
	d := h.drives[name]
	first := d == nil
	if first {
		d = &drive{ready: make(chan struct{})}
		h.drives[name] = d
	}
	d.users++
	h.mu.Unlock()
	if first {
		d.Drive, d.err = h.storage.Open(ctx, access, key)
		close(d.ready)
		if d.err != nil {
			h.mu.Lock()
			delete(h.drives, name)
			h.mu.Unlock()
		}
	}
	select {
	case <-d.ready:
	case <-ctx.Done():
		h.release(d)
		return nil, mesh.Errorf(mesh.Unavailable, "opening what the task may use: %w", ctx.Err())
	}
	if d.err != nil {
		h.release(d)
		return nil, d.err
	}
	return d, nil
}

func (h *Host) release(d *drive) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.users--
	d.since = time.Now()
}

// retire closes drives that nobody has used since before.
func (h *Host) retire(before time.Time) (err error) {
	h.mu.Lock()
	var end []*drive
	for name, d := range h.drives {
		if d.users == 0 && d.since.Before(before) {
			end = append(end, d)
			delete(h.drives, name)
		}
	}
	h.mu.Unlock()
	for _, d := range end {
		err = errors.Join(err, d.Close())
	}
	return err
}
