package softmath_test

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/softmath"
)

var unary = map[string]func(float64) float64{
	"exp": softmath.Exp, "log": softmath.Log, "log10": softmath.Log10, "cbrt": softmath.Cbrt, "sin": softmath.Sin, "cos": softmath.Cos,
	"tan": softmath.Tan, "asin": softmath.Asin, "acos": softmath.Acos, "atan": softmath.Atan, "sinh": softmath.Sinh, "cosh": softmath.Cosh,
	"tanh": softmath.Tanh, "asinh": softmath.Asinh, "acosh": softmath.Acosh, "atanh": softmath.Atanh,
}

var binary = map[string]func(a, b float64) float64{"pow": softmath.Pow, "atan2": softmath.Atan2}

func parse(t *testing.T, s string) float64 {
	u, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return math.Float64frombits(u)
}

// Each recorded result is the double nearest to the true value, and so is ours.
func TestVectors(t *testing.T) {
	f, err := os.Open("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Fields(s.Text())
		if w[0] == "#" {
			continue
		}
		n++
		want, got := parse(t, w[len(w)-1]), 0.0
		if len(w) == 3 {
			got = unary[w[0]](parse(t, w[1]))
		} else {
			got = binary[w[0]](parse(t, w[1]), parse(t, w[2]))
		}
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: got %016x (%v), want %v", s.Text(), math.Float64bits(got), got, want)
		}
	}
	if n < 2000 {
		t.Errorf("only %d vectors", n)
	}
}

func TestSpecialCases(t *testing.T) {
	inf, nan, zero := math.Inf(1), math.NaN(), math.Copysign(0, -1)
	same := func(a, b float64) bool { return a != a && b != b || math.Float64bits(a) == math.Float64bits(b) }
	values := []float64{0, zero, 1, -1, 2, -2, 3, -3, 0.5, -0.5, inf, -inf, nan}
	std := map[string]func(float64) float64{"exp": math.Exp, "log": math.Log, "cbrt": math.Cbrt, "sin": math.Sin, "cos": math.Cos, "tan": math.Tan,
		"asin": math.Asin, "acos": math.Acos, "atan": math.Atan, "sinh": math.Sinh, "cosh": math.Cosh, "tanh": math.Tanh, "asinh": math.Asinh,
		"acosh": math.Acosh, "atanh": math.Atanh}
	for name, f := range std {
		for _, x := range values {
			got, want := unary[name](x), f(x)
			if !same(got, want) && !(math.Abs(got-want) <= 4e-16*math.Abs(want)) {
				t.Errorf("%s(%v) = %v, want %v", name, x, got, want)
			}
		}
	}
	for _, x := range values {
		for _, y := range append(values, 1e300, -1e300, 1<<53, 1<<53+2, 1e308) {
			if got, want := softmath.Pow(x, y), math.Pow(x, y); !same(got, want) && !(math.Abs(got-want) <= 4e-16*math.Abs(want)) {
				t.Errorf("Pow(%v, %v) = %v, want %v", x, y, got, want)
			}
			if got, want := softmath.Atan2(x, y), math.Atan2(x, y); !same(got, want) && !(math.Abs(got-want) <= 4e-16*math.Abs(want)) {
				t.Errorf("Atan2(%v, %v) = %v, want %v", x, y, got, want)
			}
		}
	}
	if got := softmath.Acos(1e-308); got != math.Pi/2 {
		t.Errorf("Acos(1e-308) = %v", got)
	}
	if got := softmath.Pow(3, 34); got != 16677181699666568 { // exactly between two doubles, to the even one
		t.Errorf("Pow(3, 34) = %v", got)
	}
}

// No instruction that fuses a product and a sum: arm64 has them, and its compiler makes them by itself. (So do ppc64le, s390x
// and riscv64, where the listing is as clean; building the standard library for each takes a minute.)
func TestNotFused(t *testing.T) {
	fused := regexp.MustCompile(`\s(FN?M(ADD|SUB)[SD]?|VFN?M(ADD|SUB)\w*|WFM\w+|FMA\w*)\s`)
	for _, arch := range []string{"arm64"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-S", ".")
		cmd.Env = append(os.Environ(), "GOARCH="+arch, "GOOS=linux", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", arch, err, out)
		}
		if !bytes.Contains(out, []byte("softmath.Exp STEXT")) {
			t.Fatalf("%s: no listing", arch)
		}
		if m := fused.Find(out); m != nil {
			t.Errorf("%s: the compiler made%s: convert each product of floats explicitly", arch, m)
		}
	}
}

func BenchmarkFunctions(b *testing.B) {
	for _, name := range []string{"exp", "log", "sin", "atan", "cbrt"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				unary[name](0.7123)
			}
		})
	}
	b.Run("pow", func(b *testing.B) {
		for b.Loop() {
			softmath.Pow(1.234, 5.67)
		}
	})
}
