package transfer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func request() *wirepb.WriteRequest {
	return &wirepb.WriteRequest{Slice: bytes.Repeat([]byte{1}, 32), Length: 5, Ticket: &wirepb.Signed{Body: []byte("t")}}
}

func TestFrames(t *testing.T) {
	frame := transfer.AppendFrame(nil, request())
	long := binary.BigEndian.AppendUint32(nil, transfer.MaxFrame+1)
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"whole", frame, true},
		{"empty message", make([]byte, 4), true},
		{"nothing", nil, false},
		{"half a length", frame[:3], false},
		{"cut", frame[:len(frame)-1], false},
		{"too long", append(long, make([]byte, transfer.MaxFrame+1)...), false},
		{"four gigabytes", []byte{0xff, 0xff, 0xff, 0xff}, false},
		{"a byte too many inside", append(binary.BigEndian.AppendUint32(nil, uint32(len(frame)-3)), append(bytes.Clone(frame[4:]), 0)...), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := transfer.ReadFrame(bytes.NewReader(c.b), new(wirepb.WriteRequest))
			if (err == nil) != c.ok || !c.ok && mesh.KindOf(err) != mesh.Invalid {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A frame takes its own bytes and no more from the connection, however they trickle in.
func TestFrameLeavesTheRest(t *testing.T) {
	b := append(transfer.AppendFrame(transfer.AppendPreamble(nil), request()), "rest"...)
	r := iotest.OneByteReader(bytes.NewReader(b))
	got := new(wirepb.WriteRequest)
	if err := errors.Join(transfer.ReadPreamble(r), transfer.ReadFrame(r, got)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wire.Encode(got), wire.Encode(request())) {
		t.Errorf("got %v", got)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "rest" {
		t.Errorf("left %q, %v", rest, err)
	}
}

func TestPreamble(t *testing.T) {
	for _, c := range []struct {
		b  string
		ok bool
	}{{"stwr\x00\x01", true}, {"stwr\x00\x02", false}, {"stwr\x01\x00", false}, {"strd\x00\x01", false}, {"stwr\x00", false}, {"", false}} {
		if err := transfer.ReadPreamble(bytes.NewReader([]byte(c.b))); (err == nil) != c.ok || !c.ok && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%q: %v", c.b, err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(transfer.AppendFrame(nil, request()))
	f.Add(append(make([]byte, 4), 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, m := bytes.NewReader(b), new(wirepb.WriteRequest)
		if err := transfer.ReadFrame(r, m); err != nil {
			if mesh.KindOf(err) != mesh.Invalid {
				t.Fatal(err)
			}
			return
		}
		if again := transfer.AppendFrame(nil, m); !bytes.Equal(again, b[:len(b)-r.Len()]) {
			t.Fatalf("%x is read as %x", b, again)
		}
	})
}
