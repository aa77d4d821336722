package keyfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratosmesh/stratos/internal/keyfile"
)

func TestCreateAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.pem")
	key, err := keyfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keyfile.Read(path)
	if err != nil || !bytes.Equal(got, key) {
		t.Fatalf("Read = %v, %v", got, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v lets others read the key", info.Mode())
	}
	if _, err := keyfile.Create(path); !errors.Is(err, os.ErrExist) {
		t.Fatalf("Create over a key = %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if _, err := keyfile.Create(good); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(good)
	for name, content := range map[string][]byte{
		"empty":          nil,
		"text":           []byte("hello"),
		"trailing bytes": append(bytes.Clone(b), "more"...),
		"other type":     bytes.ReplaceAll(b, []byte("PRIVATE KEY"), []byte("CERTIFICATE")),
		"huge":           bytes.Repeat([]byte("x"), 5000),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keyfile.Read(path); err == nil {
			t.Errorf("%s: read as a key", name)
		}
	}
	if _, err := keyfile.Read(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
