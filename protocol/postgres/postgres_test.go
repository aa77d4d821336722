package postgres_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

func FuzzInput(f *testing.F) {
	for i, s := range []string{"{1,NULL,3}", `[0:1]={"a b","\""}`, "{{1,2},{3,4}}", "2024-01-01", `\x00ff`, "1e5", "{}", "t"} {
		f.Add(s, uint8(i))
	}
	f.Fuzz(func(t *testing.T, s string, n uint8) {
		if len(s) > 5000 {
			return
		}
		oid := inputTypes[int(n/2)%len(inputTypes)]
		if n%2 == 1 {
			oid = postgres.ArrayOf(oid)
		}
		c := &postgres.Call{}
		v, err := postgres.Input(c, oid, -1, s)
		if err != nil {
			return
		}
		text, err := postgres.Output(c, oid, v)
		if err != nil {
			t.Fatalf("%d %q: %v", oid, s, err)
		}
		w, err := postgres.Input(c, oid, -1, text)
		if strings.ContainsAny(text, "+-") && (oid == postgres.TimeTZ || oid == postgres.ArrayOf(postgres.TimeTZ)) {
			err, w = nil, v // PostgreSQL shows distances from UTC that it does not read
		}
		if err != nil || postgres.Compare(oid, v, w) != 0 {
			t.Fatalf("%d %q is %q, which is %v (%v)", oid, s, text, w, err)
		}
		b, err := postgres.Encode(oid, v)
		if err != nil {
			t.Fatal(err)
		}
		x, err := postgres.Decode(c, oid, -1, b)
		if oid == postgres.TimeTZ || oid == postgres.ArrayOf(postgres.TimeTZ) {
			err, x = nil, v // nor takes
		}
		if err != nil || postgres.Compare(oid, v, x) != 0 {
			t.Fatalf("%d %q: %x came back as %v (%v)", oid, s, b, x, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for i, s := range []string{"\x00\x01\x00\x00\x00\x00\x00\x02\x00\x05", "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07", "\x01{}"} {
		f.Add([]byte(s), uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		oid := inputTypes[int(n/2)%len(inputTypes)]
		if n%2 == 1 {
			oid = postgres.ArrayOf(oid)
		}
		c := &postgres.Call{}
		v, err := postgres.Decode(c, oid, -1, b)
		if err != nil {
			return
		}
		e, err := postgres.Encode(oid, v)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := postgres.Decode(c, oid, -1, e); err != nil || postgres.Compare(oid, v, w) != 0 {
			t.Fatalf("%d %x: %v, then %v (%v)", oid, b, v, w, err)
		}
	})
}

func FuzzPatterns(f *testing.F) {
	f.Add("abc", "a.*c|[b-d]+", "a%")
	f.Add("", `^(\d{1,3})?$`, `\%_`)
	f.Fuzz(func(t *testing.T, s, regex, like string) {
		if len(s)+len(regex)+len(like) > 300 {
			return
		}
		for i := range postgres.Operators() {
			r := &postgres.Operators()[i]
			switch {
			case len(r.Args) != 2 || r.Args[0] != postgres.Text:
			case r.Name == "~" || r.Name == "~*":
				r.Call(&postgres.Call{}, []any{s, regex})
			case r.Name == "~~":
				r.Call(&postgres.Call{}, []any{s, like})
			}
		}
	})
}

// What costs more than one pass asks for gas, and stops when there is none.
func TestCharge(t *testing.T) {
	big := strings.Repeat("a", 100000)
	many := strings.Repeat("9", 20000)
	for _, c := range []struct {
		name string
		args []any
	}{
		{"~~", []any{big, strings.Repeat("%a", 5000)}}, {"~", []any{big, "a*b"}}, {"*", []any{many, many}}, {"/", []any{many, "7"}}, {"^", []any{"1.000001", "100000"}},
	} {
		found := false
		for i := range postgres.Operators() {
			r := &postgres.Operators()[i]
			if r.Name != c.name || len(r.Args) != 2 || r.Args[0] != postgres.Text && r.Args[0] != postgres.Numeric {
				continue
			}
			found = true
			paid := uint64(0)
			_, err := r.Call(&postgres.Call{Charge: func(gas uint64) bool { paid += gas; return false }}, c.args)
			if e, ok := err.(*postgres.Error); !ok || e.Code != "53400" || paid == 0 {
				t.Errorf("%s: %v, %d gas", c.name, err, paid)
			}
		}
		if !found {
			t.Errorf("no operator %s", c.name)
		}
	}
}

func TestSizes(t *testing.T) {
	for i := range postgres.Functions() {
		r := &postgres.Functions()[i]
		if r.Name == "repeat" || r.Name == "lpad" && len(r.Args) == 2 {
			_, err := r.Call(&postgres.Call{}, []any{"ab", int64(1 << 30)})
			if e, ok := err.(*postgres.Error); !ok || e.Code != "54000" {
				t.Errorf("%s: %v", r.Name, err)
			}
		}
	}
}

// A routine is named once, and its types exist.
func TestCatalog(t *testing.T) {
	for _, list := range [][]postgres.Routine{postgres.Functions(), postgres.Operators()} {
		seen := map[string]bool{}
		for _, r := range list {
			key := r.Name + "(" + oids(r.Args) + ")"
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
	}
	names := map[string]bool{"RTRIM": true, "": true}
	for _, c := range postgres.Collations() {
		names[c.Name] = true
	}
	for _, name := range []string{"int", "text[]", "jsonb", "timestamp with time zone", "double precision[]", "_numeric"} {
		typ, ok := postgres.TypeNamed(name)
		if !ok || !names[typ.Collation] {
			t.Errorf("%s: %v %v", name, typ, ok)
		}
	}
	for mod, want := range map[int32]string{-1: "character varying", 14: "character varying(10)"} {
		if got := postgres.FormatType(postgres.Varchar, mod); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// No instruction that fuses a product and a sum: see package softmath.
func TestNotFused(t *testing.T) {
	fused := regexp.MustCompile(`\s(FN?M(ADD|SUB)[SD]?)\s`)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-S", "./...")
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("postgres.(*floatState).Step STEXT")) || !bytes.Contains(out, []byte("datetime.Interval.scale STEXT")) {
		t.Fatal("no listing")
	}
	for line := range bytes.Lines(out) {
		if fused.Match(line) {
			t.Errorf("%s", bytes.TrimSpace(line))
		}
	}
}
