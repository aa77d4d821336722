package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Dialect is another language than SQLite's, whose statements it makes SQLite's. One serves one connection, and so one
// goroutine at a time. What it gives depends on the file, the statement, and the program's settings and role's name alone.
type Dialect interface {
	// Functions and Collations are there besides those of Options, for its own statements.
	Functions() []Function
	Collations() []Collation
	// Begin says that a program begins: at what time, with which settings, as whom, and in which database.
	Begin(timeMs int64, p *Program) *Error
	// Words says how much work it is to compile sql, before anything is done; it takes one pass over it.
	Words(sql string) (int, *Error)
	// Compile makes SQLite's statements. types are those of parameters that the author told. An error that is no *Error is of the file.
	Compile(f File, sql string, types []uint32) (*Translation, error)
	// Forget says that what it read of the file may have changed; Current asks whether it has.
	Forget()
	Current(f File) (bool, error)
	// Seal ends a block after its last program, in the block's transaction: it tidies up what the Dialect keeps of blocks. What it does
	// in one block it bounds itself. An error is of the file.
	Seal(f File, height uint64, timeMs int64) error
}

// File is the database's file, for a Dialect's own tables. Its statements are neither metered nor guarded; they are not for
// what programs decide the size of. Those of Seal may write.
type File interface {
	Query(sql string, args ...any) ([][]any, error)
}

// Query is for a Dialect, whose own values may be larger than the program's.
func (c *conn) Query(sql string, args ...any) ([][]any, error) {
	c.length(ownLength)
	return c.query(sql, args...)
}

// A Translation is what became of a statement.
type Translation struct {
	Steps      []Step // one after the other; the last that gives rows or writes makes the result
	Columns    []*wirepb.Column
	Parameters []uint32 // their types
	Schema     bool     // it changes what Compile gives for other statements
	// Tag names the result; %d in it is the number of rows changed, or given.
	Tag string
	// Explain, if any, says what an error of SQLite's means, by its extended code and text; nil: what it would otherwise.
	Explain func(code int, text string) *Error
	// Bind makes cells of parameters.
	Bind func(values []*wirepb.Value) ([]any, *Error)
	// Prepare, if any, is called before each run, After after it, for more steps.
	Prepare func(f File) error
	After   func() []Step
}

// A Step is a statement of SQLite's. Its arguments are nil, int64, float64, string, []byte, or the place of a Parameter.
type Step struct {
	SQL    string
	Args   []any
	Result bool // it makes the result
}

// Parameter is a parameter of the author's, from 0.
type Parameter int

const gasWord = 4 // for each word that a dialect compiles

// translated runs a statement of another dialect.
func (a *attempt) translated(i int, readOnly bool) (ok bool, err error) {
	c, st := a.conn, a.plan.p.Statements[i]
	k := translationKey(st, a.plan.p)
	t := c.translations[k]
	words := 0
	if t != nil {
		words = t.words
	} else {
		var e *Error
		if words, e = c.dialect.Words(st.GetSql()); e != nil {
			return a.failWith(i, e), nil
		}
		if words > c.limits.Tokens {
			return a.fail(i, codeTooComplex, fmt.Sprintf("more than %d words", c.limits.Tokens)), nil
		}
	}
	if !a.charge(i, gasStatement+gasWord*uint64(words)+a.plan.bytes[i]/gasBytes) {
		return false, nil
	}
	if t == nil {
		t = &translation{words: words}
		if t.Translation, err = c.dialect.Compile(c, st.GetSql(), st.GetParameterTypes()); err != nil {
			if e, ok := err.(*Error); ok {
				return a.failWith(i, e), nil
			}
			return false, err
		}
		if c.keep > 0 && a.before == nil && !t.Schema {
			if len(c.translations) >= c.keep {
				clear(c.translations)
			}
			c.translations[k] = t
		}
	}
	if a.described(i) {
		a.result = append(a.result, &wirepb.Result{Columns: t.Columns, ParameterTypes: t.Parameters})
		return true, nil
	}
	values, e := t.Bind(st.GetParameters())
	if e != nil {
		return a.failWith(i, e), nil
	}
	if t.Schema {
		if readOnly {
			return a.fail(i, codeReadOnly, "a question may not write"), nil
		}
		if a.before == nil {
			if a.before, err = c.readSchema(); err != nil {
				return false, err
			}
		}
	}
	if t.Prepare != nil {
		if err := t.Prepare(c); err != nil {
			return false, err
		}
	}
	done := len(a.result)
	steps := t.Steps
	for n := 0; n < len(steps); n++ {
		if ok, err := a.step(i, t, steps[n], values, readOnly); !ok || err != nil {
			return false, err
		}
		if n == len(t.Steps)-1 && t.After != nil {
			steps = append(slices.Clip(steps), t.After()...)
		}
	}
	if t.Schema {
		a.wrote = true
		c.flush()
	}
	if len(a.result) == done { // a statement without rows
		return a.record(i, &wirepb.Result{Tag: t.Tag}, 0, 0), nil
	}
	return true, nil
}

type translation struct {
	*Translation
	words int
}

// translationKey is what a translation depends on besides the file.
func translationKey(st *wirepb.Statement, p *Program) string {
	var b strings.Builder
	for _, t := range st.GetParameterTypes() {
		b.WriteString(strconv.FormatUint(uint64(t), 10))
		b.WriteByte(',')
	}
	b.WriteString(p.Settings.GetTimeZone())
	b.WriteByte(0)
	b.WriteString(p.Role.Name)
	b.WriteByte(0)
	b.WriteString(st.GetSql())
	return b.String()
}

// step runs one statement of a translation.
func (a *attempt) step(i int, t *translation, p Step, values []any, readOnly bool) (ok bool, err error) {
	c := a.conn
	var args []byte
	for _, v := range p.Args {
		if n, ok := v.(Parameter); ok {
			v = values[n]
		}
		args = appendAny(args, v)
	}
	sch, err := c.readSchema()
	if err != nil {
		return false, err
	}
	c.length(tiers[a.tier].bytes)
	if !p.Result {
		t = &translation{Translation: &Translation{Explain: t.Explain}}
	}
	return a.sqlite(i, p.SQL, sch, 0, readOnly, args, t)
}

// failWith ends the program with an error that says more.
func (a *attempt) failWith(i int, e *Error) bool {
	a.more = e
	return a.fail(i, e.Code, e.Text)
}
