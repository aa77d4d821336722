package chainproof

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	"github.com/cometbft/cometbft/types"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
)

// captured is what TestCaptureProofs of cmd/stchaind took from a running validator.
type captured struct {
	ChainID  string    `json:"chain_id"`
	Now      time.Time `json:"now"`
	Trusted  []byte    `json:"trusted"`  // light block
	Adjacent []byte    `json:"adjacent"` // light block one higher
	Block    []byte    `json:"block"`    // light block over the answers
	Head     answer    `json:"head"`
	Record   answer    `json:"record"` // of sequence 0
}

type answer struct {
	Height int64  `json:"height"`
	Value  []byte `json:"value"`
	Proof  []byte `json:"proof"` // ProofOps
}

func (a answer) open(t *testing.T) Answer {
	t.Helper()
	ops := new(cmtcrypto.ProofOps)
	if err := ops.Unmarshal(a.Proof); err != nil {
		t.Fatal(err)
	}
	return Answer{Height: a.Height, Value: bytes.Clone(a.Value), Proof: ops}
}

func load(t *testing.T) (captured, Policy, *types.LightBlock, *types.LightBlock) {
	t.Helper()
	b, err := os.ReadFile("testdata/proof.json")
	if err != nil {
		t.Fatal(err)
	}
	var c captured
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	p := DefaultPolicy(c.ChainID)
	trusted, err := p.DecodeLightBlock(c.Trusted)
	if err != nil {
		t.Fatal(err)
	}
	block, err := p.DecodeLightBlock(c.Block)
	if err != nil {
		t.Fatal(err)
	}
	return c, p, trusted, block
}

func TestValid(t *testing.T) {
	c, p, trusted, block := load(t)
	if err := p.Verify(trusted, block, c.Now); err != nil {
		t.Fatal(err)
	}
	adjacent, err := p.DecodeLightBlock(c.Adjacent)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(trusted, adjacent, c.Now); err != nil {
		t.Fatal(err)
	}
	n, err := Head(block, c.Head.open(t))
	if err != nil || n == 0 {
		t.Fatalf("head: %d, %v", n, err)
	}
	r, err := Record(block, 0, c.Record.open(t))
	if err != nil || r.Fact == nil {
		t.Fatalf("record: %v, %v", r, err)
	}
	again, err := EncodeLightBlock(block)
	if err != nil || !bytes.Equal(again, c.Block) {
		t.Errorf("a light block does not survive: %v", err)
	}
}

func TestForgedHeader(t *testing.T) {
	for name, forge := range map[string]func(*types.LightBlock){
		"app hash":   func(b *types.LightBlock) { b.AppHash = bytes.Repeat([]byte{1}, 32) },
		"signature":  func(b *types.LightBlock) { b.Commit.Signatures[0].Signature[5] ^= 1 },
		"no commit":  func(b *types.LightBlock) { b.Commit.Signatures[0] = types.NewCommitSigAbsent() },
		"validators": func(b *types.LightBlock) { b.ValidatorSet.Validators[0].VotingPower++ },
		"chain":      func(b *types.LightBlock) { b.ChainID = "another" },
		"height":     func(b *types.LightBlock) { b.Header.Height++ },
	} {
		c, p, trusted, block := load(t)
		forge(block)
		if err := p.Verify(trusted, block, c.Now); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
	c, p, trusted, block := load(t)
	if err := p.Verify(trusted, block, trusted.Time.Add(p.TrustPeriod+time.Second)); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("after the trust period: %v", err)
	}
	if err := p.Verify(trusted, block, block.Time.Add(-time.Minute)); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("from the future: %v", err)
	}
	if err := p.Verify(block, trusted, c.Now); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("backwards: %v", err)
	}
	if err := p.Verify(trusted, nil, c.Now); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("nothing: %v", err)
	}
}

func TestForgedAnswer(t *testing.T) {
	c, _, trusted, block := load(t)
	if _, err := Record(block, 1, c.Record.open(t)); err == nil {
		t.Error("record 0 was believed to be record 1")
	}
	if _, err := Head(block, c.Record.open(t)); err == nil {
		t.Error("a record was believed to be the head")
	}
	if _, err := Head(trusted, c.Head.open(t)); err == nil {
		t.Error("another header's proof was believed")
	}
	for name, forge := range map[string]func(*Answer){
		"value":         func(a *Answer) { a.Value[len(a.Value)-1]++ },
		"empty value":   func(a *Answer) { a.Value = nil },
		"large value":   func(a *Answer) { a.Value = make([]byte, outbox.MaxRecord+1) },
		"height":        func(a *Answer) { a.Height++ },
		"no height":     func(a *Answer) { a.Height = 0 },
		"no proof":      func(a *Answer) { a.Proof = nil },
		"one proof":     func(a *Answer) { a.Proof.Ops = a.Proof.Ops[:1] },
		"swapped":       func(a *Answer) { a.Proof.Ops[0], a.Proof.Ops[1] = a.Proof.Ops[1], a.Proof.Ops[0] },
		"another store": func(a *Answer) { a.Proof.Ops[1].Key = []byte("bank") },
		"truncated":     func(a *Answer) { a.Proof.Ops[0].Data = a.Proof.Ops[0].Data[:20] },
		"large proof":   func(a *Answer) { a.Proof.Ops[0].Data = make([]byte, maxProof+1) },
		"changed proof": func(a *Answer) { a.Proof.Ops[0].Data[len(a.Proof.Ops[0].Data)-1] ^= 1 },
		"changed root":  func(a *Answer) { a.Proof.Ops[1].Data[len(a.Proof.Ops[1].Data)-1] ^= 1 },
	} {
		a := c.Record.open(t)
		forge(&a)
		if _, err := Record(block, 0, a); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
}

func FuzzDecodeLightBlock(f *testing.F) {
	b, err := os.ReadFile("testdata/proof.json")
	if err != nil {
		f.Fatal(err)
	}
	var c captured
	if err := json.Unmarshal(b, &c); err != nil {
		f.Fatal(err)
	}
	f.Add(c.Block)
	f.Add([]byte{})
	p := DefaultPolicy(c.ChainID)
	f.Fuzz(func(t *testing.T, b []byte) {
		if block, err := p.DecodeLightBlock(b); err == nil {
			_ = p.Verify(block, block, c.Now)
		}
	})
}
