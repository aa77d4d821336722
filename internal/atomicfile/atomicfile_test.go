package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stratosmesh/stratos/internal/atomicfile"
)

func TestWriteReplacesAndCreateRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	want := func(content string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil || string(b) != content {
			t.Fatalf("file holds %q (%v), want %q", b, err, content)
		}
	}
	if err := atomicfile.Create(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("one")
	if err := atomicfile.Create(path, []byte("two"), 0o600); !errors.Is(err, os.ErrExist) {
		t.Fatalf("Create over a file = %v", err)
	}
	want("one")
	if err := atomicfile.Write(path, []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("three")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(link, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("four")
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Fatalf("the link leads to %q: %v", to, err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(fifo, []byte("x"), 0o600); err == nil {
		t.Fatal("replaced a FIFO")
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Fatalf("left behind: %v", names)
	}
	if err := atomicfile.Write(filepath.Join(path, "x"), nil, 0o600); err == nil {
		t.Fatal("wrote below a file")
	}
}
