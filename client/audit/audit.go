// Package audit computes an epoch's settlement again from public data and compares it with what the value layer paid: the
// reports that the authorities hold, the ledger and the wallets of the value layer, the formulas of protocol/economy.
//
// It trusts neither side and changes nothing. The command line calls it, and whoever wants to check his pay.
package audit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/report"
)

// Value is what is asked of the value layer; client/chain answers it.
type Value interface {
	Query(ctx context.Context, contract abi.Contract, method string, args ...any) ([]any, error)
}

// Reports are what the authorities hold; package client answers it.
type Reports interface {
	Report(ctx context.Context, e mesh.Epoch) (*client.Report, error)
}

// A Line is an epoch's line in the value layer's ledger: noz but for the parts of the reward and the first two of the pool,
// which are wei.
type Line struct {
	Taken, CarriedIn, Settled, Returned, CarriedOut, Clipped mesh.Noz
	Reward, Tax, Nodes, Authorities, Chain, Remainder        *big.Int
	Pool                                                     economy.Pool // before the reward
	Sharers                                                  int64        // authorities that shared their part
}

// ReadLine asks for an epoch's line.
func ReadLine(ctx context.Context, v Value, e mesh.Epoch) (*Line, error) {
	out, err := v.Query(ctx, abi.Pot(), "ledger", uint64(e))
	if err != nil {
		return nil, err
	}
	l := new(Line)
	for i, to := range []*mesh.Noz{&l.Taken, &l.CarriedIn, &l.Settled, &l.Returned, &l.CarriedOut, &l.Clipped} {
		*to = mesh.Noz(out[i].(uint64))
	}
	for i, to := range []**big.Int{&l.Reward, &l.Tax, &l.Nodes, &l.Authorities, &l.Chain, &l.Remainder, &l.Pool.Deposits, &l.Pool.Prepaid, &l.Pool.Remaining} {
		*to = out[6+i].(*big.Int)
	}
	l.Sharers = int64(out[15].(uint32))
	return l, nil
}

// Balanced tells whether taken + carried in = settled + returned + carried out.
func (l *Line) Balanced() bool {
	return l.Taken+l.CarriedIn == l.Settled+l.Returned+l.CarriedOut
}

// A Finding is what came out of an audit.
type Finding struct {
	Reports     int      // that were computed again: the epoch's, and those before it that something was carried from
	Wallets     int      // whose reward was compared
	Differences []string // what the value layer says otherwise; none is good
	Unchecked   []string // what could not be computed again, and why
}

// Epoch computes the settlement of the report that ends with an epoch. NotFound when there is none.
func Epoch(ctx context.Context, v Value, r Reports, e mesh.Epoch) (*Finding, error) {
	out, err := v.Query(ctx, abi.Pot(), "params")
	if err != nil {
		return nil, err
	}
	a := &auditor{value: v, reports: r, maxCarry: mesh.Epoch(out[1].(uint64)), carries: map[mesh.NodeID]carry{}}
	from, err := a.clean(ctx, e)
	if err != nil {
		return nil, err
	}
	for at := from; ; at++ {
		if err := a.settle(ctx, at, at == e); err != nil && (at == e || mesh.KindOf(err) != mesh.NotFound) {
			return nil, err
		}
		if at == e {
			return &a.finding, nil
		}
	}
}

// carry is a node's volume that waits, and the epoch of its oldest part.
type carry struct {
	noz   mesh.Noz
	since mesh.Epoch
}

type auditor struct {
	value    Value
	reports  Reports
	maxCarry mesh.Epoch
	carries  map[mesh.NodeID]carry
	cut      bool // claims were cut short, so that who carries what is not known any more
	finding  Finding
}

func (a *auditor) differ(format string, args ...any) {
	a.finding.Differences = append(a.finding.Differences, fmt.Sprintf(format, args...))
}

func (a *auditor) same(e mesh.Epoch, what string, got, want any) {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		a.differ("epoch %d: %s: the value layer says %s, the reports give %s", e, what, g, w)
	}
}

// clean returns the first epoch to begin with: the one after the newest before e from which nothing was carried.
func (a *auditor) clean(ctx context.Context, e mesh.Epoch) (mesh.Epoch, error) {
	for at := e; at > 0; at-- {
		out, err := a.value.Query(ctx, abi.Pot(), "report", uint64(at-1))
		if err != nil {
			return 0, err
		}
		if out[1].(uint8) != final {
			continue
		}
		l, err := ReadLine(ctx, a.value, at-1)
		if err != nil {
			return 0, err
		}
		if l.CarriedOut == 0 {
			return at, nil
		}
	}
	return 0, nil
}

// final is the status of a report whose pages are all settled; see chain/x/pot.
const final = 3

// settle computes one report's settlement. Carries go on to the next; wallets are compared for the last only.
func (a *auditor) settle(ctx context.Context, e mesh.Epoch, wallets bool) error {
	out, err := a.value.Query(ctx, abi.Pot(), "report", uint64(e))
	if err != nil {
		return err
	}
	if out[1].(uint8) != final {
		return mesh.Errorf(mesh.NotFound, "no report that ends with epoch %d is settled", e)
	}
	line, err := ReadLine(ctx, a.value, e)
	if err != nil {
		return err
	}
	rep, err := a.reports.Report(ctx, e)
	if err != nil {
		return err
	}
	a.finding.Reports++
	if !bytes.Equal(out[0].([]byte), rep.Header.Encode()) {
		a.differ("epoch %d: the value layer holds another report than the authorities", e)
	}
	if !line.Balanced() {
		a.differ("epoch %d: the ledger line does not hold", e)
	}
	if line.Clipped > 0 && !a.cut {
		a.cut = true
		a.finding.Unchecked = append(a.finding.Unchecked, fmt.Sprintf("who settled, and what wallets earned: in epoch %d %s were claimed of accounts that had less, and no public record says of which", e, line.Clipped))
	}
	var settled map[mesh.NodeID]mesh.Noz
	if !a.cut {
		a.compare(e, line, rep)
		if settled, err = a.choose(ctx, e, line, rep); err != nil {
			return err
		}
	}
	a.same(e, "reward", line.Reward, line.Pool.Reward(new(big.Int).SetUint64(uint64(line.Settled))))
	split := economy.SplitReward(line.Reward)
	a.same(e, "tax", line.Tax, split.Tax)
	a.same(e, "part of the chain", line.Chain, split.Chain)
	parts := new(big.Int)
	for _, p := range []*big.Int{line.Tax, line.Nodes, line.Authorities, line.Chain, line.Remainder} {
		parts.Add(parts, p)
	}
	a.same(e, "sum of the parts", parts, line.Reward)
	if !wallets || settled == nil {
		return nil
	}
	return a.wallets(ctx, e, line, split, settled)
}

// compare checks what balances were debited.
func (a *auditor) compare(e mesh.Epoch, line *Line, rep *client.Report) {
	var debits, fees, volumes mesh.Noz
	for _, pages := range rep.Pages {
		for _, p := range pages {
			for _, d := range p.Debits {
				debits, fees = debits+d.Noz, fees+d.Fees
			}
			for _, v := range p.Volumes {
				volumes += v.Noz
			}
		}
	}
	a.same(e, "volumes", volumes, debits)
	a.same(e, "taken", line.Taken, debits+fees)
	var carried mesh.Noz
	for _, c := range a.carries {
		carried += c.noz
	}
	a.same(e, "carried in", line.CarriedIn, carried)
}

// choose computes which volumes settle: the largest until they are 80 % of all that stand, and those that waited too long.
// It returns nil when nodes of them have gone.
func (a *auditor) choose(ctx context.Context, e mesh.Epoch, line *Line, rep *client.Report) (settled map[mesh.NodeID]mesh.Noz, err error) {
	var standing mesh.Noz
	for t := report.Table(0); t < report.Tables; t++ {
		for _, p := range rep.Pages[t] {
			for _, v := range p.Volumes {
				c, ok := a.carries[v.Node]
				if !ok {
					c.since = e
				}
				c.noz += v.Noz
				a.carries[v.Node] = c
			}
		}
	}
	for _, c := range a.carries {
		standing += c.noz
	}
	order := slices.SortedFunc(maps.Keys(a.carries), func(x, y mesh.NodeID) int {
		return cmp.Or(cmp.Compare(a.carries[y].noz, a.carries[x].noz), bytes.Compare(x[:], y[:]))
	})
	settled = map[mesh.NodeID]mesh.Noz{}
	var selected, gone, settles mesh.Noz
	for _, n := range order {
		c := a.carries[n]
		top := !economy.TopReached(selected, standing)
		if !top && c.since+a.maxCarry > e {
			continue
		}
		if top {
			selected += c.noz
		}
		delete(a.carries, n)
		settles += c.noz
		if _, ok, err := a.operator(ctx, n); err != nil {
			return nil, err
		} else if !ok {
			gone += c.noz
			continue
		}
		settled[n] = c.noz
	}
	a.same(e, "settled and returned", line.Settled+line.Returned, settles+rep.Header.Fees)
	a.same(e, "carried out", line.CarriedOut, standing-settles)
	if gone == 0 {
		a.same(e, "settled", line.Settled, settles)
		return settled, nil
	}
	a.finding.Unchecked = append(a.finding.Unchecked, fmt.Sprintf("what wallets earned in epoch %d: nodes of %s are not registered any more, and were then or were not", e, gone))
	return nil, nil
}

// operator returns a node's operator; ok is false when it is not registered.
func (a *auditor) operator(ctx context.Context, n mesh.NodeID) (to mesh.Account, ok bool, err error) {
	out, err := a.value.Query(ctx, abi.Register(), "node", [20]byte(n))
	if mesh.KindOf(err) == mesh.Invalid { // the value layer answered that there is none
		return to, false, nil
	}
	if err != nil {
		return to, false, err
	}
	return mesh.Account(out[0].(common.Address)), true, nil
}

// wallets compares what each operator earned.
func (a *auditor) wallets(ctx context.Context, e mesh.Epoch, line *Line, split economy.Split, settled map[mesh.NodeID]mesh.Noz) error {
	want := map[mesh.Account]*big.Int{}
	earn := func(to mesh.Account, wei *big.Int) {
		if want[to] == nil {
			want[to] = new(big.Int)
		}
		want[to].Add(want[to], wei)
	}
	paid := new(big.Int)
	for n, noz := range settled {
		to, _, err := a.operator(ctx, n)
		if err != nil {
			return err
		}
		share := economy.Share(split.Nodes, noz, line.Settled)
		paid.Add(paid, share)
		earn(to, share)
	}
	a.same(e, "part of the nodes", line.Nodes, paid)
	out, err := a.value.Query(ctx, abi.Register(), "authorities")
	if err != nil {
		return err
	}
	present := out[0].([][20]byte)
	if int64(len(present)) != line.Sharers {
		a.finding.Unchecked = append(a.finding.Unchecked, fmt.Sprintf("epoch %d: wallets, for the authorities are others now", e))
		return nil
	}
	each := new(big.Int).Quo(split.Authorities, big.NewInt(max(line.Sharers, 1)))
	a.same(e, "part of the authorities", line.Authorities, new(big.Int).Mul(each, big.NewInt(line.Sharers)))
	for _, id := range present {
		out, err := a.value.Query(ctx, abi.Register(), "authority", id)
		if err != nil {
			return err
		}
		earn(mesh.Account(out[0].(common.Address)), each)
	}
	for to, wei := range want {
		out, err := a.value.Query(ctx, abi.Pot(), "rewardOf", common.Address(to), uint64(e))
		if err != nil {
			return err
		}
		a.finding.Wallets++
		a.same(e, fmt.Sprintf("reward of %s", to), out[0].(*big.Int), wei)
	}
	slices.Sort(a.finding.Differences)
	return nil
}
