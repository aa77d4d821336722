package fuel

import "strings"

// The sections of a module, by their number in the binary format.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	sections
)

// sectionOrder is where a section stands among the others; each may come once.
var sectionOrder = [sections]int{
	secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6, secExport: 7, secStart: 8,
	secElement: 9, secDataCount: 10, secCode: 11, secData: 12,
}

// Value types are held as one letter each, so that a list of them is a string.
const (
	typeI32       = 'i'
	typeI64       = 'I'
	typeF32       = 'f'
	typeF64       = 'F'
	typeV128      = 'v'
	typeFuncref   = 'r'
	typeExternref = 'e'
	typeUnknown   = '?' // a value of code that is never reached
)

func isReference(t byte) bool { return t == typeFuncref || t == typeExternref || t == typeUnknown }

var valueTypes = map[byte]byte{0x7f: typeI32, 0x7e: typeI64, 0x7d: typeF32, 0x7c: typeF64, 0x7b: typeV128, 0x70: typeFuncref, 0x6f: typeExternref}

var valueBytes = map[byte]byte{typeI32: 0x7f, typeI64: 0x7e, typeF32: 0x7d, typeF64: 0x7c, typeV128: 0x7b, typeFuncref: 0x70, typeExternref: 0x6f}

type funcType struct{ params, results string }

type globalType struct {
	typ     byte
	mutable bool
}

type limits struct {
	min, max uint32
	bounded  bool // max is set
}

type tableType struct {
	elem byte
	limits
}

// A module is what a binary declares, checked but for its function bodies.
type module struct {
	types    []funcType
	funcs    []uint32 // type of each function, imported ones first
	tables   []tableType
	memories []limits
	globals  []globalType
	elements []byte // type of each element segment
	data     int    // data segments, or what the data count section says; -1 when neither was seen
	refs     map[uint32]bool
	start    int64 // function, or -1
	bodies   [][]byte
	raw      [sections][]byte // content of each section but the custom ones
	has      [sections]bool
	names    []byte // content of the name section

	importedFuncs, importedTables, importedMemories, importedGlobals int
	exported                                                         map[string]bool
}

func (m *module) function(i uint32) funcType { return m.types[m.funcs[i]] }

// parse reads a binary: all that the specification asks of it but for the bodies of functions, and our limits.
func parse(b []byte) (*module, error) {
	if len(b) > MaxModule {
		return nil, exhausted("%d bytes, at most %d are taken", len(b), MaxModule)
	}
	r := &reader{b: b}
	if string(r.bytes(8)) != "\x00asm\x01\x00\x00\x00" {
		return nil, invalid("this is no WebAssembly binary of version 1")
	}
	m := &module{data: -1, start: -1, refs: map[uint32]bool{}, exported: map[string]bool{}}
	last := 0
	for r.err == nil && r.left() > 0 {
		id := r.byte()
		content := r.bytes(r.u32())
		if r.err != nil {
			break
		}
		if id == secCustom {
			s := &reader{b: content}
			if name := s.name(); name == "name" && m.names == nil {
				m.names = content
			}
			r.err = s.err
			continue
		}
		if id >= sections || sectionOrder[id] <= last {
			r.fail("section %d is unknown, repeated or out of order", id)
			break
		}
		last = sectionOrder[id]
		m.has[id], m.raw[id] = true, content
		s := &reader{b: content}
		m.section(id, s)
		s.end("a section")
		r.err = s.err
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(m.bodies) != len(m.funcs)-m.importedFuncs {
		return nil, invalid("%d functions have %d bodies", len(m.funcs)-m.importedFuncs, len(m.bodies))
	}
	if m.has[secDataCount] && !m.has[secData] && m.data != 0 {
		return nil, invalid("%d data segments are announced and there are none", m.data)
	}
	return m, nil
}

func (m *module) section(id byte, r *reader) {
	switch id {
	case secType:
		for range r.count(MaxTypes, "types") {
			m.typ(r)
		}
	case secImport:
		for range r.count(MaxImports, "imports") {
			m.imported(r)
		}
	case secFunction:
		for range r.count(MaxFunctions, "functions") {
			m.funcs = append(m.funcs, r.index(len(m.types), "type"))
		}
	case secTable:
		for range r.count(MaxTables, "tables") {
			m.table(r)
		}
	case secMemory:
		for range r.count(1, "memories") {
			m.memory(r)
		}
	case secGlobal:
		known := m.importedGlobals
		for range r.count(MaxGlobals, "globals") {
			g := r.globalType()
			m.constant(r, g.typ, known)
			m.globals = append(m.globals, g)
		}
	case secExport:
		for range r.count(MaxExports, "exports") {
			m.export(r)
		}
	case secStart:
		f := r.index(len(m.funcs), "function")
		if r.err == nil && m.function(f) != (funcType{}) {
			r.fail("the start function has parameters or results")
		}
		m.start = int64(f)
	case secElement:
		total := 0
		for range r.count(MaxSegments, "element segments") {
			total += m.elementSegment(r)
			if total > MaxElements {
				r.refuse(exhausted("its element segments have more than %d elements", MaxElements))
			}
			if r.err != nil {
				return
			}
		}
	case secDataCount:
		m.data = r.count32(MaxSegments, "data segments")
	case secCode:
		for range r.count(MaxFunctions, "function bodies") {
			n := r.u32()
			if r.err == nil && n > MaxBody {
				r.refuse(exhausted("a function of %d bytes, at most %d are taken", n, MaxBody))
				return
			}
			m.bodies = append(m.bodies, r.bytes(n))
		}
	case secData:
		n := r.count(MaxSegments, "data segments")
		if r.err == nil && m.data >= 0 && m.data != n {
			r.fail("%d data segments, %d are announced", n, m.data)
		}
		for range n {
			m.dataSegment(r)
		}
	}
}

// index reads an index below n.
func (r *reader) index(n int, what string) uint32 {
	i := r.u32()
	if r.err == nil && uint64(i) >= uint64(n) {
		r.fail("%s %d is none of the %d", what, i, n)
		return 0
	}
	return i
}

// count32 reads a number that no list of this section follows.
func (r *reader) count32(limit int, what string) int {
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(limit) {
		r.refuse(exhausted("%d %s, at most %d are taken", n, what, limit))
		return 0
	}
	return int(n)
}

func (r *reader) valueType() byte {
	b := r.byte()
	t, ok := valueTypes[b]
	if !ok {
		r.fail("%#x is no type of a value", b)
	}
	return t
}

func (r *reader) referenceType() byte {
	t := r.valueType()
	if r.err == nil && !isReference(t) {
		r.fail("a reference is wanted")
	}
	return t
}

func (r *reader) valueTypes(what string) string {
	var s strings.Builder
	for range r.count(MaxParams, what) {
		s.WriteByte(r.valueType())
	}
	return s.String()
}

func (r *reader) limits(most uint32) (l limits) {
	switch flag := r.byte(); flag {
	case 0, 1:
		l.bounded = flag == 1
	default:
		r.fail("limits of kind %d: shared and 64-bit memories are refused", flag)
	}
	l.min = r.u32()
	if l.bounded {
		l.max = r.u32()
	}
	if r.err == nil && (l.min > most || l.bounded && (l.max < l.min || l.max > most)) {
		r.fail("limits from %d to %d, at most %d", l.min, l.max, most)
	}
	return l
}

func (r *reader) globalType() (g globalType) {
	g.typ = r.valueType()
	flag := r.byte()
	if flag > 1 {
		r.fail("a global is neither constant nor mutable")
	}
	g.mutable = flag == 1
	return g
}

func (m *module) typ(r *reader) {
	if b := r.byte(); r.err == nil && b != 0x60 {
		r.fail("type %#x is no function's", b)
	}
	m.types = append(m.types, funcType{r.valueTypes("parameters"), r.valueTypes("results")})
}

func (m *module) imported(r *reader) {
	from, name := r.name(), r.name()
	if reserved(from) || reserved(name) {
		r.fail("imports %q: names that begin with %q are the meter's", name, Prefix)
	}
	switch kind := r.byte(); kind {
	case 0:
		m.funcs = append(m.funcs, r.index(len(m.types), "type"))
		m.importedFuncs++
	case 1:
		m.table(r)
		m.importedTables++
	case 2:
		m.memory(r)
		m.importedMemories++
	case 3:
		m.globals = append(m.globals, r.globalType())
		m.importedGlobals++
	default:
		r.fail("an import of unknown kind %d", kind)
	}
}

func (m *module) table(r *reader) {
	t := tableType{elem: r.referenceType()}
	t.limits = r.limits(1<<32 - 1)
	if m.tables = append(m.tables, t); len(m.tables) > MaxTables {
		r.fail("more than %d tables", MaxTables)
	}
}

func (m *module) memory(r *reader) {
	if m.memories = append(m.memories, r.limits(MaxPages)); len(m.memories) > 1 {
		r.fail("more than one memory")
	}
}

func (m *module) export(r *reader) {
	name := r.name()
	if reserved(name) {
		r.fail("exports %q: names that begin with %q are the meter's", name, Prefix)
	}
	if m.exported[name] {
		r.fail("exports %q twice", name)
	}
	m.exported[name] = true
	switch kind := r.byte(); kind {
	case 0:
		m.refs[r.index(len(m.funcs), "function")] = true
	case 1:
		r.index(len(m.tables), "table")
	case 2:
		r.index(len(m.memories), "memory")
	case 3:
		r.index(len(m.globals), "global")
	default:
		r.fail("an export of unknown kind %d", kind)
	}
}

// constant reads a constant expression of type want, which may name the first globals of them.
func (m *module) constant(r *reader, want byte, globals int) {
	got := byte(typeUnknown)
	switch op := r.byte(); op {
	case 0x41:
		r.signed(32)
		got = typeI32
	case 0x42:
		r.signed(64)
		got = typeI64
	case 0x43:
		r.bytes(4)
		got = typeF32
	case 0x44:
		r.bytes(8)
		got = typeF64
	case 0xfd:
		if r.u32() != 12 {
			r.fail("not a constant")
		}
		r.bytes(16)
		got = typeV128
	case 0x23:
		if g := r.index(globals, "imported global"); r.err == nil {
			got = m.globals[g].typ
			if m.globals[g].mutable {
				r.fail("a constant that names a mutable global")
			}
		}
	case 0xd0:
		got = r.referenceType()
	case 0xd2:
		m.refs[r.index(len(m.funcs), "function")] = true
		got = typeFuncref
	default:
		r.fail("opcode %#x is no constant", op)
	}
	if r.byte() != 0x0b || got != want {
		r.fail("a constant of another type, or of several instructions")
	}
}

// elementSegment reads one and returns how many elements it has. Its first number says which of eight forms follows: bit
// 0 passive or declared, bit 1 an explicit table (or declared), bit 2 expressions instead of function indexes.
func (m *module) elementSegment(r *reader) int {
	form := r.u32()
	if r.err == nil && form > 7 {
		r.fail("an element segment of form %d", form)
	}
	active, explicit, expressions := form&1 == 0, form&2 != 0, form&4 != 0
	table := uint32(0)
	if active {
		if explicit {
			table = r.u32()
		}
		if r.err == nil && uint64(table) >= uint64(len(m.tables)) {
			r.fail("table %d is none of the %d", table, len(m.tables))
		}
		m.constant(r, typeI32, m.importedGlobals)
	}
	elem := byte(typeFuncref)
	if form&3 != 0 {
		if expressions {
			elem = r.referenceType()
		} else if r.byte() != 0 {
			r.fail("an element of unknown kind")
		}
	}
	if r.err == nil && active && m.tables[table].elem != elem {
		r.fail("elements of another type than their table's")
	}
	n := r.count(MaxElements, "elements")
	for range n {
		if expressions {
			m.constant(r, elem, m.importedGlobals)
		} else {
			m.refs[r.index(len(m.funcs), "function")] = true
		}
		if r.err != nil {
			return n
		}
	}
	m.elements = append(m.elements, elem)
	return n
}

func (m *module) dataSegment(r *reader) {
	switch form := r.u32(); form {
	case 0, 2:
		memory := uint32(0)
		if form == 2 {
			memory = r.u32()
		}
		if r.err == nil && uint64(memory) >= uint64(len(m.memories)) {
			r.fail("data for memory %d of %d", memory, len(m.memories))
		}
		m.constant(r, typeI32, m.importedGlobals)
	case 1:
	default:
		r.fail("a data segment of form %d", form)
	}
	r.bytes(r.u32())
}
