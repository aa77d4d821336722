package wasi

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tetratelabs/wazero"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// A result is all that a run leaves.
type result struct {
	out, log string
	code     Exit
	used     int64
	memory   string // a digest would do, but a difference is worth seeing
}

// A command is a program that was metered and compiled.
type command struct {
	wazero.Runtime
	*Host
	wazero.CompiledModule
}

func compile(t *testing.T, binary []byte, engine wazero.RuntimeConfig) command {
	t.Helper()
	r, h := runtimeOf(t, engine)
	m, err := fuel.Meter(binary, fuel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, m.Module)
	if err != nil {
		t.Fatal(err)
	}
	return command{r, h, compiled}
}

// run runs a command until it exits.
func (p command) run(t *testing.T, c Config) result {
	t.Helper()
	var out, log bytes.Buffer
	c.Stdout, c.Stderr = &out, &log
	m, err := p.InstantiateModule(ctx, p.CompiledModule, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(ctx)
	g := begin(t, p.Host, m, plenty, c)
	_, err = p.Call(ctx, g.task, g.Module, "_start")
	code := Exit(0)
	if err != nil && !errors.As(err, &code) || g.Outcome() != fuel.Within {
		t.Fatalf("%v, outcome %d; it wrote\n%s%s", err, g.Outcome(), &out, &log)
	}
	memory, _ := g.Memory().Read(0, g.Memory().Size())
	return result{out.String(), log.String(), code, g.Used(plenty), string(memory)}
}

func program(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func config(stdin io.Reader) Config {
	return Config{
		Args: []string{"program", "first", ""}, Env: []string{"NAME=value"}, Stdin: stdin, Begin: 1_700_000_000_000_000_000, Seed: [32]byte{7},
		Files: map[string]File{"data/words": file("one\ntwo\nthree\n"), "data/more/x": file("x")},
	}
}

const input = "some\nlines\nof\ninput\nsome\n"

// same runs a program with its input whole and in portions, on one processor and on two, and wants the same each time.
func same(t *testing.T, p command, text string) result {
	t.Helper()
	first := p.run(t, config(strings.NewReader(text)))
	defer goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(0))
	for i, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), &portions{strings.NewReader(text), 9}, iotest.DataErrReader(&portions{strings.NewReader(text), 1})} {
		goruntime.GOMAXPROCS(1 + i%2)
		if got := p.run(t, config(r)); got != first {
			t.Errorf("run %d used %d fuel, the first %d; it wrote\n%sthe first\n%s", i, got.used, first.used, got.out, first.out)
		}
	}
	return first
}

func TestC(t *testing.T) {
	p := compile(t, program(t, "testdata/c/program.wasm"), wazero.NewRuntimeConfigCompiler())
	got := same(t, p, strings.Repeat(input, 100))
	const want = `arg program
arg first
arg 
env value
terminal 000
input 500 lines, 2500 bytes
word one
word two
word three
third e, at 3
writing data: Read-only file system
making data: Read-only file system
/: ./ ../ data/ tmp/
/data: ./ ../ more/ words
/nowhere: No such file or directory
mkdir: ok
sum 4498500
stat: ok
size 13893, regular 1
rename: ok
symlink: Not supported
rmdir of tmp: Resource busy
/tmp: ./ ../ d/ g
truncate: ok
unlink: ok
rmdir: ok
chdir: ok
relative ok
upwards ok
sleep: ok
slept half a second
date 2023-11-14
poll 2 1 1
random: ok
random `
	if !strings.HasPrefix(got.out, want) || got.code != 3 || got.log != "to the log\n" {
		t.Errorf("it exits with %d, logs %q and writes\n%s", got.code, got.log, got.out)
	}
	interpreted := compile(t, program(t, "testdata/c/program.wasm"), wazero.NewRuntimeConfigInterpreter())
	if again := interpreted.run(t, config(strings.NewReader(strings.Repeat(input, 100)))); again != got {
		t.Errorf("interpreted it uses %d fuel, compiled %d, and writes\n%s", again.used, got.used, again.out)
	}
	other := config(strings.NewReader(""))
	other.Seed[0]++
	if random := p.run(t, other).out; random[len(random)-9:] == got.out[len(got.out)-9:] {
		t.Error("another seed gives the same random bytes")
	}
}

// TestGo builds a Go program and runs it.
func TestGo(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling a Go program takes some seconds each time")
	}
	path := filepath.Join(t.TempDir(), "program.wasm")
	build := exec.Command("go", "build", "-o", path, "./testdata/goprogram")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := same(t, compile(t, program(t, path), wazero.NewRuntimeConfigCompiler()), input)
	for _, want := range []string{
		"[program first ] value\n", "some=2", "\"one\\ntwo\\nthree\\n\"\n", "/ /data /data/more /data/more/x /data/words /tmp \n", "true open /data/x: Read-only file system\n",
		"\n7 6 5 4 3 2 1 0 \n", "\n3 3000 2023-11-14 22:13:20.", "\n998 \"\\x00\\x00more\" <nil>\n", "remove /tmp/1: No such file or directory\nremove /tmp/8: No such file or directory\n[] <nil>\n", " 2023-11-14T23:13:20Z\n",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("it does not write %q", want)
		}
	}
	if got.code != 5 || got.log != "to the log\n" || t.Failed() {
		t.Errorf("it exits with %d, logs %q and writes\n%s", got.code, got.log, got.out)
	}
}
