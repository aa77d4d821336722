// Package lex divides SQL, as PostgreSQL writes it, into tokens: enough to tell statements apart and to see how much they are, without
// a parser's work. It knows no grammar.
package lex

import "strings"

// Kinds of tokens. Brackets count as parentheses.
const (
	Word      = 'w'
	Quoted    = 'q' // name
	Text      = 's'
	Number    = 'n'
	Parameter = 'p'
	Open      = '('
	Close     = ')'
	Comma     = ','
	Semicolon = ';'
	Sign      = 'o' // or an operator's part
)

// A Token is what SQL is made of.
type Token struct {
	Kind       byte
	Word       string // in lower case, of a word of at most 16 bytes; those that mean something are shorter
	Start, End int    // in the text
}

// Scan calls f with each token until it returns false. It divides as PostgreSQL does where that decides what is a token; what does not
// end goes to the text's end.
func Scan(sql string, f func(Token) bool) {
	for i := 0; i < len(sql); {
		from, c := i, sql[i]
		kind, text := byte('o'), ""
		switch {
		case c == ' ' || c >= '\t' && c <= '\r':
			i++
			continue
		case strings.HasPrefix(sql[i:], "--"):
			if n := strings.IndexAny(sql[i:], "\n\r"); n >= 0 {
				i += n + 1
			} else {
				i = len(sql)
			}
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			i = comment(sql, i)
			continue
		case c == '\'':
			kind, i = 's', endOfText(sql, i+1, false)
		case (c == 'e' || c == 'E') && strings.HasPrefix(sql[i+1:], "'"):
			kind, i = 's', endOfText(sql, i+2, true)
		case strings.IndexByte("bBxXnN", c) >= 0 && strings.HasPrefix(sql[i+1:], "'"):
			kind, i = 's', endOfText(sql, i+2, false)
		case c == '"':
			kind, i = 'q', i+1
			for i < len(sql) && sql[i] != '"' {
				i++
			}
			i++
		case c == '$':
			kind, i = dollar(sql, i)
		case letter(c):
			for i < len(sql) && (letter(sql[i]) || sql[i] >= '0' && sql[i] <= '9' || sql[i] == '$') {
				i++
			}
			if kind = 'w'; i-from <= 16 {
				text = strings.ToLower(sql[from:i])
			}
		case c >= '0' && c <= '9' || c == '.' && i+1 < len(sql) && sql[i+1] >= '0' && sql[i+1] <= '9':
			kind = 'n'
			for i < len(sql) && (letter(sql[i]) || sql[i] >= '0' && sql[i] <= '9' || sql[i] == '.') {
				i++
			}
		case c == '(' || c == '[':
			kind = '('
			i++
		case c == ')' || c == ']':
			kind = ')'
			i++
		case c == ',' || c == ';':
			kind = c
			i++
		default:
			i++
		}
		i = min(i, len(sql))
		if !f(Token{kind, text, from, i}) {
			return
		}
	}
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func comment(sql string, i int) int {
	depth := 0
	for i < len(sql) {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(sql[i:], "*/"):
			i += 2
			if depth--; depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return i
}

// endOfText returns where the text ends whose first byte is at i.
func endOfText(sql string, i int, escapes bool) int {
	for i < len(sql) {
		switch {
		case escapes && sql[i] == '\\':
			i += 2
		case sql[i] != '\'':
			i++
		case strings.HasPrefix(sql[i:], "''"):
			i += 2
		default:
			return i + 1
		}
	}
	return i
}

// dollar reads $1 or $tag$text$tag$.
func dollar(sql string, i int) (kind byte, end int) {
	j := i + 1
	if j < len(sql) && sql[j] >= '0' && sql[j] <= '9' {
		for j < len(sql) && sql[j] >= '0' && sql[j] <= '9' {
			j++
		}
		return 'p', j
	}
	for j < len(sql) && (letter(sql[j]) || j > i+1 && sql[j] >= '0' && sql[j] <= '9') {
		j++
	}
	if j >= len(sql) || sql[j] != '$' {
		return 'o', i + 1
	}
	tag := sql[i : j+1]
	if n := strings.Index(sql[j+1:], tag); n >= 0 {
		return 's', j + 1 + n + len(tag)
	}
	return 's', len(sql)
}
