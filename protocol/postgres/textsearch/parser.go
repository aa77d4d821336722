package textsearch

// A TokenType is what the parser takes a part of a text for, by the number that ts_token_type tells.
type TokenType uint8

// The types of tokens.
const (
	ASCIIWord       TokenType = 1
	Word            TokenType = 2
	NumWord         TokenType = 3
	Email           TokenType = 4
	URL             TokenType = 5
	Host            TokenType = 6
	Scientific      TokenType = 7
	Version         TokenType = 8
	HyphenNumPart   TokenType = 9
	HyphenPart      TokenType = 10
	HyphenASCIIPart TokenType = 11
	Blank           TokenType = 12
	Tag             TokenType = 13
	Protocol        TokenType = 14
	HyphenNumWord   TokenType = 15
	HyphenASCIIWord TokenType = 16
	HyphenWord      TokenType = 17
	URLPath         TokenType = 18
	File            TokenType = 19
	Decimal         TokenType = 20
	SignedInt       TokenType = 21
	UnsignedInt     TokenType = 22
	Entity          TokenType = 23
)

// A Token is a part of a text. Parts of a word with hyphens, of a URL come after it, so that tokens overlap.
type Token struct {
	Type TokenType
	Text string
}

// A class is a set of kinds of bytes.
type class uint16

const (
	letter  class = 1 << iota // of ASCII
	foreign                   // any byte beyond ASCII: part of a letter, in the locale C
	digit
	space
	hex       // digits to the base 16
	stop      // where a blank ends
	urlPath   // of what follows a host
	attribute // of what follows the name of a tag, outside of quotes
	nameMark  // what names of tags and entities have beside letters and digits
	pathMark  // what names of files have beside letters and digits
)

var classes = func() (list [256]class) {
	set := func(c class, bytes string) {
		for i := range len(bytes) {
			list[bytes[i]] |= c
		}
	}
	for i := range list {
		switch c := byte(i); {
		case isLetter(c):
			list[i] = letter | stop | urlPath | attribute
		case isDigit(c):
			list[i] = digit | stop | urlPath | attribute | hex
		case isSpace(c):
			list[i] = space | attribute
		case c >= 0x80:
			list[i] = foreign | stop
		}
	}
	set(hex, "abcdefABCDEF")
	set(stop, "+-/&<")
	set(urlPath, "!#$%&'()*+,-./:;=?@[]_~")
	set(attribute, "#%&-./:=?_~")
	set(nameMark, "-._:")
	set(pathMark, "-_")
	return list
}()

// A scanner finds tokens one after the other.
//
// What begins at a byte is the first of these that is there in full, as long as it can be:
//
//	'<'          a comment, a tag
//	'&'          an entity
//	'+' '-'      a number with a sign
//	'/' '~' '.'  a path
//	a digit or letter
//	             an integer with an exponent, an address, another number but an integer, a protocol, an address that begins
//	             with a word of foreign letters and digits, a path, an integer, words with hyphens, a word
//
// and else it is blank, up to a digit, letter or one of "+-/&<". What stands before that byte has a say only twice: in scripts and
// styles there are but comments, tags and blanks, and a hyphen right after words with hyphens is no sign.
type scanner struct {
	text string
	work *worker
	seen int // bytes that were looked at and are not paid for

	at     int     // where the next token begins
	later  []Token // which come before that
	parts  int     // words with hyphens, and from there to at their parts, end here
	silent bool    // in a script or style
	over   bool    // there are no more tokens

	// What is known of bytes to come, so that they are not read for each token before them.
	names      chain
	dead       int  // a '/' before this begins no path
	noComments bool // none ends
}

const (
	perByte  = 8 // that is looked at
	perToken = 2 // bytes that it costs beside
)

func newScanner(text string, w *worker) *scanner { return &scanner{text: text, work: w, parts: -1} }

// next returns the next token; false at the end.
func (s *scanner) next() (t Token, ok bool, err error) {
	switch {
	case len(s.later) > 0:
		t, s.later = s.later[0], s.later[1:]
	case s.at < len(s.text):
		t = s.token()
	default:
		return Token{}, false, nil
	}
	seen := s.seen + perToken
	s.seen = 0
	return t, !s.over, s.work.do(perByte * uint64(seen))
}

// token finds the token at s.at and goes on behind it, or in it if it has parts.
func (s *scanner) token() Token {
	if s.at < s.parts && s.text[s.at] != '-' {
		return s.part()
	}
	kind, end := Blank, 0
	switch c := s.text[s.at]; {
	case c == '<':
		kind, end = Tag, s.markup(s.at)
	case s.silent:
	case c == '&':
		kind, end = Entity, s.entity(s.at)
	case c == '-' && s.at <= s.parts:
	case c == '+' || c == '-':
		if s.is(s.at+1, digit) {
			kind, end = s.number(s.at)
		}
	case c == '/' || c == '~' || c == '.':
		kind, end = File, s.path(s.at)
	case classes[c]&(letter|foreign|digit) != 0:
		return s.word()
	}
	if end == 0 {
		kind, end = Blank, s.blank(s.at)
	}
	return s.take(kind, end)
}

// take is the token from s.at to its end, and goes on there.
func (s *scanner) take(kind TokenType, end int) Token {
	t := Token{kind, s.text[s.at:end]}
	s.at = end
	return t
}

// blank is the end of a blank.
func (s *scanner) blank(at int) int {
	for at++; at < len(s.text); at++ {
		c := s.text[at]
		if s.silent && c == '<' || !s.silent && classes[c]&stop != 0 {
			break
		}
	}
	s.seen += at - s.at
	return at
}

// span is the end of the bytes of classes, and of which classes they are.
func (s *scanner) span(at int, of class) (end int, found class) {
	for end = at; end < len(s.text) && classes[s.text[end]]&of != 0; end++ {
		found |= classes[s.text[end]]
	}
	s.seen += end - at + 1
	return end, found
}

// is says whether there is a byte of classes at a place.
func (s *scanner) is(at int, of class) bool {
	return at < len(s.text) && classes[s.text[at]]&of != 0
}

// byte is the byte at a place, 0 at the end, which no text has.
func (s *scanner) byte(at int) byte {
	if at < len(s.text) {
		return s.text[at]
	}
	return 0
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isSpace(c byte) bool  { return c == ' ' || c >= '\t' && c <= '\r' }

// Tokens are the parts that a text has, with blanks and all, as ts_parse tells them.
func Tokens(work Work, text string) (list []Token, err error) {
	s := newScanner(text, &worker{work: work})
	for {
		t, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return list, s.work.settle()
		}
		list = append(list, t)
	}
}
