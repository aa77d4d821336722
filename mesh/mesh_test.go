package mesh_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
)

func TestNoz(t *testing.T) {
	for _, c := range []struct {
		in   string
		want mesh.Noz
		ok   bool
	}{
		{"0", 0, true}, {"1", 1e9, true}, {"1.5", 15e8, true}, {"1.5oz", 15e8, true}, {" 1.5 OZ ", 15e8, true}, {"7 noz", 7, true}, {"7noz", 7, true},
		{"0.000000001", 1, true}, {"0.0000000001", 0, false}, {"1.5noz", 0, false}, {"9223372036.854775807", mesh.MaxNoz, true},
		{"9223372036.854775808", 0, false}, {"", 0, false}, {"oz", 0, false}, {".5", 0, false}, {"-1", 0, false}, {"+1", 0, false}, {"1e3", 0, false},
		{"1_000", 0, false}, {"1,5", 0, false}, {"1.2.3", 0, false}, {"0x10", 0, false}, {"1 2", 0, false}, {"1 stos", 0, false},
		{"１", 0, false}, {strings.Repeat("9", 100), 0, false},
	} {
		got, err := mesh.ParseNoz(c.in)
		if (err == nil) != c.ok || got != c.want || !c.ok && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%q: got %d, %v; want %d, ok=%v", c.in, got, err, c.want, c.ok)
		}
	}
	for _, n := range []mesh.Noz{0, 1, 999_999_999, 1_000_000_000, 1_500_000_000, mesh.MaxNoz} {
		if back, err := mesh.ParseNoz(n.String()); err != nil || back != n {
			t.Errorf("%s reads back as %d, %v", n, back, err)
		}
	}
}

func TestWei(t *testing.T) {
	for _, c := range []struct {
		in, want string // wei; empty: refused
	}{
		{"1", "1000000000000000000"}, {"1.5 stos", "1500000000000000000"}, {"20gwei", "20000000000"}, {"20.5 gwei", "20500000000"}, {"7 wei", "7"},
		{"0.000000000000000001", "1"}, {"0.0000000000000000001", ""}, {"1.5wei", ""}, {"-1", ""}, {"", ""}, {"stos", ""}, {"1oz", ""}, {strings.Repeat("9", 81), ""},
		{strings.Repeat("9", 80), ""},
	} {
		got, err := mesh.ParseWei(c.in)
		if (err == nil) != (c.want != "") || err == nil && got.Big().String() != c.want {
			t.Errorf("%q: got %s, %v; want %q", c.in, got, err, c.want)
		}
	}
	v := big.NewInt(5)
	w := mesh.NewWei(v)
	v.SetInt64(6)
	w.Big().SetInt64(7)
	if w.Cmp(mesh.NewWei(big.NewInt(5))) != 0 {
		t.Error("an amount changed from outside")
	}
	for _, c := range [][2]string{{"0 STOS", "0"}, {"1.5 STOS", "1500000000000000000"}, {"-0.000000000000000001 STOS", "-1"}, {"1000000 STOS", "1000000000000000000000000"}} {
		b, ok := new(big.Int).SetString(c[1], 10)
		if got := mesh.NewWei(b).String(); !ok || got != c[0] {
			t.Errorf("%s wei: got %q", c[1], got)
		}
	}
	var zero mesh.Wei
	if zero.String() != "0 STOS" || zero.Cmp(mesh.NewWei(nil)) != 0 {
		t.Error("the zero value is not 0")
	}
	var back mesh.Wei
	text, err := mesh.Stos(3).MarshalText()
	if err != nil || back.UnmarshalText(text) != nil || back.Cmp(mesh.Stos(3)) != 0 {
		t.Errorf("%s reads back as %s, %v", text, back, err)
	}
	for _, s := range []string{"", "x", "1.5", "0x1", "1_000", strings.Repeat("1", 81)} {
		if err := back.UnmarshalText([]byte(s)); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("wei %q: %v", s, err)
		}
	}
}

func TestBuckets(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc": true, "a-b": true, "a.b": true, "a1b": true, "123": true, "1.2.3": true, "1.2.3.x": true, strings.Repeat("a", 63): true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "Abc": false, "a_b": false, "-ab": false, "ab-": false, ".ab": false, "ab.": false, "a..b": false,
		"a.-b": false, "a-.b": false, "1.2.3.4": false, "192.168.1.1": false, "a/b": false, "a b": false, "äbc": false, "a\x00b": false,
	} {
		if err := mesh.CheckBucket(name); (err == nil) != ok || !ok && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for key, ok := range map[string]bool{
		"a": true, "a/b": true, "/": true, "//": true, "..": true, " ": true, "ä": true, "\n": true, strings.Repeat("a", 1024): true,
		"": false, strings.Repeat("a", 1025): false, "a\x00": false, "\xff": false, "a\xc3": false,
	} {
		if err := mesh.CheckKey(key); (err == nil) != ok || !ok && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		in   string
		want mesh.Path
		ok   bool
	}{
		{"stratos://photos", mesh.Path{Bucket: "photos"}, true}, {"stratos://photos/", mesh.Path{Bucket: "photos"}, true},
		{"stratos://photos/a//b/", mesh.Path{Bucket: "photos", Key: "a//b/"}, true}, {"stratos://photos/../x", mesh.Path{Bucket: "photos", Key: "../x"}, true},
		{"photos/a", mesh.Path{}, false}, {"s3://photos/a", mesh.Path{}, false}, {"stratos://", mesh.Path{}, false}, {"stratos:///a", mesh.Path{}, false},
		{"stratos://P/a", mesh.Path{}, false}, {"stratos://photos/\xff", mesh.Path{}, false},
	} {
		got, err := mesh.ParsePath(c.in)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: got %+v, %v", c.in, got, err)
		}
	}
}

func TestKinds(t *testing.T) {
	status, exit, names := map[int]bool{}, map[int]bool{}, map[string]bool{}
	for k := mesh.Internal; k <= mesh.Exhausted; k++ {
		if status[k.HTTPStatus()] || exit[k.ExitCode()] || names[k.String()] || k.ExitCode() == 0 || k.ExitCode() == 2 || k.ExitCode() == 130 || k.HTTPStatus() < 400 {
			t.Errorf("%s: status %d and exit code %d are not its own", k, k.HTTPStatus(), k.ExitCode())
		}
		status[k.HTTPStatus()], exit[k.ExitCode()], names[k.String()] = true, true, true
		if mesh.KindOfStatus(k.HTTPStatus()) != k {
			t.Errorf("%s does not come back from its status", k)
		}
	}
	for _, k := range []mesh.Kind{mesh.Exhausted + 1, 255} { // as a peer may send
		if k.String() != "internal" || k.ExitCode() != mesh.Internal.ExitCode() || k.HTTPStatus() != mesh.Internal.HTTPStatus() {
			t.Errorf("the unknown kind %d is not treated as internal", k)
		}
	}
	if mesh.KindOfStatus(418) != mesh.Internal {
		t.Error("a status that no kind has")
	}
}

func TestErrors(t *testing.T) {
	cause := mesh.Errorf(mesh.NotFound, "no object %q", "a")
	wrapped := fmt.Errorf("reading: %w", cause)
	denied := mesh.Errorf(mesh.Denied, "asking: %w", wrapped)
	hinted := mesh.WithHint(fmt.Errorf("more: %w", mesh.WithHint(denied, "ask %s", "again")), "")
	if mesh.KindOf(cause) != mesh.NotFound || mesh.KindOf(wrapped) != mesh.NotFound || mesh.KindOf(denied) != mesh.Denied || mesh.KindOf(hinted) != mesh.Denied {
		t.Error("the outermost kind does not win")
	}
	if got := hinted.Error(); got != `more: asking: reading: no object "a"` {
		t.Errorf("got %q", got)
	}
	if mesh.HintOf(hinted) != "ask again" || mesh.HintOf(denied) != "" || mesh.HintOf(nil) != "" {
		t.Errorf("hint %q", mesh.HintOf(hinted))
	}
	if !errors.Is(mesh.Errorf(mesh.Corrupt, "x: %w", io.EOF), io.EOF) {
		t.Error("a cause is lost")
	}
	if mesh.KindOf(io.EOF) != mesh.Internal || mesh.WithHint(nil, "x") != nil {
		t.Error("errors of others")
	}
}

func TestFromBytes(t *testing.T) {
	for n := range 40 {
		b := bytes.Repeat([]byte{7}, n)
		id, err := mesh.FromBytes[mesh.NodeID](b)
		if (err == nil) != (n == 20) || n == 20 && id != mesh.NodeID(b) || n != 20 && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestHex(t *testing.T) {
	good := strings.Repeat("0a", 32)
	if id, err := mesh.ParseSliceID(good); err != nil || id.String() != good {
		t.Errorf("got %s, %v", id, err)
	}
	for _, s := range []string{"", good[1:], good + "0", "../" + good[3:], strings.Repeat("zz", 32), good[:62] + "/a", strings.Repeat("ä", 32)} {
		if id, err := mesh.ParseSliceID(s); mesh.KindOf(err) != mesh.Invalid || err == nil || id != (mesh.SliceID{}) {
			t.Errorf("%q: got %s, %v", s, id, err)
		}
	}
}
