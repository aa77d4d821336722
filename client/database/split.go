package database

import (
	"iter"
	"strings"

	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres/lex"
)

// Split divides a text of SQL of a dialect into its statements, without the semicolons between them. A semicolon in a string, a name or
// a comment divides nothing, nor does one in the body of one of SQLite's triggers. What cannot be understood stays together, for the
// replicas to refuse.
func Split(dialect, text string) []string {
	statements, rest := Cut(dialect, text)
	if rest != "" {
		statements = append(statements, rest)
	}
	return statements
}

// Cut is Split for a text that may go on: rest is the statement that no semicolon ends yet, empty if there is none.
func Cut(dialect, text string) (statements []string, rest string) {
	if dialect == wiredatabase.Postgres {
		return cutPostgres(text)
	}
	s := splitter{text: text}
	for s.at < len(text) {
		s.step()
		if s.complete {
			statements = s.cut(statements, s.at-1)
		}
	}
	if last := s.cut(nil, len(text)); last != nil {
		rest = last[0]
	}
	return statements, rest
}

func cutPostgres(text string) (statements []string, rest string) {
	from, end := -1, 0
	lex.Scan(text, func(t lex.Token) bool {
		switch {
		case t.Kind != lex.Semicolon:
			if end = t.End; from < 0 {
				from = t.Start
			}
		case from >= 0:
			statements = append(statements, text[from:end])
			from = -1
		}
		return true
	})
	if from >= 0 {
		rest = text[from:end]
	}
	return statements, rest
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

// Parameters gives the parameters of a statement in the dialect of SQLite, in order and as often as they stand there: ?, ?3, :name, @name
// or $name.
func Parameters(statement string) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := splitter{text: statement}
		for s.at < len(statement) {
			from, c := s.at, statement[s.at]
			if strings.IndexByte("?:@$", c) < 0 {
				s.step()
				continue
			}
			for s.at++; s.at < len(statement) && isWord(statement[s.at]) && (c != '?' || statement[s.at] >= '0' && statement[s.at] <= '9'); s.at++ {
			}
			if p := statement[from:s.at]; (c == '?' || len(p) > 1) && !yield(p) {
				return
			}
		}
	}
}
