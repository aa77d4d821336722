package postgres

import (
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/lex"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// A statement is one of SQL's, as far as a gateway looks into it.
type statement struct {
	sql    string
	offset int // in the text that the client sent, in characters
	tokens []lex.Token
}

// lookTokens is how much of a statement is kept divided into tokens: what a gateway carries out itself is short.
const lookTokens = 256

// split divides a text into statements; what is empty is left out.
func split(text string) (all []*statement) {
	begin, s := -1, &statement{}
	end := func(at int) {
		if begin >= 0 {
			s.sql = text[begin:at]
			s.offset = len([]rune(text[:begin]))
			for i := range s.tokens {
				s.tokens[i].Start -= begin
				s.tokens[i].End -= begin
			}
			all = append(all, s)
		}
		begin, s = -1, &statement{}
	}
	last := 0
	lex.Scan(text, func(t lex.Token) bool {
		if t.Kind == lex.Semicolon {
			end(last)
			return true
		}
		if begin < 0 {
			begin = t.Start
		}
		if len(s.tokens) < lookTokens {
			s.tokens = append(s.tokens, t)
		}
		last = t.End
		return true
	})
	end(last)
	return all
}

// first is the word with which the statement begins, in lower case.
func (s *statement) first() string {
	for _, t := range s.tokens {
		if t.Kind != lex.Open {
			return t.Word
		}
	}
	return ""
}

// reads tells whether the statement may be tried as one that only reads. Replicas refuse it when it does not.
func (s *statement) reads() bool {
	switch s.first() {
	case "select", "values", "table", "with", "explain":
		return true
	}
	return false
}

// A reader reads the tokens of a statement that the gateway carries out.
type reader struct {
	s *statement
	i int
}

func (r *reader) token() (lex.Token, bool) {
	if r.i < len(r.s.tokens) {
		return r.s.tokens[r.i], true
	}
	return lex.Token{}, false
}

func (r *reader) text(t lex.Token) string { return r.s.sql[t.Start:t.End] }

// word takes the next word, if it is one of these.
func (r *reader) word(any ...string) bool {
	t, ok := r.token()
	if !ok || t.Kind != lex.Word {
		return false
	}
	for _, w := range any {
		if t.Word == w {
			r.i++
			return true
		}
	}
	return false
}

// words takes words that must follow each other, or none of them.
func (r *reader) words(all ...string) bool {
	from := r.i
	for _, w := range all {
		if !r.word(w) {
			r.i = from
			return false
		}
	}
	return true
}

// sign takes the next token, if it is this.
func (r *reader) sign(s string) bool {
	if t, ok := r.token(); ok && t.Kind != lex.Quoted && t.Kind != lex.Text && r.text(t) == s {
		r.i++
		return true
	}
	return false
}

// name takes a name, folded as PostgreSQL does.
func (r *reader) name() (string, bool) {
	t, ok := r.token()
	if !ok || t.Kind != lex.Word && t.Kind != lex.Quoted {
		return "", false
	}
	r.i++
	if t.Kind == lex.Word {
		return strings.ToLower(r.text(t)), true
	}
	s := strings.TrimSuffix(r.text(t)[1:], `"`)
	for { // a quoted name with quotes in it comes in parts
		next, ok := r.token()
		if !ok || next.Kind != lex.Quoted || next.Start != r.s.tokens[r.i-1].End {
			return s, true
		}
		s += `"` + strings.TrimSuffix(r.text(next)[1:], `"`)
		r.i++
	}
}

// literal takes a value: a text, a number or a word.
func (r *reader) literal() (string, bool) {
	t, ok := r.token()
	if !ok {
		return "", false
	}
	switch t.Kind {
	case lex.Text:
		r.i++
		return textValue(r.text(t))
	case lex.Word, lex.Quoted:
		return r.name()
	case lex.Number:
		r.i++
		return r.text(t), true
	case lex.Sign:
		if s := r.text(t); s == "-" || s == "+" {
			r.i++
			n, ok := r.token()
			if !ok || n.Kind != lex.Number {
				return "", false
			}
			r.i++
			return strings.TrimPrefix(s, "+") + r.text(n), true
		}
	}
	return "", false
}

// textValue is what a quoted text stands for.
func textValue(s string) (string, bool) {
	switch {
	case strings.HasPrefix(s, "'"):
		if len(s) < 2 || !strings.HasSuffix(s, "'") {
			return "", false
		}
		return strings.ReplaceAll(s[1:len(s)-1], "''", "'"), true
	case strings.HasPrefix(s, "$"):
		n := strings.IndexByte(s[1:], '$') + 2
		if len(s) < 2*n || !strings.HasSuffix(s, s[:n]) {
			return "", false
		}
		return s[n : len(s)-n], true
	case len(s) > 3 && (s[0] == 'e' || s[0] == 'E') && strings.HasSuffix(s, "'"):
		var b strings.Builder
		body := strings.ReplaceAll(s[2:len(s)-1], "''", "'")
		for i := 0; i < len(body); i++ {
			if body[i] != '\\' {
				b.WriteByte(body[i])
				continue
			}
			if i++; i == len(body) {
				return "", false
			}
			plain, ok := map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '\'': '\''}[body[i]]
			if !ok {
				return "", false // octal, hexadecimal and Unicode
			}
			b.WriteByte(plain)
		}
		return b.String(), true
	}
	return "", false
}

// end tells whether all was read.
func (r *reader) end() bool { return r.i >= len(r.s.tokens) }

// syntax is the error at the next token.
func (r *reader) syntax() *sqlError {
	t, ok := r.token()
	if !ok {
		e := newError(sqlstate.SyntaxError, "syntax error at end of input")
		e.position = int32(len([]rune(r.s.sql)) + 1)
		return e
	}
	e := newError(sqlstate.SyntaxError, "syntax error at or near \"%s\"", r.text(t))
	e.position = int32(len([]rune(r.s.sql[:t.Start])) + 1)
	return e
}

// done is nil when all was read.
func (r *reader) done() *sqlError {
	if r.end() {
		return nil
	}
	return r.syntax()
}
