package pot_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/report"
)

// More than two thirds of the registered authorities must sign, for any number of them.
func TestThreshold(t *testing.T) {
	for authorities := 1; authorities <= 7; authorities++ {
		n := newNetwork(t, authorities, 1, nil)
		for n.epoch() == 0 {
			n.Skip(1)
		}
		r := n.build(report.Ledger{})
		need := 2*authorities/3 + 1
		if err := n.submit(r.Bytes, n.sign(r, need-1)); err == nil {
			t.Errorf("%d of %d were enough", need-1, authorities)
		}
		if err := n.submit(r.Bytes, n.sign(r, need)); err != nil {
			t.Errorf("%d of %d were not enough: %v", need, authorities, err)
		}
	}
}

func TestHeaderRefusals(t *testing.T) {
	n := newNetwork(t, 3, 2, nil)
	n.buy(payer, 100*oz)
	for n.epoch() < 2 {
		n.Skip(1)
	}
	r := n.build(report.Ledger{})
	twice := append(n.sign(r, 2), n.sign(r, 1)...)
	foreign := n.sign(r, 3)
	foreign[1].Signature = report.Sign(mesh.NetworkID{1}, chaintest.Key(chaintest.AuthorityName(1)+"/report"), r.Bytes)
	stranger := n.sign(r, 3)
	stranger[2] = report.Signed{Authority: chaintest.AuthorityID(9), Signature: report.Sign(n.Network, chaintest.Key(chaintest.AuthorityName(9)+"/report"), r.Bytes)}
	wrongKey := n.sign(r, 3)
	wrongKey[0].Signature = report.Sign(n.Network, chaintest.Key(chaintest.AuthorityName(0)+"/consensus"), r.Bytes)
	future := n.build(report.Ledger{Epoch: n.epoch() + 1000})
	gap := n.build(report.Ledger{FromEpoch: 1, Epoch: 1})
	for name, tc := range map[string]struct {
		header []byte
		signed []report.Signed
		want   string
	}{
		"signed twice":       {r.Bytes, twice, "signed twice"},
		"foreign network":    {r.Bytes, foreign, "in this network"},
		"stranger":           {r.Bytes, stranger, "is not an authority"},
		"another key":        {r.Bytes, wrongKey, "is not by key"},
		"future epoch":       {future.Bytes, n.sign(future, 3), "is not over"},
		"epoch 0 left out":   {gap.Bytes, n.sign(gap, 3), "the next one begins with 0"},
		"changed header":     {append(bytes.Clone(r.Bytes), 0x30, 1), n.sign(r, 3), "is not by key"},
		"unknown field":      {append(bytes.Clone(r.Bytes), 0x78, 1), n.sign(r, 3), "does not know"},
		"too many signers":   {r.Bytes, make([]report.Signed, report.MaxAuthorities+1), "at most 100"},
		"nothing at all":     {nil, n.sign(r, 3), "meta root"},
		"too large a header": {make([]byte, report.MaxHeader+1), n.sign(r, 3), "at most 1024"},
	} {
		if err := n.submit(tc.header, tc.signed); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	for n.Height%4 != 1 { // the next block is of the same epoch as the last
		n.Skip(1)
	}
	running := n.build(report.Ledger{Epoch: n.epoch()})
	if err := n.submit(running.Bytes, n.sign(running, 3)); err == nil || !strings.Contains(err.Error(), "is not over") {
		t.Errorf("the running epoch: %v", err)
	}
	// Several empty epochs in one header; then a replay of it.
	both := n.build(report.Ledger{FromEpoch: 0, Epoch: 1})
	if err := n.submit(both.Bytes, n.sign(both, 3)); err != nil {
		t.Fatal(err)
	}
	n.Skip(1)
	if err := n.submit(both.Bytes, n.sign(both, 3)); err == nil || !strings.Contains(err.Error(), "the next one begins with 2") {
		t.Errorf("replay: %v", err)
	}
	n.CheckInvariants()
}

func TestPageRefusals(t *testing.T) {
	n := newNetwork(t, 1, 3, nil)
	n.buy(payer, 1000*oz)
	for n.epoch() == 0 {
		n.Skip(1)
	}
	r := n.build(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(5*oz, 3*oz, 2*oz)}})
	other := n.build(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(6*oz, 3*oz, 1*oz)}})
	if err := n.page(0, 0, 0, r.Pages[0][0]); err == nil {
		t.Error("a page without a report")
	}
	if err := n.submit(r.Bytes, n.sign(r, 1)); err != nil {
		t.Fatal(err)
	}
	if err := n.submit(r.Bytes, n.sign(r, 1)); err == nil || !strings.Contains(err.Error(), "not final") {
		t.Errorf("a second header: %v", err)
	}
	before := n.balance(payer)
	refuse := func(name string, epoch mesh.Epoch, table report.Table, index uint32, page []byte, want string) {
		t.Helper()
		if err := n.page(epoch, table, index, page); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		n.CheckInvariants()
	}
	refuse("another report's page", 0, 0, 0, other.Pages[0][0], "not under the report's root")
	refuse("debits first", 0, 1, 0, r.Pages[1][0], "is not awaited")
	refuse("second page first", 0, 0, 1, r.Pages[0][0], "is not awaited")
	refuse("another epoch", 7, 0, 0, r.Pages[0][0], "awaits pages")
	refuse("no such table", 0, 200, 0, r.Pages[0][0], "is not awaited")
	refuse("garbage", 0, 0, 0, []byte{1, 2, 3}, "cannot be decoded")
	if err := n.page(0, 0, 0, r.Pages[0][0]); err != nil {
		t.Fatal(err)
	}
	refuse("the same page again", 0, 0, 0, r.Pages[0][0], "is not awaited")
	refuse("another report's debits", 0, 1, 0, other.Pages[1][0], "not under the report's root")
	if n.balance(payer) != before {
		t.Error("a refused page debited")
	}
	if err := n.page(0, 1, 0, r.Pages[1][0]); err != nil {
		t.Fatal(err)
	}
	n.Skip(1)
	refuse("after the end", 0, 1, 0, r.Pages[1][0], "awaits pages")
	if got := before - n.balance(payer); got != 10*oz {
		t.Errorf("debited %d", got)
	}
}
