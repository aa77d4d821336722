package mesh

import (
	"bytes"
	"strings"
	"testing"
)

// The vectors of BIP-173.
func TestBech32Vectors(t *testing.T) {
	for _, s := range []string{
		"A12UEL5L", "a12uel5l",
		"an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
		"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
		"11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j",
		"split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "?1ezyfcl",
	} {
		hrp, data, err := bech32Decode(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		} else if got := bech32Encode(hrp, data); got != strings.ToLower(s) {
			t.Errorf("%s comes back as %s", s, got)
		}
	}
	for s, why := range map[string]string{
		"\x201nwldj5": "prefix out of range", "\x7f1axkwrx": "prefix out of range", "\x801eym55h": "prefix out of range",
		"an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx": "too long",
		"pzry9x0s0muk": "no separator", "1pzry9x0s0muk": "empty prefix", "x1b4n0q5v": "character b", "li1dgmt3": "checksum too short",
		"de1lg7wt\xff": "character in the checksum", "A1G7SGD8": "checksum of capitals", "10a06t8": "empty prefix", "1qzzfhee": "empty prefix",
		"A12uEL5L": "mixed", "a12uel5m": "checksum", "": "empty",
	} {
		if hrp, data, err := bech32Decode(s); err == nil {
			t.Errorf("%q (%s) is read as %q %x", s, why, hrp, data)
		}
	}
}

// encode5 writes 5-bit groups with a right checksum, whatever they are.
func encode5(hrp string, groups []byte) string {
	chk := bech32Prefix(hrp)
	out := hrp + "1"
	for _, v := range groups {
		chk = bech32Polymod(chk, v)
		out += string(bech32Charset[v])
	}
	for range 6 {
		chk = bech32Polymod(chk, 0)
	}
	chk ^= 1
	for i := range 6 {
		out += string(bech32Charset[chk>>(5*(5-i))&31])
	}
	return out
}

func TestBech32Padding(t *testing.T) {
	for _, c := range []struct {
		groups []byte
		ok     bool
	}{
		{nil, true}, {[]byte{31, 28}, true}, {[]byte{31, 29}, false}, {[]byte{31, 30}, false}, {[]byte{0}, false}, {[]byte{0, 0, 0}, false},
		{[]byte{1, 2, 3, 4, 5, 6, 7, 8}, true}, {[]byte{1, 2, 3, 4, 5, 6, 7, 8, 0}, false},
	} {
		if _, data, err := bech32Decode(encode5("st", c.groups)); (err == nil) != c.ok {
			t.Errorf("%v: got %x, %v", c.groups, data, err)
		}
	}
}

// Every single wrong character and every swap of neighbours is noticed.
func TestTypingErrors(t *testing.T) {
	a := Account(bytes.Repeat([]byte{0x5a, 1}, 10))
	s := a.String()
	if back, err := ParseAccount(s); err != nil || back != a {
		t.Fatalf("%s reads back as %s, %v", s, back, err)
	}
	if back, err := ParseAccount(strings.ToUpper(s)); err != nil || back != a {
		t.Errorf("capitals: %s, %v", back, err)
	}
	for i := len("st1"); i < len(s); i++ {
		for _, c := range bech32Charset {
			if wrong := s[:i] + string(c) + s[i+1:]; wrong != s {
				if _, err := ParseAccount(wrong); err == nil {
					t.Errorf("%s is taken for an account", wrong)
				}
			}
		}
		if i+1 < len(s) && s[i] != s[i+1] {
			if _, err := ParseAccount(s[:i] + string(s[i+1]) + string(s[i]) + s[i+2:]); err == nil {
				t.Errorf("a swap at %d goes unnoticed", i)
			}
		}
	}
	for _, wrong := range []string{NodeID(a).String(), AuthorityID(a).String(), bech32Encode("st", a[1:]), bech32Encode("st", append(a[:], 0)), "0x" + s, "0x5a", "", "st1"} {
		if got, err := ParseAccount(wrong); err == nil || KindOf(err) != Invalid || got != (Account{}) {
			t.Errorf("%q is taken for account %s, %v", wrong, got, err)
		}
	}
	if got, err := ParseAccount("0x" + strings.Repeat("5A01", 10)); err != nil || got != a {
		t.Errorf("the Ethereum form: %s, %v", got, err)
	}
}

func FuzzBech32(f *testing.F) {
	f.Add("a12uel5l")
	f.Add(Account{1}.String())
	f.Fuzz(func(t *testing.T, s string) {
		hrp, data, err := bech32Decode(s)
		if err == nil && bech32Encode(hrp, data) != strings.ToLower(s) {
			t.Fatalf("%q is read as %q %x, which is written otherwise", s, hrp, data)
		}
	})
}
