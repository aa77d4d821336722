package textsearch

import (
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// WeightNamed is the weight of a letter, A to D.
func WeightNamed(letter byte) (int, bool) {
	if c := letter | 0x20; isLetter(letter) && c <= 'd' {
		return int('d' - c), true
	}
	return 0, false
}

// Weigh gives positions a weight: of all lexemes, or if words is not nil of those.
func (v Vector) Weigh(weight int, words []string) Vector {
	out := slices.Clone(v)
	weigh := func(l *Lexeme) {
		l.Positions = slices.Clone(l.Positions)
		for i, p := range l.Positions {
			l.Positions[i] = p.weighing(weight)
		}
	}
	if words == nil {
		for i := range out {
			weigh(&out[i])
		}
	}
	for _, w := range words {
		if at, ok := out.find(w); ok {
			weigh(&out[at])
		}
	}
	return out
}

// Strip is a vector without positions.
func (v Vector) Strip() Vector {
	out := make(Vector, len(v))
	for i := range v {
		out[i].Word = v[i].Word
	}
	return out
}

// Delete is a vector without some words.
func (v Vector) Delete(words []string) Vector {
	gone := map[string]bool{}
	for _, w := range words {
		gone[w] = true
	}
	return slices.DeleteFunc(slices.Clone(v), func(l Lexeme) bool { return gone[l.Word] })
}

// Filter is what of a vector has one of the weights, of which there is a bit each.
func (v Vector) Filter(weights uint8) (out Vector) {
	for _, l := range v {
		at := slices.DeleteFunc(slices.Clone(l.Positions), func(p Position) bool { return weights>>p.Weight()&1 == 0 })
		if len(at) > 0 {
			out = append(out, Lexeme{l.Word, at})
		}
	}
	return out
}

// Words are the words of a vector.
func (v Vector) Words() []string {
	out := make([]string, len(v))
	for i := range v {
		out[i] = v[i].Word
	}
	return out
}

// VectorOf makes a vector of words.
func VectorOf(words []string) (Vector, error) {
	var v Vector
	for _, w := range words {
		if w == "" {
			return nil, sqlstate.New("2200F", "lexeme array may not contain empty strings")
		}
		if len(w) > MaxWord {
			return nil, sqlstate.New(sqlstate.Unsupported, "a word of %d bytes is not supported: at most %d", len(w), MaxWord)
		}
		v = append(v, Lexeme{Word: w})
	}
	slices.SortFunc(v, func(a, b Lexeme) int { return strings.Compare(a.Word, b.Word) })
	v = slices.CompactFunc(v, func(a, b Lexeme) bool { return a.Word == b.Word })
	return v.check()
}

// Concat is a vector of two texts, the second after the first.
func (v Vector) Concat(o Vector) (Vector, error) {
	last := 0
	for i := range v {
		if n := len(v[i].Positions); n > 0 {
			last = max(last, v[i].Positions[n-1].At())
		}
	}
	shift := func(before, after []Position) []Position {
		out := slices.Clip(before)
		for _, p := range after {
			if n := len(out); n >= maxPositions || n > 0 && out[n-1].At() == maxPosition {
				break
			}
			out = append(out, Position(min(p.At()+last, maxPosition)).weighing(p.Weight()))
		}
		return out
	}
	out := make(Vector, 0, len(v)+len(o))
	for len(v) > 0 || len(o) > 0 {
		switch {
		case len(o) == 0 || len(v) > 0 && v[0].Word < o[0].Word:
			out = append(out, v[0])
			v = v[1:]
		case len(v) == 0 || v[0].Word > o[0].Word:
			out = append(out, Lexeme{o[0].Word, shift(nil, o[0].Positions)})
			o = o[1:]
		default:
			out = append(out, Lexeme{v[0].Word, shift(v[0].Positions, o[0].Positions)})
			v, o = v[1:], o[1:]
		}
	}
	return out.check()
}
