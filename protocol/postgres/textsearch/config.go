package textsearch

import (
	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
)

// A Config says which words of a text count, and as what.
type Config uint8

// The configurations.
const (
	Simple  Config = iota // words in lower case
	English               // words without endings, but for stop words
)

// Limits of PostgreSQL's. A longer word of a text is left out, a longer word of a vector or query is an error.
const (
	MaxWord      = 1<<11 - 2 // bytes of a word
	maxWords     = 1<<20 - 1 // bytes that a vector has for words and positions
	maxPosition  = 1<<14 - 1
	maxPositions = 256 // of a word
	maxStemmed   = 1000
)

// lower is the lower case of the locale C.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] |= 0x20
				}
			}
			return string(b)
		}
	}
	return s
}

// lexeme makes a lexeme of a token. A token that is no word has none and no position, a stop word a position only.
func (c Config) lexeme(t Token, w *worker) (lexeme string, counts bool, err error) {
	switch t.Type {
	case Blank, Tag, Protocol, Entity:
		return "", false, nil
	case ASCIIWord, Word, HyphenPart, HyphenASCIIPart, HyphenASCIIWord, HyphenWord:
		if c != English {
			break
		}
		if err := w.do(uint64(64 * len(t.Text))); err != nil {
			return "", false, err
		}
		s := lower(t.Text)
		switch {
		case len(s) > maxStemmed:
			return s, true, nil
		case stopWords()[s]:
			return "", true, nil
		}
		env := snowballstem.NewEnv(s)
		english.Stem(env)
		return env.Current(), true, nil
	}
	return lower(t.Text), true, nil
}

// A found word of a text, with the place of its token among those that count, from 1.
type occurrence struct {
	lexeme string
	at     int
}

// words are the words of a text whose first token that counts has place after+1, and the place of the last one.
func (c Config) words(text string, after int, w *worker) (list []occurrence, last int, err error) {
	s := newScanner(text, w)
	for {
		t, ok, err := s.next()
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			return list, after, nil
		}
		if len(t.Text) > MaxWord {
			continue // with a notice, in PostgreSQL
		}
		lexeme, counts, err := c.lexeme(t, w)
		if err != nil {
			return nil, 0, err
		}
		if !counts {
			continue
		}
		after++
		if lexeme != "" {
			list = append(list, occurrence{lexeme, min(after, maxPosition)})
		}
	}
}
