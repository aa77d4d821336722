package engine

import "strings"

type tokenKind uint8

const (
	tokenWord   tokenKind = iota // a keyword, or a name without quotes
	tokenQuoted                  // a name in quotes, or a text, which SQLite takes for a name where it wants one
	tokenEnd                     // ;
	tokenOther
)

// tokens calls f with each token of sql as SQLite divides it, and where it begins, until f returns false. Words are in
// lower case. It need not know what SQLite refuses anyway.
func tokens(sql string, f func(kind tokenKind, text string, at int) bool) {
	for i := 0; i < len(sql); {
		from, ch := i, sql[i]
		kind, text := tokenOther, ""
		switch {
		case ch == ' ' || ch >= '\t' && ch <= '\r':
			i++
			continue
		case strings.HasPrefix(sql[i:], "--"):
			if n := strings.IndexByte(sql[i:], '\n'); n >= 0 {
				i += n + 1
			} else {
				i = len(sql)
			}
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			if n := strings.Index(sql[i+2:], "*/"); n >= 0 {
				i += n + 4
			} else {
				i = len(sql)
			}
			continue
		case ch == '\'' || ch == '"' || ch == '`' || ch == '[':
			kind = tokenQuoted
			text, i = quoted(sql, i)
		case wordByte(ch) && (ch < '0' || ch > '9') && ch != '$':
			for i < len(sql) && wordByte(sql[i]) {
				i++
			}
			kind, text = tokenWord, lowerASCII(sql[from:i])
			if (text == "x") && i < len(sql) && sql[i] == '\'' { // a blob
				kind = tokenOther
				_, i = quoted(sql, i)
			}
		case wordByte(ch) || ch == '?' || ch == '@' || ch == ':' || ch == '#':
			for i++; i < len(sql) && wordByte(sql[i]); {
				i++
			}
		case ch == ';':
			kind = tokenEnd
			i++
		default:
			i++
		}
		if !f(kind, text, from) {
			return
		}
	}
}

func quoted(sql string, i int) (text string, end int) {
	quote := sql[i]
	if quote == '[' {
		if n := strings.IndexByte(sql[i:], ']'); n >= 0 {
			return lowerASCII(sql[i+1 : i+n]), i + n + 1
		}
		return "", len(sql)
	}
	from := i + 1
	for i++; i < len(sql); i++ {
		if sql[i] != quote {
			continue
		}
		if i+1 < len(sql) && sql[i+1] == quote {
			i++
			continue
		}
		text = sql[from:i]
		if len(text) <= 256 { // as a name; a longer text is none that matters
			text = lowerASCII(strings.ReplaceAll(text, string([]byte{quote, quote}), string(quote)))
		}
		return text, i + 1
	}
	return "", len(sql)
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// lowerASCII folds as SQLite folds names.
func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// refused are statements that SQLite knows and a program may not hold, by their first keyword.
var refused = map[string]bool{"begin": true, "commit": true, "end": true, "rollback": true, "savepoint": true, "release": true, "vacuum": true,
	"analyze": true, "reindex": true, "attach": true, "detach": true, "pragma": true, "explain": true}

// check looks at one statement before SQLite does. It returns its first keyword and how many tokens it has, each counted
// by weight, which says how many a view or a table stands for.
func check(sql string, weight func(name string) int) (first string, count int, code, text string) {
	tokens(sql, func(kind tokenKind, t string, _ int) bool {
		if kind == tokenEnd && first == "" {
			return true
		}
		if kind == tokenWord && t == "rollback" {
			// By this word alone can a conflict, or RAISE, undo the block that the program is a part of.
			code, text = codeRefused, "ROLLBACK is refused, also as a conflict clause; as a name, put it in quotes"
			return false
		}
		if first == "" {
			if first = t; kind != tokenWord {
				first = "?"
			}
			if refused[first] {
				code, text = codeRefused, strings.ToUpper(first)+" is refused"
				return false
			}
		}
		if kind == tokenWord || kind == tokenQuoted {
			count = min(count+weight(t), 1<<30)
		} else {
			count++
		}
		return true
	})
	if code == "" && first == "" || strings.IndexByte(sql, 0) >= 0 { // SQLite reads no further than to a zero byte
		code, text = codeSyntax, "no statement, or a zero byte in it"
	}
	return first, count, code, text
}

// empty tells whether there is nothing in sql but blanks, comments and semicolons.
func empty(sql string) bool {
	empty := true
	tokens(sql, func(kind tokenKind, _ string, _ int) bool {
		empty = kind == tokenEnd
		return empty
	})
	return empty
}
