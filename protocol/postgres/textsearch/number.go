package textsearch

// number reads a number: 1, 1.5, 1.2.3, 1.5e-3, and all but 1.2.3 with a sign, too, if a digit follows that. The end is 0 if there is none.
func (s *scanner) number(at int) (kind TokenType, end int) {
	signed := !s.is(at, digit)
	if signed {
		at++
	}
	end, _ = s.span(at, digit)
	if e := s.exponent(end); e > 0 {
		return Scientific, e
	}
	dots := 0
	for ; s.byte(end) == '.' && s.is(end+1, digit); dots++ {
		end, _ = s.span(end+1, digit)
		if dots > 0 {
			continue
		}
		if e := s.exponent(end); e > 0 {
			return Scientific, e
		}
	}
	switch {
	case dots > 1 && signed:
		return 0, 0
	case dots > 1:
		return Version, end
	case dots == 1:
		return Decimal, end
	case signed:
		return SignedInt, end
	}
	return UnsignedInt, end
}

// exponent is the end of an exponent, and 0 if there is none.
func (s *scanner) exponent(at int) int {
	if s.byte(at)|0x20 != 'e' {
		return 0
	}
	at++
	if c := s.byte(at); c == '+' || c == '-' {
		at++
	}
	if !s.is(at, digit) {
		return 0
	}
	end, _ := s.span(at, digit)
	return end
}

// integerExponent is the end of an integer with an exponent, and 0 if there is none.
func (s *scanner) integerExponent(at int) int {
	end, of := s.span(at, digit)
	if of == 0 {
		return 0
	}
	return s.exponent(end)
}
