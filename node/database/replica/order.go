package replica

import (
	"bytes"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A candidate is a transaction that waits for a block.
type candidate struct {
	raw      []byte
	control  bool            // no envelope
	database mesh.DatabaseID // of an envelope
	gas      uint64
}

func candidateOf(raw []byte, t *transaction) candidate {
	c := candidate{raw: raw, control: t.envelope == nil}
	if t.envelope != nil {
		c.database, c.gas = mesh.DatabaseID(t.envelope.Database), t.envelope.GasLimit
	}
	return c
}

// arrange chooses and orders what goes into a block. First what is no envelope, as it came; then envelopes, the next always of the
// database whose envelopes in this block may take the least gas so far, and of equals in an order that turns with the height. A
// database whose next envelope has no room waits for the next block, so that its envelopes keep their order.
func arrange(height int64, r Rules, all []candidate) []candidate {
	var out []candidate
	bytesLeft, gasLeft, control := r.BlockBytes, r.BlockGas, r.Control
	type queue struct {
		id   mesh.DatabaseID
		all  []candidate
		gas  uint64
		done bool
	}
	byID := map[mesh.DatabaseID]*queue{}
	var queues []*queue
	for _, c := range all {
		switch {
		case !c.control:
			q := byID[c.database]
			if q == nil {
				q = &queue{id: c.database}
				byID[c.database] = q
				queues = append(queues, q)
			}
			q.all = append(q.all, c)
		case control > 0 && len(c.raw) <= bytesLeft:
			out = append(out, c)
			control, bytesLeft = control-1, bytesLeft-len(c.raw)
		}
	}
	// In turn: each database has its place on a circle, by its id; where the round begins is the height's affair.
	slices.SortFunc(queues, func(a, b *queue) int {
		x, y := turned(a.id, height), turned(b.id, height)
		return bytes.Compare(x[:], y[:])
	})
	for {
		var next *queue
		for _, q := range queues {
			if !q.done && len(q.all) > 0 && (next == nil || q.gas < next.gas) {
				next = q
			}
		}
		if next == nil {
			return out
		}
		c := next.all[0]
		if len(c.raw) > bytesLeft || c.gas > gasLeft || c.gas > r.DatabaseGas-next.gas {
			next.done = true
			continue
		}
		next.all, next.gas = next.all[1:], next.gas+c.gas
		bytesLeft, gasLeft = bytesLeft-len(c.raw), gasLeft-c.gas
		out = append(out, c)
	}
}

// turned is a database's place in a round: its id, turned by the height on a circle of 256 steps.
func turned(id mesh.DatabaseID, height int64) mesh.DatabaseID {
	id[0] += byte(height) * 37 // odd, so that it comes to each place, and far from the one before
	return id
}

// fair tells whether a block is as arrange would have made it of what is in it.
func fair(height int64, r Rules, txs [][]byte) bool {
	var all []candidate
	for _, raw := range txs {
		t, err := parse(raw)
		if err != nil || t.kind == wirepb.CellTxKind_CELL_TX_UNSPECIFIED {
			return false
		}
		all = append(all, candidateOf(raw, t))
	}
	return slices.EqualFunc(arrange(height, r, all), all, func(a, b candidate) bool { return bytes.Equal(a.raw, b.raw) })
}
