package numeric_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
)

// Answers of PostgreSQL 15; thousands more are in the vectors of the package above.
func TestResults(t *testing.T) {
	n := numeric.MustParse
	for _, c := range []struct {
		what string
		got  func() (numeric.Number, error)
		want string
	}{
		{"1/3", func() (numeric.Number, error) { return n("1").Div(n("3")) }, "0.33333333333333333333"},
		{"10000/3", func() (numeric.Number, error) { return n("10000").Div(n("3")) }, "3333.3333333333333333"},
		{"1.0*1.00", func() (numeric.Number, error) { return n("1.0").Mul(n("1.00")) }, "1.000"},
		{"sqrt(2)", n("2").Sqrt, "1.414213562373095"},
		{"exp(1)", n("1").Exp, "2.7182818284590452"},
		{"ln(2)", n("2").Ln, "0.6931471805599453"},
		{"2^0.5", func() (numeric.Number, error) { return n("2").Power(n("0.5")) }, "1.4142135623730950"},
		{"2^-1", func() (numeric.Number, error) { return n("2").Power(n("-1")) }, "0.5000000000000000"},
		{"round(-2.5)", func() (numeric.Number, error) { return n("-2.5").Round(0) }, "-3"},
		{"round(1234.5,-2)", func() (numeric.Number, error) { return n("1234.5").Round(-2) }, "1200"},
		{"inf-inf", func() (numeric.Number, error) { return numeric.Infinity.Sub(numeric.Infinity) }, "NaN"},
		{"5.5%2", func() (numeric.Number, error) { return n("5.5").Mod(n("2")) }, "1.5"},
	} {
		if got, err := c.got(); err != nil || got.String() != c.want {
			t.Errorf("%s = %v (%v), want %s", c.what, got, err, c.want)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		p, s     int
		in, want string
	}{
		{5, 2, "123.456", "123.46"}, {5, 2, "999.995", ""}, {3, -2, "12345", "12300"}, {2, 3, "0.0994", "0.099"}, {2, 3, "0.0995", ""},
		{5, 2, "NaN", "NaN"}, {5, 2, "Infinity", ""},
	} {
		mod, err := numeric.Typmod(c.p, c.s)
		if err != nil {
			t.Fatal(err)
		}
		if p, s := numeric.PrecisionScale(mod); p != c.p || s != c.s {
			t.Errorf("typmod of (%d,%d) is of (%d,%d)", c.p, c.s, p, s)
		}
		got, err := numeric.MustParse(c.in).Fit(mod)
		if (err != nil) != (c.want == "") || err == nil && got.String() != c.want {
			t.Errorf("%s as numeric(%d,%d): %v, %v", c.in, c.p, c.s, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "-1.50", "1e5", ".5", "NaN", " -Infinity ", "1e-16000", "9e131071", "1e99999999999", "+00.00"} {
		f.Add(s, "0.1")
	}
	f.Fuzz(func(t *testing.T, s, u string) {
		if len(s)+len(u) > 2000 {
			return
		}
		x, err := numeric.Parse(s)
		if err != nil {
			return
		}
		text := x.String()
		y, err := numeric.Parse(text)
		if err != nil || y.String() != text || x.Compare(y) != 0 {
			t.Fatalf("%q is %q, which is %q (%v)", s, text, y, err)
		}
		z, err := numeric.Parse(u)
		if err != nil {
			return
		}
		if a, b := sign(x.Compare(z)), sign(numeric.CompareText(text, z.String())); a != b {
			t.Fatalf("%s and %s compare %d, as texts %d", text, z, a, b)
		}
	})
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// What a comparison of two numbers in cells costs: as PostgreSQL's text, as numbers made of it, and as bytes that keep the order.
func BenchmarkCompare(b *testing.B) {
	x, y := "123456.7800", "123456.79"
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			numeric.CompareText(x, y)
		}
	})
	b.Run("text-40-digits", func(b *testing.B) {
		p, q := strings.Repeat("9", 30)+".1234567891", strings.Repeat("9", 30)+".1234567890"
		for b.Loop() {
			numeric.CompareText(p, q)
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			p, _ := numeric.Parse(x)
			q, _ := numeric.Parse(y)
			p.Compare(q)
		}
	})
	b.Run("ordered-bytes", func(b *testing.B) {
		p, q := []byte("\x85\x0c\x22\x38\x4e\x00\x04"), []byte("\x85\x0c\x22\x38\x4f\x00\x02")
		for b.Loop() {
			bytes.Compare(p, q)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	for b.Loop() {
		p, _ := numeric.Parse("123456.78")
		q, _ := numeric.Parse("0.22")
		s, _ := p.Add(q)
		_ = s.String()
	}
}
