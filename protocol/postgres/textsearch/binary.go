package textsearch

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// The binary formats are those of PostgreSQL's send and receive functions, in network byte order.
//
//	tsvector: uint32 lexemes; each: word, 0, uint16 positions, each uint16
//	tsquery:  uint32 items; each: 1, weights, prefix, word, 0; or 2, operator, and uint16 distance of a phrase

const (
	itemWord     = 1
	itemOperator = 2
)

// Binary is the format of a tsvector.
func (v Vector) Binary() []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, uint32(len(v)))
	for _, l := range v {
		b = append(append(b, l.Word...), 0)
		b = be.AppendUint16(b, uint16(len(l.Positions)))
		for _, p := range l.Positions {
			b = be.AppendUint16(b, uint16(p))
		}
	}
	return b
}

// Binary is the format of a tsquery.
func (q Query) Binary() []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, uint32(len(q)))
	for _, i := range q {
		switch i.Operator {
		case 0:
			prefix := byte(0)
			if i.Prefix {
				prefix = 1
			}
			b = append(append(append(b, itemWord, i.Weights, prefix), i.Word...), 0)
		case Phrase:
			b = be.AppendUint16(append(b, itemOperator, byte(i.Operator)), uint16(i.Distance))
		default:
			b = append(b, itemOperator, byte(i.Operator))
		}
	}
	return b
}

// A decoder takes a message apart; once it has failed it gives zeros.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(code, text string) {
	if d.err == nil {
		d.err = sqlstate.New(code, "%s", text)
	}
}

func (d *decoder) take(n int) []byte {
	if d.err == nil && len(d.rest) < n {
		d.fail("08P01", "insufficient data left in message")
	}
	if d.err != nil {
		return make([]byte, n)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) word() string {
	if d.err != nil {
		return ""
	}
	n := bytes.IndexByte(d.rest, 0)
	if n < 0 {
		d.fail("08P01", "invalid string in message")
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n+1:]
	switch {
	case !utf8.ValidString(s):
		d.fail(sqlstate.NotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
	case s == "":
		d.fail(sqlstate.Unsupported, "a word without letters is not supported")
	}
	return s
}

func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail(sqlstate.BadBinary, "incorrect binary data format")
	}
	return d.err
}

// DecodeVector reads the binary format of a tsvector.
func DecodeVector(b []byte) (Vector, error) {
	d := &decoder{rest: b}
	be := binary.BigEndian
	n := be.Uint32(d.take(4))
	if n > 1<<28-1 {
		d.fail(sqlstate.Internal, "invalid size of tsvector")
	}
	var v Vector
	size := 0
	for range n {
		l := Lexeme{Word: d.word()}
		count := int(be.Uint16(d.take(2)))
		switch {
		case len(l.Word) > MaxWord+1:
			d.fail(sqlstate.Internal, "invalid tsvector: lexeme too long")
		case size > maxWords:
			d.fail(sqlstate.Internal, "invalid tsvector: maximum total lexeme length exceeded")
		case count > maxPositions:
			d.fail(sqlstate.Internal, "unexpected number of tsvector positions")
		}
		if d.err != nil {
			return nil, d.err
		}
		for range count {
			p := Position(be.Uint16(d.take(2)))
			switch last := len(l.Positions) - 1; {
			case last >= 0 && p.At() <= l.Positions[last].At():
				d.fail(sqlstate.Internal, "position information is misordered")
			case p.At() == 0:
				d.fail(sqlstate.Unsupported, "a position of zero is not supported")
			}
			l.Positions = append(l.Positions, p)
		}
		size += len(l.Word) + 2*count + 2
		v = append(v, l)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	slices.SortFunc(v, func(a, b Lexeme) int { return strings.Compare(a.Word, b.Word) })
	for i := 1; i < len(v); i++ {
		if v[i].Word == v[i-1].Word {
			return nil, sqlstate.New(sqlstate.Unsupported, "a tsvector that has a word twice is not supported")
		}
	}
	return v.check()
}

// DecodeQuery reads the binary format of a tsquery.
func DecodeQuery(b []byte) (Query, error) {
	d := &decoder{rest: b}
	be := binary.BigEndian
	n := be.Uint32(d.take(4))
	if n > MaxItems {
		d.err = tooComplex("words and operators", MaxItems)
	}
	var q Query
	size := 0
	for i := range n {
		if d.err != nil {
			return nil, d.err
		}
		switch kind := d.take(1)[0]; kind {
		case itemWord:
			head := d.take(2)
			i := Item{Weights: head[0], Prefix: head[1] != 0, Word: d.word()}
			switch {
			case i.Weights > 15:
				d.fail(sqlstate.Internal, "invalid tsquery: invalid weight bitmap")
			case len(i.Word) > MaxWord+1:
				d.fail(sqlstate.Internal, "invalid tsquery: operand too long")
			case size > maxWords:
				d.fail(sqlstate.Internal, "invalid tsquery: total operand length exceeded")
			}
			size += len(i.Word) + 1
			q = append(q, i)
		case itemOperator:
			o := Item{Operator: Operator(d.take(1)[0])}
			switch {
			case o.Operator < Not || o.Operator > Phrase:
				d.fail(sqlstate.Internal, "invalid tsquery: unrecognized operator type")
			case i == n-1:
				d.fail(sqlstate.Internal, "invalid pointer to right operand")
			}
			if o.Operator == Phrase {
				if o.Distance = int16(be.Uint16(d.take(2))); o.Distance < 0 {
					d.fail(sqlstate.Unsupported, "a phrase of a negative distance is not supported")
				}
			}
			q = append(q, o)
		default:
			d.fail(sqlstate.Internal, "unrecognized tsquery node type")
		}
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	if q = q.linked(); q == nil {
		return nil, sqlstate.New(sqlstate.Internal, "malformed tsquery: operand not found")
	}
	return q, nil
}
