package textsearch

import (
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

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

type state uint8

const (
	stay state = iota // where it is
	base
	inNumWord
	inAsciiWord
	inWord
	inUnsignedInt
	inSignedIntFirst
	inSignedInt
	inSpace
	inUDecimalFirst
	inUDecimal
	inDecimalFirst
	inDecimal
	inVerVersion
	inSVerVersion
	inVersionFirst
	inVersion
	inMantissaFirst
	inMantissaSign
	inMantissa
	inXMLEntityFirst
	inXMLEntity
	inXMLEntityNumFirst
	inXMLEntityNum
	inXMLEntityHexNumFirst
	inXMLEntityHexNum
	inXMLEntityEnd
	inTagFirst
	inXMLBegin
	inTagCloseFirst
	inTagName
	inTagBeginEnd
	inTag
	inTagEscapeK
	inTagEscapeKK
	inTagBackslashed
	inTagEnd
	inCommentFirst
	inCommentLast
	inComment
	inCloseCommentFirst
	inCloseCommentLast
	inCommentEnd
	inHostFirstDomain
	inHostDomainSecond
	inHostDomain
	inPortFirst
	inPort
	inHostFirstAN
	inHost
	inEmail
	inFileFirst
	inFileTwiddle
	inPathFirst
	inPathFirstFirst
	inPathSecond
	inFile
	inFileNext
	inURLPathFirst
	inURLPathStart
	inURLPath
	inFURL
	inProtocolFirst
	inProtocolSecond
	inProtocolEnd
	inHyphenAsciiWordFirst
	inHyphenAsciiWord
	inHyphenWordFirst
	inHyphenWord
	inHyphenNumWordFirst
	inHyphenNumWord
	inHyphenDigitLookahead
	inParseHyphen
	inParseHyphenHyphen
	inHyphenWordPart
	inHyphenAsciiWordPart
	inHyphenNumWordPart
	inHyphenUnsignedInt
	states
)

// A rule says what to do when a character is char or, if that is zero, of a class.
type rule struct {
	is      class
	char    byte
	do      action
	to      state
	token   TokenType
	special special
}

type class uint8

const (
	always class = iota
	atEnd
	asciiLetter
	letter
	digit
	letterOrDigit
	other // neither letter nor digit
	space
	hexDigit
	urlChar
	ignoring   // within <script> or <style>
	hostWanted // which is so once
	host       // a host begins here; it is taken
	path       // a path of a URL begins here; it is taken
)

// An action is what becomes of positions: the machine remembers where it was when it began to try something.
type action uint8

const (
	move      action = 0
	found     action = 1 << 0
	pop       action = 1 << 1 // the attempt failed
	push      action = 1 << 2
	rerun     action = 1 << 3 // without a step
	forget    action = 1 << 4 // the last position that is remembered
	merge     action = 1 << 5 // go on from here as before the attempt
	forgetAll action = 1 << 6
)

type special uint8

const (
	none        special = iota
	tagName             // scripts and styles are ignored up to their end
	hostOfURL           // the URL is found; its host comes next, from its beginning
	partsOfWord         // so do the parts of a word
	again               // the token begins anew
)

// A position is 12 bytes, because a text may make one of each second character.
type position struct {
	at, length int32 // length of the token so far
	size       uint8 // of the character there
	state      state
	rule       uint8 // after a push, where to go on, from 1
}

// workStep is the work of one character that is looked at.
const workStep = 8

// maxNesting bounds attempts within attempts: a host in an address in a host.
const maxNesting = 200

// A scanner finds tokens one after the other.
type scanner struct {
	text    string
	now     position
	before  []position
	work    *worker
	nested  int
	ignored bool
	host    bool
}

func newScanner(text string, w *worker) *scanner {
	return &scanner{text: text, work: w, now: position{state: base}}
}

// next returns the next token; false at the end.
func (s *scanner) next() (t Token, ok bool, err error) {
	if int(s.now.at) >= len(s.text) {
		return t, false, nil
	}
	start := s.now.at
	s.now.rule = 0
	for int(s.now.at) <= len(s.text) {
		if err := s.work.do(workStep); err != nil {
			return t, false, err
		}
		s.now.size = 0
		if int(s.now.at) < len(s.text) {
			_, n := utf8.DecodeRuneInString(s.text[s.now.at:])
			s.now.size = uint8(n)
		}
		rules := machine[s.now.state]
		n := int(s.now.rule)
		s.now.rule = 0
		for {
			holds, err := s.holds(&rules[n])
			if err != nil {
				return t, false, err
			}
			if holds {
				break
			}
			n++
		}
		r := &rules[n]
		s.special(r.special, start)
		if r.do&found != 0 {
			t = Token{r.token, s.text[start : start+s.now.length]}
			s.now.length = 0
		}
		switch {
		case r.do&pop != 0:
			s.now = s.before[len(s.before)-1]
			s.before = s.before[:len(s.before)-1]
		case r.do&push != 0:
			s.now.rule = uint8(n + 1)
			s.before = append(s.before, s.now)
			s.now.rule = 0
		case r.do&forget != 0:
			s.before = s.before[:len(s.before)-1]
		case r.do&forgetAll != 0:
			s.before = s.before[:0]
		case r.do&merge != 0:
			last := &s.before[len(s.before)-1]
			s.now.state, s.now.rule = last.state, last.rule
			s.before = s.before[:len(s.before)-1]
		}
		if r.to != stay {
			s.now.state = r.to
		}
		if r.do&found != 0 {
			return t, true, nil
		}
		if int(s.now.at) >= len(s.text) && r.do&rerun == 0 {
			return t, false, nil
		}
		if r.do&(rerun|pop) == 0 {
			s.now.at += int32(s.now.size)
			s.now.length += int32(s.now.size)
		}
	}
	return t, false, nil
}

func (s *scanner) special(what special, start int32) {
	switch what {
	case tagName:
		if s.now.length > int32(len("</script")) {
			return
		}
		switch lower(s.text[start : start+s.now.length]) {
		case "</script", "</style":
			s.ignored = false
		case "<script", "<style":
			s.ignored = true
		}
	case hostOfURL:
		s.host = true
		s.now.at -= s.now.length
	case partsOfWord:
		s.now.at -= s.now.length
	case again:
		s.now.at -= s.now.length
		s.now.length = 0
	}
}

// holds tells whether a rule is for the character at hand.
func (s *scanner) holds(r *rule) (bool, error) {
	c := byte(0)
	if s.now.size > 0 {
		c = s.text[s.now.at]
	}
	if r.char != 0 {
		return c == r.char, nil
	}
	switch r.is {
	case always:
		return true, nil
	case atEnd:
		return s.now.size == 0, nil
	case asciiLetter:
		return isLetter(c), nil
	case letter:
		return isLetter(c) || c >= 0x80, nil
	case digit:
		return isDigit(c), nil
	case letterOrDigit:
		return isLetter(c) || isDigit(c) || c >= 0x80, nil
	case other:
		return !(isLetter(c) || isDigit(c) || c >= 0x80), nil
	case space:
		return isSpace(c), nil
	case hexDigit:
		return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f', nil
	case urlChar:
		return c > 0x20 && c < 0x7f && strings.IndexByte("\"<>\\^`{|}", c) < 0, nil
	case ignoring:
		return s.ignored, nil
	case hostWanted:
		was := s.host
		s.host = false
		return was, nil
	case host:
		return s.try(base, Host)
	case path:
		return s.try(inURLPathFirst, URLPath)
	}
	panic("no such class of characters")
}

// try looks for a token of a type here, and takes it if there is one.
func (s *scanner) try(from state, want TokenType) (bool, error) {
	if s.nested >= maxNesting {
		return false, sqlstate.New(sqlstate.TooComplex, "text too complex: more than %d addresses within each other", maxNesting)
	}
	in := &scanner{text: s.text[s.now.at:], now: position{state: from}, work: s.work, nested: s.nested + 1, host: from == base}
	if from != base {
		in.before = append(in.before, position{state: base})
	}
	t, ok, err := in.next()
	if err != nil || !ok || t.Type != want {
		return false, err
	}
	s.now.at += int32(len(t.Text))
	s.now.length += int32(len(t.Text))
	s.now.size = in.now.size
	return true, nil
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
