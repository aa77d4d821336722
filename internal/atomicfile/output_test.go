package atomicfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stratosmesh/stratos/internal/atomicfile"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func holds(t *testing.T, path, content string, perm os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(b) != content || info.Mode().Perm() != perm {
		t.Errorf("%s holds %q, %v, %v, want %q and %v", path, b, info.Mode(), err, content, perm)
	}
}

func TestOutputFollowsLinksAndKeepsModes(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := atomicfile.Output(at("new"), 0o666, text("one")); err != nil {
		t.Fatal(err)
	}
	holds(t, at("new"), "one", 0o640)
	if err := atomicfile.Output(at("secret"), 0o600, text("one")); err != nil {
		t.Fatal(err)
	}
	holds(t, at("secret"), "one", 0o600)
	if err := errors.Join(os.Chmod(at("new"), 0o604), os.Mkdir(at("sub"), 0o700), os.Symlink("../new", at("sub/link")), os.Symlink("sub/link", at("links")), os.Symlink("sub/later", at("dangling")), os.Symlink("loop", at("loop"))); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Output(at("links"), 0o666, text("two")); err != nil {
		t.Fatal(err)
	}
	holds(t, at("new"), "two", 0o604)
	if to, err := os.Readlink(at("links")); err != nil || to != "sub/link" {
		t.Errorf("the link leads to %q: %v", to, err)
	}
	if err := atomicfile.Output(at("dangling"), 0o666, text("three")); err != nil {
		t.Fatal(err)
	}
	holds(t, at("sub/later"), "three", 0o640)

	broken := errors.New("it broke")
	if err := atomicfile.Output(at("links"), 0o666, func(w io.Writer) error { return errors.Join(text("half")(w), broken) }); !errors.Is(err, broken) {
		t.Error(err)
	}
	holds(t, at("new"), "two", 0o604)
	for path, want := range map[string]error{"sub": syscall.EISDIR, "new/x": syscall.ENOTDIR, "nowhere/x": syscall.ENOENT, "loop": syscall.ELOOP, "later/": syscall.ENOENT} {
		if err := atomicfile.Output(dir+"/"+path, 0o666, text("x")); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	names, err := os.ReadDir(dir)
	below, err2 := os.ReadDir(at("sub"))
	if err != nil || err2 != nil || len(names) != 6 || len(below) != 2 {
		t.Errorf("left behind: %v %v", names, below)
	}
}

func TestOutputWritesThrough(t *testing.T) {
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.Symlink("fifo", link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, link} {
		read := make(chan string)
		go func() {
			b, _ := os.ReadFile(fifo) // nothing is not what is wanted
			read <- string(b)
		}()
		if err := atomicfile.Output(path, 0o666, text("through")); err != nil {
			t.Error(err)
		}
		if got := <-read; got != "through" {
			t.Errorf("%s passed on %q", path, got)
		}
	}
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, []byte("taken"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		b, _ := os.ReadFile(fifo) // nothing is not what is wanted
		read <- string(b)
	}()
	to, err := atomicfile.Resolve(link)
	if err == nil {
		err = to.Take(from)
	}
	if got := <-read; err != nil || got != "taken" {
		t.Errorf("took %q: %v", got, err)
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the FIFO is %v: %v", info, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := filepath.Join(dir, "stdout")
	if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", w.Fd()), stdout); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(atomicfile.Output(stdout, 0o666, text("piped")), w.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "piped" {
		t.Errorf("through an open pipe: %q, %v", b, err)
	}
}

// TestOutputTellsWhatADeviceSays writes to a device that is always full, made here, which needs root.
func TestOutputTellsWhatADeviceSays(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full")
	if err := syscall.Mknod(full, syscall.S_IFCHR|0o600, 1<<8|7); err != nil {
		t.Skipf("no device can be made here: %v", err)
	}
	err := atomicfile.Output(full, 0o666, text("x"))
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("no device can be opened here: %v", err)
	}
	if info, statErr := os.Lstat(full); !errors.Is(err, syscall.ENOSPC) || statErr != nil || info.Mode().Type() != os.ModeDevice|os.ModeCharDevice {
		t.Errorf("%v, and now it is %v, %v", err, info, statErr)
	}
}
