package sim_test

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRegression trains the model of examples/regression: to the same bits with one worker and with eight, here and on the network, where workers check each
// other; and to what a plain program comes to.
func TestRegression(t *testing.T) {
	t.Parallel()
	objects.Lock()
	defer objects.Unlock()
	rows, features, rounds := 10_000, 20, 2
	if long() {
		rows, rounds = 200_000, 20
	}
	const rate = 0.5
	r, dir := random(t), t.TempDir()
	truth := make([]float64, features+1)
	for i := range truth {
		truth[i] = r.NormFloat64()
	}
	x, y := make([][]float64, rows), make([]float64, rows)
	path := filepath.Join(dir, "rows.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for n := range rows {
		x[n] = make([]float64, features)
		z := truth[0]
		for i := range x[n] {
			x[n][i] = math.Round(r.NormFloat64()*1e4) / 1e4
			z += truth[i+1] * x[n][i]
		}
		if r.Float64() < 1/(1+math.Exp(-z)) {
			y[n] = 1
		}
		fmt.Fprintf(w, "%v", y[n])
		for _, v := range x[n] {
			fmt.Fprintf(w, ",%v", v)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "mb", "stratos://regression")
	mustCLI(t, "cp", path, "stratos://regression/rows.csv")
	train := func(data, out string, flags ...string) string {
		t.Helper()
		cmd := stratos(t.Context())
		cmd.Path, cmd.Err = "/bin/sh", nil
		cmd.Env = append(os.Environ(), "STRATOS="+binary("stratos"), "STRATOS_HOME="+shared.dir)
		cmd.Args = append([]string{"sh", "../examples/regression/train.sh", strconv.Itoa(rounds), fmt.Sprint(rate), strconv.Itoa(features), data, out}, flags...)
		stdout, stderr, code := runCommand(t, cmd)
		model := strings.TrimSpace(stdout)
		if code != 0 || strings.Count(stderr, "loss 0.") != rounds {
			t.Fatalf("%v: exit code %d: %s\n%s", cmd.Args, code, stdout, stderr)
		}
		if strings.HasPrefix(model, "stratos://") {
			return mustCLI(t, "cp", model, "-")
		}
		b, err := os.ReadFile(model)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := train(path, filepath.Join(dir, "one"), "-j", "1")
	if got := train(path, filepath.Join(dir, "eight"), "-j", "8"); got != want {
		t.Errorf("eight workers come to\n%s, one to\n%s", got, want)
	}
	if got := train("stratos://regression/rows.csv", "stratos://regression/model", "--level", "pair"); got != want {
		t.Errorf("nodes come to\n%s, one worker to\n%s", got, want)
	}
	// In float64, and so only nearly the same.
	model := make([]float64, features+1)
	for range rounds {
		sum := make([]float64, features+1)
		for n := range rows {
			z := model[0]
			for i, v := range x[n] {
				z += model[i+1] * v
			}
			d := 1/(1+math.Exp(-z)) - y[n]
			sum[0] += d
			for i, v := range x[n] {
				sum[i+1] += d * v
			}
		}
		for i := range model {
			model[i] -= rate * sum[i] / float64(rows)
		}
	}
	lines := strings.Split(strings.TrimSpace(want), "\n")
	if len(lines) != len(model) {
		t.Fatalf("the model has %d numbers, want %d", len(lines), len(model))
	}
	for i, l := range lines {
		if v, err := strconv.ParseFloat(l, 64); err != nil || math.Abs(v-model[i]) > 1e-6 {
			t.Errorf("number %d is %s, want %v", i, l, model[i])
		}
	}
}
