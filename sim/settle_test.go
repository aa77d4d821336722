package sim_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/report"
)

func query(t *testing.T, c *chain.Client, contract abi.Contract, method string, args ...any) []any {
	t.Helper()
	out, err := c.Query(t.Context(), contract, method, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Bob buys ozone, writes and reads; what he pays is exactly the bytes that moved and his log writes; what each operator
// earned follows from the public reports by the formulas, to the wei; and every ledger line holds.
func TestSettlement(t *testing.T) {
	r := random(t)
	value := shared.chain(t)
	bob := shared.key(t, "bob")
	before := query(t, value, abi.SDS(), "ozoneOf", common.Address(bob.Account()))
	price := mesh.Stos(1)
	simulated := query(t, value, abi.SDS(), "simulatePrepay", price.Big())[0].(*big.Int)
	if _, err := value.Transact(t.Context(), bob, abi.SDS(), price, "prepay", common.Address(bob.Account())); err != nil {
		t.Fatal(err)
	}
	credited := query(t, value, abi.SDS(), "ozoneOf", common.Address(bob.Account()))[0].(uint64)
	if bought := credited - before[0].(uint64); bought != simulated.Uint64() {
		t.Fatalf("bought %d noz, %s were simulated", bought, simulated)
	}
	c := shared.client(t, "bob", 0, client.Options{})
	until(t, "the prepay on the meta layer", func() (bool, error) {
		b, err := c.Balance(t.Context(), bob.Account())
		return err == nil && b.Credited == mesh.Noz(credited), err
	})
	watch := shared.client(t, "alice", 0, client.Options{})
	// reported is what the reports until now say that Bob had moved, and what they debit him in all.
	reported := func() (receipts, all mesh.Noz, err error) {
		for e := range query(t, value, abi.Pot(), "epoch")[1].(uint64) {
			rep, err := watch.Report(t.Context(), mesh.Epoch(e))
			if mesh.KindOf(err) == mesh.NotFound && err != nil {
				continue
			}
			if err != nil {
				return 0, 0, err
			}
			for kind := range report.Kinds {
				for _, page := range rep.Pages[2*kind+1] {
					for _, d := range page.Debits {
						if d.Account != bob.Account() {
							continue
						}
						if all += d.Noz + d.Fees; kind == report.Storage {
							receipts += d.Noz
						}
					}
				}
			}
		}
		return receipts, all, nil
	}
	earlier, _, err := reported()
	if err != nil {
		t.Fatal(err)
	}
	bucket(t, c, "settlement")
	const size = 3<<20 + 5000
	p := mesh.Path{Bucket: "settlement", Key: "x"}
	b := content(r, size)
	o := put(t, c, p, b)
	pl, err := c.Placement(t.Context(), o)
	if err != nil || missing(pl) != 0 {
		t.Fatalf("%d pieces are missing, %v", missing(pl), err)
	}
	wantBytes(t, c, p, b)
	moved := c.Moved() // what the client signed for, and nodes delivered
	if moved == 0 {
		t.Fatal("nothing was paid for")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var receipts, all mesh.Noz
	until(t, "the report of Bob's traffic", func() (bool, error) {
		if receipts, all, err = reported(); err != nil {
			return false, err
		}
		receipts -= earlier
		b, err := watch.Balance(t.Context(), bob.Account())
		return err == nil && b.Leased == 0 && b.Debited == all && receipts > 0, err
	})
	// A step that the client signed for and broke off, as it does when a node lags, may never have reached its node.
	const brokenOff = 8 * mesh.StepBytes
	if receipts > moved || moved-receipts > brokenOff {
		t.Errorf("reported %d noz of receipts, the client signed for %d", receipts, moved)
	}
	end, err := watch.Balance(t.Context(), bob.Account())
	if err != nil {
		t.Fatal(err)
	}
	if end.Debited != all || all <= receipts {
		t.Errorf("debited %d noz, want %d, of receipts and of log writes", end.Debited, all)
	}
	until(t, "the value layer's debit", func() (bool, error) {
		debited := query(t, value, abi.SDS(), "ozoneOf", common.Address(bob.Account()))[1].(uint64)
		return mesh.Noz(debited) == end.Debited, nil
	})
	checkRewards(t, value, watch)
	recomputed := 0
	for e := range query(t, value, abi.Pot(), "epoch")[1].(uint64) {
		out, errOut, code := runCLI(t, "epoch", strconv.FormatUint(e, 10), "--json")
		if code == 3 { // no report ends there
			continue
		}
		var v struct {
			Recomputed bool
			Wallets    int
			Unchecked  []string
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || !v.Recomputed && len(v.Unchecked) == 0 {
			t.Errorf("stratos epoch %d: exit %d, %v\n%s%s", e, code, err, out, errOut)
		}
		if v.Wallets > 0 {
			recomputed++
		}
	}
	if recomputed == 0 {
		t.Error("stratos epoch computed no wallet's reward again")
	}
}

// checkRewards recomputes every report from the first on: which nodes settle, what carries, what each wallet earns.
func checkRewards(t *testing.T, value *chain.Client, c *client.Client) {
	t.Helper()
	next := query(t, value, abi.Pot(), "epoch")[1].(uint64)
	carried := map[mesh.NodeID]mesh.Noz{}
	reports := 0
	for e := range next {
		rep, err := c.Report(t.Context(), mesh.Epoch(e))
		if err != nil {
			if mesh.KindOf(err) == mesh.NotFound {
				continue
			}
			t.Fatal(err)
		}
		reports++
		l := query(t, value, abi.Pot(), "ledger", e)
		taken, carriedIn, settled, returned, carriedOut := l[0].(uint64), l[1].(uint64), l[2].(uint64), l[3].(uint64), l[4].(uint64)
		if taken+carriedIn != settled+returned+carriedOut {
			t.Errorf("epoch %d: %d + %d is not %d + %d + %d", e, taken, carriedIn, settled, returned, carriedOut)
		}
		volumes := map[mesh.NodeID]mesh.Noz{}
		total := mesh.Noz(0)
		for n, v := range carried {
			volumes[n] += v
			total += v
		}
		for _, pages := range rep.Pages { // of all kinds
			for _, page := range pages {
				for _, v := range page.Volumes {
					volumes[v.Node] += v.Noz
					total += v.Noz
				}
			}
		}
		type ranked struct {
			node mesh.NodeID
			noz  mesh.Noz
		}
		var order []ranked
		for n, v := range volumes {
			order = append(order, ranked{n, v})
		}
		slices.SortFunc(order, func(a, b ranked) int {
			return cmp.Or(cmp.Compare(b.noz, a.noz), bytes.Compare(a.node[:], b.node[:]))
		})
		clear(carried)
		y := mesh.Noz(0)
		settling := map[mesh.NodeID]mesh.Noz{}
		for _, o := range order {
			if economy.TopReached(y, total) {
				carried[o.node] = o.noz
				continue
			}
			settling[o.node] = o.noz
			y += o.noz
		}
		if uint64(y) != settled || uint64(total-y) != carriedOut {
			t.Errorf("epoch %d: %d noz settle and %d carry, the value layer says %d and %d", e, y, total-y, settled, carriedOut)
		}
		reward := l[6].(*big.Int)
		split := economy.SplitReward(reward)
		for i, want := range []*big.Int{split.Tax, split.Nodes, split.Authorities, split.Chain} {
			if got := l[7+i].(*big.Int); got.Cmp(want) != 0 && i != 1 && i != 2 { // nodes and authorities: below, by wallet
				t.Errorf("epoch %d: part %d is %s wei, want %s", e, i, got, want)
			}
		}
		operators := map[common.Address]*big.Int{} // one may have several nodes
		for n, v := range settling {
			o := query(t, value, abi.Register(), "node", n)[0].(common.Address)
			operators[o] = new(big.Int).Add(cmp.Or(operators[o], new(big.Int)), economy.Share(split.Nodes, v, y))
		}
		for o, want := range operators {
			if got := query(t, value, abi.Pot(), "rewardOf", o, e)[0].(*big.Int); got.Cmp(want) != 0 {
				t.Errorf("epoch %d: operator %s earned %s wei, want %s", e, o, got, want)
			}
		}
		authorities := int64(l[15].(uint32)) // another was a member for a while
		for i := range 4 {
			got := query(t, value, abi.Pot(), "rewardOf", common.Address(shared.key(t, "authority-"+string(rune('0'+i))).Account()), e)[0].(*big.Int)
			if want := new(big.Int).Div(split.Authorities, big.NewInt(authorities)); got.Cmp(want) != 0 {
				t.Errorf("epoch %d: authority-%d earned %s wei, want %s", e, i, got, want)
			}
		}
	}
	if reports == 0 {
		t.Error("no report was settled")
	}
	// The pool as the last settlement left it gives that settlement's reward by the curve.
	s := query(t, value, abi.SDS(), "supply")
	t.Logf("%d reports, pool %s %s %s", reports, s[0], s[1], s[2])
}
