package logfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/internal/logfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRotationKeepsWholeLinesAndBoundsTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	w, err := logfile.Open(path, logfile.Options{MaxBytes: 100, Keep: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		fmt.Fprintf(w, "line %02d\n", i)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(path + "*")
	if len(files) != 3 {
		t.Fatalf("files: %v", files)
	}
	for _, f := range files {
		info, _ := os.Stat(f)
		if info.Size() > 100 || info.Size()%8 != 0 {
			t.Errorf("%s has %d bytes", f, info.Size())
		}
	}
	lines, err := logfile.Tail(path, 14) // more than the newest file holds
	if err != nil || len(lines) != 14 || lines[0] != "line 86" || lines[13] != "line 99" {
		t.Fatalf("Tail = %q, %v", lines, err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Fatal("wrote after Close")
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		content string
		n       int
		want    []string
	}{
		{"", 3, nil},
		{"a\nb\nc\n", 2, []string{"b", "c"}},
		{"a\nb\nc", 2, []string{"b", "c"}},
		{"a\n\nc\n", 9, []string{"a", "", "c"}},
		{"a\n", 0, nil},
	} {
		path := filepath.Join(dir, "x.log")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := logfile.Tail(path, c.n); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Tail(%q, %d) = %q, %v", c.content, c.n, got, err)
		}
	}
	if got, err := logfile.Tail(filepath.Join(dir, "absent"), 5); err != nil || got != nil {
		t.Errorf("absent: %q, %v", got, err)
	}
}

func TestFollowAcrossRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	w, err := logfile.Open(path, logfile.Options{MaxBytes: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fmt.Fprintln(w, "one\ntwo\nthree")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- logfile.Follow(ctx, path, 2, time.Millisecond, func(l string) { lines <- l })
	}()
	want := func(line string) {
		t.Helper()
		if got := <-lines; got != line {
			t.Fatalf("followed %q, want %q", got, line)
		}
	}
	want("two")
	want("three")
	for i := range 30 { // each is read before the next is written, so no rotation is missed
		line := fmt.Sprintf("line %02d", i)
		fmt.Fprintln(w, line)
		want(line)
	}
	if _, err := os.Stat(path + ".2"); err != nil {
		t.Fatalf("the log was not rotated: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
