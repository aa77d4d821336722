package replica

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func names(all []candidate) (s string) {
	for _, c := range all {
		s += string(c.raw) + " "
	}
	return s
}

func TestArrange(t *testing.T) {
	rules := Rules{EnvelopeGas: 10, DatabaseGas: 20, BlockGas: 50, BlockBytes: 60, PartBytes: 12, Control: 2}
	of := func(db byte, n int, gas uint64) (all []candidate) {
		for i := range n {
			all = append(all, candidate{raw: []byte(fmt.Sprintf("%c%d", db, i)), rank: rankProgram, lane: lane{db}, cost: gas})
		}
		return all
	}
	ranked := func(rank int, db byte, n int) []candidate {
		all := of(db, n, 1)
		for i := range all {
			all[i].rank = rank
		}
		return all
	}
	sized := func(db byte, n int, bytes uint64) []candidate {
		all := of(db, n, bytes)
		for i := range all {
			all[i].rank = rankPart
		}
		return all
	}
	control := ranked(rankCell, 'x', 3)
	join := func(all ...[]candidate) (out []candidate) {
		for _, a := range all {
			out = append(out, a...)
		}
		return out
	}
	for _, c := range []struct {
		why    string
		height int64
		last   map[byte]int64
		all    []candidate
		want   string
	}{
		{"nothing", 0, nil, nil, ""},
		{"alone, up to its share", 0, nil, of('a', 9, 10), "a0 a1 "},
		{"one that floods, one that came late", 0, nil, join(of('a', 9, 10), of('b', 2, 10)), "a0 b0 a1 b1 "},
		{"by gas, not by number", 0, nil, join(of('a', 9, 10), of('b', 9, 2)), "a0 b0 b1 b2 b3 b4 a1 b5 b6 b7 b8 "},
		{"the block is full", 0, nil, join(of('a', 9, 10), of('b', 9, 10), of('c', 9, 10)), "a0 b0 c0 a1 b1 "},
		{"another begins at another height", 198, nil, join(of('a', 9, 10), of('b', 9, 10), of('c', 9, 10)), "b0 c0 a0 b1 c1 "},
		{"who had no room comes first in the next block", 0, map[byte]int64{'a': 9, 'b': 8, 'c': 9}, join(of('a', 9, 10), of('b', 9, 10), of('c', 9, 10)), "b0 a0 c0 b1 a1 "},
		{"parts come before envelopes", 0, nil, join(of('a', 1, 1), ranked(rankPart, 'a', 1)), "a0 a0 "},
		{"parts take turns", 0, nil, join(sized('a', 9, 4), sized('b', 9, 4)), "a0 b0 a1 "},
		{"what is no envelope comes first", 0, nil, join(of('a', 1, 1), control), "x0 x1 a0 "},
		{"then of each account one", 0, nil, join(of('a', 1, 1), ranked(rankAccount, 'p', 9), ranked(rankAccount, 'q', 9), control), "x0 x1 p0 q0 a0 "},
		{"and of so many accounts", 198, nil, join(ranked(rankAccount, 'p', 9), ranked(rankAccount, 'q', 9), ranked(rankAccount, 'r', 1)), "p0 q0 "},
		{"what is too much for its database holds back what follows", 0, nil, join(of('a', 1, 15), of('b', 1, 25), of('b', 1, 1)), "a0 "},
	} {
		for i := range c.all {
			c.all[i].last = c.last[c.all[i].lane[0]]
		}
		got := arrange(c.height, rules, c.all)
		if names(got) != c.want {
			t.Errorf("%s: %s, want %s", c.why, names(got), c.want)
		}
	}
	long := of('a', 1, 1)
	long[0].raw = make([]byte, 59)
	if got := arrange(0, rules, join(control[:1], long, of('b', 1, 1))); names(got) != "x0 b0 " {
		t.Errorf("what is too long: %s", names(got))
	}
}

// What arrange makes is fair, of whatever waits, and nothing else of it is.
func TestFair(t *testing.T) {
	w := newWorld(t, 4, 1)
	chance := rand.New(rand.NewPCG(seedOfTest(t), 1))
	users := []*user{w.user("anna"), w.user("bert"), w.user("cora"), w.user("dora")}
	rules := Options{Rules: Rules{BlockGas: 30_000_000, DatabaseGas: 12_000_000, EnvelopeGas: 5_000_000}}.withDefaults().Rules
	r := newRig(w, 0, rules)
	for i, u := range users { // the newest block of each is another
		r.must(u.opened(), u.session(u.link()))
		if i > 0 {
			r.must(u.send(u.envelope(r.next(), "SELECT 1")))
		}
	}
	v := r.app.view()
	refused := 0
	for range 100 {
		height := chance.Int64N(1000)
		var all []candidate
		for range chance.IntN(60) {
			u := users[min(chance.IntN(8), 3)]
			e := u.envelope(genesisMs, "SELECT 1")
			e.GasLimit = 1 + chance.Uint64N(5_000_000)
			raw := u.send(e)
			switch chance.IntN(10) {
			case 0:
				raw = w.notice(u.notice(1, 1), 0)
			case 1:
				raw = u.session(u.link())
			case 2:
				raw = u.part(genesisMs, make([]byte, 1+chance.IntN(database.PartBytes)))
			}
			p, err := parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, candidateOf(raw, p))
		}
		v.since(all)
		var txs [][]byte
		for _, c := range arrange(height, rules, all) {
			txs = append(txs, c.raw)
		}
		if !fair(height, rules, v, txs, unknown) {
			t.Fatalf("height %d: a proposal of %d of %d is not fair", height, len(txs), len(all))
		}
		if len(txs) > 1 {
			i := chance.IntN(len(txs) - 1)
			a, b := all[0], all[0]
			for _, c := range all {
				if string(c.raw) == string(txs[i]) {
					a = c
				}
				if string(c.raw) == string(txs[i+1]) {
					b = c
				}
			}
			txs[i], txs[i+1] = txs[i+1], txs[i]
			if fair(height, rules, v, txs, unknown) && a.lane != b.lane { // of one lane, each order is one in which they may have come
				t.Errorf("height %d: two that changed places are fair", height)
			} else if a.lane != b.lane {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	if fair(0, rules, v, [][]byte{{1, 2, 3}}, unknown) || fair(0, rules, v, [][]byte{wire.Encode(&wirepb.CellTx{})}, unknown) {
		t.Error("what is no transaction is fair")
	}
}

// unknown is a mempool that holds nothing.
func unknown([32]byte) (c candidate, ok bool) { return c, false }
