package engine

/*
#include <stdlib.h>
#include "sqlite.h"
*/
import "C"

import (
	"fmt"
	"math"
	"runtime/cgo"
	"slices"
	"strings"
	"unsafe"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// A Function is a function of SQL that is written in Go. It gives the same for the same arguments on every replica, for
// ever: indexes may hold what it gave. It has no effects, and takes no lock that a caller of the engine may hold.
//
// Values are nil, int64, float64, string and []byte; bytes that were handed in are not kept.
type Function struct {
	Name      string // replaces a function of SQLite's of that name and number of arguments
	Arguments int    // -1: any number
	Scalar    func(c *Call, args []any) (any, error)
	Aggregate func() Aggregate // a new one for each group
	Window    bool             // aggregates are WindowAggregates
	Volatile  bool             // the same arguments need not give the same; it may not stand in an index
}

// An Aggregate takes in rows and gives one value.
type Aggregate interface {
	Step(c *Call, args []any) error
	Final(c *Call) (any, error)
}

// A WindowAggregate also gives the value of the rows so far, and takes out the row that came first.
type WindowAggregate interface {
	Aggregate
	Value(c *Call) (any, error)
	Inverse(c *Call, args []any) error
}

// A Collation orders texts: below zero when a comes before b. It is a total order, the same for ever.
type Collation struct {
	Name    string
	Compare func(a, b string) int
}

// An Error ends a program with an SQLSTATE of the function's choice.
type Error struct {
	Code, Text, Detail, Hint  string
	Position                  int // in the statement, in characters from 1
	Table, Column, Constraint string
}

func (e *Error) Error() string { return e.Text }

// A Call is one call of a function.
type Call struct{ conn *conn }

// Charge takes gas for work beyond one pass over the arguments, of which 32 simple operations cost one. When it returns
// false there is no more: the function returns at once, whatever it likes.
func (c *Call) Charge(gas uint64) bool { return C.st_charge(c.conn.c, C.uint64_t(gas)) != 0 }

// Height is that of the block that runs the program; in a view, of the first that could; in a question, of what is asked.
func (c *Call) Height() uint64 { return c.conn.height }

// Random fills b with the next numbers of the program's seed.
func (c *Call) Random(b []byte) {
	C.st_draw(c.conn.c, (*C.uint8_t)(unsafe.SliceData(b)), C.size_t(len(b)))
}

// What a handle that C holds stands for.
type (
	boundFunction struct {
		conn *conn
		f    Function
	}
	boundCollation struct{ c Collation }
	instance       struct{ a Aggregate }
)

func (c *conn) register(o Options) error {
	if o.Dialect != nil {
		c.dialect = o.Dialect()
		o.Functions = slices.Concat(o.Functions, c.dialect.Functions())
		o.Collations = slices.Concat(o.Collations, c.dialect.Collations())
	}
	o.Functions = slices.Clone(o.Functions)
	slices.SortStableFunc(o.Functions, func(a, b Function) int { return strings.Compare(lowerASCII(a.Name), lowerASCII(b.Name)) }) // C looks for them by halves
	// The list ends with nil; st_close frees it.
	names := unsafe.Slice((**C.char)(C.calloc(C.size_t(len(o.Functions)+1), C.size_t(unsafe.Sizeof(uintptr(0))))), len(o.Functions)+1)
	c.c.allowed, c.c.functions = &names[0], C.size_t(len(o.Functions))
	for i, f := range o.Functions {
		names[i] = C.CString(lowerASCII(f.Name))
		h := cgo.NewHandle(&boundFunction{c, f})
		c.handles = append(c.handles, h)
		aggregate := C.int(0)
		switch {
		case f.Window:
			aggregate = 2
		case f.Aggregate != nil:
			aggregate = 1
		}
		volatile := C.int(0)
		if f.Volatile {
			volatile = 1
		}
		if rc := C.st_function(c.c, names[i], C.int(f.Arguments), aggregate, volatile, C.uintptr_t(h)); rc != rcOK {
			return fileError("registering a function", int(rc), c.message())
		}
	}
	for _, l := range o.Collations {
		h := cgo.NewHandle(&boundCollation{l})
		c.handles = append(c.handles, h)
		name := C.CString(l.Name)
		rc := C.st_collation(c.c, name, C.uintptr_t(h))
		C.free(unsafe.Pointer(name))
		if rc != rcOK {
			return fileError("registering a collation", int(rc), c.message())
		}
	}
	return nil
}

func arguments(n C.int, a **C.sqlite3_value) []any {
	args := make([]any, n)
	for i, v := range unsafe.Slice(a, int(n)) {
		switch C.sqlite3_value_type(v) {
		case tagInteger:
			args[i] = int64(C.sqlite3_value_int64(v))
		case tagReal:
			args[i] = float64(C.sqlite3_value_double(v))
		case tagText:
			p := C.sqlite3_value_text(v)
			args[i] = string(unsafe.Slice((*byte)(p), int(C.sqlite3_value_bytes(v))))
		case tagBlob:
			p := C.sqlite3_value_blob(v)
			args[i] = append([]byte{}, unsafe.Slice((*byte)(p), int(C.sqlite3_value_bytes(v)))...)
		}
	}
	return args
}

// give hands a value or an error back to SQLite. What a function must not give is an error of ours.
func (c *conn) give(x *C.sqlite3_context, v any, err error) {
	if err == nil {
		switch v := v.(type) {
		case nil:
			C.sqlite3_result_null(x)
		case int64:
			C.sqlite3_result_int64(x, C.sqlite3_int64(v))
		case float64:
			if math.IsNaN(v) {
				C.sqlite3_result_null(x)
				return
			}
			C.sqlite3_result_double(x, C.double(v))
		case string:
			C.st_result_text(x, (*C.char)(unsafe.Pointer(unsafe.StringData(v))), C.size_t(len(v)))
		case []byte:
			C.st_result_blob(x, unsafe.Pointer(unsafe.SliceData(v)), C.size_t(len(v)))
		default:
			err = &Error{Code: codeInternal, Text: fmt.Sprintf("a function gave a %T", v)}
		}
		if err == nil {
			return
		}
	}
	if e, ok := err.(*sqlstate.Error); ok {
		err = &Error{Code: e.Code, Text: e.Text, Detail: e.Detail, Hint: e.Hint}
	}
	e, ok := err.(*Error)
	if !ok {
		e = &Error{Code: codeData, Text: err.Error()}
	}
	if c.failed == nil {
		c.failed = e
	}
	text := C.CString(e.Text)
	C.sqlite3_result_error(x, text, -1)
	C.free(unsafe.Pointer(text))
}

// call runs f; a function that panics fails its program and no more.
func call(f func() (any, error)) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, &Error{Code: codeInternal, Text: "a function panicked"}
		}
	}()
	return f()
}

//export stratosScalar
func stratosScalar(id C.uintptr_t, _ *C.st_conn, x *C.sqlite3_context, n C.int, a **C.sqlite3_value) {
	b := cgo.Handle(id).Value().(*boundFunction)
	v, err := call(func() (any, error) { return b.f.Scalar(&Call{b.conn}, arguments(n, a)) })
	b.conn.give(x, v, err)
}

// stratosStep returns the handle of the group's aggregate, which stratosFinal ends.
//
//export stratosStep
func stratosStep(id, at C.uintptr_t, _ *C.st_conn, x *C.sqlite3_context, n C.int, a **C.sqlite3_value) C.uintptr_t {
	b := cgo.Handle(id).Value().(*boundFunction)
	if _, err := call(func() (any, error) {
		if at == 0 {
			at = C.uintptr_t(cgo.NewHandle(&instance{b.f.Aggregate()}))
		}
		return nil, cgo.Handle(at).Value().(*instance).a.Step(&Call{b.conn}, arguments(n, a))
	}); err != nil {
		b.conn.give(x, nil, err)
	}
	return at
}

//export stratosFinal
func stratosFinal(id, at C.uintptr_t, _ *C.st_conn, x *C.sqlite3_context) {
	b := cgo.Handle(id).Value().(*boundFunction)
	v, err := call(func() (any, error) {
		if at == 0 { // a group without rows
			return b.f.Aggregate().Final(&Call{b.conn})
		}
		defer cgo.Handle(at).Delete()
		return cgo.Handle(at).Value().(*instance).a.Final(&Call{b.conn})
	})
	b.conn.give(x, v, err)
}

//export stratosValue
func stratosValue(id, at C.uintptr_t, _ *C.st_conn, x *C.sqlite3_context) {
	b := cgo.Handle(id).Value().(*boundFunction)
	v, err := call(func() (any, error) {
		if at == 0 {
			return b.f.Aggregate().Final(&Call{b.conn})
		}
		return cgo.Handle(at).Value().(*instance).a.(WindowAggregate).Value(&Call{b.conn})
	})
	b.conn.give(x, v, err)
}

//export stratosInverse
func stratosInverse(id, at C.uintptr_t, _ *C.st_conn, x *C.sqlite3_context, n C.int, a **C.sqlite3_value) {
	b := cgo.Handle(id).Value().(*boundFunction)
	if _, err := call(func() (any, error) {
		return nil, cgo.Handle(at).Value().(*instance).a.(WindowAggregate).Inverse(&Call{b.conn}, arguments(n, a))
	}); err != nil {
		b.conn.give(x, nil, err)
	}
}

//export stratosCompare
func stratosCompare(id C.uintptr_t, a unsafe.Pointer, na C.int, b unsafe.Pointer, nb C.int) C.int {
	c := cgo.Handle(id).Value().(*boundCollation).c
	return C.int(c.Compare(C.GoStringN((*C.char)(a), na), C.GoStringN((*C.char)(b), nb)))
}
