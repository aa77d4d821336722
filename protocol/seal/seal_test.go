package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/seal"
)

func key(b byte) (k seal.Key) { k[0] = b; return k }

// An object of three frames opens only as it was written.
func TestFrames(t *testing.T) {
	s := seal.NewSealer(key(1))
	plain := [][]byte{[]byte("first frame"), []byte("second frame"), []byte("last")}
	write := func(s *seal.Sealer, plain [][]byte) (frames [][]byte) {
		for i, p := range plain {
			frames = append(frames, s.Frame(nil, p, uint64(i), i == len(plain)-1))
		}
		return frames
	}
	read := func(s *seal.Sealer, frames [][]byte) error {
		for i, f := range frames {
			out, err := s.OpenFrame(nil, f, uint64(i), i == len(frames)-1)
			if err != nil {
				return err
			}
			if i < len(plain) && !bytes.Equal(out, plain[i]) {
				t.Errorf("frame %d opens as %q", i, out)
			}
		}
		return nil
	}
	f := write(s, plain)
	if err := read(s, f); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(f[1])
	flipped[3] ^= 1
	other := write(seal.NewSealer(key(2)), plain)
	for name, frames := range map[string][][]byte{
		"swapped":               {f[1], f[0], f[2]},
		"cut at the end":        {f[0], f[1]},
		"cut at the beginning":  {f[1], f[2]},
		"one left":              {f[0]},
		"repeated":              {f[0], f[0], f[1], f[2]},
		"last repeated":         {f[0], f[1], f[2], f[2]},
		"appended":              {f[0], f[1], f[2], s.Frame(nil, []byte("more"), 7, true)},
		"a bit changed":         {f[0], flipped, f[2]},
		"frame cut short":       {f[0], f[1][:len(f[1])-1], f[2]},
		"without its tag":       {f[0], f[1][:3], f[2]},
		"empty frame":           {f[0], nil, f[2]},
		"frame of another file": {f[0], other[1], f[2]},
		"a box as a frame":      {seal.Box(key(1), seal.Metadata, [16]byte{1}, plain[0]), f[1], f[2]},
	} {
		if err := read(s, frames); err == nil || mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A box opens with its key, its use and its salt, and with no other.
func TestBox(t *testing.T) {
	salt := [16]byte{1}
	box := seal.Box(key(1), seal.Metadata, salt, []byte("about"))
	if b, err := seal.OpenBox(key(1), seal.Metadata, salt, box); err != nil || string(b) != "about" {
		t.Errorf("%q, %v", b, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another key":  func() ([]byte, error) { return seal.OpenBox(key(2), seal.Metadata, salt, box) },
		"another use":  func() ([]byte, error) { return seal.OpenBox(key(1), seal.Tags, salt, box) },
		"another salt": func() ([]byte, error) { return seal.OpenBox(key(1), seal.Metadata, [16]byte{2}, box) },
		"a frame": func() ([]byte, error) {
			return seal.OpenBox(key(1), seal.Metadata, salt, seal.NewSealer(key(1)).Frame(nil, []byte("about"), 0, false))
		},
	} {
		if _, err := open(); mesh.KindOf(err) != mesh.Corrupt || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFoldersDeriveStepByStep(t *testing.T) {
	root := seal.RootOf(bytes.Repeat([]byte{4}, 65))
	folder := func(k seal.Key, at, path string) seal.Key {
		t.Helper()
		out, err := seal.Folder(k, at, path)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	direct := folder(root, "", "photos/2026/may/")
	bucket := folder(root, "", "photos/")
	year := folder(bucket, "photos/", "photos/2026/")
	if folder(year, "photos/2026/", "photos/2026/may/") != direct {
		t.Error("a folder's key depends on where the derivation begins")
	}
	seen := map[seal.Key]string{}
	for _, p := range []string{"", "photos/", "photos/2026/", "photos/2026/may/", "photos/may/", "photos/2026/may/may/", "photos//", "music/2026/may/", "photos2026/"} {
		k := folder(root, "", p)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", p, other)
		}
		seen[k] = p
	}
	for _, c := range []struct {
		at, path string
		kind     mesh.Kind
	}{
		{"photos/2026/", "photos/", mesh.Denied},      // the parent
		{"photos/2026/", "photos/2025/", mesh.Denied}, // a sibling
		{"photos/2026/", "", mesh.Denied},
		{"photos", "photos2/", mesh.Denied}, // no folder
		{"photos", "photos/", mesh.Denied},
		{"photos/", "photos/2026", mesh.Invalid}, // a file
	} {
		if _, err := seal.Folder(key(1), c.at, c.path); err == nil || mesh.KindOf(err) != c.kind {
			t.Errorf("%q opens %q: %v", c.at, c.path, err)
		}
	}
	// The signature's v does not enter: wallets disagree about it.
	other := bytes.Repeat([]byte{4}, 65)
	other[64] = 27
	if seal.RootOf(other) != root {
		t.Error("the root depends on v")
	}
}

func TestFolderOf(t *testing.T) {
	for _, c := range [][3]string{{"photos", "a", "photos/"}, {"photos", "2026/a", "photos/2026/"}, {"photos", "2026/", "photos/2026/"}, {"photos", "", "photos/"}} {
		if got := seal.FolderOf(c[0], c[1]); got != c[2] {
			t.Errorf("%s/%s: got %q", c[0], c[1], got)
		}
	}
}

func TestWrap(t *testing.T) {
	v := mesh.VersionID{1}
	w := seal.Wrap(key(1), key(2), v)
	if k, err := seal.Unwrap(key(1), w, v); err != nil || k != key(2) {
		t.Fatalf("got %v, %v", k, err)
	}
	if _, err := seal.Unwrap(key(3), w, v); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("another folder's key: %v", err)
	}
	if _, err := seal.Unwrap(key(1), w, mesh.VersionID{2}); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("another version: %v", err)
	}
	for i := range w {
		bad := bytes.Clone(w)
		bad[i] ^= 1
		if _, err := seal.Unwrap(key(1), bad, v); err == nil {
			t.Errorf("byte %d changed and it opens", i)
		}
	}
	for _, b := range [][]byte{nil, w[:len(w)-1], append(bytes.Clone(w), 0)} {
		if _, err := seal.Unwrap(key(1), b, v); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	if bytes.Equal(w, seal.Wrap(key(1), key(2), v)) {
		t.Error("two wrappings are alike")
	}
}

func TestHolder(t *testing.T) {
	for i := range 20 {
		holder := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i)}, 32))
		other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		sealed, err := seal.ToHolder(mesh.PublicKeyOf(holder), key(7))
		if err != nil {
			t.Fatal(err)
		}
		if k, err := seal.FromHolder(holder, sealed); err != nil || k != key(7) {
			t.Fatalf("got %v, %v", k, err)
		}
		if _, err := seal.FromHolder(other, sealed); mesh.KindOf(err) != mesh.Denied {
			t.Errorf("another holder opens it: %v", err)
		}
		for _, at := range []int{0, 32, 44, len(sealed) - 1} {
			bad := bytes.Clone(sealed)
			bad[at] ^= 1
			if _, err := seal.FromHolder(holder, bad); err == nil {
				t.Errorf("byte %d changed and it opens", at)
			}
		}
		if _, err := seal.FromHolder(holder, sealed[1:]); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("cut: %v", err)
		}
	}
	if _, err := seal.ToHolder(mesh.PublicKey{2}, key(1)); err == nil {
		t.Error("a key was sealed to no point")
	}
	// The point of order one makes a shared secret that everybody knows.
	if _, err := seal.ToHolder(mesh.PublicKey{1}, key(1)); err == nil {
		t.Error("a key was sealed to a point of low order")
	}
}
