package replica

import (
	"bytes"
	"testing"

	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What is on the log was written by anybody: nothing of it panics, and what is read has one encoding.
func FuzzTransaction(f *testing.F) {
	w := newWorld(f, 4, 2)
	u := w.user("anna")
	divided, parts := u.divided(genesisMs, "SELECT 1")
	for _, b := range [][]byte{u.send(divided), u.part(genesisMs, parts[0]), u.opened(), u.session(u.link()), u.send(u.envelope(genesisMs, "SELECT 1")), w.checkpoint(0, &wirepb.Checkpoint{Cell: w.cell[:], Version: 1, Height: 1, State: make([]byte, 32)}),
		u.tx(wirepb.CellTxKind_CELL_TX_REVOCATION, &wirepb.Revocation{Link: make([]byte, 16)})} {
		f.Add(b)
	}
	r := newRig(w, 0, Rules{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parse(raw)
		if err != nil {
			return
		}
		if again := wire.Encode(&wirepb.CellTx{Kind: p.kind, Messages: p.messages}); !bytes.Equal(again, raw) {
			t.Errorf("read %x, wrote %x", raw, again)
		}
		c := candidateOf(raw, p)
		if got := arrange(1, r.app.cell.rules, []candidate{c, c}); len(got) > 2 {
			t.Errorf("of two, %d", len(got))
		}
		if err := r.app.precheck(raw, hashOf(raw), false); err == nil && (p.envelope != nil || p.kind == wirepb.CellTxKind_CELL_TX_PART) {
			t.Errorf("what no session sent is taken: %x", raw)
		}
	})
}

func FuzzReadState(f *testing.F) {
	w := newWorld(f, 4, 1)
	r := newRig(w, 0, Rules{})
	u := w.user("anna")
	r.must(u.opened(), u.session(u.link()), u.part(r.next(), []byte("a part")))
	var b bytes.Buffer
	if err := writeState(&b, r.db); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		last := ""
		_, err := readState(bytes.NewReader(b), func(k, _ []byte) error {
			if k[0] == contentKey {
				return nil
			}
			if string(k) <= last || k[0] < firstShared || k[0] > lastShared {
				t.Errorf("key %x behind %x", k, last)
			}
			last = string(k)
			return nil
		})
		if err != nil {
			return
		}
	})
}

// A program was written by anybody, too: what is read has statements, as many as it says, and is written again.
func FuzzJoin(f *testing.F) {
	e := new(wirepb.Envelope)
	parts := database.Divide([]*wirepb.Statement{{Sql: "SELECT ?", Parameters: []*wirepb.Value{{Value: &wirepb.Value_Text{Text: "x"}}, {}}, ParameterTypes: []uint32{25, 1 << 31}}, {Sql: "SELECT 1"}}, e)
	f.Add(parts[0], e.ProgramBytes)
	f.Add([]byte{1, 4, 0, 0xfb, 0xff, 0x0a, 2, 0x0a, 0}, uint64(4)) // stored
	f.Fuzz(func(t *testing.T, b []byte, size uint64) {
		all, err := database.Join(&wirepb.Envelope{ProgramBytes: size}, [][]byte{b})
		if err != nil {
			return
		}
		e := new(wirepb.Envelope)
		parts := database.Divide(all, e)
		again, err := database.Join(e, parts)
		if err != nil || len(all) == 0 || len(again) != len(all) || size > database.MaxProgram {
			t.Errorf("%x: %d statements, then %d, %v", b, len(all), len(again), err)
		}
		if all, err := database.Join(&wirepb.Envelope{ProgramBytes: size}, [][]byte{append(b[:len(b):len(b)], 0)}); err == nil {
			t.Errorf("%x and a byte behind its end: %d statements", b, len(all))
		}
	})
}
