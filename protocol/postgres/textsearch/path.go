package textsearch

// path is the end of a path that begins with '/', "./", "../" or '~', or of "..", and 0 if there is none.
func (s *scanner) path(at int) int {
	switch {
	case s.text[at] == '/':
		at = s.step(at)
	case s.text[at] == '~' && s.fileName(at+1):
		at += 2
	case s.text[at] == '.' && s.up(at):
		at += 2
	case s.byte(at+1) == '/':
		at = s.step(at + 1)
	default:
		return 0
	}
	if at == 0 {
		return 0
	}
	return s.restOfPath(at)
}

// pathAfter is the end of a path that begins with a word of these classes before a place, and 0 if that begins none. An integer begins one
// with '/' only, a word with foreign letters only if it has digits.
func (s *scanner) pathAfter(at int, of class) int {
	if of&foreign != 0 && of&digit == 0 {
		return 0
	}
	switch s.byte(at) {
	case '.':
		if of&anyLetter == 0 || !s.fileName(at+1) {
			return 0
		}
	case '/':
		if s.step(at) == 0 {
			return 0
		}
	default:
		return 0
	}
	return s.restOfPath(at)
}

// restOfPath is the end of a path that may end at a place in a name or behind one.
func (s *scanner) restOfPath(at int) int {
	for {
		at, _ = s.span(at, letter|digit|pathMark)
		switch {
		case s.byte(at) == '.' && s.fileName(at+1):
			at += 2
		case s.byte(at) == '/':
			end := s.step(at)
			if end == 0 {
				return at
			}
			at = end
		default:
			return at
		}
	}
}

// step goes from a '/' into the next name, over any "/." and "/~", or behind "..". It is 0 where there is neither.
func (s *scanner) step(at int) int {
	if at < s.dead {
		return 0
	}
	for {
		s.seen += 3
		switch c := s.byte(at + 1); {
		case s.fileName(at + 1):
			return at + 2
		case c == '.' && s.up(at+1):
			return at + 3
		case c != '.' && c != '~':
		case s.fileName(at + 2):
			return at + 3
		case s.byte(at+2) == '/':
			at += 2
			continue
		}
		s.dead = at + 1
		return 0
	}
}

// fileName says whether the name of a file may begin at a place.
func (s *scanner) fileName(at int) bool { return s.is(at, letter|digit) || s.byte(at) == '_' }

// up says whether there is ".." and its end, or a '/'.
func (s *scanner) up(at int) bool {
	return s.byte(at+1) == '.' && s.byte(at) == '.' && (at+2 == len(s.text) || s.text[at+2] == '/' || s.is(at+2, space))
}
