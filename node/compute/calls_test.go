package compute_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/compute/script"
	wirecompute "github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A tab is a bill of which so much is left.
type tab struct {
	mu   sync.Mutex
	left uint64
}

func (b *tab) Charge(noz uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if noz > b.left {
		return mesh.Errorf(mesh.Denied, "nobody pays")
	}
	b.left -= noz
	return nil
}

func (b *tab) Return(noz uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += noz
}

// callOf is a call of a script.
func callOf(text, input string) *wirepb.CallRequest {
	module, root, in := script.Hash(), blake3.Sum256([]byte(text)), blake3.Sum256([]byte(input))
	t := &wirepb.TaskText{Rules: rules(), Stage: &wirepb.Stage{Module: module[:], Pages: 256, Fuel: 1 << 32, OutputBytes: 1 << 20, Args: []string{"f"},
		Files: []*wirepb.ComputeFile{{Name: script.File, Size: uint64(len(text)), Root: root[:]}}}, Inputs: []*wirepb.ComputeInput{{Root: in[:], Size: uint64(len(input)), To: uint64(len(input)), Whole: true}}}
	wirecompute.SetSeed(t)
	return &wirepb.CallRequest{Text: t, Input: []byte(input), Files: [][]byte{[]byte(text)}, Asks: true}
}

func rules() []byte {
	r := compute.Rules()
	return r[:]
}

// bring has the host ask for a call's module, and brings it.
func (h *hostTest) bring(q *wirepb.CallRequest, module []byte) {
	h.t.Helper()
	if r, err := h.Call(h.t.Context(), h.agent, q, wirecompute.DefaultPrices(), new(tab)); err != nil || !r.WantModule {
		h.t.Fatal(r, err)
	}
	if err := h.PutModule(h.agent, module); err != nil {
		h.t.Fatal(err)
	}
}

// A call runs when its module is there, asks, and gives a result that the node signs and that is paid; what it asked is part of it.
func TestCall(t *testing.T) {
	h, bill, prices := newHostTest(t), &tab{left: 1 << 30}, wirecompute.DefaultPrices()
	q := callOf(`const a = ask({n: 1}), b = ask({n: 2}); print(a.v + b.v + readAll()); console.log("noted")`, "!")
	r, err := h.Call(t.Context(), h.agent, q, prices, bill)
	if err != nil || !r.WantModule || bill.left != 1<<30 {
		t.Fatalf("%v, %v; %d left", r, err, bill.left)
	}
	if h.Wants(mesh.PublicKey{1}) || !h.Wants(h.agent) || h.PutModule(mesh.PublicKey{1}, []byte(script.Module())) == nil {
		t.Error("a module may come from anybody")
	}
	if err := h.PutModule(h.agent, []byte("another")); mesh.KindOf(err) != mesh.Corrupt || err == nil {
		t.Errorf("another module: %v", err)
	}
	h.bring(q, []byte(script.Module()))
	var asked wirecompute.Asked
	if r, err = h.Call(t.Context(), h.agent, q, prices, bill); err != nil {
		t.Fatal(err)
	}
	if other, err := h.AnswerCall(t.Context(), mesh.PublicKey{1}, &wirepb.CallAnswer{Call: r.Call, Answer: []byte("{}")}); mesh.KindOf(err) != mesh.NotFound || err == nil {
		t.Fatalf("somebody else's answer: %v, %v", other, err)
	}
	for n := 1; len(r.Call) > 0; n++ {
		if want := fmt.Sprintf(`{"n":%d}`, n); string(r.Ask) != want {
			t.Fatalf("it asks %s", r.Ask)
		}
		answer := fmt.Appendf(nil, `{"v":"a%d"}`, n)
		asked.Add(r.Ask, answer)
		if r, err = h.AnswerCall(t.Context(), h.agent, &wirepb.CallAnswer{Call: r.Call, Answer: answer}); err != nil {
			t.Fatal(err)
		}
	}
	got := new(wirepb.TaskResult)
	if _, err := signed.Open(testDomain, r.Result, sign.Call, got); err != nil {
		t.Fatal(err)
	}
	if err := wirecompute.CheckResult(q.Text, got); err != nil || string(r.Output) != "a1a2!\n" || string(r.Log) != "noted\n" || string(got.Asked) != string(asked.Sum()) {
		t.Fatalf("%v: %v, %q, %q", err, got, r.Output, r.Log)
	}
	cost := wirecompute.Price(prices, got.Fuel, got.OutputBytes)
	deadline := time.Now().Add(5 * time.Second)
	for bill.paid(1<<30) != cost && time.Now().Before(deadline) { // the rest returns after the reply
		time.Sleep(time.Millisecond)
	}
	if paid := bill.paid(1 << 30); paid != cost || cost == 0 {
		t.Errorf("%d were paid for %d", paid, cost)
	}
}

func (b *tab) paid(of uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return of - b.left
}

// What is malformed, is not paid for, or comes beside too many others is refused; a caller who goes away ends his call.
func TestCallRefused(t *testing.T) {
	h, prices := newHostTest(t), wirecompute.DefaultPrices()
	h.bring(callOf("", ""), []byte(script.Module()))
	for name, c := range map[string]struct {
		edit func(*wirepb.CallRequest, *tab)
		kind mesh.Kind
	}{
		"another input": {func(q *wirepb.CallRequest, _ *tab) { q.Input = []byte("x") }, mesh.Invalid},
		"another file":  {func(q *wirepb.CallRequest, _ *tab) { q.Files[0] = []byte("x") }, mesh.Invalid},
		"no file":       {func(q *wirepb.CallRequest, _ *tab) { q.Files = nil }, mesh.Invalid},
		"another seed":  {func(q *wirepb.CallRequest, _ *tab) { q.Text.Seed = make([]byte, 32) }, mesh.Invalid},
		"no text":       {func(q *wirepb.CallRequest, _ *tab) { q.Text = nil }, mesh.Invalid},
		"no money":      {func(_ *wirepb.CallRequest, b *tab) { b.left = 1 }, mesh.Denied},
		"too much output": {func(q *wirepb.CallRequest, _ *tab) {
			q.Text.Stage.OutputBytes = wirecompute.MaxCallOutput + 1
			wirecompute.SetSeed(q.Text)
		}, mesh.Invalid},
	} {
		q, bill := callOf("print(1)", ""), &tab{left: 1 << 30}
		c.edit(q, bill)
		before := bill.left
		if r, err := h.Call(t.Context(), h.agent, q, prices, bill); mesh.KindOf(err) != c.kind || err == nil || bill.left != before {
			t.Errorf("%s: %v, %v; %d of %d left", name, r, err, bill.left, before)
		}
	}
	bill := &tab{left: 1 << 40}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := h.Call(ctx, h.agent, callOf("ask(1); ask(2)", ""), prices, bill)
	if err != nil || string(r.Ask) != "1" {
		t.Fatal(r, err)
	}
	cancel()
	if r, err := h.AnswerCall(ctx, h.agent, &wirepb.CallAnswer{Call: r.Call, Answer: []byte("{}")}); mesh.KindOf(err) != mesh.Unavailable || err == nil {
		t.Fatal(r, err)
	}
	silent := callOf("ask(1)", "")
	silent.Asks = false
	if r, err := h.Call(t.Context(), h.agent, silent, prices, bill); err != nil || r.Result == nil || !strings.Contains(string(r.Log), "nobody to be asked") {
		t.Errorf("a call that cannot ask: %v, %v", r, err)
	}
	if _, err := h.AnswerCall(t.Context(), h.agent, &wirepb.CallAnswer{Call: make([]byte, 16)}); mesh.KindOf(err) != mesh.NotFound || err == nil {
		t.Error(err)
	}
	q := callOf("", "")
	sum := sha256.Sum256([]byte("no module"))
	q.Text.Stage.Module = sum[:]
	wirecompute.SetSeed(q.Text)
	h.bring(q, []byte("no module")) // it is kept by its name, and refused when it is run
	if r, err := h.Call(t.Context(), h.agent, q, prices, bill); mesh.KindOf(err) != mesh.Invalid || err == nil {
		t.Errorf("a module that is none: %v, %v", r, err)
	}
}
