package engine

import (
	"cmp"

	"github.com/stratosmesh/stratos/mesh"
)

// Options of a DB. The zero value of a field means its default.
type Options struct {
	// Limits bound what programs may do. They must be the same on every replica of a database.
	Limits Limits
	// Functions and Collations are there besides SQLite's own, and must be the same on every replica too.
	Functions  []Function
	Collations []Collation
	// Dialect makes what compiles statements, for a connection. Default: they are SQLite's.
	Dialect func() Dialect

	// CacheBytes is what a connection keeps of the file in memory. Default 16 MiB.
	CacheBytes int
	// MapBytes is how much of the file is mapped into memory. Default none: a file that shrinks under a map ends the process.
	MapBytes int
	// Statements is how many compiled statements a connection keeps; below zero none. Default 128.
	Statements int
	// Readers is how many connections wait for the next snapshot; more are opened and closed again. Default 4.
	Readers int
}

// Limits of programs. Who meets one gets an outcome of class 54, but where stated.
type Limits struct {
	MinGas       uint64 // that a program must bring: what was exhausted may make the block run again. Default 20,000
	Statements   int    // of a program. Default 10,000
	SQLBytes     int    // of a statement. Default 256 KiB
	Tokens       int    // of a statement, views and triggers counted as often as they stand there. Default 50,000
	Ops          int    // of a compiled statement. Default 250,000
	Effort       int    // of the planner, in what it counts itself. Default 20,000
	Depth        int    // of an expression. Default 500
	Columns      int    // of a table, a result or an index. Default 1,000
	Compound     int    // parts of a compound select. Default 100
	Arguments    int    // of a function. Default 64
	Pattern      int    // bytes of a pattern of LIKE and GLOB. Default 1,000
	Parameters   int    // of a statement. Default 32,766
	TriggerDepth int    // Default 32
	TriggerSteps int    // statements of a trigger. Default 100
	Objects      int    // tables, indexes, views and triggers. Default 2,000
	Rows         int    // of a result. Default 100,000
	ResultBytes  int    // of all results of a program, of which each value takes 8 besides its own. Default 8 MiB
	Pages        int    // of 4 KiB, of the file; who meets it gets 53100. Default 16 Mi, which are 64 GiB
	RecordBytes  int    // of outcomes that are kept for who asks again. Default 64 MiB
}

// DefaultLimits are those of the zero Options.
func DefaultLimits() Limits { return Options{}.withDefaults().Limits }

func (o Options) withDefaults() Options {
	o.CacheBytes = cmp.Or(o.CacheBytes, 16<<20)
	o.Statements = cmp.Or(o.Statements, 128)
	o.Readers = cmp.Or(o.Readers, 4)
	l := &o.Limits
	l.MinGas = cmp.Or(l.MinGas, 20_000)
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.Statements, 10_000}, {&l.SQLBytes, 256 << 10}, {&l.Tokens, 50_000}, {&l.Ops, 250_000}, {&l.Effort, 20_000}, {&l.Depth, 500},
		{&l.Columns, 1_000}, {&l.Compound, 100}, {&l.Arguments, 64}, {&l.Pattern, 1_000}, {&l.Parameters, 32_766}, {&l.TriggerDepth, 32},
		{&l.TriggerSteps, 100}, {&l.Objects, 2_000}, {&l.Rows, 100_000}, {&l.ResultBytes, 8 << 20}, {&l.Pages, 16 << 20}, {&l.RecordBytes, 64 << 20},
	} {
		*f.field = cmp.Or(*f.field, f.value)
	}
	return o
}

func (o Options) validate() error {
	l := o.Limits
	for _, n := range []int{l.Statements, l.SQLBytes, l.Tokens, l.Ops, l.Effort, l.Depth, l.Columns, l.Compound, l.Arguments, l.Pattern,
		l.Parameters, l.TriggerDepth, l.TriggerSteps, l.Objects, l.Rows, l.ResultBytes, l.Pages, l.RecordBytes, o.CacheBytes} {
		if n < 0 {
			return mesh.Errorf(mesh.Invalid, "a limit of the database engine is below zero")
		}
	}
	if l.SQLBytes > tiers[len(tiers)-1].bytes {
		return mesh.Errorf(mesh.Invalid, "statements of %d bytes: at most %d, which is the largest value", l.SQLBytes, tiers[len(tiers)-1].bytes)
	}
	for _, f := range o.Functions {
		if f.Name == "" || (f.Scalar == nil) == (f.Aggregate == nil) || f.Arguments < -1 {
			return mesh.Errorf(mesh.Invalid, "function %q: want a name, and either Scalar or Aggregate", f.Name)
		}
	}
	for _, c := range o.Collations {
		if c.Name == "" || c.Compare == nil {
			return mesh.Errorf(mesh.Invalid, "collation %q: want a name and Compare", c.Name)
		}
	}
	return nil
}

// tiers are what a step costs by the largest value that the run may touch: a step's work is at most one pass over it.
var tiers = [...]struct {
	bytes int
	price uint64
}{{8 << 10, 1}, {64 << 10, 8}, {512 << 10, 64}, {4 << 20, 512}}

// What is charged besides steps.
const (
	gasStatement = 50    // for each statement
	gasToken     = 1     // for compiling, views and triggers counted as often as they stand there
	gasBytes     = 16    // bytes in or out for one
	gasSchema    = 2_000 // for changing the schema, and
	gasObject    = 50    // for each table, index, view and trigger that there is then
	maxGas       = 1 << 40

	valueBytes = 8 // that a value of a result takes of the limit at least: it takes more of the memory, even when it is NULL
)
