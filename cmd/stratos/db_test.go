package main

import "testing"

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		states []string
		agree  bool
		want   string
	}{
		{[]string{"open", "open", "open", "open"}, true, "They agree."},
		{[]string{"open", "open", "open", "away"}, true, "3 of 4 answer, and agree. Reading and writing work."},
		{[]string{"open", "away", "read-only", "away"}, true, "2 of 4 answer, and agree. Reading works at the levels fast and default; writing, and reading at level ordered, wait until 3 answer."},
		{[]string{"open", "away", "away", "missing"}, true, "1 of 4 answer. Only reading at level fast works; the level default needs 2, writing 3."},
		{[]string{"away", "away", "away", "away"}, true, "0 of 4 answer. Nothing works until 2 answer, and writing until 3 do."},
		{[]string{"open", "open", "away", "away"}, false, "They DISAGREE: a replica is damaged, or lies."},
	} {
		var views []replicaView
		for _, s := range c.states {
			views = append(views, replicaView{State: s})
		}
		if got := verdict(views, c.agree); got != c.want {
			t.Errorf("%v: %s", c.states, got)
		}
	}
}
