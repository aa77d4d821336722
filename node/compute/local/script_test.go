package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/local"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// TestScript: programs in JavaScript give the results that those in C give, also beside each other, and the same fuel each time.
func TestScript(t *testing.T) {
	p := newPool(t)
	dir := t.TempDir()
	var inputs []local.Input
	for _, name := range []string{"a", "b"} { // too large to share a task
		path := filepath.Join(dir, name)
		text(t, path, compute.Small+1, map[string]int{})
		inputs = append(inputs, input(t, path))
	}
	var want *local.Outcome
	fuel := map[string]uint64{}
	for _, c := range []struct {
		mapper, reducer string
		parallel        int
	}{{words, sum, 2}, {"testdata/words.js", "testdata/sum.js", 1}, {"testdata/words.js", "testdata/sum.js", 3}, {words, "testdata/sum.js", 2}, {"testdata/words.js", sum, 2}} {
		o, err := local.Run(t.Context(), p, local.Job{Map: stage(t, c.mapper), Reduce: stage(t, c.reducer), MapProgram: load(t, c.mapper), ReduceProgram: load(t, c.reducer),
			Parts: 2, Inputs: inputs, Scratch: t.TempDir(), Outputs: t.TempDir(), Parallel: c.parallel})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = o
		}
		if o.Digest != want.Digest || o.Bytes != want.Bytes || o.Maps != 2 || o.Reduces != 2 {
			t.Errorf("%s and %s gave %+v, want %+v", c.mapper, c.reducer, o, want)
		}
		if before := fuel[c.mapper+c.reducer]; before != 0 && o.Fuel != before {
			t.Errorf("%s took %d fuel, and before %d", c.mapper, o.Fuel, before)
		}
		fuel[c.mapper+c.reducer] = o.Fuel
	}
}

// TestHostileScript: what a script does ends its task, and the pool goes on with the next.
func TestHostileScript(t *testing.T) {
	p := newPool(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, script string
		kind         mesh.Kind
		say          string
	}{
		{"loop", "for (;;);", mesh.Exhausted, "out of fuel"},
		{"regular expression", `/(a+)+b/.exec("a".repeat(60))`, mesh.Exhausted, "out of fuel"},
		{"output", `for (;;) print("x".repeat(1e6))`, mesh.Exhausted, "out of output"},
		{"recursion", "function f() { return f() + 1 }\nf()", mesh.Invalid, "InternalError: stack overflow\n    at f (recursion.js:1:24)\n"},
		{"parentheses", `eval("(".repeat(1e5))`, mesh.Invalid, "stack overflow"},
		{"memory", "const a = []; for (;;) a.push({})", mesh.Invalid, "out of memory"},
		{"strings", `let s = "x"; for (;;) s += s`, mesh.Invalid, "exited with code 1"},
		{"log", `for (let i = 0; i < 1e5; i++) console.error("x".repeat(100)); throw 1`, mesh.Invalid, "exited with code 1"},
		{"syntax", "let a = 1;\nlet b = ;", mesh.Invalid, "syntax.js:2:9"},
		{"exit", "exit(3)", mesh.Invalid, "exited with code 3"},
		{"nothing", "", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.name+".js")
			if err := os.WriteFile(path, []byte(c.script), 0o600); err != nil {
				t.Fatal(err)
			}
			m := stage(t, path)
			m.Args, m.Fuel, m.OutputBytes = []string{c.name + ".js"}, 1<<33, 8<<20
			_, err := local.Run(t.Context(), p, local.Job{Map: m, MapProgram: load(t, path), Inputs: []local.Input{input(t, in)}, Scratch: t.TempDir(), Outputs: t.TempDir(), Parallel: 1})
			if (err != nil) != (c.kind != 0) || err != nil && (mesh.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.say)) {
				t.Fatalf("%v (%s), want %s with %q", err, mesh.KindOf(err), c.kind, c.say)
			}
		})
	}
}

// TestScriptFiles: a script's own file stands beside the job's, and cannot be taken from it.
func TestScriptFiles(t *testing.T) {
	p := newPool(t)
	dir := t.TempDir()
	path, in := filepath.Join(dir, "m.js"), filepath.Join(dir, "in")
	for name, content := range map[string]string{path: `print(readFile("side"), readFile("script.js").length, args)`, in: "text"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := local.Job{Map: stage(t, path, "a"), MapProgram: load(t, path), Files: []local.File{{Name: "side", Input: input(t, in)}}, Inputs: []local.Input{input(t, in)}, Scratch: t.TempDir(), Outputs: t.TempDir(), Parallel: 1}
	o, err := local.Run(t.Context(), p, j)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(o.Files[0]); err != nil || string(b) != "text 59 a\n" {
		t.Fatalf("%q, %v", b, err)
	}
	j.Files[0].Name = "script.js"
	if _, err := local.Run(t.Context(), p, j); mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), "two files are called script.js") {
		t.Fatalf("a file in its place: %v", err)
	}
}

func TestLoad(t *testing.T) {
	for path, kind := range map[string]mesh.Kind{"/nowhere.js": mesh.NotFound, "/nowhere.wasm": mesh.NotFound, t.TempDir(): mesh.Invalid, "testdata/words.mjs": mesh.Invalid} {
		if _, err := local.Load(path); err == nil || mesh.KindOf(err) != kind {
			t.Errorf("%s: %v", path, err)
		}
	}
}
