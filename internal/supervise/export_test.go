package supervise

import (
	"encoding/json"
	"testing"
	"time"
)

// IdentityJSON is how a record names the process.
func IdentityJSON(t *testing.T, pid int) []byte {
	id, err := identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBackoff(t *testing.T) {
	o := Options{BackoffMin: time.Second, BackoffMax: 5 * time.Second}
	for _, c := range []struct{ last, ran, want time.Duration }{
		{0, 0, time.Second},
		{time.Second, 0, 2 * time.Second},
		{2 * time.Second, 5 * time.Second, 4 * time.Second},
		{4 * time.Second, 0, 5 * time.Second},
		{5 * time.Second, 0, 5 * time.Second},
		{5 * time.Second, 6 * time.Second, time.Second},
	} {
		if got := o.backoff(c.last, c.ran); got != c.want {
			t.Errorf("backoff(%v, %v) = %v, want %v", c.last, c.ran, got, c.want)
		}
	}
}
