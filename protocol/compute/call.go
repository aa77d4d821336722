package compute

import (
	"encoding/binary"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/fuel"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Methods of a node that runs calls; see task.proto.
const (
	CallPath       = "/v1/call"
	CallAnswerPath = "/v1/call-answer"
	CallModulePath = "/v1/call-module"
	CallPayPath    = "/v1/call-pay"
)

// Bounds of a call.
const (
	MaxCallInput  = 4 << 20 // bytes
	MaxCallFiles  = 1 << 20 // bytes of all files, which come with each call
	MaxCallOutput = 4 << 20
	MaxCallAnswer = 1 << 20 // bytes that are asked or answered at once
	MaxCallAsks   = 1000

	// CallSeconds is how long a call may take in all, and AnswerSeconds how long it waits for an answer.
	CallSeconds   = 30
	AnswerSeconds = 10

	MaxCallRequest       = MaxCallInput + MaxCallFiles + MaxLetters + 64<<10
	MaxCallAnswerMessage = MaxCallAnswer + 64
	MaxCallReply         = max(MaxCallOutput, MaxCallAnswer) + MaxTaskLog + 4<<10
	MaxCallModule        = fuel.MaxModule + 64
)

// MostOfCall is what a call may cost beside its output, in noz: so much must be certain before it is run.
func MostOfCall(p *wirepb.ComputePrices, t *wirepb.TaskText) uint64 { return Price(p, t.Stage.Fuel, 0) }

// CheckCall refuses, as Invalid, a request for a call that is malformed, or whose input and files are not those of its text.
func CheckCall(q *wirepb.CallRequest) error {
	bad := func(format string, a ...any) error {
		return mesh.Errorf(mesh.Invalid, "request to run a call: "+format, a...)
	}
	if q.Text == nil {
		return bad("it has no text")
	}
	t := q.Text
	if err := CheckTask(t); err != nil {
		return err
	}
	switch {
	case t.Parts > 0 || t.Merge || len(t.Inputs) != 1 || !t.Inputs[0].Whole:
		return bad("it has one input, which is read whole, and gives what it writes")
	case len(q.Input) > MaxCallInput || t.Stage.OutputBytes > MaxCallOutput:
		return bad("%d bytes of input and %d of output, at most %d and %d", len(q.Input), t.Stage.OutputBytes, MaxCallInput, MaxCallOutput)
	case !names(t.Inputs[0].Root, t.Inputs[0].Size, q.Input):
		return bad("its input is not what its text names")
	case len(q.Files) != len(t.Stage.Files):
		return bad("%d files, its text names %d", len(q.Files), len(t.Stage.Files))
	}
	size := 0
	for i, f := range t.Stage.Files {
		if size += len(q.Files[i]); size > MaxCallFiles {
			return bad("files of more than %d bytes", MaxCallFiles)
		}
		if !names(f.Root, f.Size, q.Files[i]) {
			return bad("the file %s is not what its text names", f.Name)
		}
	}
	return nil
}

// names tells whether content is what a root and a size name.
func names(root []byte, size uint64, content []byte) bool {
	sum := blake3.Sum256(content)
	return size == uint64(len(content)) && string(root) == string(sum[:])
}

// Asked is the digest of what a call asked and was answered so far: BLAKE3 of
//
//	"stratos asked 1" 0x00 | for each: length 8 | request | length 8 | answer
//
// with lengths as big-endian numbers. The zero value is ready.
type Asked struct{ hash *blake3.Hasher }

// Add adds a request and its answer.
func (a *Asked) Add(request, answer []byte) {
	if a.hash == nil {
		a.hash = blake3.New(32, nil)
		a.hash.Write(append([]byte("stratos asked 1"), 0)) // it never fails
	}
	for _, b := range [][]byte{request, answer} {
		a.hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		a.hash.Write(b)
	}
}

// Sum is the digest; empty when nothing was asked.
func (a *Asked) Sum() []byte {
	if a.hash == nil {
		return nil
	}
	return a.hash.Sum(nil)
}
