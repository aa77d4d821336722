package client

import (
	"testing"
	"time"

	"github.com/stratosmesh/stratos/protocol/traffic"
)

// A lease is asked for as many tickets as it has room for, and for none shortly before it ends: where all who come at once ask the
// same lease, most are refused.
func TestLeaseAsk(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	l := &lease{Lease: traffic.Lease{Amount: 100, ExpiresMs: now.Add(2 * time.Minute).UnixMilli()}}
	for i, want := range []bool{true, true, false} {
		if got := l.ask(40, now); got != want {
			t.Errorf("ticket %d of 40 on a lease of 100: %v", i, got)
		}
	}
	if !l.ask(20, now) || l.ask(1, now) {
		t.Error("the rest is not what is left")
	}
	if l.asked = 0; l.ask(1, now.Add(61*time.Second)) {
		t.Error("it is asked shortly before it ends")
	}
}
