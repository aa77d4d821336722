package textsearch

import (
	"strings"
	"unicode/utf8"
)

// entity is the end of an entity, &amp; or &#38; or &#x26;, and 0 if there is none.
func (s *scanner) entity(at int) int {
	at++
	switch c := s.byte(at); {
	case s.tagName(at):
		at, _ = s.span(at, letter|foreign|digit|nameMark)
	case c != '#':
		return 0
	case s.is(at+1, digit):
		at, _ = s.span(at+1, digit)
	case s.byte(at+1)|0x20 == 'x' && s.is(at+2, hex):
		at, _ = s.span(at+2, hex)
	}
	if s.byte(at) != ';' {
		return 0
	}
	return at + 1
}

// tagName says whether the name of a tag or entity may begin at a place.
func (s *scanner) tagName(at int) bool {
	return s.is(at, letter) || s.byte(at) == '_' || s.byte(at) == ':'
}

// markup is the end of a comment, tag, declaration or instruction, and 0 if there is none. A tag that begins or ends a script or style
// makes the scanner silent or not, even where what follows the name makes it no tag after all.
func (s *scanner) markup(from int) int {
	rest := s.text[from:]
	switch at := from + 1; {
	case strings.HasPrefix(rest, "<!--"):
		if s.noComments {
			return 0
		}
		n := strings.Index(rest[len("<!--"):], "-->")
		if n < 0 {
			s.noComments = true
			s.seen += len(rest)
			return 0
		}
		s.seen += n
		return from + len("<!--") + n + len("-->")
	case strings.HasPrefix(rest, "<?x"):
		return s.attributes(from + 3)
	case len(rest) > 2 && (rest[:3] == "<!d" || rest[:3] == "<!D"):
		return s.attributes(from + 3)
	case s.byte(at) == '/' && s.is(at+1, letter):
		end, _ := s.span(at+1, letter|foreign|digit|nameMark)
		return s.restOfTag(s.text[at+1:end], end, true)
	case s.tagName(at):
		end, _ := s.span(at, letter|foreign|digit|nameMark)
		return s.restOfTag(s.text[at:end], end, false)
	}
	return 0
}

// restOfTag is the end of a tag of this name, which ends at a place, and 0 if it is none.
func (s *scanner) restOfTag(name string, at int, closes bool) int {
	if s.byte(at) == '/' && s.byte(at+1) == '>' {
		return at + 2
	}
	if s.byte(at) != '>' && !s.is(at, space) {
		return 0
	}
	if len(name) <= len("script") {
		if name = lower(name); name == "script" || name == "style" {
			s.silent = !closes
		}
	}
	return s.attributes(at)
}

// attributes is the end of a tag from behind its name, 0 if it has none.
func (s *scanner) attributes(at int) int {
	for {
		at, _ = s.span(at, attribute)
		switch c := s.byte(at); c {
		case '>':
			return at + 1
		case '"', '\'':
			if at = s.quoted(at); at == 0 {
				return 0
			}
		default:
			return 0
		}
	}
}

// quoted is the end of what is in quotes, 0 if it has none. A backslash takes the next character with it, and after that character a
// backslash does not. A text that ends right after the character that was taken has no more tokens.
func (s *scanner) quoted(from int) int {
	for at := from + 1; at < len(s.text); at++ {
		switch s.text[at] {
		case s.text[from]:
			s.seen += at - from
			return at + 1
		case '\\':
			_, n := utf8.DecodeRuneInString(s.text[at+1:])
			if at += n; n > 0 && at+1 == len(s.text) {
				s.over = true
			}
			if s.byte(at+1) == '\\' {
				at++
			}
		}
	}
	s.seen += len(s.text) - from
	return 0
}
