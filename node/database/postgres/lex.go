package postgres

import (
	"strings"

	"github.com/stratosmesh/stratos/node/database/engine"
)

// The parser is C and recursive where it writes its tree, on a stack whose size is the machine's. So a statement is measured before
// it is parsed: words, and an upper bound of how deep its tree can be.
const maxDepth = 2_000

// measure counts the words of a statement, and refuses what may be too deep. Trees grow deeper by words that no comma, AND or OR
// parts; those and the words that join whole clauses (JOIN, UNION, CASE) add up, on each level of parentheses.
func measure(sql string) (words int, err *engine.Error) {
	if strings.IndexByte(sql, 0) >= 0 {
		return 0, fail("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	type level struct{ soft, hard int }
	levels := []level{{}}
	below := 0 // the depth of the levels around
	scan(sql, func(kind byte, text string) bool {
		words++
		top := &levels[len(levels)-1]
		switch {
		case kind == '(':
			below += top.soft + top.hard + 1
			levels = append(levels, level{})
		case kind == ')':
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
				top = &levels[len(levels)-1]
				below -= top.soft + top.hard + 1
				top.soft++
			}
		case kind == ',' || kind == 'w' && (text == "and" || text == "or"):
			top.soft = 0
		case kind == 'w' && joins[text]:
			top.hard++
			top.soft++
		default:
			top.soft++
		}
		if below+top.soft+top.hard > maxDepth {
			err = fail("54001", "statement too complex: nested or chained deeper than %d", maxDepth)
		}
		return err == nil
	})
	return words, err
}

// joins are words by which clauses nest or chain without parentheses.
var joins = map[string]bool{"union": true, "intersect": true, "except": true, "join": true, "case": true, "select": true, "not": true, "with": true,
	"when": true, "else": true, "on": true, "then": true}

// scan calls f with each token: w a word (in lower case), q a quoted name, s a text, n a number, p a parameter, o an operator or sign, and
// parentheses, brackets and commas as themselves. It divides as PostgreSQL does where that decides what is a token.
func scan(sql string, f func(kind byte, text string) bool) {
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
		case c == ',':
			kind = ','
			i++
		default:
			i++
		}
		i = min(i, len(sql))
		if !f(kind, text) {
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
