package sim_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const jobModules = "../node/compute/local/testdata/"

// A jobView is what stratos run --json prints of a job on nodes.
type jobView struct {
	Job     string
	Maps    int
	Reduces int
	Nodes   int
	Fuel    uint64
	Bytes   uint64
	Cost    uint64 `json:"cost_noz"`
	Read    uint64 `json:"read_bytes"`
	Near    uint64 `json:"read_near_bytes"`
	Results string
	Objects []string
	Loaded  int `json:"loaded_rows"`
	Tables  []struct {
		Rows   int
		Height int64
	}
}

// jobText writes a file of random words and counts them.
func jobText(t *testing.T, r *rand.Rand, path string, size int, counts map[string]int) {
	t.Helper()
	var b strings.Builder
	for b.Len() < size {
		w := fmt.Sprintf("word%d", int(r.ExpFloat64()*300))
		counts[w]++
		b.WriteString(w + []string{" ", ", ", "\n"}[r.IntN(3)])
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Words are counted where they lie, at every level of verification, to the same results as by a plain program and on one machine.
func TestJob(t *testing.T) {
	t.Parallel()
	objects.Lock()
	defer objects.Unlock()
	size, budget := 24<<20, "10oz"
	if long() {
		size, budget = 1<<30, "100oz"
	}
	dir, counts := t.TempDir(), map[string]int{}
	jobText(t, random(t), filepath.Join(dir, "large.txt"), size, counts)
	jobText(t, random(t), filepath.Join(dir, "small.txt"), 5000, counts)
	mustCLI(t, "mb", "stratos://jobs")
	mustCLI(t, "cp", "-r", dir, "stratos://jobs/in/")
	program := []string{"run", "--map", jobModules + "words.wasm", "--reduce", jobModules + "sum.wasm", "--parts", "3", "--json", "--budget", budget}
	run := func(args ...string) (v jobView) {
		t.Helper()
		out := mustCLI(t, append(slices.Clone(program), args...)...)
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return v
	}
	here := run(filepath.Join(dir, "large.txt"), filepath.Join(dir, "small.txt"), "-o", filepath.Join(t.TempDir(), "out"))
	var want []string
	for w, n := range counts {
		want = append(want, fmt.Sprintf("%s\t%d", w, n))
	}
	slices.Sort(want)
	once := uint64(0)
	for _, level := range []string{"receipt", "spot", "pair", "quorum"} {
		v := run("stratos://jobs/in/", "-o", "stratos://jobs/"+level, "--level", level)
		t.Logf("%s: %+v", level, v)
		if v.Results != here.Results {
			t.Errorf("%s: results %s, on this machine %s", level, v.Results, here.Results)
		}
		if once == 0 {
			once = v.Read
		}
		if v.Cost == 0 || v.Near*10 < once*8 { // a second worker, or one that checks, does not hold the piece
			t.Errorf("%s: cost %d; %d bytes were read where they lie, of %d that one run reads", level, v.Cost, v.Near, once)
		}
		var got []string
		for _, o := range v.Objects {
			got = append(got, strings.Fields(strings.ReplaceAll(mustCLI(t, "cp", o, "-"), "\t", ":"))...)
		}
		for i := range got {
			got[i] = strings.Replace(got[i], ":", "\t", 1)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %d words, want %d", level, len(got), len(want))
		}
		if left := mustCLI(t, "ls", "stratos://jobs/"+level+"/"); strings.Contains(left, ".job-") {
			t.Errorf("%s: something is left:\n%s", level, left)
		}
	}
	// Scripts, and a side file of this machine, give the same as on this machine.
	script := filepath.Join(t.TempDir(), "words.js")
	if err := os.WriteFile(script, []byte(`
const skip = new Set(readFile("skip.txt").split("\n"));
for (const line of lines()) for (const word of line.match(/\w+/g) ?? []) if (!skip.has(word)) print(word + "\t1");
console.error("skipped", skip.size);`), 0o600); err != nil {
		t.Fatal(err)
	}
	skip := filepath.Join(t.TempDir(), "skip.txt")
	if err := os.WriteFile(skip, []byte("word0\nword1"), 0o600); err != nil {
		t.Fatal(err)
	}
	program = []string{"run", "--map", script, "--reduce", jobModules + "sum.js", "--file", "skip.txt=" + skip, "--json"}
	here = run(filepath.Join(dir, "small.txt"), "-o", filepath.Join(t.TempDir(), "out"))
	for i := range 2 {
		v := run("stratos://jobs/in/small.txt", "-o", fmt.Sprintf("stratos://jobs/scripts-%d", i), "--level", []string{"receipt", "pair"}[i])
		if v.Results != here.Results || v.Bytes == 0 {
			t.Errorf("scripts: %+v, on this machine %s", v, here.Results)
		}
		if log := mustCLI(t, "logs", v.Job); log != "map 0: skipped 2\n" {
			t.Errorf("the log is %q", log)
		}
	}
}
