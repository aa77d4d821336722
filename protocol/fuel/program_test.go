package fuel_test

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// A program is a generated module as a tree, from which encode makes a binary and an oracle (oracle_test.go) gives the
// answer in the dullest way. They share nothing with the package but the prices.
type program struct {
	floats bool
	funcs  []*function
}

type function struct {
	params string
	result byte // or 0
	locals string
	body   []*node
}

// A node is an instruction with its operands, or a structure of several.
type node struct {
	kind  kind
	op    *operation
	typ   byte
	index int
	bits  [2]uint64 // of a constant
	args  []*node
	body  []*node
	other []*node
}

type kind uint8

const (
	constNode kind = iota
	opNode         // op on args
	getNode        // local index
	teeNode        // local index = args[0], and its value
	setNode
	globalGetNode
	globalSetNode
	loadNode     // op, args address
	storeNode    // op, args address, value
	selectNode   // args a, b, condition
	ifNode       // args condition; body; other
	escapeNode   // a block with: body, br_if 0 args[0], other
	choiceNode   // a block of typ: args[0], args[1], br_if 0, drop, args[2]
	loopNode     // local index from bits[0] down to 0: body
	switchNode   // br_table on args[0] in two blocks: body after the inner, other after the outer
	callNode     // function index with args
	indirectNode // call_indirect of function index's type; the last of args is the element
	dropNode     // args[0]
	fillNode     // memory.fill args
	copyNode     // memory.copy args
	growNode     // memory.grow args[0]
	returnNode   // args: the result, if any
	trapNode     // unreachable
	nopNode
)

// A word is a value: numbers in the low half.
type word = [2]uint64

// An operation computes. trap is given by panicking with a trapped.
type operation struct {
	code   []byte
	pops   string
	push   byte
	class  fuel.Class
	eval   func(a []word) word
	floats bool
}

type trapped string

func f32(w word) float32          { return math.Float32frombits(uint32(w[0])) }
func f64(w word) float64          { return math.Float64frombits(w[0]) }
func raw32(f float32) word        { return word{uint64(math.Float32bits(f))} }
func raw64(f float64) word        { return word{math.Float64bits(f)} }
func boolean(b bool) word         { return i32(uint32(map[bool]int{true: 1}[b])) }
func i32(v uint32) word           { return word{uint64(v)} }
func lane32(w word, i int) uint32 { return uint32(w[i/2] >> (i % 2 * 32)) }

func canon32(f float32) word {
	if f != f {
		return word{0x7fc00000}
	}
	return raw32(f)
}

func canon64(f float64) word {
	if f != f {
		return word{0x7ff8000000000000}
	}
	return raw64(f)
}

func lanes32(f func(i int) uint32) (w word) {
	for i := range 4 {
		w[i/2] |= uint64(f(i)) << (i % 2 * 32)
	}
	return w
}

func integer32(code byte, c fuel.Class, f func(a, b uint32) uint32) *operation {
	return &operation{[]byte{code}, "ii", 'i', c, func(a []word) word { return i32(f(uint32(a[0][0]), uint32(a[1][0]))) }, false}
}

func integer64(code byte, c fuel.Class, f func(a, b uint64) uint64) *operation {
	return &operation{[]byte{code}, "II", 'I', c, func(a []word) word { return word{f(a[0][0], a[1][0])} }, false}
}

func float32s(code byte, c fuel.Class, f func(a, b float32) float32) *operation {
	return &operation{[]byte{code}, "ff", 'f', c, func(a []word) word { return canon32(f(f32(a[0]), f32(a[1]))) }, true}
}

func float64s(code byte, c fuel.Class, f func(a, b float64) float64) *operation {
	return &operation{[]byte{code}, "FF", 'F', c, func(a []word) word { return canon64(f(f64(a[0]), f64(a[1]))) }, true}
}

func vector32(code byte, c fuel.Class, f func(a, b float32) float32) *operation {
	return &operation{[]byte{0xfd, code, 1}, "vv", 'v', c, func(a []word) word {
		return lanes32(func(i int) uint32 {
			return uint32(canon32(f(math.Float32frombits(lane32(a[0], i)), math.Float32frombits(lane32(a[1], i))))[0])
		})
	}, true}
}

func vector64(code byte, c fuel.Class, f func(a, b float64) float64) *operation {
	return &operation{[]byte{0xfd, code, 1}, "vv", 'v', c, func(a []word) word {
		return word{canon64(f(math.Float64frombits(a[0][0]), math.Float64frombits(a[1][0])))[0], canon64(f(math.Float64frombits(a[0][1]), math.Float64frombits(a[1][1])))[0]}
	}, true}
}

var operations = []*operation{
	integer32(0x6a, fuel.ClassInteger, func(a, b uint32) uint32 { return a + b }),
	integer32(0x6b, fuel.ClassInteger, func(a, b uint32) uint32 { return a - b }),
	integer32(0x6c, fuel.ClassMultiply, func(a, b uint32) uint32 { return a * b }),
	integer32(0x73, fuel.ClassInteger, func(a, b uint32) uint32 { return a ^ b }),
	integer32(0x74, fuel.ClassInteger, func(a, b uint32) uint32 { return a << (b & 31) }),
	integer32(0x48, fuel.ClassInteger, func(a, b uint32) uint32 { return uint32(boolean(int32(a) < int32(b))[0]) }),
	integer32(0x6d, fuel.ClassDivide, func(a, b uint32) uint32 {
		if b == 0 {
			panic(trapped("integer divide by zero"))
		}
		if int32(a) == math.MinInt32 && int32(b) == -1 {
			panic(trapped("integer overflow"))
		}
		return uint32(int32(a) / int32(b))
	}),
	{[]byte{0x45}, "i", 'i', fuel.ClassInteger, func(a []word) word { return boolean(uint32(a[0][0]) == 0) }, false},
	{[]byte{0x67}, "i", 'i', fuel.ClassBitCount, func(a []word) word { return i32(uint32(bits.LeadingZeros32(uint32(a[0][0])))) }, false},
	{[]byte{0xa7}, "I", 'i', fuel.ClassInteger, func(a []word) word { return i32(uint32(a[0][0])) }, false},
	{[]byte{0xac}, "i", 'I', fuel.ClassInteger, func(a []word) word { return word{uint64(int64(int32(a[0][0])))} }, false},
	integer64(0x7c, fuel.ClassInteger, func(a, b uint64) uint64 { return a + b }),
	integer64(0x7e, fuel.ClassMultiply, func(a, b uint64) uint64 { return a * b }),
	integer64(0x85, fuel.ClassInteger, func(a, b uint64) uint64 { return a ^ b }),
	integer64(0x88, fuel.ClassInteger, func(a, b uint64) uint64 { return a >> (b & 63) }),
	integer64(0x82, fuel.ClassLongDivide, func(a, b uint64) uint64 {
		if b == 0 {
			panic(trapped("integer divide by zero"))
		}
		return a % b
	}),
	float32s(0x92, fuel.ClassFloatMake, func(a, b float32) float32 { return a + b }),
	float32s(0x94, fuel.ClassFloatMake, func(a, b float32) float32 { return a * b }),
	float32s(0x95, fuel.ClassFloatDivide, func(a, b float32) float32 { return a / b }),
	float32s(0x96, fuel.ClassFloatExtreme, func(a, b float32) float32 {
		if a != a || b != b {
			return float32(math.NaN())
		}
		return float32(math.Min(float64(a), float64(b)))
	}),
	float64s(0xa0, fuel.ClassFloatMake, func(a, b float64) float64 { return a + b }),
	float64s(0xa1, fuel.ClassFloatMake, func(a, b float64) float64 { return a - b }),
	float64s(0xa2, fuel.ClassFloatMake, func(a, b float64) float64 { return a * b }),
	float64s(0xa3, fuel.ClassFloatDivide, func(a, b float64) float64 { return a / b }),
	{[]byte{0x91}, "f", 'f', fuel.ClassFloatRoot, func(a []word) word { return canon32(float32(math.Sqrt(float64(f32(a[0]))))) }, true},
	{[]byte{0x9f}, "F", 'F', fuel.ClassFloatRoot, func(a []word) word { return canon64(math.Sqrt(f64(a[0]))) }, true},
	{[]byte{0x9c}, "F", 'F', fuel.ClassFloatRound, func(a []word) word { return canon64(math.Floor(f64(a[0]))) }, true},
	{[]byte{0x8c}, "f", 'f', fuel.ClassFloat, func(a []word) word { return word{a[0][0] ^ 1<<31} }, true},
	{[]byte{0x9a}, "F", 'F', fuel.ClassFloat, func(a []word) word { return word{a[0][0] ^ 1<<63} }, true},
	{[]byte{0xa6}, "FF", 'F', fuel.ClassFloat, func(a []word) word { return word{a[0][0]&^(1<<63) | a[1][0]&(1<<63)} }, true},
	{[]byte{0xb6}, "F", 'f', fuel.ClassFloatMake, func(a []word) word { return canon32(float32(f64(a[0]))) }, true},
	{[]byte{0xbb}, "f", 'F', fuel.ClassFloatMake, func(a []word) word { return canon64(float64(f32(a[0]))) }, true},
	{[]byte{0xbc}, "f", 'i', fuel.ClassInteger, func(a []word) word { return a[0] }, true},
	{[]byte{0xbd}, "F", 'I', fuel.ClassInteger, func(a []word) word { return a[0] }, true},
	{[]byte{0xbe}, "i", 'f', fuel.ClassInteger, func(a []word) word { return a[0] }, true},
	{[]byte{0xbf}, "I", 'F', fuel.ClassInteger, func(a []word) word { return a[0] }, true},
	{[]byte{0xb7}, "i", 'F', fuel.ClassFloatConvert, func(a []word) word { return raw64(float64(int32(a[0][0]))) }, true},
	{[]byte{0x63}, "FF", 'i', fuel.ClassFloat, func(a []word) word { return boolean(f64(a[0]) < f64(a[1])) }, true},
	{[]byte{0x5b}, "ff", 'i', fuel.ClassFloat, func(a []word) word { return boolean(f32(a[0]) == f32(a[1])) }, true},
	{[]byte{0xfc, 2}, "F", 'i', fuel.ClassFloatTruncate, func(a []word) word {
		switch f := math.Trunc(f64(a[0])); {
		case f != f:
			return word{}
		case f <= math.MinInt32:
			return i32(1 << 31)
		case f >= math.MaxInt32:
			return i32(math.MaxInt32)
		default:
			return i32(uint32(int32(f)))
		}
	}, true},
	vector32(228, fuel.ClassVectorMake, func(a, b float32) float32 { return a + b }),
	vector32(230, fuel.ClassVectorMake, func(a, b float32) float32 { return a * b }),
	vector64(241, fuel.ClassVectorMake, func(a, b float64) float64 { return a - b }),
	vector64(243, fuel.ClassVectorDivide, func(a, b float64) float64 { return a / b }),
	{[]byte{0xfd, 227, 1}, "v", 'v', fuel.ClassVectorRoot, func(a []word) word {
		return lanes32(func(i int) uint32 {
			return uint32(canon32(float32(math.Sqrt(float64(math.Float32frombits(lane32(a[0], i))))))[0])
		})
	}, true},
	{[]byte{0xfd, 81}, "vv", 'v', fuel.ClassVector, func(a []word) word { return word{a[0][0] ^ a[1][0], a[0][1] ^ a[1][1]} }, true},
	{[]byte{0xfd, 174, 1}, "vv", 'v', fuel.ClassVector, func(a []word) word {
		return lanes32(func(i int) uint32 { return lane32(a[0], i) + lane32(a[1], i) })
	}, true},
	{[]byte{0xfd, 65}, "vv", 'v', fuel.ClassVector, func(a []word) word {
		return lanes32(func(i int) uint32 {
			return -uint32(boolean(math.Float32frombits(lane32(a[0], i)) == math.Float32frombits(lane32(a[1], i)))[0])
		})
	}, true},
	{[]byte{0xfd, 19}, "f", 'v', fuel.ClassVector, func(a []word) word { return lanes32(func(int) uint32 { return uint32(a[0][0]) }) }, true},
	{[]byte{0xfd, 20}, "F", 'v', fuel.ClassVector, func(a []word) word { return word{a[0][0], a[0][0]} }, true},
	{[]byte{0xfd, 33, 1}, "v", 'F', fuel.ClassVector, func(a []word) word { return word{a[0][1]} }, true},
	{[]byte{0xfd, 31, 2}, "v", 'f', fuel.ClassVector, func(a []word) word { return i32(lane32(a[0], 2)) }, true},
	{[]byte{0xfd, 29, 0}, "v", 'I', fuel.ClassVector, func(a []word) word { return word{a[0][0]} }, true},
}

// An access is a load or store of size bytes.
type access struct {
	load, store []byte
	typ         byte
	size        int
}

var accesses = []access{
	{[]byte{0x28}, []byte{0x36}, 'i', 4}, {[]byte{0x29}, []byte{0x37}, 'I', 8}, {[]byte{0x2d}, []byte{0x3a}, 'i', 1},
	{[]byte{0x2a}, []byte{0x38}, 'f', 4}, {[]byte{0x2b}, []byte{0x39}, 'F', 8}, {[]byte{0xfd, 0}, []byte{0xfd, 11}, 'v', 16},
}

const (
	allTypes    = "iIfFv"
	globalCount = len(allTypes) // one of each type, mutable and exported as g0 to g4
	tableSize   = 6             // the last element is null
	memoryPages = 2             // at most
)

// dice gives the numbers by which a program is made from bytes; zeros when they have run out, which ends every recursion.
type dice struct{ b []byte }

func (d *dice) roll(n int) int {
	if len(d.b) == 0 {
		return 0
	}
	v := int(d.b[0])
	d.b = d.b[1:]
	return v % n
}

func (d *dice) bits() uint64 {
	var v [8]byte
	n := copy(v[:], d.b)
	d.b = d.b[n:]
	return binary.LittleEndian.Uint64(v[:])
}

// interesting are bits that make NaNs, overflows and traps likely.
var interesting = []uint64{0, 1, 0xffffffffffffffff, 0x7fc00001, 0xffa00000, 0x7ff0000000000001, 0xfff8000000000000, 0x7f800000, 0x7ff0000000000000, 0x3ff0000000000000, 0x80000000, 65530, 0x8000000000000000, 0x3f800000}

type maker struct {
	*dice
	p     *program
	f     *function
	at    int // index of f
	depth int
	busy  map[int]bool // counters of loops, which nothing else may set
}

// generate makes a program of any bytes.
func generate(b []byte) *program {
	d := &dice{b}
	p := &program{floats: d.roll(3) > 0}
	types := "iI"
	if p.floats {
		types = allTypes
	}
	for range 2 + d.roll(4) {
		f := &function{}
		for range d.roll(4) {
			f.params += string(types[d.roll(len(types))])
		}
		if d.roll(4) > 0 {
			f.result = types[d.roll(len(types))]
		}
		for range d.roll(6) {
			f.locals += string(types[d.roll(len(types))])
		}
		f.locals += "iiii" // counters
		p.funcs = append(p.funcs, f)
	}
	for i := len(p.funcs) - 1; i >= 0; i-- {
		share := len(d.b) / (i + 1) // of the bytes that are left; the first function, which is the one called, gets most
		if i > 0 {
			share /= 2
		}
		m := &maker{dice: &dice{d.b[:share]}, p: p, f: p.funcs[i], at: i, busy: map[int]bool{}}
		d.b = d.b[share:]
		for len(m.b) > 0 && len(m.f.body) < 100 {
			m.f.body = append(m.f.body, m.statement())
		}
		if m.f.result != 0 {
			m.f.body = append(m.f.body, m.value(m.f.result))
		}
	}
	return p
}

func (m *maker) statements() (list []*node) {
	for range 1 + m.roll(5) {
		list = append(list, m.statement())
	}
	return list
}

func (m *maker) locals() string { return m.f.params + m.f.locals }

// local picks a local of the type that no loop counts with, or -1.
func (m *maker) local(t byte) int {
	from := m.roll(8)
	all := m.locals()
	for i := range all {
		if j := (i + from) % len(all); all[j] == t && !m.busy[j] {
			return j
		}
	}
	return -1
}

func (m *maker) typ() byte {
	if m.p.floats {
		return allTypes[m.roll(len(allTypes))]
	}
	return allTypes[m.roll(2)]
}

func (m *maker) call(indirect bool) *node {
	if m.at+1 >= len(m.p.funcs) {
		return &node{kind: nopNode}
	}
	callee := m.at + 1 + m.roll(len(m.p.funcs)-m.at-1)
	n := &node{kind: callNode, index: callee}
	for _, t := range []byte(m.p.funcs[callee].params) {
		n.args = append(n.args, m.value(t))
	}
	if indirect {
		n.kind = indirectNode
		n.args = append(n.args, &node{kind: constNode, typ: 'i', bits: word{uint64([]int{tableSize - 1, 77, m.at + 1, callee}[min(3, m.roll(40))])}})
	}
	if m.p.funcs[callee].result != 0 {
		n = &node{kind: dropNode, args: []*node{n}}
	}
	return n
}

func (m *maker) statement() *node {
	if m.depth++; m.depth > 6 || len(m.b) == 0 {
		m.depth--
		return &node{kind: nopNode}
	}
	defer func() { m.depth-- }()
	switch m.roll(16) {
	case 0, 1, 2:
		t := m.typ()
		if i := m.local(t); i >= 0 {
			return &node{kind: setNode, index: i, args: []*node{m.assigned(t, i)}}
		}
	case 3:
		t := m.typ()
		return &node{kind: globalSetNode, index: index(allTypes, t), args: []*node{m.value(t)}}
	case 4, 5:
		a := &accesses[m.roll(m.accesses())]
		return &node{kind: storeNode, index: index2(a), args: []*node{m.address(), m.value(a.typ)}}
	case 6:
		return &node{kind: ifNode, args: []*node{m.value('i')}, body: m.statements(), other: m.statements()}
	case 7:
		return &node{kind: escapeNode, args: []*node{m.value('i')}, body: m.statements(), other: m.statements()}
	case 8, 9:
		for k := range 4 {
			if i := len(m.locals()) - 1 - k; !m.busy[i] {
				m.busy[i] = true
				n := &node{kind: loopNode, index: i, bits: word{uint64(1 + m.roll(5))}, body: m.statements()}
				delete(m.busy, i)
				return n
			}
		}
	case 10:
		return &node{kind: switchNode, args: []*node{m.value('i')}, body: m.statements(), other: m.statements()}
	case 11:
		return m.call(false)
	case 12:
		return m.call(true)
	case 13:
		k := [...]kind{fillNode, copyNode}[m.roll(2)]
		return &node{kind: k, args: []*node{m.address(), m.address(), m.address()}}
	case 14:
		return &node{kind: dropNode, args: []*node{{kind: growNode, args: []*node{m.value('i')}}}}
	case 15:
		switch m.roll(40) {
		case 1:
			return &node{kind: trapNode}
		case 2, 3, 4, 5:
			n := &node{kind: returnNode}
			if m.f.result != 0 {
				n.args = []*node{m.value(m.f.result)}
			}
			return n
		}
		return &node{kind: dropNode, args: []*node{m.value(m.typ())}}
	}
	return &node{kind: nopNode}
}

func (m *maker) accesses() int {
	if m.p.floats {
		return len(accesses)
	}
	return 3
}

// address is mostly in bounds.
func (m *maker) address() *node {
	if m.roll(60) == 0 {
		return m.value('i')
	}
	return &node{kind: constNode, typ: 'i', bits: word{uint64(m.roll(256) * 16)}}
}

func (m *maker) constant(t byte) *node {
	n := &node{kind: constNode, typ: t}
	for i := range n.bits {
		if m.roll(3) == 0 {
			n.bits[i] = m.bits()
		} else {
			n.bits[i] = interesting[m.roll(len(interesting))]
		}
	}
	switch t {
	case 'i', 'f':
		n.bits = word{n.bits[0] & math.MaxUint32}
	case 'I', 'F':
		n.bits[1] = 0
	}
	return n
}

func (m *maker) value(t byte) *node {
	if m.depth++; m.depth > 9 || len(m.b) == 0 {
		m.depth--
		return m.constant(t)
	}
	defer func() { m.depth-- }()
	switch m.roll(14) {
	case 0:
		return m.constant(t)
	case 1, 2, 3:
		if i := m.local(t); i >= 0 {
			return &node{kind: getNode, index: i}
		}
	case 4:
		if i := m.local(t); i >= 0 {
			return &node{kind: teeNode, index: i, args: []*node{m.assigned(t, i)}}
		}
	case 5:
		return &node{kind: globalGetNode, index: index(allTypes, t)}
	case 6:
		for i := range accesses {
			if accesses[i].typ == t {
				return &node{kind: loadNode, index: i, args: []*node{m.address()}}
			}
		}
	case 7:
		return &node{kind: selectNode, args: []*node{m.value(t), m.value(t), m.value('i')}}
	case 8:
		return &node{kind: choiceNode, typ: t, args: []*node{m.value(t), m.value('i'), m.value(t)}}
	}
	var fit []*operation
	for _, o := range operations {
		if o.push == t && (m.p.floats || !o.floats) {
			fit = append(fit, o)
		}
	}
	o := fit[m.roll(len(fit))]
	n := &node{kind: opNode, op: o}
	for _, p := range []byte(o.pops) {
		n.args = append(n.args, m.value(p))
	}
	if (o.class == fuel.ClassDivide || o.class == fuel.ClassLongDivide) && m.roll(20) > 0 {
		n.args[1] = &node{kind: constNode, typ: o.pops[1], bits: word{7}}
	}
	return n
}

// assigned makes a value for a local. Half of those of floating point are given nothing but results of arithmetic, of one
// shape each, as accumulators are.
func (m *maker) assigned(t byte, local int) *node {
	if t == 'i' || t == 'I' || local%2 == 0 || m.roll(30) == 0 {
		return m.value(t)
	}
	var fit []*operation
	for _, o := range operations {
		if o.push == t && (o.class == fuel.ClassFloatMake || o.class == fuel.ClassFloatDivide || o.class == fuel.ClassFloatRoot ||
			(o.class == fuel.ClassVectorMake || o.class == fuel.ClassVectorDivide) && local%4/2 == int(o.code[1]&16)/16) {
			fit = append(fit, o)
		}
	}
	n := &node{kind: opNode, op: fit[m.roll(len(fit))]}
	for _, p := range []byte(n.op.pops) {
		n.args = append(n.args, m.value(p))
	}
	return n
}

func index(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

func index2(a *access) int {
	for i := range accesses {
		if &accesses[i] == a {
			return i
		}
	}
	return -1
}
