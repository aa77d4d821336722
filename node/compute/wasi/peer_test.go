package wasi

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// peerSource is where the programs lie with which wazero tests its WASI, or "" where modules are vendored or pruned.
func peerSource() string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(strings.TrimSpace(string(out)), "imports", "wasi_snapshot_preview1")
}

// byPeer runs a program with wazero's WASI.
func byPeer(t *testing.T, binary []byte, args []string, stdin string, files fs.FS) (string, uint32) {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	var out bytes.Buffer
	_, err := r.InstantiateWithConfig(ctx, binary, wazero.NewModuleConfig().WithArgs(args...).WithStdin(strings.NewReader(stdin)).WithStdout(&out).WithStderr(&out).WithFS(files).WithEnv("NAME", "value"))
	var exit *sys.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v with wazero's WASI gives %v; it wrote %s", args, err, &out)
	}
	if exit != nil {
		return out.String(), exit.ExitCode()
	}
	return out.String(), 0
}

// TestPeer runs wazero's own test programs, of C, Rust, Zig, TinyGo and by hand, with its WASI and with ours.
func TestPeer(t *testing.T) {
	source := peerSource()
	if _, err := os.Stat(filepath.Join(source, "testdata")); source == "" || err != nil {
		t.Skip("wazero's source is not here")
	}
	// A directory tmp lies in every tree of ours.
	tree := map[string]string{"-": "", "a-": "a", "ab-": "b", "animals.txt": "bear\ncat\nshark\n", "sub/test.txt": "greet sub dir\n", "test.txt": "greet\n"}
	theirs, ours := fstest.MapFS{"tmp": {Mode: fs.ModeDir | 0o755}}, map[string]File{}
	for p, s := range tree {
		theirs[p], ours[p] = &fstest.MapFile{Data: []byte(s), Mode: 0o644}, file(s)
	}
	ran := 0
	for _, s := range []struct {
		programs string
		args     []string
		stdin    string
	}{
		{"cargo-wasi zig zig-cc", []string{"ls", "."}, ""},
		{"cargo-wasi zig zig-cc", []string{"ls", "/"}, ""},
		{"cargo-wasi zig zig-cc", []string{"ls", "sub"}, ""},
		{"cargo-wasi zig zig-cc", []string{"ls", "animals.txt"}, ""},
		{"cargo-wasi zig zig-cc", []string{"ls", "nowhere"}, ""},
		{"zig-cc", []string{"ls", ".", "repeat"}, ""},
		{"cargo-wasi zig zig-cc", []string{"stat"}, ""},
		{"cargo-wasi zig zig-cc", []string{"poll", "0", "100"}, "test"},
		{"zig", []string{"preopen"}, ""},
		{"zig-cc", []string{"sleepmillis", "100"}, ""},
		{"zig-cc", []string{"nonblock", "/animals.txt"}, ""},
		{"example/cargo-wasi example/tinygo example/zig-cc example/zig", []string{"test.txt"}, ""},
		{"example/cargo-wasi example/tinygo example/zig-cc example/zig", []string{"sub/test.txt"}, ""},
		{"print_args.wasm print_prestat_dirname.wasm exit_on_start.wasm", []string{"some", "", "more"}, ""},
	} {
		for _, name := range strings.Fields(s.programs) {
			path := filepath.Join(source, "testdata", name)
			if rest, ok := strings.CutPrefix(name, "example/"); ok {
				path = filepath.Join(source, "example", "testdata", rest, "cat.wasm")
			} else if !strings.HasSuffix(name, ".wasm") {
				path = filepath.Join(path, "wasi.wasm")
			}
			binary, err := os.ReadFile(path)
			if err != nil {
				t.Logf("%s is not here", path)
				continue
			}
			args := append([]string{"wasi"}, s.args...)
			want, code := byPeer(t, binary, args, s.stdin, theirs)
			r, h := newRuntime(t)
			var out bytes.Buffer
			g := instantiate(t, r, h, binary, plenty, Config{Args: args, Env: []string{"NAME=value"}, Stdin: strings.NewReader(s.stdin), Stdout: &out, Stderr: &out, Files: ours})
			_, err = h.Call(ctx, g.task, g.Module, "_start")
			exit := Exit(0)
			if err != nil && !errors.As(err, &exit) || g.Outcome() != fuel.Within {
				t.Errorf("%s %v gives %v; it wrote %s", name, s.args, err, &out)
			}
			if got := out.String(); sorted(got) != sorted(want) || uint32(exit) != code {
				t.Errorf("%s %v exits with %d and writes\n%swith wazero's WASI %d and\n%s", name, s.args, exit, got, code, want)
			}
			ran++
		}
	}
	if ran < 20 {
		t.Errorf("only %d programs were there", ran)
	}
}

// sorted puts lines in order: wazero lists a directory as the machine does.
func sorted(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
