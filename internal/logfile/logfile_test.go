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
	fmt.Fprintln(w, "before")
	ctx, cancel := context.WithCancel(t.Context())
	lines := make(chan string)
	done := make(chan error)
	go func() {
		done <- logfile.Follow(ctx, path, time.Millisecond, func(l string) { lines <- l })
	}()
	// "before" is not followed; when the follower has begun is seen by it emitting.
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			fmt.Fprintf(w, "begin %d\n", i)
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
			if i > 20 {
				break
			}
		}
	}()
	if first := <-lines; len(first) < 5 || first[:5] != "begin" {
		t.Fatalf("first followed line %q", first)
	}
	seen := 0
	for seen < 10 {
		<-lines
		seen++
	}
	cancel()
	for {
		select {
		case <-lines:
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}
