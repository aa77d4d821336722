package job

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
)

// The log of a task is the same whoever tells it, in whatever portions, and is bounded.
func TestLogbook(t *testing.T) {
	const text = "one\ntwo\nthree"
	for _, c := range []struct {
		name string
		tell func(b *logbook)
		want string
	}{
		{"at its end", func(b *logbook) { b.add("map", 3, mesh.NodeID{1}, []byte(text), 13, true) }, "one|two|three"},
		{"while it runs", func(b *logbook) {
			b.add("map", 3, mesh.NodeID{1}, []byte("one\ntw"), 6, false)
			b.add("map", 3, mesh.NodeID{1}, []byte("o\n"), 8, false)
			b.add("map", 3, mesh.NodeID{1}, []byte(text), 13, true)
		}, "one|two|three"},
		{"by another, where one has ended", func(b *logbook) {
			b.add("map", 3, mesh.NodeID{1}, []byte("one\ntw"), 6, false)
			b.add("map", 3, mesh.NodeID{2}, []byte("one\n"), 4, false)
			b.add("map", 3, mesh.NodeID{2}, []byte(text), 13, true)
			b.add("map", 3, mesh.NodeID{3}, []byte(text), 13, true)
		}, "one|two|three"},
		{"with a gap", func(b *logbook) {
			b.add("map", 3, mesh.NodeID{1}, []byte("one\ntw"), 6, false)
			b.add("map", 3, mesh.NodeID{1}, []byte("last\n"), 100, true)
		}, "one|tw|[some of the log was not kept]|last"},
		{"more than was written", func(b *logbook) { b.add("map", 3, mesh.NodeID{1}, []byte("one\n"), 2, true) }, "e"},
		{"nothing", func(b *logbook) { b.add("map", 3, mesh.NodeID{1}, nil, 0, true) }, ""},
		{"a long line", func(b *logbook) {
			b.add("map", 3, mesh.NodeID{1}, bytes.Repeat([]byte("x"), maxLogLine+1), maxLogLine+1, false)
			b.add("map", 3, mesh.NodeID{1}, []byte("\n"), maxLogLine+2, false)
		}, strings.Repeat("x", maxLogLine) + "|x"},
		{"no UTF-8", func(b *logbook) { b.add("map", 3, mesh.NodeID{1}, []byte("a\xff\n"), 3, true) }, "a\uFFFD"},
	} {
		var told []string
		b := newLogbook(func(l LogLine) {
			if l.Stage != "map" || l.Task != 3 {
				t.Errorf("%s: %+v", c.name, l)
			}
			told = append(told, l.Text)
		})
		c.tell(b)
		if got := strings.Join(told, "|"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		stored, err := b.text()
		if err != nil {
			t.Fatal(err)
		}
		lines, err := parseLog(bytes.NewReader(stored))
		var read []string
		for _, l := range lines {
			read = append(read, l.Text)
		}
		if got := strings.Join(read, "|"); err != nil || got != c.want {
			t.Errorf("%s: stored and read %q, %v; want %q", c.name, got, err, c.want)
		}
		if again, err := b.text(); err != nil || again != nil {
			t.Errorf("%s: stored again: %q, %v", c.name, again, err)
		}
	}
}

func TestLogbookIsBounded(t *testing.T) {
	b, line, all := newLogbook(nil), []byte(strings.Repeat("x", 1000)+"\n"), uint64(0)
	for range 2 * maxJobLog / 1000 {
		all += uint64(len(line))
		b.add("map", 0, mesh.NodeID{}, line, all, false)
	}
	text, err := b.text()
	if err != nil || len(text) > 2*maxJobLog || len(text) < maxJobLog/2 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	if _, err := parseLog(bytes.NewReader(text[:len(text)-2])); mesh.KindOf(err) != mesh.Corrupt {
		t.Fatalf("a log that is cut off: %v", err)
	}
	var last LogLine
	if err := json.Unmarshal(text[bytes.LastIndexByte(text[:len(text)-1], '\n')+1:], &last); err != nil || len(last.Text) != 1000 {
		t.Fatalf("%+v, %v", last, err)
	}
}

func TestCommon(t *testing.T) {
	for _, c := range []struct {
		inputs []string
		want   string
	}{
		{[]string{"b/in/a", "b/in/b"}, "b/in/"},
		{[]string{"b/in/a"}, "b/in/a"},
		{[]string{"", "b/in/ab", "", "b/in/abc"}, "b/in/ab"},
		{[]string{"", ""}, ""},
	} {
		var inputs []*kept
		for _, p := range c.inputs {
			inputs = append(inputs, &kept{prefix: p})
		}
		if got := common(inputs); got != c.want {
			t.Errorf("%q: %q, want %q", c.inputs, got, c.want)
		}
	}
}
