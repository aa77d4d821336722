package main

import "testing"

func TestVisible(t *testing.T) {
	for _, c := range [][2]string{
		{"stratos://b/plain ünïcode 👩‍🔬 \"quoted\" \\", "stratos://b/plain ünïcode 👩‍🔬 \"quoted\" \\"},
		{"two\nlines\r", "two\nlines\\r"},
		{"\x1b[2Jgone\x07\u009b31m", "\\x1b[2Jgone\\a\\u009b31m"},
		{"evil\u202egpj.exe", "evil\\u202egpj.exe"},
		{"broken \xff", "broken \\ufffd"},
	} {
		if got := visible(c[0], '\n'); got != c[1] {
			t.Errorf("visible(%q) = %q, want %q", c[0], got, c[1])
		}
	}
	if got := visible("two\nlines"); got != `two\nlines` {
		t.Errorf("a line: %q", got)
	}
}
