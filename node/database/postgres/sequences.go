package postgres

import (
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// Sequences. A statement that may use one reads how far all are before it runs, and writes what changed after it; both are of the
// program's transaction.

func (s *session) readSequences(f engine.File) error {
	s.sequences = map[uint32]*position{}
	if !s.cat.made {
		return nil
	}
	rows, err := f.Query("SELECT oid, last, called FROM main.pg_sequence")
	if err != nil {
		return err
	}
	for _, r := range rows {
		o, ok0 := r[0].(int64)
		last, ok1 := r[1].(int64)
		called, ok2 := r[2].(int64)
		if !ok0 || !ok1 || !ok2 {
			return corrupt("a sequence that cannot be")
		}
		s.sequences[uint32(o)] = &position{last: last, called: called != 0}
	}
	return nil
}

func (s *session) writeSequences() (steps []engine.Step) {
	for _, r := range s.cat.all() {
		if p := s.sequences[r.OID]; p != nil && p.changed {
			steps = append(steps, engine.Step{SQL: "UPDATE pg_sequence SET last=?, called=? WHERE oid=?", Args: []any{p.last, boolean(p.called), int64(r.OID)}})
		}
	}
	return steps
}

// relation is one of the catalog that the statement was compiled by; nil: it is not known, since the statement changes the schema.
func (s *session) relation(o uint32) *relation {
	if s.cat == nil {
		return nil
	}
	return s.cat.byOID[o]
}

func (s *session) sequence(v any) (*relation, *position, error) {
	n := v.(int64)
	r := s.relation(uint32(n))
	if r == nil {
		return nil, nil, fail("XX000", "could not open relation with OID %d", n)
	}
	p := s.sequences[r.OID]
	if r.Sequence == nil || p == nil {
		return nil, nil, fail("42809", "\"%s\" is not a sequence", r.Name)
	}
	return r, p, nil
}

// nextval draws from a sequence. letters are the rights of which one is needed; none: the sequence is an identity column's.
func (s *session) nextval(v any, letters string) (any, error) {
	if v == nil {
		return nil, nil
	}
	r, p, err := s.sequence(v)
	if err == nil && letters != "" {
		err = s.needSequence(r, letters)
	}
	if err != nil {
		return nil, err
	}
	q := r.Sequence
	next := p.last
	if p.called {
		switch {
		case q.Increment > 0 && (q.Max < 0 && p.last > q.Max-q.Increment || q.Max >= 0 && p.last > q.Max-q.Increment):
			if !q.Cycle {
				return nil, fail("2200H", "nextval: reached maximum value of sequence \"%s\" (%d)", r.Name, q.Max)
			}
			next = q.Min
		case q.Increment < 0 && p.last < q.Min-q.Increment:
			if !q.Cycle {
				return nil, fail("2200H", "nextval: reached minimum value of sequence \"%s\" (%d)", r.Name, q.Min)
			}
			next = q.Max
		default:
			next = p.last + q.Increment
		}
	}
	p.last, p.called, p.changed = next, true, true
	s.current[r.OID], s.last = next, r.OID
	return next, nil
}

func (s *session) currval(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	r, _, err := s.sequence(v)
	if err == nil {
		err = s.needSequence(r, "Ur")
	}
	if err != nil {
		return nil, err
	}
	n, ok := s.current[r.OID]
	if !ok {
		return nil, fail("55000", "currval of sequence \"%s\" is not yet defined in this session", r.Name)
	}
	return n, nil
}

func (s *session) lastval() (any, error) {
	if s.last == 0 || s.relation(s.last) == nil {
		return nil, fail("55000", "lastval is not yet defined in this session")
	}
	return s.current[s.last], s.needSequence(s.relation(s.last), "Ur")
}

func (s *session) setval(v, value, called any) (any, error) {
	if v == nil || value == nil || called == nil {
		return nil, nil
	}
	r, p, err := s.sequence(v)
	if err == nil {
		err = s.needSequence(r, "w")
	}
	if err != nil {
		return nil, err
	}
	n := value.(int64)
	if n < r.Sequence.Min || n > r.Sequence.Max {
		return nil, fail("22003", "setval: value %d is out of bounds for sequence \"%s\" (%d..%d)", n, r.Name, r.Sequence.Min, r.Sequence.Max)
	}
	p.last, p.called, p.changed = n, called.(int64) != 0, true
	if p.called {
		s.current[r.OID] = n
	}
	return n, nil
}

// seen is for INSERT ... ON CONFLICT DO UPDATE: no row may be touched twice by one statement. The first argument says whether that
// is sure; else a condition decides it, which is not ours to know here.
func (s *session) seen(a []any) (any, error) {
	var b strings.Builder
	for _, v := range a[1:] {
		switch v := v.(type) {
		case nil:
			return int64(1), nil // NULLs never conflict
		case int64:
			b.WriteString("i" + strconv.FormatInt(v, 10))
		case float64:
			b.WriteString("f" + strconv.FormatFloat(v, 'g', -1, 64))
		case string:
			b.WriteString("t" + strconv.Itoa(len(v)) + ":" + v)
		case []byte:
			b.WriteString("b" + strconv.Itoa(len(v)) + ":" + string(v))
		}
	}
	if s.once[b.String()] {
		if a[0].(int64) == 0 {
			return nil, refuse("a condition of ON CONFLICT DO UPDATE where a statement proposes a row twice")
		}
		e := fail("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
		e.Hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained values."
		return nil, e
	}
	s.once[b.String()] = true
	return int64(1), nil
}

func (s *session) nullError(table uint32, number int) error {
	r := s.relation(table)
	if r == nil || number < 1 || number > len(r.Columns) {
		return fail("23502", "null value violates not-null constraint")
	}
	c := r.column(number)
	e := fail("23502", "null value in column \"%s\" of relation \"%s\" violates not-null constraint", c.Name, r.Name)
	e.Table, e.Column = r.Name, c.Name
	return e
}

func (s *session) checkError(table, constraint uint32) error {
	if r := s.relation(table); r != nil {
		for _, k := range r.Constraints {
			if k.OID == constraint {
				e := fail("23514", "new row for relation \"%s\" violates check constraint \"%s\"", r.Name, k.Name)
				e.Table, e.Constraint = r.Name, k.Name
				return e
			}
		}
	}
	return fail("23514", "new row violates a check constraint")
}

// newSequence is one with PostgreSQL's defaults for a type.
func newSequence(t oid) *sequence {
	q := &sequence{Type: t, Start: 1, Increment: 1, Min: 1, Cache: 1}
	_, q.Max = integerRange(t)
	return q
}

func integerRange(t oid) (int64, int64) {
	switch t {
	case postgres.Int2:
		return -1 << 15, 1<<15 - 1
	case postgres.Int4:
		return -1 << 31, 1<<31 - 1
	}
	return -1 << 63, 1<<63 - 1
}
