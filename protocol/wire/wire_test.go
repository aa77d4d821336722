package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func entry() *wirepb.Entry {
	return &wirepb.Entry{Bucket: "photos", Key: "a", Size: 300, Extents: []*wirepb.Extent{{Segment: []byte{1}, Length: 300}},
		Segments: []*wirepb.Segment{{Length: 300, Pieces: []*wirepb.Piece{{Slice: []byte{2}}}}}}
}

func TestDecodeIsStrict(t *testing.T) {
	good := wire.Encode(entry())
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 127, protowire.VarintType), 1)
	nested := func(field protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), content)
	}
	for _, c := range []struct {
		name  string
		b     []byte
		limit int
		want  string // in the refusal; empty: accepted
	}{
		{"as encoded", good, len(good), ""},
		{"empty", nil, 0, ""},
		{"over the limit", good, len(good) - 1, "at most"},
		{"cut", good[:len(good)-1], 1000, "decoded"},
		{"zero byte after", append(bytes.Clone(good), 0), 1000, "decoded"},
		{"unknown field", append(bytes.Clone(good), unknown...), 1000, "does not know"},
		{"unknown field in a list's element", nested(9, append(nested(1, []byte{1}), unknown...)), 1000, "does not know"},
		{"unknown field two levels down", nested(10, nested(4, unknown)), 1000, "does not know"},
		{"explicit zero", protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 0), 1000, "deterministic"},
		{"long varint", append(protowire.AppendTag(nil, 5, protowire.VarintType), 0x81, 0x00), 1000, "deterministic"},
		{"fields out of order", append(nested(2, []byte("a")), nested(1, []byte("photos"))...), 1000, "deterministic"},
		{"field twice", append(nested(1, []byte("photos")), nested(1, []byte("photos"))...), 1000, "deterministic"},
		{"wrong wire type", protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1), 1000, "does not know"},
		{"not UTF-8", nested(1, []byte{0xff}), 1000, "decoded"},
		{"number zero", []byte{0, 1}, 1000, "decoded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := wire.Decode(c.b, c.limit, new(wirepb.Entry))
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a refusal with %q", err, c.want)
			}
		})
	}
}

// What was in the message before does not survive.
func TestDecodeForgets(t *testing.T) {
	m := entry()
	if err := wire.Decode(nil, 10, m); err != nil || m.Bucket != "" || m.Segments != nil {
		t.Errorf("got %v, %v", m, err)
	}
}

// The text of a refusal becomes part of a block's results, so it may not come from a library whose texts differ from
// build to build, as those of protobuf do on purpose.
func TestRefusalsAreOurOwnWords(t *testing.T) {
	err := wire.Decode([]byte{0xff}, 10, new(wirepb.Entry))
	if err == nil || strings.Contains(err.Error(), "proto:") || strings.ContainsRune(err.Error(), '\u00a0') {
		t.Errorf("got %q", err)
	}
}

func fuzzDecode[T any, P interface {
	*T
	proto.Message
}](f *testing.F, seeds ...proto.Message) {
	for _, s := range seeds {
		f.Add(wire.Encode(s))
	}
	f.Add([]byte{0xf8, 0x07, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		m := P(new(T))
		err := wire.Decode(b, limit, m)
		if err != nil {
			if mesh.KindOf(err) != mesh.Invalid {
				t.Fatalf("refused with %s: %v", mesh.KindOf(err), err)
			}
			return
		}
		if len(b) > limit || !bytes.Equal(wire.Encode(m), b) {
			t.Fatalf("accepted %x, which is not the encoding of what it says", b)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) { fuzzDecode[wirepb.Entry](f, entry()) }
func FuzzDecodeTx(f *testing.F) {
	fuzzDecode[wirepb.Tx](f, &wirepb.Tx{Kind: wirepb.TxKind_TX_ENTRY, Message: &wirepb.Signed{Body: []byte{1}}})
}
func FuzzDecodeTicket(f *testing.F) {
	fuzzDecode[wirepb.Ticket](f, &wirepb.Ticket{Lease: []byte{1}, Allowances: []*wirepb.Allowance{{Node: []byte{1}, Slices: [][]byte{{1}, {2}}}}})
}
func FuzzDecodeQuery(f *testing.F) {
	fuzzDecode[wirepb.Query](f, &wirepb.Query{Questions: []*wirepb.Question{{Question: &wirepb.Question_Bucket{Bucket: "a"}}, {Question: &wirepb.Question_Buckets{Buckets: true}}}})
}
func FuzzDecodeChain(f *testing.F) {
	budget := uint64(0)
	fuzzDecode[wirepb.Chain](f, &wirepb.Chain{Root: &wirepb.RootLink{Body: wire.Encode(&wirepb.Link{Budget: &budget})}, Links: []*wirepb.Signed{{}}})
}
