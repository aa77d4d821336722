package engine

/*
#cgo linux LDFLAGS: -Wl,--unresolved-symbols=ignore-in-object-files
#cgo darwin LDFLAGS: -Wl,-undefined,dynamic_lookup
#include <stdlib.h>
#include <string.h>
#include "sqlite.h"
*/
import "C"

import (
	"container/list"
	"encoding/binary"
	"math"
	"runtime/cgo"
	"sync"
	"unsafe"

	_ "github.com/mattn/go-sqlite3" // compiles SQLite itself; its driver is not used

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Flags of a run or of a compiled statement.
const (
	flagExhausted = C.ST_EXHAUSTED
	flagRowID     = C.ST_ROW_ID
	flagRows      = C.ST_ROWS
	flagDiskFull  = C.ST_DISK_FULL
	flagDenied    = C.ST_DENIED
	flagDropped   = C.ST_DROPPED
	flagSchema    = C.ST_SCHEMA
)

const (
	rcOK     = C.SQLITE_OK
	rcFull   = C.SQLITE_FULL
	rcTooBig = C.SQLITE_TOOBIG
	rcNoMem  = C.SQLITE_NOMEM
	rcRow    = C.SQLITE_ROW
	rcDone   = C.SQLITE_DONE

	openReadWrite = 0x2
	openCreate    = 0x4
	openNoMutex   = 0x8000 // one goroutine at a time; the owner sees to it

	translatedWords = 8  // of SQLite's for one of a dialect's
	translatedBytes = 16 // of SQLite's SQL for one of a dialect's

	noLimit   = math.MaxUint64
	ownLength = 1_000_000_000 // of values in the engine's own statements: what SQLite can
)

// A conn is a connection. It belongs to one goroutine at a time; only interrupt may come from another.
type conn struct {
	c       *C.st_conn
	limits  Limits
	own     map[string]*statement // the engine's, kept for good
	kept    map[keptKey]*list.Element
	order   *list.List // of *statement, the one used last in front
	keep    int
	schema  *schema // nil: to be read again
	version int64   // of the schema, on a reader
	pinned  *state  // what a reader sees, while it has a transaction
	used    bool    // since CloseUnused
	handles []cgo.Handle
	dialect Dialect // nil: SQLite's
	// What the dialect made of statements, by translationKey.
	translations map[string]*translation
	failed       *Error // what a function in Go failed with, in the run under way
	height       uint64 // of the program under way

	gate     sync.Mutex
	shielded bool // the engine's own statement runs
}

// keptKey has the tier, because SQLite compares a literal with the largest length when it is used the first time only.
type keptKey struct {
	sql  string
	tier int
}

type statement struct {
	key     keptKey
	tail    string // what stands behind it
	s       *C.sqlite3_stmt
	flags   int
	dropped string // the table that loses rows at once
	tokens  int
	names   int    // bytes of the columns' names and types
	first   string // keyword
	cols    []*wirepb.Column
}

// openConn opens the file at path, guarded as programs must be.
func openConn(path string, o Options, create bool) (*conn, error) {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	flags := C.int(openReadWrite | openNoMutex)
	if create {
		flags |= openCreate
	}
	c := &conn{limits: o.Limits, own: map[string]*statement{}, kept: map[keptKey]*list.Element{}, order: list.New(), keep: o.Statements,
		translations: map[string]*translation{}}
	if rc := C.st_open(p, flags, &c.c); rc != rcOK {
		return nil, fileError("opening", int(rc), "")
	}
	if err := c.prepareFor(o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) prepareFor(o Options) error {
	if rc := C.st_harden(c.c); rc != rcOK {
		return fileError("opening", int(rc), c.message())
	}
	l := o.Limits
	// In SQLite's order: length, SQL, columns, depth, compound, ops, arguments, attached, pattern, parameters, trigger depth, threads,
	// parser's depth, objects, steps of a trigger.
	sqlBytes := l.SQLBytes
	if o.Dialect != nil {
		sqlBytes *= translatedBytes
	}
	for id, n := range []int{ownLength, sqlBytes, l.Columns, l.Depth, l.Compound, l.Ops, l.Arguments, 0, l.Pattern, l.Parameters,
		l.TriggerDepth, 0, -1, -1, l.TriggerSteps} {
		C.st_limit(c.c, C.int(id), C.int(n))
	}
	return c.register(o)
}

func (c *conn) close() error {
	c.flush()
	for _, s := range c.own {
		C.sqlite3_finalize(s.s)
	}
	rc := C.st_close(c.c)
	for _, h := range c.handles {
		h.Delete()
	}
	if rc != rcOK {
		return fileError("closing", int(rc), "")
	}
	return nil
}

func (c *conn) message() string { return C.GoString(C.sqlite3_errmsg(c.c.db)) }

// flush forgets compiled statements, and the schema that they were compiled for.
func (c *conn) flush() {
	for e := c.order.Front(); e != nil; e = e.Next() {
		C.sqlite3_finalize(e.Value.(*statement).s)
	}
	clear(c.kept)
	c.order.Init()
	c.schema = nil
	clear(c.translations)
	if c.dialect != nil {
		c.dialect.Forget()
	}
}

// cached takes out a statement that was compiled before, or nil.
func (c *conn) cached(sql string, tier int) *statement {
	e := c.kept[keptKey{sql, tier}]
	if e == nil {
		return nil
	}
	s := e.Value.(*statement)
	c.order.Remove(e)
	delete(c.kept, s.key)
	return s
}

// release gives a statement back, to be kept or not.
func (c *conn) release(s *statement, keep bool) {
	if !keep || c.keep <= 0 || s.flags&flagSchema != 0 {
		s.finalize()
		return
	}
	c.kept[s.key] = c.order.PushFront(s)
	if c.order.Len() > c.keep {
		last := c.order.Remove(c.order.Back()).(*statement)
		delete(c.kept, last.key)
		last.finalize()
	}
}

// exec runs a statement of the engine's own that takes and gives nothing.
func (c *conn) exec(sql string) error {
	_, err := c.query(sql)
	return err
}

// query runs a statement of the engine's own; its arguments and values are nil, int64, string and []byte.
func (c *conn) query(sql string, args ...any) ([][]any, error) {
	c.shield(true)
	defer c.shield(false)
	return c.unshielded(sql, args...)
}

// unshielded is query for what may take long, and ends when it is interrupted.
func (c *conn) unshielded(sql string, args ...any) ([][]any, error) {
	guarded := c.c.guarded
	c.c.guarded = 0
	defer func() { c.c.guarded = guarded }()
	s := c.own[sql]
	if s == nil {
		var rc int
		if s, rc = c.compile(sql, 0); rc != rcOK {
			return nil, fileError("running "+sql, rc, c.message())
		}
		c.own[sql] = s
	}
	var b []byte
	for _, a := range args {
		b = appendAny(b, a)
	}
	r := c.step(s, b, noLimit, noLimit, math.MaxUint64, math.MaxInt)
	defer r.free()
	if r.rc != rcOK {
		return nil, fileErrorFlags("running "+sql, r.rc, r.flags, c.message())
	}
	return r.rows(), nil
}

// compile makes a statement of all of sql. Its caller looks whether sql is one.
func (c *conn) compile(sql string, effort int) (*statement, int) {
	s := &statement{}
	var tail C.int
	if sql == "" {
		return s, rcOK
	}
	rc := int(C.st_prepare(c.c, (*C.char)(unsafe.Pointer(unsafe.StringData(sql))), C.int(len(sql)), C.int(effort), &s.s, &tail))
	s.flags = int(c.c.flags)
	s.tail = sql[tail:]
	if s.flags&flagDropped != 0 {
		s.dropped = C.GoString(&c.c.dropped[0])
	}
	return s, rc
}

// A run is what st_run gave. Its rows live until free.
type run struct {
	rc, flags, columns    int
	steps, charged, count uint64
	changes               uint64
	lastRowID             int64
	data                  []byte // in C's memory
	r                     C.st_result
}

func (c *conn) step(s *statement, args []byte, steps, charges, maxRows uint64, maxSize int) *run {
	r := &run{}
	c.c.flags = C.int(s.flags & flagDropped)
	C.st_run(c.c, s.s, (*C.uint8_t)(unsafe.SliceData(args)), C.size_t(len(args)), C.uint64_t(steps), C.uint64_t(charges), C.uint64_t(maxRows), C.size_t(maxSize), &r.r)
	r.take()
	return r
}

func (r *run) take() {
	r.rc, r.flags, r.columns = int(r.r.rc), int(r.r.flags), int(r.r.columns)
	r.steps, r.charged, r.count, r.changes, r.lastRowID = uint64(r.r.steps), uint64(r.r.charged), uint64(r.r.rows), uint64(r.r.changes), int64(r.r.last_row_id)
	r.data = unsafe.Slice((*byte)(r.r.data), int(r.r.size))
}

func (r *run) free() {
	C.sqlite3_free(unsafe.Pointer(r.r.data))
	r.r.data, r.data = nil, nil
}

// each hands batches of rows of a statement of the engine's own to f, encoded as they crossed, which f must not keep.
func (c *conn) each(sql string, f func(rows []byte, count uint64) error) (columns int, err error) {
	s, rc := c.compile(sql, 0)
	if rc != rcOK {
		return 0, fileError("reading", rc, c.message())
	}
	defer C.sqlite3_finalize(s.s)
	r := &run{}
	defer r.free()
	for {
		r.r.size, r.r.rows = 0, 0
		C.st_rows(s.s, 1<<16, &r.r)
		r.take()
		if r.rc != rcRow && r.rc != rcDone {
			return 0, fileErrorFlags("reading", r.rc, int(c.c.flags), c.message())
		}
		if err := f(r.data, r.count); err != nil || r.rc == rcDone {
			return r.columns, err
		}
	}
}

// columnNames of a compiled statement.
func (s *statement) columnNames() []string {
	names := make([]string, C.sqlite3_column_count(s.s))
	for i := range names {
		names[i] = C.GoString(C.sqlite3_column_name(s.s, C.int(i)))
	}
	return names
}

// nameBytes is how long the names of the columns are together; SQLite gives each column its own, and a star repeats them.
func (s *statement) nameBytes() (n int) {
	for i := range C.sqlite3_column_count(s.s) {
		n += int(C.strlen(C.sqlite3_column_name(s.s, i)))
		if t := C.sqlite3_column_decltype(s.s, i); t != nil {
			n += int(C.strlen(t))
		}
	}
	return n
}

func (s *statement) columns() []*wirepb.Column {
	columns := make([]*wirepb.Column, C.sqlite3_column_count(s.s))
	for i := range columns {
		columns[i] = &wirepb.Column{Name: C.GoString(C.sqlite3_column_name(s.s, C.int(i)))}
		if t := C.sqlite3_column_decltype(s.s, C.int(i)); t != nil {
			columns[i].Type = C.GoString(t)
		}
	}
	return columns
}

func (s *statement) readOnly() bool  { return C.sqlite3_stmt_readonly(s.s) != 0 }
func (s *statement) parameters() int { return int(C.sqlite3_bind_parameter_count(s.s)) }

// begin forgets what the connection did before, and guards it.
func (c *conn) begin(timeMs int64, seed *[32]byte) {
	C.st_program(c.c, C.sqlite3_int64(timeMs), (*C.uint8_t)(&seed[0]))
	c.c.guarded = 1
}

// statement begins the nth statement of a program, or of the transaction that it is a part of.
func (c *conn) statement(n int) { C.st_statement(c.c, C.uint32_t(n)) }

func (c *conn) end() {
	c.c.guarded = 0
	c.length(ownLength)
}

func (c *conn) refused() string  { return C.GoString(&c.c.why[0]) }
func (c *conn) outside() bool    { return C.sqlite3_get_autocommit(c.c.db) != 0 } // of a transaction
func (c *conn) deferred() bool   { return C.st_deferred(c.c) != 0 }
func (c *conn) length(bytes int) { C.st_limit(c.c, C.SQLITE_LIMIT_LENGTH, C.int(bytes)) }

// interrupt ends what runs, but for the engine's own statements, which are short: what they cannot read is taken for damage.
func (c *conn) interrupt() {
	c.gate.Lock()
	defer c.gate.Unlock()
	if !c.shielded {
		C.sqlite3_interrupt(c.c.db)
	}
}

func (c *conn) shield(on bool) {
	c.gate.Lock()
	defer c.gate.Unlock()
	c.shielded = on
}

// backup copies the file as the open transaction sees it.
func (c *conn) backup(path string, pages int) error {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	if rc := int(C.st_backup(c.c, p, C.int(pages))); rc != rcDone {
		return fileError("copying", rc, c.message())
	}
	return nil
}

// Values as they cross: see sqlite.c.
const (
	tagInteger = 1
	tagReal    = 2
	tagText    = 3
	tagBlob    = 4
	tagNull    = 5
)

func appendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.LittleEndian.AppendUint64(append(b, tagInteger), uint64(v))
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, tagReal), math.Float64bits(v))
	case string:
		return append(binary.LittleEndian.AppendUint32(append(b, tagText), uint32(len(v))), v...)
	case []byte:
		if v != nil {
			return append(binary.LittleEndian.AppendUint32(append(b, tagBlob), uint32(len(v))), v...)
		}
	}
	return append(b, tagNull)
}

func appendValue(b []byte, v *wirepb.Value) []byte {
	switch v := v.GetValue().(type) {
	case *wirepb.Value_Integer:
		return binary.LittleEndian.AppendUint64(append(b, tagInteger), uint64(v.Integer))
	case *wirepb.Value_Real:
		return binary.LittleEndian.AppendUint64(append(b, tagReal), math.Float64bits(v.Real))
	case *wirepb.Value_Text:
		return append(binary.LittleEndian.AppendUint32(append(b, tagText), uint32(len(v.Text))), v.Text...)
	case *wirepb.Value_Blob:
		return append(binary.LittleEndian.AppendUint32(append(b, tagBlob), uint32(len(v.Blob))), v.Blob...)
	}
	return append(b, tagNull)
}

// next reads one value: its type, its 8 bytes as a number, or its bytes, which are not copied.
func next(b []byte) (tag byte, number uint64, data, rest []byte) {
	tag, b = b[0], b[1:]
	switch tag {
	case tagInteger, tagReal:
		return tag, binary.LittleEndian.Uint64(b), nil, b[8:]
	case tagText, tagBlob:
		n := binary.LittleEndian.Uint32(b)
		return tag, 0, b[4 : 4+n], b[4+n:]
	}
	return tag, 0, nil, b
}

func (r *run) rows() [][]any {
	rows := make([][]any, r.count)
	b := r.data
	for i := range rows {
		rows[i] = make([]any, r.columns)
		for j := range rows[i] {
			rows[i][j], b = value(b)
		}
	}
	return rows
}

func (s *statement) finalize() { C.sqlite3_finalize(s.s) }
