package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
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
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Fatalf("left behind: %v", names)
	}
	if err := atomicfile.Write(filepath.Join(path, "x"), nil, 0o600); err == nil {
		t.Fatal("wrote below a file")
	}
}
