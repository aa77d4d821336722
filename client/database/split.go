package database

import "strings"

// Split cuts a text of SQL, in the dialect of SQLite, into its statements, without the semicolons between them. A semicolon in a
// string, a name, a comment or the body of a trigger divides nothing. What cannot be understood stays together, for the replicas to
// refuse.
func Split(text string) (statements []string) {
	s := splitter{text: text}
	for s.at < len(text) {
		s.step()
		if s.complete {
			statements = s.cut(statements, s.at-1)
		}
	}
	return s.cut(statements, len(text))
}

type splitter struct {
	text      string
	from, at  int  // of the statement, and what is next
	words     int  // of the statement so far
	create    bool // it begins with CREATE
	temporary bool // CREATE TEMP
	trigger   bool // CREATE TRIGGER
	afterSemi bool // the last word or sign was a semicolon
	end       bool // it was END, behind a semicolon
	something bool // it has more than space and comments
	complete  bool // the last sign was the semicolon behind it
}

// cut ends the statement at a place and begins the next.
func (s *splitter) cut(all []string, to int) []string {
	if s.something {
		all = append(all, strings.Trim(s.text[s.from:to], space))
	}
	*s = splitter{text: s.text, from: s.at, at: s.at}
	return all
}

// step goes past the next sign, word, string or comment.
func (s *splitter) step() {
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--"):
		s.past(rest, 2, "\n")
	case strings.HasPrefix(rest, "/*"):
		s.past(rest, 2, "*/")
	case strings.IndexByte(space, c) >= 0:
		s.at++
	case c == ';':
		s.at++
		s.complete = !s.trigger || s.end
		s.afterSemi, s.end = true, false
	case c == '\'' || c == '"' || c == '`': // doubled inside, it begins another, which makes no difference
		s.past(rest, 1, string(c))
		s.other()
	case c == '[':
		s.past(rest, 1, "]")
		s.other()
	case isWord(c):
		n := 1
		for n < len(rest) && isWord(rest[n]) {
			n++
		}
		s.at += n
		s.word(strings.ToUpper(rest[:n]))
	default:
		s.at++
		s.other()
	}
}

const space = " \t\n\r\f" // as SQLite has it

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// past goes behind the end of what begins here.
func (s *splitter) past(rest string, open int, end string) {
	if i := strings.Index(rest[open:], end); i >= 0 {
		s.at += open + i + len(end)
	} else {
		s.at = len(s.text)
	}
}

func (s *splitter) other() { s.something, s.afterSemi, s.end = true, false, false }

func (s *splitter) word(w string) {
	semi := s.afterSemi
	s.other()
	switch s.words++; {
	case s.words == 1:
		s.create = w == "CREATE"
	case s.words == 2:
		s.temporary = w == "TEMP" || w == "TEMPORARY"
	}
	if s.create && w == "TRIGGER" && (s.words == 2 || s.words == 3 && s.temporary) {
		s.trigger = true
	}
	s.end = w == "END" && semi
}

// Keyword returns the first word of a statement in capitals, "" if it begins with none.
func Keyword(statement string) string {
	s := splitter{text: statement}
	for s.at < len(statement) {
		from := s.at
		if s.step(); s.words == 1 {
			return strings.ToUpper(statement[from:s.at])
		}
		if s.something {
			break
		}
	}
	return ""
}
