package compute_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/protocol/account"
	wirecompute "github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var testDomain = sign.Domain{Network: mesh.NetworkID{7}, Group: 1}

// A fakeLog is the log as one node sees it: it lets results be opened when they are committed.
type fakeLog struct {
	mu        sync.Mutex
	tasks     map[uint32]*wirepb.TaskAnswer
	committed map[uint32][]byte
	opened    map[uint32]*wirepb.Opening
	told      chan struct{} // of each message
	broken    bool
}

func (l *fakeLog) Tasks(context.Context) (all []*wirepb.TaskAnswer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return nil, mesh.Errorf(mesh.Unavailable, "no authority answers")
	}
	for _, t := range l.tasks {
		all = append(all, proto.CloneOf(t))
	}
	return all, nil
}

func (l *fakeLog) Submit(_ context.Context, raw []byte) error {
	tx := new(wirepb.Tx)
	if err := proto.Unmarshal(raw, tx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch tx.Kind {
	case wirepb.TxKind_TX_COMMITMENTS:
		m := new(wirepb.Commitments)
		if _, err := signed.Open(testDomain, tx.Message, sign.Commitment, m); err != nil {
			return err
		}
		for _, c := range m.Commitments {
			l.committed[c.Number] = c.Commitment
			l.tasks[c.Number].Workers[0].State, l.tasks[c.Number].Workers[0].OpenMs = wirecompute.WorkerCommitted, 1
		}
	case wirepb.TxKind_TX_OPENINGS:
		m := new(wirepb.Openings)
		if _, err := signed.Open(testDomain, tx.Message, sign.Opening, m); err != nil {
			return err
		}
		for _, o := range m.Openings {
			l.opened[o.Number] = o
			delete(l.tasks, o.Number)
		}
	default:
		return errors.New("another transaction")
	}
	l.told <- struct{}{}
	return nil
}

// A fakeStorage keeps objects by bucket and key, for whoever shows a grant.
type fakeStorage struct {
	mu      sync.Mutex
	objects map[string][]byte
	opened  int
	closed  int
	full    bool
}

func (s *fakeStorage) Open(_ context.Context, access *wirepb.Delegation, key ed25519.PrivateKey) (compute.Drive, error) {
	rights, err := grant.Verify(testDomain, access.Chain)
	if err != nil {
		return nil, err
	}
	if rights.Holder != mesh.PublicKeyOf(key) {
		return nil, mesh.Errorf(mesh.Denied, "another key's grant")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return &fakeDrive{s, rights}, nil
}

type fakeDrive struct {
	*fakeStorage
	rights grant.Rights
}

func (d *fakeDrive) allowed(o *wirepb.StoredObject) error {
	if !strings.HasPrefix(o.Bucket+"/"+o.Key, d.rights.Prefix) {
		return mesh.Errorf(mesh.Denied, "%s is outside of the grant", o.Key)
	}
	return nil
}

func (d *fakeDrive) Source(_ context.Context, o *wirepb.StoredObject) (wirecompute.Source, wirecompute.Digest, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.objects[o.Bucket+"/"+o.Key]
	if !ok {
		return nil, wirecompute.Digest{}, mesh.Errorf(mesh.NotFound, "no %s", o.Key)
	}
	return memory(b), blake3.Sum256(b), d.allowed(o)
}

func (d *fakeDrive) Put(_ context.Context, o *wirepb.StoredObject, r io.Reader) error {
	b, err := io.ReadAll(r)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return mesh.Errorf(mesh.Exhausted, "no ozone")
	}
	d.objects[o.Bucket+"/"+o.Key] = b
	return errors.Join(err, d.allowed(o))
}

func (d *fakeDrive) Moved(mesh.NodeID) (all, near mesh.Noz) { return 100, 80 }

func (d *fakeDrive) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	return nil
}

type memory []byte

func (m memory) Size() uint64 { return uint64(len(m)) }
func (m memory) Open(offset, length uint64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[offset : offset+length])), nil
}

// A hostTest is a host with one job on its log.
type hostTest struct {
	*compute.Host
	t       *testing.T
	log     *fakeLog
	storage *fakeStorage
	job     mesh.JobID
	agent   mesh.PublicKey
	key     ed25519.PrivateKey // the account's session
	chain   *wirepb.Chain
}

func newHostTest(t *testing.T) *hostTest {
	t.Helper()
	h := &hostTest{t: t, job: mesh.NewJobID(), log: &fakeLog{tasks: map[uint32]*wirepb.TaskAnswer{}, committed: map[uint32][]byte{}, opened: map[uint32]*wirepb.Opening{},
		told: make(chan struct{}, 100)}, storage: &fakeStorage{objects: map[string][]byte{}}}
	pool, err := compute.New(compute.Options{Home: t.TempDir(), Command: command}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h.Host, err = compute.NewHost(compute.HostOptions{Domain: testDomain, Node: mesh.NodeID{3}, Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)), Scratch: t.TempDir() + "/scratch",
		Every: 10 * time.Millisecond, Patience: 300 * time.Millisecond}, pool, h.log, h.storage, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if h.storage.opened != h.storage.closed {
			t.Errorf("%d drives were opened, %d closed", h.storage.opened, h.storage.closed)
		}
	})
	owner, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	signer := account.NewKey(owner)
	_, h.key, _ = ed25519.GenerateKey(nil)
	h.agent = mesh.PublicKeyOf(h.key)
	now := time.Now()
	h.chain, err = grant.Root(testDomain, signer, &wirepb.Link{Id: make([]byte, 16), Holder: h.agent[:], Operations: uint32(grant.All), NotBeforeMs: now.Add(-time.Hour).UnixMilli(),
		ExpiresMs: now.Add(time.Hour).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("worker/testdata/program.wasm")
	if err != nil {
		t.Fatal(err)
	}
	h.storage.objects["box/m.wasm"] = module
	h.storage.objects["box/in"] = []byte("one\ntwo\n")
	return h
}

// request is a run of testdata/program.c, of which the log knows.
func (h *hostTest) request(number uint32, args ...string) *wirepb.TaskRequest {
	h.t.Helper()
	return h.edited(number, func(*wirepb.TaskText) {}, args...)
}

// edited is a request for a task whose text is edited before the log knows it.
func (h *hostTest) edited(number uint32, edit func(*wirepb.TaskText), args ...string) *wirepb.TaskRequest {
	h.t.Helper()
	module, in := sha256.Sum256(h.storage.objects["box/m.wasm"]), h.storage.objects["box/in"]
	j := wirecompute.Job{Rules: compute.Rules(), Map: &wirepb.Stage{Module: module[:], Pages: 256, Fuel: 1 << 32, OutputBytes: 1 << 20, Args: append([]string{"program"}, args...)}}
	texts, err := j.Maps([]wirecompute.Input{{Root: blake3.Sum256(in), Size: uint64(len(in))}})
	if err != nil {
		h.t.Fatal(err)
	}
	edit(texts[0])
	wirecompute.SetSeed(texts[0])
	keys, err := h.Keys(h.agent, &wirepb.TaskKeysRequest{Job: h.job[:], Prefixes: []string{"box/"}})
	if err != nil {
		h.t.Fatal(err)
	}
	now := time.Now()
	chain, err := grant.Extend(testDomain, h.chain, h.key, &wirepb.Link{Id: bytes.Repeat([]byte{1}, 16), Holder: keys.Keys[0], Prefix: "box/", Operations: uint32(grant.Read | grant.Write),
		NotBeforeMs: now.Add(-time.Minute).UnixMilli(), ExpiresMs: now.Add(time.Minute).UnixMilli()})
	if err != nil {
		h.t.Fatal(err)
	}
	object := func(key string) *wirepb.StoredObject {
		return &wirepb.StoredObject{Bucket: "box", Key: key, Version: make([]byte, 16)}
	}
	d := wirecompute.DemandOf(texts[0], nil)
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	h.log.tasks[number] = &wirepb.TaskAnswer{Job: h.job[:], Number: number, Task: d.Task, State: wirecompute.TaskDrawn, Agent: h.agent[:], DeadlineMs: now.Add(time.Minute).UnixMilli(),
		Fuel: d.Fuel, OutputBytes: d.OutputBytes, Pages: d.Pages, Workers: []*wirepb.TaskWorker{{Node: make([]byte, 20), State: wirecompute.WorkerDrawn}}}
	return &wirepb.TaskRequest{Job: h.job[:], Number: number, Text: texts[0], Access: []*wirepb.Delegation{{Chain: chain}}, Module: object("m.wasm"), Inputs: []*wirepb.StoredObject{object("in")}, Output: object("out")}
}

// A task is run, committed, opened, and asked for again.
func TestHost(t *testing.T) {
	h := newHostTest(t)
	q := h.request(5, "cat")
	reply, err := h.Do(t.Context(), h.agent, q)
	if err != nil || !wirecompute.Succeeded(reply.Result) || reply.ReadBytes != 100 || reply.NearBytes != 80 {
		t.Fatalf("%v, %v", reply, err)
	}
	if got := string(h.storage.objects["box/out"]); got != "one\ntwo\n" {
		t.Fatalf("the output is %q", got)
	}
	<-h.log.told
	<-h.log.told
	h.log.mu.Lock()
	o := h.log.opened[5]
	want := wirecompute.Commitment(wirecompute.ResultDigest(reply.Result), mesh.NodeID{3}, o.Salt)
	if !proto.Equal(o.Result, reply.Result) || string(h.log.committed[5]) != string(want[:]) {
		t.Fatalf("opened %v, committed %x", o, h.log.committed[5])
	}
	h.log.mu.Unlock()
}

// At level receipt there is no commitment, and a failing task's log comes with its reply.
func TestHostReceipt(t *testing.T) {
	h := newHostTest(t)
	q := h.request(0, "nonsense")
	h.log.tasks[0].Level = wirecompute.Receipt
	reply, err := h.Do(t.Context(), h.agent, q)
	if err != nil || reply.Result.Code != 2 || string(reply.Log) != "nothing is called nonsense\n" {
		t.Fatalf("%v, %v", reply, err)
	}
	<-h.log.told
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	if len(h.log.committed) != 0 || len(h.log.opened[0].Salt) != 0 {
		t.Fatalf("%d commitments, salt %x", len(h.log.committed), h.log.opened[0].Salt)
	}
}

func TestHostRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*hostTest, *wirepb.TaskRequest)
		kind mesh.Kind
	}{
		{"not drawn", func(h *hostTest, q *wirepb.TaskRequest) { q.Number = 9 }, mesh.NotFound},
		{"another agent's job", func(h *hostTest, q *wirepb.TaskRequest) { h.log.tasks[0].Agent = make([]byte, 32) }, mesh.Denied},
		{"another task", func(h *hostTest, q *wirepb.TaskRequest) { h.log.tasks[0].Task = make([]byte, 32) }, mesh.Denied},
		{"more than is reserved", func(h *hostTest, q *wirepb.TaskRequest) { h.log.tasks[0].Fuel-- }, mesh.Denied},
		{"another's grant", func(h *hostTest, q *wirepb.TaskRequest) { q.Access[0].Chain = h.chain }, mesh.Denied},
		{"another input", func(h *hostTest, q *wirepb.TaskRequest) { h.storage.objects["box/in"] = []byte("one\ntwx\n") }, mesh.Corrupt},
		{"another module", func(h *hostTest, q *wirepb.TaskRequest) { h.storage.objects["box/m.wasm"] = []byte("no") }, mesh.Corrupt},
		{"no place for the output", func(h *hostTest, q *wirepb.TaskRequest) { h.storage.full = true }, mesh.Exhausted},
		{"outside of the grant", func(h *hostTest, q *wirepb.TaskRequest) { q.Output.Bucket = "other" }, mesh.Denied},
		{"malformed", func(h *hostTest, q *wirepb.TaskRequest) { q.Text.Seed = nil }, mesh.Invalid},
		{"other rules", func(h *hostTest, q *wirepb.TaskRequest) {
			q.Text.Rules = make([]byte, 32)
			wirecompute.SetSeed(q.Text)
			d := wirecompute.TaskDigest(q.Text)
			h.log.tasks[0].Task = d[:]
		}, mesh.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHostTest(t)
			q := h.request(0, "cat")
			c.edit(h, q)
			if r, err := h.Do(t.Context(), h.agent, q); mesh.KindOf(err) != c.kind || err == nil {
				t.Fatalf("%v, %v, want %s", r, err, c.kind)
			}
			if len(h.log.told) > 0 {
				t.Fatal("the log was told")
			}
		})
	}
}

// A task that the log takes away is ended, and can be sent again under another number.
func TestHostDropped(t *testing.T) {
	h := newHostTest(t)
	q := h.request(0, "spin")
	q.Text.Stage.Fuel = 1 << 60
	wirecompute.SetSeed(q.Text)
	d := wirecompute.DemandOf(q.Text, nil)
	h.log.tasks[0].Task, h.log.tasks[0].Fuel = d.Task, d.Fuel
	time.AfterFunc(500*time.Millisecond, func() {
		h.log.mu.Lock()
		defer h.log.mu.Unlock()
		delete(h.log.tasks, 0)
	})
	if r, err := h.Do(t.Context(), h.agent, q); mesh.KindOf(err) != mesh.Unavailable {
		t.Fatalf("%v, %v", r, err)
	}
	if _, err := h.Do(t.Context(), h.agent, h.request(1, "cat")); err != nil {
		t.Fatal(err)
	}
}

func TestHostKeys(t *testing.T) {
	h := newHostTest(t)
	keys := func(agent mesh.PublicKey, job mesh.JobID, prefixes ...string) (s []string) {
		a, err := h.Keys(agent, &wirepb.TaskKeysRequest{Job: job[:], Prefixes: prefixes})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range a.Keys {
			s = append(s, string(k))
		}
		return s
	}
	own := keys(h.agent, h.job, "a", "b")
	if again := keys(h.agent, h.job, "b", "a"); again[0] != own[1] || again[1] != own[0] || own[0] == own[1] {
		t.Error("keys are not the prefixes'")
	}
	if keys(mesh.PublicKey{1}, h.job, "a")[0] == own[0] || keys(h.agent, mesh.JobID{1}, "a")[0] == own[0] {
		t.Error("others get the same key")
	}
	if _, err := h.Keys(h.agent, &wirepb.TaskKeysRequest{Job: h.job[:], Prefixes: make([]string, wirecompute.MaxAccesses+1)}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("too many: %v", err)
	}
}

// What a map gives is stored with its tree, and a reduce reads its part of that, or nothing that was changed.
func TestHostSpill(t *testing.T) {
	h := newHostTest(t)
	q := h.edited(0, func(k *wirepb.TaskText) { k.Parts = 2 }, "cat")
	reply, err := h.Do(t.Context(), h.agent, q)
	if err != nil || !wirecompute.Succeeded(reply.Result) {
		t.Fatalf("%v, %v", reply, err)
	}
	spill := h.storage.objects["box/out"]
	r := reply.Result
	if uint64(len(spill)) != wirecompute.TreedBytes(r.OutputBytes) || blake3.Sum256(spill[:r.OutputBytes]) != [32]byte(r.Output) {
		t.Fatalf("%d bytes are stored, of a spill of %d", len(spill), r.OutputBytes)
	}
	reduce := func(number, part uint32) *wirepb.TaskRequest {
		q := h.edited(number, func(k *wirepb.TaskText) {
			k.Inputs, k.Merge, k.Of, k.Number = []*wirepb.ComputeInput{{Root: r.Output, Size: r.OutputBytes, To: r.OutputBytes}}, true, 2, part
		}, "cat")
		q.Inputs = []*wirepb.StoredObject{{Bucket: "box", Key: "spill", Version: make([]byte, 16), Tree: true}}
		return q
	}
	h.storage.objects["box/spill"] = spill
	got := ""
	for part := range uint32(2) {
		if _, err := h.Do(t.Context(), h.agent, reduce(1+part, part)); err != nil {
			t.Fatal(err)
		}
		got += string(h.storage.objects["box/out"])
	}
	if got != "one\ntwo\n" && got != "two\none\n" {
		t.Errorf("the parts are %q", got)
	}
	changed := bytes.Clone(spill)
	changed[r.OutputBytes-2]++
	for i, bad := range [][]byte{changed, spill[:r.OutputBytes], nil} {
		h.storage.objects["box/spill"] = bad
		if reply, err := h.Do(t.Context(), h.agent, reduce(uint32(3+i), 0)); mesh.KindOf(err) != mesh.Corrupt || err == nil {
			t.Errorf("%d bytes in its place: %v, %v", len(bad), reply, err)
		}
	}
}

// The log of a task can be followed by its agent while it runs.
func TestHostLog(t *testing.T) {
	h := newHostTest(t)
	q := h.edited(0, func(k *wirepb.TaskText) { k.Stage.Fuel = 1 << 60 }, "log")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = h.Do(ctx, h.agent, q) }() // it has no end but the test's
	ask := func(agent mesh.PublicKey, number uint32, from uint64) (*wirepb.TaskLogAnswer, error) {
		return h.Log(agent, &wirepb.TaskLogRequest{Job: h.job[:], Number: number, From: from})
	}
	var a *wirepb.TaskLogAnswer
	for end := time.Now().Add(20 * time.Second); ; {
		var err error
		if a, err = ask(h.agent, 0, 0); err == nil && a.LogBytes > 2*wirecompute.MaxTaskLog {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no log comes: %v", err)
		}
		time.Sleep(10 * time.Millisecond) // of another process
	}
	if len(a.Log) != wirecompute.MaxTaskLog {
		t.Errorf("%d bytes are kept", len(a.Log))
	}
	if b, err := ask(h.agent, 0, a.LogBytes+1<<40); err != nil || len(b.Log) != 0 || b.LogBytes < a.LogBytes {
		t.Errorf("behind its end: %v, %v", b, err)
	}
	if _, err := ask(mesh.PublicKey{1}, 0, 0); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("another agent: %v", err)
	}
	if _, err := ask(h.agent, 1, 0); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("another task: %v", err)
	}
	h.log.mu.Lock()
	delete(h.log.tasks, 0)
	h.log.mu.Unlock()
}
