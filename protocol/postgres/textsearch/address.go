package textsearch

// A chain is letters and digits of ASCII with single dots, hyphens and underscores between them: what hosts and the names
// before an @ are made of. From any letter or digit in it to its end there is one that ends alike.
type chain struct {
	from, end int
	dot       int // the last that stands before a top-level domain, from if none
	host      int // where that domain ends, with its port
	mail      int // where an email address ends whose name ends with the chain, 0 if there is none
}

// chain reads the chain at a letter or digit of ASCII, without mail.
func (s *scanner) chain(at int) chain {
	c := chain{from: at, dot: at}
	for {
		end, of := s.span(at, letter|digit)
		if at > c.from && s.text[at-1] == '.' && of&digit == 0 && end-at >= 2 {
			c.dot, c.host = at-1, end
		}
		c.end = end
		if b := s.byte(end); b != '.' && b != '-' && b != '_' || !s.is(end+1, letter|digit) {
			break
		}
		at = end + 1
	}
	if c.host > 0 && s.byte(c.host) == ':' && s.is(c.host+1, digit) {
		c.host, _ = s.span(c.host+1, digit)
	}
	return c
}

// address finds a host, an email address or a URL, which has a host and path for parts.
func (s *scanner) address() (t Token, ok bool) {
	if !s.is(s.at, letter|digit) {
		return t, false
	}
	if s.at >= s.names.end {
		s.names = s.chain(s.at)
		s.names.mail = s.hostOfMail(s.names.end)
	}
	if s.names.mail > 0 {
		return s.take(Email, s.names.mail), true
	}
	if s.at >= s.names.dot {
		return t, false
	}
	host, from := s.names.host, s.at
	if s.byte(host) == '/' {
		if end, _ := s.span(host+1, urlPath); end > host+1 {
			s.later = []Token{{Host, s.text[from:host]}, {URLPath, s.text[host:end]}}
			return s.take(URL, end), true
		}
	}
	return s.take(Host, host), true
}

// hostOfMail is the end of an @ and a host, and 0 if they are not there.
func (s *scanner) hostOfMail(at int) int {
	if s.byte(at) != '@' || !s.is(at+1, letter|digit) || s.integerExponent(at+1) > 0 {
		return 0
	}
	return s.chain(at + 1).host
}

// mailAfter is the end of an email address that begins with a word of these classes before a place, and 0 if that begins none. Such a word
// may have letters beyond ASCII, but only where it has digits too.
func (s *scanner) mailAfter(at int, of class) int {
	if of&foreign == 0 || of&digit == 0 {
		return 0
	}
	return s.hostOfMail(at)
}
