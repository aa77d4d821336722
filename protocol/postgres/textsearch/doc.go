// Package textsearch is PostgreSQL's full-text search: its default parser, the configurations simple and english, the types
// tsvector and tsquery with their texts and binary formats, matching, ranking and headlines. What PostgreSQL 15 gives in the
// locale C with UTF-8, it gives. It knows neither cells nor indexes; protocol/postgres makes routines of it. See DESIGN.md.
//
// Everything is deterministic: floats are rounded as PostgreSQL's C does, step by step. Whoever calls says what it may cost.
//
// The package is larger than others because its values have no use without each other.
package textsearch

// Work takes payment for simple operations, before or soon after they are done. When it returns an error nothing more is done,
// and that is the error of the whole. nil is free.
type Work func(operations uint64) error

// A worker pays in portions.
type worker struct {
	work Work
	owed uint64
}

const portion = 4096

func (w *worker) do(operations uint64) error {
	if w.owed += operations; w.owed < portion {
		return nil
	}
	return w.settle()
}

func (w *worker) settle() error {
	owed := w.owed
	w.owed = 0
	if w.work == nil || owed == 0 {
		return nil
	}
	return w.work(owed)
}
