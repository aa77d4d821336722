package numeric

import (
	"cmp"
	"math/big"
	"strings"
)

// Compare orders numbers as PostgreSQL does: NaN equals itself and is above all else.
func (x Number) Compare(y Number) int {
	if x.kind != finite || y.kind != finite {
		return rank(x.kind) - rank(y.kind)
	}
	switch {
	case x.scale == y.scale:
		return x.coef.Cmp(y.coef)
	case x.coef.Sign() != y.coef.Sign():
		return x.coef.Sign() - y.coef.Sign()
	case x.scale < y.scale:
		return new(big.Int).Mul(x.coef, pow10(y.scale-x.scale)).Cmp(y.coef)
	}
	return x.coef.Cmp(new(big.Int).Mul(y.coef, pow10(x.scale-y.scale)))
}

func rank(kind uint8) int {
	switch kind {
	case minusInfinity:
		return -1
	case plusInfinity:
		return 1
	case nan:
		return 2
	}
	return 0
}

// CompareText is Compare of numbers that String wrote, without making numbers of them: one pass over the texts.
func CompareText(a, b string) int {
	ra, rb := textRank(a), textRank(b)
	if ra != rb {
		return cmp.Compare(ra, rb)
	}
	switch ra {
	case 2:
		return compareDigits(a, b)
	case -1:
		return compareDigits(b[1:], a[1:])
	}
	return 0
}

// textRank: -Infinity -2, below zero -1, zero and above 2, Infinity 3, NaN 4.
func textRank(s string) int {
	if s == "" {
		return -3
	}
	switch s[0] {
	case 'N':
		return 4
	case 'I':
		return 3
	case '-':
		if len(s) > 1 && s[1] == 'I' {
			return -2
		}
		return -1
	}
	return 2
}

// compareDigits compares texts of numbers without sign or zeros in front.
func compareDigits(a, b string) int {
	wa, wb := strings.IndexByte(a, '.'), strings.IndexByte(b, '.')
	fa, fb := "", ""
	if wa >= 0 {
		a, fa = a[:wa], a[wa+1:]
	}
	if wb >= 0 {
		b, fb = b[:wb], b[wb+1:]
	}
	if c := cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)); c != 0 {
		return c
	}
	n := min(len(fa), len(fb))
	if c := strings.Compare(fa[:n], fb[:n]); c != 0 {
		return c
	}
	if strings.Trim(fa[n:], "0") != "" {
		return 1
	} else if strings.Trim(fb[n:], "0") != "" {
		return -1
	}
	return 0
}
