package lint_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/stratosmesh/stratos"

// rungs is the ladder: what a folder may import of this module, and why no more. The longest prefix counts. A folder may
// always import what lies below itself.
var rungs = []struct {
	folder string
	may    []string
	why    string
}{
	{"mesh", nil, "the vocabulary: everybody imports it, so it imports nothing"},
	{"internal", nil, "machinery that knows nothing of Stratos but its kinds of errors"},
	{"protocol", nil, "what crosses the wire must not depend on who sends it"},
	{"chain", []string{"protocol"}, "the value layer meets the others through protocol"},
	{"meta", []string{"protocol"}, "the meta layer meets the others through protocol"},
	{"node", []string{"protocol"}, "the resource layer meets the others through protocol"},
	{"client", []string{"protocol"}, "the public SDK must not pull in a server"},
	{"gateway", []string{"protocol", "client"}, "gateways translate for the client, nothing else"},
	{"console", []string{"protocol", "client"}, "the console is a client"},
	{"devnet", []string{"protocol", "client", "meta", "node", "gateway", "console"}, "the whole network, but the value layer only as a binary"},
	{"cmd/stchaind", []string{"protocol", "chain"}, "the value layer's binary"},
	{"cmd", []string{"protocol", "client", "meta", "node", "gateway", "console", "devnet"}, "binaries join everything, but link no Cosmos SDK"},
	{"sim", []string{"protocol", "client", "meta", "node", "gateway", "console", "devnet"}, "all below but cmd"},
	{"bench", []string{"protocol", "client", "meta", "node", "gateway", "console", "devnet"}, "all below but cmd"},
	{"examples", []string{"client"}, "an example shows what a user has: the client (its tests also devnet)"},
}

// always may be imported from every folder but mesh.
var always = []string{"mesh", "internal"}

// sdk is what only the value layer links, because it takes minutes to build.
var sdk = []string{"github.com/cosmos/cosmos-sdk", "github.com/cosmos/evm", "cosmossdk.io"}

// forbidden are names that say nothing.
var forbidden = []string{"util", "utils", "common", "helper", "helpers", "base", "misc"}

func under(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

// A source is one Go file of this repository.
type source struct {
	dir, name string
	file      *ast.File
	test      bool
	generated bool
}

func sources(t *testing.T) (all []source) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(p))
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(rel), d.Name(), f, strings.HasSuffix(p, "_test.go"), ast.IsGenerated(f)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d files were found under %s", len(all), root)
	}
	return all
}

func TestLadder(t *testing.T) {
	for _, s := range sources(t) {
		i := slices.IndexFunc(rungs, func(r struct {
			folder string
			may    []string
			why    string
		}) bool {
			return under(s.dir, r.folder)
		})
		if i < 0 {
			t.Errorf("%s/%s stands on no rung of the ladder", s.dir, s.name)
			continue
		}
		r := rungs[i]
		for _, imp := range s.file.Imports {
			p := strings.Trim(imp.Path.Value, `"`)
			if slices.ContainsFunc(sdk, func(f string) bool { return under(p, f) }) && !under(s.dir, "chain") && !under(s.dir, "cmd/stchaind") {
				t.Errorf("%s/%s imports %s: only chain and cmd/stchaind link the Cosmos SDK, so that all else builds in seconds", s.dir, s.name, p)
			}
			own, ok := strings.CutPrefix(p, module+"/")
			if r.folder == "mesh" && !s.test && (ok || strings.Contains(strings.SplitN(p, "/", 2)[0], ".")) {
				t.Errorf("%s/%s imports %s: %s", s.dir, s.name, p, r.why)
			}
			if !ok || under(own, r.folder) {
				continue
			}
			if !slices.ContainsFunc(append(slices.Clone(always), r.may...), func(f string) bool { return under(own, f) }) && !(r.folder == "examples" && s.test && own == "devnet") {
				t.Errorf("%s/%s imports %s: %s", s.dir, s.name, own, r.why)
			}
		}
	}
}

func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test && !s.generated { // what is only generated is described where it is generated from
			documented[s.dir] = documented[s.dir] || s.file.Doc != nil
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package doc: what it is, what it is not, who calls it", dir)
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(forbidden, strings.TrimSuffix(s.file.Name.Name, "_test")) || slices.Contains(forbidden, path.Base(s.dir)) {
			t.Errorf("%s/%s: package %s says nothing by its name", s.dir, s.name, s.file.Name.Name)
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		if s.generated || under(s.dir, "chain") { // the SDK's modules register themselves so
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s/%s has an init function: effects belong where they are asked for", s.dir, s.name)
			}
		}
	}
}

// The program that people install links no Cosmos SDK, not even through others.
func TestStratosLinksNoSDK(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/cmd/stratos").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("only %d packages", len(deps))
	}
	for _, p := range deps {
		if slices.ContainsFunc(sdk, func(f string) bool { return under(p, f) }) {
			t.Errorf("cmd/stratos links %s", p)
		}
	}
}
