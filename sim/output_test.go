package sim_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// writesTo checks that a command of which the last argument is the path to write to follows links, keeps the mode of a file, and writes
// through what is no file.
func writesTo(t *testing.T, begins string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(at("old"), []byte("old"), 0o640), os.Symlink("old", at("link")), syscall.Mkfifo(at("fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, append(args, at("link"))...)
	b, err := os.ReadFile(at("old"))
	info, statErr := os.Stat(at("old"))
	to, linkErr := os.Readlink(at("link"))
	if err := errors.Join(err, statErr, linkErr); err != nil || !strings.HasPrefix(string(b), begins) || info.Mode().Perm() != 0o640 || to != "old" {
		t.Errorf("%v over a link to a file: %v, %v, the link leads to %q: %.40q", args, err, info.Mode(), to, b)
	}
	read := make(chan string)
	go func() {
		b, _ := os.ReadFile(at("fifo")) // nothing is not what is wanted
		read <- string(b)
	}()
	mustCLI(t, append(args, at("fifo"))...)
	if info, err := os.Lstat(at("fifo")); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Fatalf("%v replaced a FIFO: %v, %v", args, info, err)
	}
	if got := <-read; got != string(b) {
		t.Errorf("%v through a FIFO: %.40q, and in a file %.40q", args, got, b)
	}
	if err := syscall.Mknod(at("full"), syscall.S_IFCHR|0o600, 1<<8|7); err != nil {
		return // who may make no device
	}
	if _, errs, code := runCLI(t, append(args, at("full"))...); code == 0 || !strings.Contains(errs, "no space left") && !strings.Contains(errs, "is full") {
		t.Errorf("%v into a device that is full: exit code %d: %s", args, code, errs)
	}
	if info, err := os.Lstat(at("full")); err != nil || info.Mode().Type() != os.ModeDevice|os.ModeCharDevice {
		t.Errorf("%v replaced a device: %v, %v", args, info, err)
	}
}
