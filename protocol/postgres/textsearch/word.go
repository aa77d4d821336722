package textsearch

import "strings"

// Of ASCII or not.
const anyLetter = letter | foreign

// word finds what begins with a letter or digit.
func (s *scanner) word() Token {
	if end := s.integerExponent(s.at); end > 0 {
		return s.take(Scientific, end)
	}
	if t, ok := s.address(); ok {
		return t
	}
	if s.is(s.at, digit) {
		if kind, end := s.number(s.at); kind != UnsignedInt {
			return s.take(kind, end)
		}
	}
	end, of := s.span(s.at, anyLetter|digit)
	if of&(foreign|digit) == 0 && strings.HasPrefix(s.text[end:], "://") {
		return s.take(Protocol, end+len("://"))
	}
	if e := s.mailAfter(end, of); e > 0 {
		return s.take(Email, e)
	}
	if e := s.pathAfter(end, of); e > 0 {
		return s.take(File, e)
	}
	if of&anyLetter == 0 {
		return s.take(UnsignedInt, end)
	}
	all, last := of, end
	for s.byte(last) == '-' {
		e, of := s.span(last+1, anyLetter|digit)
		if of&anyLetter == 0 {
			break
		}
		all, last = all|of, e
	}
	if last > end {
		s.parts = last // and s.at stays, as the parts come next
		return Token{kindOf(all, HyphenASCIIWord, HyphenWord, HyphenNumWord), s.text[s.at:last]}
	}
	return s.take(kindOf(of, ASCIIWord, Word, NumWord), end)
}

// part finds a part of words with hyphens.
func (s *scanner) part() Token {
	end, of := s.span(s.at, anyLetter|digit)
	return s.take(kindOf(of, HyphenASCIIPart, HyphenPart, HyphenNumPart), end)
}

// kindOf tells words of ASCII letters, of any, and of letters and digits apart.
func kindOf(of class, ascii, word, num TokenType) TokenType {
	switch {
	case of&digit != 0:
		return num
	case of&foreign != 0:
		return word
	}
	return ascii
}
