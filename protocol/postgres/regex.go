package postgres

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// Regular expressions are run by package regexp, whose time grows with the text and the pattern, never beyond. What it cannot
// do as PostgreSQL does is refused: references back, looking ahead, constraints at words' ends but \y and \Y, options inside
// the pattern, and where positions matter quantifiers that are not greedy. Whether a text matches does not depend on how; where
// a match lies is that of POSIX, leftmost and longest.

func refuseRegex(what string) error {
	return sqlstate.New(sqlstate.Unsupported, "regular expressions with %s are not supported", what)
}

func badRegex(what string) error {
	return sqlstate.New(sqlstate.BadRegex, "invalid regular expression: %s", what)
}

// A pattern of PostgreSQL's, translated.
type pattern struct {
	re     *regexp.Regexp
	groups int
	lazy   bool
	size   int // characters, with repetitions written out
}

type regexReader struct {
	s     string
	pos   int
	fold  bool
	out   strings.Builder
	depth int
	pattern
}

const maxRepeat = 255

// maxPattern bounds the size of a pattern.
const maxPattern = 20000

// compile translates a pattern; fold makes it ignore the case of ASCII letters. pay is asked before the work.
func compile(s string, fold bool, pay func(operations uint64) error) (pattern, error) {
	if strings.HasPrefix(s, "***") {
		return pattern{}, refuseRegex("a director")
	}
	r := regexReader{s: s, fold: fold}
	r.out.WriteString("(?s)")
	if err := r.branches(); err != nil {
		return pattern{}, err
	}
	if r.pos < len(s) {
		return pattern{}, badRegex("parentheses () not balanced")
	}
	if r.size > maxPattern {
		return pattern{}, refuseRegex("so many repetitions")
	}
	if err := pay(uint64(r.size+len(s)) * 256); err != nil {
		return pattern{}, err
	}
	re, err := regexp.Compile(r.out.String())
	if err != nil {
		return pattern{}, refuseRegex("so many repetitions")
	}
	re.Longest()
	r.re = re
	return r.pattern, nil
}

func (r *regexReader) more() bool { return r.pos < len(r.s) }

func (r *regexReader) branches() error {
	if r.depth > 200 {
		return badRegex("regular expression is too complex")
	}
	atom := false // whether a quantifier may follow
	for r.more() {
		c := r.s[r.pos]
		before := r.size
		r.size++
		switch c {
		case '|':
			r.pos++
			r.out.WriteByte('|')
			atom = false
			continue
		case ')':
			return nil
		case '(':
			if strings.HasPrefix(r.s[r.pos:], "(?") && !strings.HasPrefix(r.s[r.pos:], "(?:") {
				return refuseRegex("(?")
			}
			if strings.HasPrefix(r.s[r.pos:], "(?:") {
				r.pos += 3
			} else {
				r.groups++
				r.pos++
			}
			r.out.WriteString("(?:")
			r.depth++
			if err := r.branches(); err != nil {
				return err
			}
			r.depth--
			if !r.more() {
				return badRegex("parentheses () not balanced")
			}
			r.pos++
			r.out.WriteByte(')')
			atom = true
		case '[':
			if err := r.bracket(); err != nil {
				return err
			}
			atom = true
		case '.':
			r.pos++
			r.out.WriteByte('.')
			atom = true
		case '^', '$':
			r.pos++
			r.out.WriteString(map[byte]string{'^': `\A`, '$': `\z`}[c])
			atom = false
		case '*', '+', '?':
			return badRegex("quantifier operand invalid")
		case '\\':
			isAtom, err := r.escape()
			if err != nil {
				return err
			}
			atom = isAtom
		default:
			if c == '{' && r.pos+1 < len(r.s) && r.s[r.pos+1] >= '0' && r.s[r.pos+1] <= '9' {
				return badRegex("quantifier operand invalid")
			}
			ch, n := utf8.DecodeRuneInString(r.s[r.pos:])
			r.pos += n
			r.literal(ch)
			atom = true
		}
		if err := r.quantifier(atom, r.size-before); err != nil {
			return err
		}
	}
	return nil
}

// literal writes a character that stands for itself.
func (r *regexReader) literal(ch rune) {
	if r.fold && ch < 128 && (ch|0x20 >= 'a' && ch|0x20 <= 'z') {
		r.out.WriteString("[" + string(ch|0x20) + string(ch&^0x20) + "]")
		return
	}
	r.out.WriteString(regexp.QuoteMeta(string(ch)))
}

// quantifier reads what may follow an atom of a size.
func (r *regexReader) quantifier(atom bool, size int) error {
	if !r.more() {
		return nil
	}
	q := ""
	switch c := r.s[r.pos]; {
	case c == '*' || c == '+' || c == '?':
		q = string(c)
		r.pos++
	case c == '{' && r.pos+1 < len(r.s) && r.s[r.pos+1] >= '0' && r.s[r.pos+1] <= '9':
		end := strings.IndexByte(r.s[r.pos:], '}')
		if end < 0 {
			return badRegex("braces {} not balanced")
		}
		lo, hi, both := strings.Cut(r.s[r.pos+1:r.pos+end], ",")
		m, err := strconv.Atoi(lo)
		n := m
		if err == nil && both && hi != "" {
			n, err = strconv.Atoi(hi)
		}
		if err != nil || m > maxRepeat || n > maxRepeat || n < m || strings.ContainsAny(lo+hi, "+-") {
			return badRegex("invalid repetition count(s)")
		}
		q = r.s[r.pos : r.pos+end+1]
		if r.size = min(r.size+size*max(m, n), maxPattern+1); r.size > maxPattern {
			return refuseRegex("so many repetitions")
		}
		r.pos += end + 1
	default:
		return nil
	}
	if !atom {
		return badRegex("quantifier operand invalid")
	}
	if r.more() && r.s[r.pos] == '?' {
		r.pos++
		r.lazy = true
	}
	if r.more() && strings.IndexByte("*+?", r.s[r.pos]) >= 0 || r.more() && r.s[r.pos] == '{' && r.pos+1 < len(r.s) && r.s[r.pos+1] >= '0' && r.s[r.pos+1] <= '9' {
		return badRegex("quantifier operand invalid")
	}
	r.out.WriteString(q)
	return nil
}

// classes are what the class escapes stand for in the locale C, inside brackets.
var classes = map[byte]string{'d': `0-9`, 's': `\t-\r `, 'w': `0-9A-Za-z_`}

var classNames = map[string]string{"alnum": `0-9A-Za-z`, "alpha": `A-Za-z`, "blank": `\t `, "cntrl": `\x00-\x1f\x7f`, "digit": `0-9`, "graph": `!-~`,
	"lower": `a-z`, "print": ` -~`, "punct": "!-/:-@\\[-`{-~", "space": `\t-\r `, "upper": `A-Z`, "xdigit": `0-9A-Fa-f`, "word": `0-9A-Za-z_`}

// character reads an escape that stands for one character; r.pos is behind the backslash.
func (r *regexReader) character() (rune, bool, error) {
	c := r.s[r.pos]
	if i := strings.IndexByte("abefnrtv", c); i >= 0 {
		r.pos++
		return rune("\a\b\x1b\f\n\r\t\v"[i]), true, nil
	}
	if !alnum(c) {
		ch, n := utf8.DecodeRuneInString(r.s[r.pos:])
		r.pos += n
		return ch, true, nil
	}
	digits := map[byte]int{'u': 4, 'U': 8}[c]
	if digits == 0 {
		return 0, false, nil
	}
	if r.pos+1+digits > len(r.s) {
		return 0, false, badRegex("invalid escape \\ sequence")
	}
	n, err := strconv.ParseUint(r.s[r.pos+1:r.pos+1+digits], 16, 32)
	if err != nil || n > 0x10ffff || n == 0 {
		return 0, false, badRegex("invalid escape \\ sequence")
	}
	r.pos += 1 + digits
	return rune(n), true, nil
}

func (r *regexReader) escape() (atom bool, err error) {
	if r.pos++; !r.more() {
		return false, badRegex("invalid escape \\ sequence")
	}
	ch, ok, err := r.character()
	if err != nil {
		return false, err
	}
	if ok {
		r.literal(ch)
		return true, nil
	}
	c := r.s[r.pos]
	r.pos++
	switch {
	case classes[c] != "":
		r.out.WriteString("[" + classes[c] + "]")
		return true, nil
	case classes[c|0x20] != "":
		r.out.WriteString("[^" + classes[c|0x20] + "]")
		return true, nil
	case c == 'A':
		r.out.WriteString(`\A`)
	case c == 'Z':
		r.out.WriteString(`\z`)
	case c == 'y':
		r.out.WriteString(`\b`)
	case c == 'Y':
		r.out.WriteString(`\B`)
	case c >= '1' && c <= '9':
		return false, refuseRegex("references back")
	case strings.IndexByte("mMB0cxDSW", c) >= 0:
		return false, refuseRegex(`\` + string(c))
	default:
		return false, badRegex("invalid escape \\ sequence")
	}
	return false, nil
}

// bracket reads [...].
func (r *regexReader) bracket() error {
	r.pos++
	if rest := r.s[r.pos:]; strings.HasPrefix(rest, "[:<:]]") || strings.HasPrefix(rest, "[:>:]]") {
		return refuseRegex("[[:<:]]")
	}
	r.out.WriteByte('[')
	if r.more() && r.s[r.pos] == '^' {
		r.out.WriteByte('^')
		r.pos++
	}
	unbalanced := badRegex("brackets [] not balanced")
	quote := func(ch rune) string {
		if ch < 128 && !alnum(byte(ch)) {
			return `\x` + strconv.FormatInt(0x100|int64(ch), 16)[1:]
		}
		return string(ch)
	}
	for first := true; ; first = false {
		if !r.more() {
			return unbalanced
		}
		rest := r.s[r.pos:]
		if rest[0] == ']' && !first {
			r.pos++
			break
		}
		if strings.HasPrefix(rest, "[.") || strings.HasPrefix(rest, "[=") {
			return refuseRegex(rest[:2])
		}
		if strings.HasPrefix(rest, "[:") {
			end := strings.Index(rest, ":]")
			if end < 0 {
				return unbalanced
			}
			class, ok := classNames[rest[2:end]]
			if !ok {
				return badRegex("invalid character class")
			}
			if r.fold && (rest[2:end] == "lower" || rest[2:end] == "upper") {
				class = "A-Za-z"
			}
			r.out.WriteString(class)
			r.pos += end + 2
			if r.more() && r.s[r.pos] == '-' && r.pos+1 < len(r.s) && r.s[r.pos+1] != ']' {
				return badRegex("invalid character range")
			}
			continue
		}
		lo, class, err := r.bracketChar()
		if err != nil {
			return err
		}
		if class != "" {
			r.out.WriteString(class)
			continue
		}
		hi := lo
		if r.pos+1 < len(r.s) && r.s[r.pos] == '-' && r.s[r.pos+1] != ']' {
			r.pos++
			if rest := r.s[r.pos:]; strings.HasPrefix(rest, "[:") || strings.HasPrefix(rest, "[.") || strings.HasPrefix(rest, "[=") {
				return refuseRegex("such a range")
			}
			if hi, class, err = r.bracketChar(); err != nil {
				return err
			}
			if class != "" || hi < lo {
				return badRegex("invalid character range")
			}
		} else if lo == '-' && !first && r.more() && r.s[r.pos] != ']' {
			return badRegex("invalid character range")
		}
		r.out.WriteString(quote(lo))
		if hi != lo {
			r.out.WriteString("-" + quote(hi))
		}
		if r.fold {
			// The other case of those letters that are inside.
			for ch := max(lo, 'A'); ch <= min(hi, 'z'); ch++ {
				if alnum(byte(ch)) {
					r.out.WriteRune(ch ^ 0x20)
				}
			}
		}
	}
	r.out.WriteByte(']')
	return nil
}

func (r *regexReader) bracketChar() (rune, string, error) {
	if r.s[r.pos] != '\\' {
		ch, n := utf8.DecodeRuneInString(r.s[r.pos:])
		r.pos += n
		return ch, "", nil
	}
	if r.pos++; !r.more() {
		return 0, "", badRegex("invalid escape \\ sequence")
	}
	ch, ok, err := r.character()
	if err != nil || ok {
		return ch, "", err
	}
	c := r.s[r.pos]
	if classes[c] == "" {
		if c >= 'A' && c <= 'Z' && classes[c|0x20] != "" {
			return 0, "", refuseRegex(`\` + string(c) + " in brackets")
		}
		return 0, "", badRegex("invalid escape \\ sequence")
	}
	r.pos++
	return 0, classes[c], nil
}

// similarPattern makes of a pattern of SIMILAR TO a regular expression, as similar_to_escape does.
func similarPattern(p, esc string) (string, error) {
	if runes(esc) > 1 {
		e := sqlstate.New(sqlstate.BadEscape, "invalid escape string")
		e.Hint = "Escape string must be empty or one character."
		return "", e
	}
	var b strings.Builder
	b.WriteString("^(?:")
	after, quotes, depth, class := false, 0, 0, 0
	for p != "" {
		_, n := utf8.DecodeRuneInString(p)
		c := p[:n]
		p = p[n:]
		switch {
		case after:
			after = false
			if c == `"` && depth < 1 {
				switch quotes {
				case 0:
					b.WriteString("){1,1}?(")
				case 1:
					b.WriteString("){1,1}(?:")
				default:
					return "", sqlstate.New("2200C", "SQL regular expression may not contain more than two escape-double-quote separators")
				}
				quotes++
				continue
			}
			b.WriteString(`\` + c)
			class = 3
		case c == esc:
			after = true
		case depth > 0:
			if c == `\` {
				b.WriteByte('\\')
			}
			b.WriteString(c)
			switch {
			case c == "]" && class > 2:
				depth--
			case c == "[":
				depth++
				class = 3
			case c == "^":
				class++
			default:
				class = 3
			}
		case c == "[":
			b.WriteString(c)
			depth, class = 1, 1
		case c == "%":
			b.WriteString(".*")
		case c == "_":
			b.WriteByte('.')
		case c == "(":
			b.WriteString("(?:")
		case strings.Contains(`\.^$`, c):
			b.WriteString(`\` + c)
		default:
			b.WriteString(c)
		}
	}
	b.WriteString(")$")
	return b.String(), nil
}

// each calls f for the matches of a pattern, as PostgreSQL finds them: after an empty one it goes on at the next character.
func (p pattern) each(s string, f func(from, to int) bool) {
	for at := 0; at <= len(s); {
		m := p.re.FindStringIndex(s[at:])
		if m == nil {
			return
		}
		from, to := at+m[0], at+m[1]
		if !f(from, to) {
			return
		}
		if at = to; from == to {
			_, n := utf8.DecodeRuneInString(s[at:])
			at += max(n, 1)
		}
	}
}

// anchored tells that a pattern looks at what is before a match, which cutting the text would change.
func (p pattern) anchored() bool {
	s := p.re.String()
	return strings.Contains(s, `\A`) || strings.Contains(s, `\b`) || strings.Contains(s, `\B`)
}
