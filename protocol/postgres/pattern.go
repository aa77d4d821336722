package postgres

import (
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

var errEscapeEnd = sqlstate.New(sqlstate.BadEscape, "LIKE pattern must not end with escape character")

// like matches a whole text against a pattern of LIKE: % is anything, _ one character, a backslash takes the next as it is.
// It goes back to the last % only, so it takes at most the product of both lengths, and pays for its steps as it goes; of texts
// characters are compared, of bytea bytes.
func (c *Call) like(s, p string, chars bool) (bool, error) {
	// As PostgreSQL does, a pattern that ends with an escape is an error only where matching gets there.
	width := func(s string) int {
		if !chars {
			return 1
		}
		_, n := utf8.DecodeRuneInString(s)
		return n
	}
	back, resume := -1, 0
	i, j := 0, 0
	const stride = 1 << 13
	for steps := 1; i < len(s); steps++ {
		if steps%stride == 0 {
			if err := c.work(4 * stride); err != nil {
				return false, err
			}
		}
		match := false
		switch {
		case j >= len(p):
		case p[j] == '%':
			back, resume = j+1, i
			j++
			continue
		case p[j] == '_':
			i += width(s[i:])
			j++
			match = true
		default:
			k := j
			if p[k] == '\\' {
				if k++; k >= len(p) {
					return false, errEscapeEnd
				}
			}
			if s[i] == p[k] {
				i, j, match = i+1, k+1, true
			}
		}
		if match {
			continue
		}
		if back < 0 {
			return false, nil
		}
		resume += width(s[resume:])
		i, j = resume, back
	}
	for j < len(p) && p[j] == '%' {
		j++
	}
	return j == len(p), nil
}

func likeText(fold bool) do {
	return func(c *Call, a []any) (any, error) {
		s, p := a[0].(string), a[1].(string)
		if fold {
			s, p = lower(s), lower(p)
		}
		return c.like(s, p, true)
	}
}

func likeBytes(c *Call, a []any) (any, error) {
	s, p := string(a[0].([]byte)), string(a[1].([]byte))
	return c.like(s, p, false)
}

// likeEscape rewrites a pattern whose escape character is another, or none, to one with backslashes.
func likeEscape(p, esc string) (string, error) {
	if esc == "" {
		return strings.ReplaceAll(p, `\`, `\\`), nil
	}
	if runes(esc) != 1 {
		e := sqlstate.New(sqlstate.BadEscape, "invalid escape string")
		e.Hint = "Escape string must be empty or one character."
		return "", e
	}
	if esc == `\` {
		return p, nil
	}
	var b strings.Builder
	after := false
	for len(p) > 0 {
		_, n := utf8.DecodeRuneInString(p)
		switch r := p[:n]; {
		case r == esc && !after:
			b.WriteByte('\\')
			after = true
		case r == `\`:
			b.WriteByte('\\')
			if !after {
				b.WriteByte('\\')
			}
			after = false
		default:
			b.WriteString(r)
			after = false
		}
		p = p[n:]
	}
	return b.String(), nil
}

func patternFunctions() []Routine {
	return []Routine{
		def("like(text, text) bool", likeText(false)),
		def("notlike(text, text) bool", func(c *Call, a []any) (any, error) {
			v, err := likeText(false)(c, a)
			return v == false, err
		}),
		def("like_escape(text, text) text", func(_ *Call, a []any) (any, error) {
			return textOrError(likeEscape(a[0].(string), a[1].(string)))
		}),
	}
}

func textOrError(s string, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
