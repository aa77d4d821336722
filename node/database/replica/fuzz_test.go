package replica

import (
	"bytes"
	"testing"

	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What is on the log was written by anybody: nothing of it panics, and what is read has one encoding.
func FuzzTransaction(f *testing.F) {
	w := newWorld(f, 4, 2)
	u := w.user("anna")
	for _, b := range [][]byte{u.opened(), u.session(u.link()), u.send(u.envelope(genesisMs, "SELECT 1")), w.checkpoint(0, &wirepb.Checkpoint{Cell: w.cell[:], Version: 1, Height: 1, State: make([]byte, 32)}),
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
		if err := r.app.precheck(raw, hashOf(raw), false); err == nil && p.envelope != nil {
			t.Errorf("an envelope of no session is taken: %x", raw)
		}
	})
}

func FuzzReadState(f *testing.F) {
	w := newWorld(f, 4, 1)
	r := newRig(w, 0, Rules{})
	u := w.user("anna")
	r.must(u.opened(), u.session(u.link()))
	var b bytes.Buffer
	if err := writeState(&b, r.db); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		last := ""
		_, err := readState(bytes.NewReader(b), func(k, _ []byte) error {
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
