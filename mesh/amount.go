package mesh

import (
	"math/big"
	"strings"
)

// Noz counts ozone: 1 noz buys one byte on the wire, parity included. One account holds at most MaxNoz.
type Noz uint64

// NozPerOz is 10^9: 1 oz is one gigabyte of traffic.
const NozPerOz = 1_000_000_000

// MaxNoz bounds the ozone of one account, so that sums of two never overflow.
const MaxNoz Noz = 1<<63 - 1

// An Epoch numbers a settlement period of the value layer, from 0. It lasts a fixed number of blocks.
type Epoch uint64

// A Height numbers a block, from 1.
type Height int64

// String writes the amount in oz, as "1.5 oz".
func (n Noz) String() string { return formatFixed(new(big.Int).SetUint64(uint64(n)), 9) + " oz" }

// ParseNoz reads an amount as "1500 noz", "1.5oz", or a plain number of oz.
func ParseNoz(s string) (Noz, error) {
	v, err := parseUnits("ozone", s, []unit{{"noz", 0}, {"oz", 9}, {"", 9}})
	if err != nil {
		return 0, err
	}
	if !v.IsUint64() || v.Uint64() > uint64(MaxNoz) {
		return 0, Errorf(Invalid, "ozone %q is more than one account can hold (%s)", clip(s), MaxNoz)
	}
	return Noz(v.Uint64()), nil
}

// Wei is an amount of STOS in its smallest unit: 1 stos = 10^9 gwei = 10^18 wei. The zero value is 0. It is immutable.
type Wei struct{ v *big.Int }

// WeiPerStos is 10^18.
const WeiPerStos = 1_000_000_000_000_000_000

// NewWei copies v; nil counts as 0.
func NewWei(v *big.Int) Wei {
	if v == nil {
		return Wei{}
	}
	return Wei{new(big.Int).Set(v)}
}

// Stos returns n whole STOS.
func Stos(n int64) Wei { return Wei{new(big.Int).Mul(big.NewInt(n), big.NewInt(WeiPerStos))} }

// Big returns a copy of the amount.
func (w Wei) Big() *big.Int {
	if w.v == nil {
		return new(big.Int)
	}
	return new(big.Int).Set(w.v)
}

// Cmp compares as big.Int.Cmp does.
func (w Wei) Cmp(o Wei) int { return w.Big().Cmp(o.Big()) }

// String writes the amount in STOS, as "1.5 STOS".
func (w Wei) String() string { return formatFixed(w.Big(), 18) + " STOS" }

// MarshalText writes plain wei in decimal: the exact form, for machines.
func (w Wei) MarshalText() ([]byte, error) { return []byte(w.Big().String()), nil }

// UnmarshalText reads plain wei in decimal.
func (w *Wei) UnmarshalText(b []byte) error {
	v, ok := new(big.Int).SetString(string(b), 10)
	if !ok || len(b) > 80 {
		return Errorf(Invalid, "%q is not an amount in wei", clip(string(b)))
	}
	w.v = v
	return nil
}

// ParseWei reads an amount as "1.5 stos", "20gwei", "7 wei", or a plain number of STOS. It is never negative.
func ParseWei(s string) (Wei, error) {
	v, err := parseUnits("amount", s, []unit{{"gwei", 9}, {"wei", 0}, {"stos", 18}, {"", 18}})
	if err != nil {
		return Wei{}, err
	}
	if v.BitLen() > 255 {
		return Wei{}, Errorf(Invalid, "amount %q is too large", clip(s))
	}
	return Wei{v}, nil
}

type unit struct {
	name     string
	decimals int
}

func parseUnits(what, s string, units []unit) (*big.Int, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	u := units[len(units)-1]
	for _, c := range units {
		if strings.HasSuffix(t, c.name) {
			u, t = c, strings.TrimSpace(strings.TrimSuffix(t, c.name))
			break
		}
	}
	whole, frac, _ := strings.Cut(t, ".")
	digits := whole + frac
	if whole == "" || len(digits) > 80 || strings.Trim(digits, "0123456789") != "" {
		return nil, Errorf(Invalid, "%s %q is not a number with one of the units %s", what, clip(s), unitNames(units))
	}
	if len(frac) > u.decimals {
		return nil, Errorf(Invalid, "%s %q has more than %d decimals", what, clip(s), u.decimals)
	}
	v, _ := new(big.Int).SetString(digits+strings.Repeat("0", u.decimals-len(frac)), 10)
	return v, nil
}

func unitNames(units []unit) string {
	var names []string
	for _, u := range units {
		if u.name != "" {
			names = append(names, u.name)
		}
	}
	return strings.Join(names, ", ")
}

func formatFixed(v *big.Int, decimals int) string {
	sign := ""
	s := v.String()
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if len(s) <= decimals {
		s = strings.Repeat("0", decimals+1-len(s)) + s
	}
	frac := strings.TrimRight(s[len(s)-decimals:], "0")
	s = sign + s[:len(s)-decimals]
	if frac != "" {
		s += "." + frac
	}
	return s
}
