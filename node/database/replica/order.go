package replica

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Ranks of candidates: in a block, all of one come before all of the next.
const (
	rankCell    = iota // notices and checkpoints: the cell itself needs them, and each is taken once
	rankAccount        // sessions, revocations and requests for backups
	rankPart           // parts of programs: an envelope that came behind its parts finds them
	rankProgram        // envelopes
)

// A candidate is a transaction that waits for a block.
type candidate struct {
	raw  []byte
	rank int
	lane lane
	cost uint64 // of its lane's share and of all: gas of an envelope, bytes of a part, else 1
	last int64  // height of the newest block that touched an envelope's database
}

// A lane is what candidates share room by: a database, an account as it is claimed, or a key.
type lane [20]byte

func candidateOf(raw []byte, t *transaction) candidate {
	c := candidate{raw: raw, cost: 1}
	switch b := t.body.(type) {
	case *wirepb.Envelope:
		c.rank, c.cost = rankProgram, b.GasLimit
		copy(c.lane[:], b.Database)
	case *wirepb.ProgramPart:
		c.rank, c.cost = rankPart, uint64(t.size)
		copy(c.lane[:], b.Database)
	case *wirepb.Session:
		c.rank, c.lane = rankAccount, lane(grant.Claimed(b.Chain))
	case *wirepb.Revocation:
		c.rank = rankAccount
		copy(c.lane[:], t.messages[0].Key)
	case *wirepb.BackupRequest:
		c.rank = rankAccount
		copy(c.lane[:], b.Database)
	}
	return c
}

// arrange chooses and orders what goes into a block. First what the cell needs, as it came; then of each account one transaction,
// because these are free; then parts, which leave room for envelopes; then these.
func arrange(height int64, r Rules, all []candidate) []candidate {
	var ranks [rankProgram + 1][]candidate
	for _, c := range all {
		ranks[c.rank] = append(ranks[c.rank], c)
	}
	room := r.BlockBytes
	out := inTurn(height, ranks[rankCell], uint64(r.Control), uint64(r.Control), &room)
	out = append(out, inTurn(height, ranks[rankAccount], 1, uint64(r.Control), &room)...)
	out = append(out, inTurn(height, ranks[rankPart], uint64(r.PartBytes), uint64(r.PartBytes), &room)...)
	return append(out, inTurn(height, ranks[rankProgram], r.DatabaseGas, r.BlockGas, &room)...)
}

// inTurn takes candidates until they cost total: the next always of the lane whose candidates cost the least so far, at most share; of
// equals the one that was in no block for the longest time, and else in an order that turns with the height. A lane whose next has no
// room waits for the next block, so that its candidates keep their order, and then comes before the one that had the room.
func inTurn(height int64, all []candidate, share, total uint64, room *int) (out []candidate) {
	type queue struct {
		place lane
		last  int64
		all   []candidate
		cost  uint64
		done  bool
	}
	byLane := map[lane]*queue{}
	var queues []*queue
	for _, c := range all {
		q := byLane[c.lane]
		if q == nil {
			q = &queue{place: turned(c.lane, height), last: c.last}
			byLane[c.lane] = q
			queues = append(queues, q)
		}
		q.all = append(q.all, c)
	}
	slices.SortFunc(queues, func(a, b *queue) int {
		return cmp.Or(cmp.Compare(a.last, b.last), bytes.Compare(a.place[:], b.place[:]))
	})
	for {
		var next *queue
		for _, q := range queues {
			if !q.done && len(q.all) > 0 && (next == nil || q.cost < next.cost) {
				next = q
			}
		}
		if next == nil {
			return out
		}
		c := next.all[0]
		if len(c.raw) > *room || c.cost > total || c.cost > share-next.cost {
			next.done = true
			continue
		}
		next.all, next.cost = next.all[1:], next.cost+c.cost
		*room, total = *room-len(c.raw), total-c.cost
		out = append(out, c)
	}
}

// turned is a lane's place in a round: its name, turned by the height on a circle of 256 steps.
func turned(l lane, height int64) lane {
	l[0] += byte(height) * 37 // odd, so that it comes to each place, and far from the one before
	return l
}

// since notes of envelopes when their databases were touched last. All who have the block before say the same.
func (v *view) since(all []candidate) {
	last := map[lane]int64{}
	for i, c := range all {
		if c.rank != rankProgram {
			continue
		}
		h, ok := last[c.lane]
		if !ok {
			if d := v.database(c.lane[:len(mesh.DatabaseID{})]); d != nil {
				h = d.Height
			}
			last[c.lane] = h
		}
		all[i].last = h
	}
}

// fair tells whether a block is as arrange would have made it of what is in it, behind the block that v reads.
func fair(height int64, r Rules, v *view, txs [][]byte, known func(hash [32]byte) (candidate, bool)) bool {
	var all []candidate
	for _, raw := range txs {
		if c, ok := known(hashOf(raw)); ok { // what candidateOf would give, without reading it again
			c.raw = raw
			all = append(all, c)
			continue
		}
		t, err := parse(raw)
		if err != nil || t.kind == wirepb.CellTxKind_CELL_TX_UNSPECIFIED {
			return false
		}
		all = append(all, candidateOf(raw, t))
	}
	v.since(all)
	return slices.EqualFunc(arrange(height, r, all), all, func(a, b candidate) bool { return bytes.Equal(a.raw, b.raw) })
}
