package textsearch

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// A Position is where a word stands, from 1, in its lower 14 bits, and the word's weight there above them: 0 for D to 3 for A.
type Position uint16

// At is the place.
func (p Position) At() int { return int(p & maxPosition) }

// Weight is 0 to 3.
func (p Position) Weight() int { return int(p >> 14) }

func (p Position) weighing(w int) Position { return p&maxPosition | Position(w)<<14 }

// A Lexeme is a word of a vector. Without positions it stands anywhere.
type Lexeme struct {
	Word      string
	Positions []Position // rising
}

// A Vector is a value of tsvector: lexemes by the bytes of their words, each once.
type Vector []Lexeme

// size is what PostgreSQL's words and positions take.
func (v Vector) size() (n int) {
	for i := range v {
		n += len(v[i].Word)
		if p := len(v[i].Positions); p > 0 {
			n += n&1 + 2 + 2*p
		}
	}
	return n
}

func (v Vector) check() (Vector, error) {
	if n := v.size(); n > maxWords {
		return nil, sqlstate.New(sqlstate.LimitExceeded, "string is too long for tsvector (%d bytes, max %d bytes)", n, maxWords)
	}
	return v, nil
}

// find is where a word is, or would be.
func (v Vector) find(word string) (int, bool) {
	return slices.BinarySearchFunc(v, word, func(l Lexeme, w string) int { return strings.Compare(l.Word, w) })
}

// Vector makes a vector of a text.
func (c Config) Vector(work Work, text string) (Vector, error) {
	return c.Vectors(work, []string{text})
}

// Vectors makes one vector of several texts, the words of which do not stand side by side: as of the values of a JSON document.
func (c Config) Vectors(work Work, texts []string) (Vector, error) {
	w := &worker{work: work}
	var all []occurrence
	at := 0
	for _, t := range texts {
		list, last, err := c.words(t, at, w)
		if err != nil {
			return nil, err
		}
		if at = last; len(list) > 0 {
			at++
		}
		all = append(all, list...)
	}
	if err := w.do(sortWork(len(all))); err != nil {
		return nil, err
	}
	if err := w.settle(); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b occurrence) int {
		return cmp.Or(strings.Compare(a.lexeme, b.lexeme), a.at-b.at)
	})
	var v Vector
	for _, o := range all {
		if n := len(v) - 1; n >= 0 && v[n].Word == o.lexeme {
			p := v[n].Positions
			if last := p[len(p)-1].At(); len(p) < maxPositions-1 && last != maxPosition && last != o.at {
				v[n].Positions = append(p, Position(o.at))
			}
			continue
		}
		v = append(v, Lexeme{o.lexeme, []Position{Position(o.at)}})
	}
	return v.check()
}

// sortWork is the work of sorting n words.
func sortWork(n int) uint64 { return uint64(n) * 64 }

// A wordReader reads words as tsvector and tsquery write them.
type wordReader struct {
	whole, rest string
	query       bool // operators end a word
	web         bool // a word is as it stands
}

func (r *wordReader) syntax() error {
	kind := "tsvector"
	if r.query {
		kind = "tsquery"
	}
	return sqlstate.New(sqlstate.SyntaxError, "syntax error in %s: \"%s\"", kind, r.whole)
}

func isOperator(c byte) bool {
	return c == '!' || c == '<' || c == '&' || c == '|' || c == '(' || c == ')'
}

// word reads the next word, and its positions in a vector; false at the end.
func (r *wordReader) word() (word string, at []Position, ok bool, err error) {
	for r.rest != "" && isSpace(r.rest[0]) {
		r.rest = r.rest[1:]
	}
	if r.rest == "" {
		return "", nil, false, nil
	}
	var b strings.Builder
	quoted := !r.web && r.rest[0] == '\''
	if quoted {
		r.rest = r.rest[1:]
	} else if r.query && isOperator(r.rest[0]) || r.web && r.rest[0] == '"' {
		return "", nil, false, r.syntax()
	}
	colon := false
	for first := !quoted; ; first = false {
		if r.rest == "" {
			if quoted {
				return "", nil, false, r.syntax()
			}
			break
		}
		c := r.rest[0]
		if !quoted && !first {
			// The first character is part of the word, whatever it is.
			if isSpace(c) || r.query && isOperator(c) || r.web && c == '"' {
				break
			}
			if c == ':' {
				colon = true
				break
			}
		}
		if !r.web && c == '\\' {
			r.rest = r.rest[1:]
			if r.rest == "" {
				return "", nil, false, sqlstate.New(sqlstate.SyntaxError, "there is no escaped character: \"%s\"", r.whole)
			}
		} else if quoted && c == '\'' {
			r.rest = r.rest[1:]
			if r.rest == "" || r.rest[0] != '\'' {
				colon = r.rest != "" && r.rest[0] == ':'
				break
			}
		}
		_, n := utf8.DecodeRuneInString(r.rest)
		b.WriteString(r.rest[:n])
		r.rest = r.rest[n:]
	}
	if b.Len() == 0 {
		return "", nil, false, r.syntax()
	}
	if colon && !r.query {
		r.rest = r.rest[1:]
		if at, err = r.positions(); err != nil {
			return "", nil, false, err
		}
	}
	return b.String(), at, true, nil
}

// positions reads 1,2A,3b.
func (r *wordReader) positions() (list []Position, err error) {
	for {
		if r.rest == "" || !isDigit(r.rest[0]) {
			return nil, r.syntax()
		}
		p := Position(min(atoi(r.rest), maxPosition)) & maxPosition
		if p == 0 {
			return nil, sqlstate.New(sqlstate.SyntaxError, "wrong position info in tsvector: \"%s\"", r.whole)
		}
		more := false
		for r.rest != "" && !more {
			c := r.rest[0]
			switch {
			case c == ',':
				more = true
			case c == '*' || c|0x20 >= 'a' && c|0x20 <= 'd' && isLetter(c):
				if p.Weight() != 0 {
					return nil, r.syntax()
				}
				w := 3
				if c != '*' {
					w = 3 - int(c|0x20-'a')
				}
				p = p.weighing(w)
			case isSpace(c):
				return append(list, p), nil
			case !isDigit(c):
				return nil, r.syntax()
			}
			r.rest = r.rest[1:]
		}
		list = append(list, p)
		if !more {
			return list, nil
		}
	}
}

// atoi is C's, with what it gives for numbers that are too large.
func atoi(s string) int {
	n := int64(0)
	for i := 0; i < len(s) && isDigit(s[i]); i++ {
		if n > (1<<63-1-9)/10 {
			n = 1<<63 - 1
			break
		}
		n = n*10 + int64(s[i]-'0')
	}
	return int(int32(n))
}

// ParseVector reads the text of a tsvector.
func ParseVector(s string) (Vector, error) {
	r := &wordReader{whole: s, rest: s}
	var v Vector
	total := 0
	for {
		word, at, ok, err := r.word()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if len(word) > MaxWord {
			return nil, sqlstate.New(sqlstate.LimitExceeded, "word is too long (%d bytes, max %d bytes)", len(word), MaxWord)
		}
		if total > maxWords {
			return nil, sqlstate.New(sqlstate.LimitExceeded, "string is too long for tsvector (%d bytes, max %d bytes)", total, maxWords)
		}
		total += len(word)
		v = append(v, Lexeme{word, at})
	}
	return v.sorted().check()
}

// sorted puts lexemes in order and joins those of the same word.
func (v Vector) sorted() Vector {
	inOrder := true
	for i := 1; i < len(v); i++ {
		inOrder = inOrder && v[i-1].Word < v[i].Word
	}
	if !inOrder {
		slices.SortStableFunc(v, func(a, b Lexeme) int { return strings.Compare(a.Word, b.Word) })
	}
	out := v[:0]
	for _, l := range v {
		if n := len(out) - 1; n >= 0 && out[n].Word == l.Word {
			out[n].Positions = append(out[n].Positions, l.Positions...)
			continue
		}
		out = append(out, l)
	}
	for i := range out {
		out[i].Positions = uniquePositions(out[i].Positions)
	}
	return out
}

// uniquePositions sorts, keeps the higher of two weights, and no more than there may be.
func uniquePositions(list []Position) []Position {
	if len(list) < 2 {
		return list
	}
	sortAsC(list, func(a, b Position) int { return a.At() - b.At() })
	out := list[:1]
	for _, p := range list[1:] {
		last := &out[len(out)-1]
		if p.At() == last.At() {
			*last = last.weighing(max(last.Weight(), p.Weight()))
			continue
		}
		if out = append(out, p); len(out) >= maxPositions || p.At() == maxPosition {
			break
		}
	}
	return out
}

// appendQuoted writes a word as tsvector and tsquery show it.
func appendQuoted(b []byte, word string) []byte {
	b = append(b, '\'')
	for i := 0; i < len(word); i++ {
		if c := word[i]; c == '\'' || c == '\\' {
			b = append(b, c)
		}
		b = append(b, word[i])
	}
	return append(b, '\'')
}

// String is PostgreSQL's text.
func (v Vector) String() string {
	var b []byte
	for i, l := range v {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendQuoted(b, l.Word)
		for i, p := range l.Positions {
			if b = append(b, ','); i == 0 {
				b[len(b)-1] = ':'
			}
			if b = strconv.AppendInt(b, int64(p.At()), 10); p.Weight() > 0 {
				b = append(b, "DCBA"[p.Weight()])
			}
		}
	}
	return string(b)
}

// Compare is PostgreSQL's order, which is of sizes first.
func (v Vector) Compare(o Vector) int {
	if c := cmp.Or(4*len(v)+v.size()-4*len(o)-o.size(), len(v)-len(o)); c != 0 {
		return c
	}
	for i := range v {
		a, b := &v[i], &o[i]
		if (len(a.Positions) > 0) != (len(b.Positions) > 0) {
			return len(b.Positions) - len(a.Positions)
		}
		if c := cmp.Or(strings.Compare(a.Word, b.Word), len(b.Positions)-len(a.Positions)); c != 0 {
			return c
		}
		for j, p := range a.Positions {
			if c := cmp.Or(b.Positions[j].At()-p.At(), b.Positions[j].Weight()-p.Weight()); c != 0 {
				return c
			}
		}
	}
	return 0
}
