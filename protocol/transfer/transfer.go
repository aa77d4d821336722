// Package transfer is how slices cross the wire between a session and a node: HTTP/1.1 over mutual TLS, the body
// framed as written below. It moves and bounds bytes; who may move which is decided by the node.
//
// # Write: POST /v1/write
//
//	magic "stwr" | version u16 BE = 1 | frame(WriteRequest) | then for each step of at most mesh.StepBytes:
//	frame(Signed Receipt) | the step's bytes
//
// The receipt covers the step that follows it, and the node reads that step only after it has verified the receipt.
// The answer is a wirepb.Signed acknowledgement (purpose ack/1, body Ack), sent after the slice is fsynced.
//
// # Read: POST /v1/read
//
// The body is a ReadRequest of at most one step, whose receipt covers it. The answer is the range with its proof: the
// BLAKE3 "bao" slice encoding in groups of 16 KiB, which lukechampine.com/blake3/bao verifies against the slice id.
//
// # Total: POST /v1/total
//
// TotalRequest in, TotalAnswer out: what the session signed for a lease, as far as the node knows, and what the node
// delivered. A client that lost its memory goes on from there.
//
// A frame is a length u32 BE and that many bytes, at most MaxFrame. Every error is a wirepb.Problem.
//
// Version history: 1, the first.
package transfer

import (
	"encoding/binary"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
)

const (
	WritePath = "/v1/write"
	ReadPath  = "/v1/read"
	TotalPath = "/v1/total"

	// MaxFrame bounds a frame: the largest holds a ticket.
	MaxFrame = 512 << 10

	// BaoGroup is the logarithm of the chunks (1 KiB) in a group of the range proofs.
	BaoGroup = 4

	version = 1
)

var magic = [4]byte{'s', 't', 'w', 'r'}

// AppendPreamble appends the magic and version that begin a write.
func AppendPreamble(b []byte) []byte {
	return binary.BigEndian.AppendUint16(append(b, magic[:]...), version)
}

// ReadPreamble reads and checks them.
func ReadPreamble(r io.Reader) error {
	var b [6]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return mesh.Errorf(mesh.Invalid, "a write's preamble: %w", err)
	}
	if [4]byte(b[:4]) != magic {
		return mesh.Errorf(mesh.Invalid, "the body is not a write: it begins with %x", b[:4])
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != version {
		return mesh.Errorf(mesh.Invalid, "a write of version %d; this node speaks %d", v, version)
	}
	return nil
}

// AppendFrame appends m as a frame.
func AppendFrame(b []byte, m proto.Message) []byte {
	body := wire.Encode(m)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
}

// ReadFrame reads a frame into m.
func ReadFrame(r io.Reader, m proto.Message) error {
	var l [4]byte
	if _, err := io.ReadFull(r, l[:]); err != nil {
		return mesh.Errorf(mesh.Invalid, "a frame's length: %w", err)
	}
	n := binary.BigEndian.Uint32(l[:])
	if n > MaxFrame {
		return mesh.Errorf(mesh.Invalid, "a frame of %d bytes, at most %d", n, MaxFrame)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return mesh.Errorf(mesh.Invalid, "a frame: %w", err)
	}
	return wire.Decode(b, MaxFrame, m)
}
