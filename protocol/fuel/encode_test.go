package fuel_test

import "encoding/binary"

// An encoder writes WebAssembly binaries for tests.
type encoder struct{ b []byte }

func (e *encoder) op(b ...byte) { e.b = append(e.b, b...) }

func (e *encoder) u(v int) { e.b = binary.AppendUvarint(e.b, uint64(v)) }

func (e *encoder) s(v int64) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			e.op(c)
			return
		}
		e.op(c | 0x80)
	}
}

func (e *encoder) name(s string) {
	e.u(len(s))
	e.op([]byte(s)...)
}

var binaryType = map[byte]byte{'i': 0x7f, 'I': 0x7e, 'f': 0x7d, 'F': 0x7c, 'v': 0x7b, 'r': 0x70}

func (e *encoder) types(s string) {
	e.u(len(s))
	for i := range len(s) {
		e.op(binaryType[s[i]])
	}
}

// section writes a section whose content f writes.
func (e *encoder) section(id byte, f func(*encoder)) {
	var c encoder
	f(&c)
	e.op(id)
	e.u(len(c.b))
	e.op(c.b...)
}

// list writes a section that is a list of n elements.
func (e *encoder) list(id byte, n int, f func(c *encoder, i int)) {
	e.section(id, func(c *encoder) {
		c.u(n)
		for i := range n {
			f(c, i)
		}
	})
}

const magic = "\x00asm\x01\x00\x00\x00"

// encode gives the binary of a program: functions are exported as f0, f1, ... and stand in the table in that order.
func (p *program) encode() []byte {
	e := &encoder{b: []byte(magic)}
	e.list(1, len(p.funcs), func(c *encoder, i int) {
		c.op(0x60)
		c.types(p.funcs[i].params)
		if r := p.funcs[i].result; r != 0 {
			c.types(string(r))
		} else {
			c.u(0)
		}
	})
	e.list(3, len(p.funcs), func(c *encoder, i int) { c.u(i) })
	e.section(4, func(c *encoder) { c.op(1, 0x70, 0, tableSize) })
	e.section(5, func(c *encoder) { c.op(1, 1, 1, memoryPages) })
	e.list(6, globalCount, func(c *encoder, i int) {
		c.op(binaryType[allTypes[i]], 1)
		c.op([][]byte{{0x41, 0}, {0x42, 0}, {0x43, 0, 0, 0, 0}, {0x44, 0, 0, 0, 0, 0, 0, 0, 0}, append([]byte{0xfd, 12}, make([]byte, 16)...)}[i]...)
		c.op(0x0b)
	})
	e.list(7, len(p.funcs)+globalCount+1, func(c *encoder, i int) {
		switch {
		case i < len(p.funcs):
			c.name("f" + string(rune('0'+i)))
			c.op(0, byte(i))
		case i < len(p.funcs)+globalCount:
			c.name("g" + string(rune('0'+i-len(p.funcs))))
			c.op(3, byte(i-len(p.funcs)))
		default:
			c.name("memory")
			c.op(2, 0)
		}
	})
	e.section(9, func(c *encoder) {
		c.op(1, 0, 0x41, 0, 0x0b)
		c.u(len(p.funcs))
		for i := range p.funcs {
			c.u(i)
		}
	})
	e.list(10, len(p.funcs), func(c *encoder, i int) {
		var b encoder
		f := p.funcs[i]
		b.u(len(f.locals))
		for k := range len(f.locals) {
			b.op(1, binaryType[f.locals[k]])
		}
		b.nodes(f.body)
		b.op(0x0b)
		c.u(len(b.b))
		c.op(b.b...)
	})
	return e.b
}

func (e *encoder) nodes(list []*node) {
	for _, n := range list {
		e.node(n)
	}
}

func (e *encoder) node(n *node) {
	switch n.kind {
	case ifNode:
		e.nodes(n.args)
		e.op(0x04, 0x40)
		e.nodes(n.body)
		if len(n.other) > 0 {
			e.op(0x05)
			e.nodes(n.other)
		}
		e.op(0x0b)
		return
	case escapeNode:
		e.op(0x02, 0x40)
		e.nodes(n.body)
		e.nodes(n.args)
		e.op(0x0d, 0)
		e.nodes(n.other)
		e.op(0x0b)
		return
	case choiceNode:
		e.op(0x02, binaryType[n.typ])
		e.nodes(n.args[:2])
		e.op(0x0d, 0, 0x1a)
		e.node(n.args[2])
		e.op(0x0b)
		return
	case loopNode:
		e.op(0x41)
		e.s(int64(n.bits[0]))
		e.op(0x21)
		e.u(n.index)
		e.op(0x03, 0x40)
		e.nodes(n.body)
		e.op(0x20)
		e.u(n.index)
		e.op(0x41, 1, 0x6b, 0x22)
		e.u(n.index)
		e.op(0x0d, 0, 0x0b)
		return
	case switchNode:
		e.op(0x02, 0x40, 0x02, 0x40)
		e.nodes(n.args)
		e.op(0x0e, 1, 0, 1, 0x0b)
		e.nodes(n.body)
		e.op(0x0b)
		e.nodes(n.other)
		return
	}
	e.nodes(n.args)
	switch n.kind {
	case constNode:
		e.constant(n)
	case opNode:
		e.op(n.op.code...)
	case getNode, setNode, teeNode:
		e.op(map[kind]byte{getNode: 0x20, setNode: 0x21, teeNode: 0x22}[n.kind])
		e.u(n.index)
	case globalGetNode, globalSetNode:
		e.op(map[kind]byte{globalGetNode: 0x23, globalSetNode: 0x24}[n.kind])
		e.u(n.index)
	case loadNode:
		e.op(accesses[n.index].load...)
		e.op(0, 0)
	case storeNode:
		e.op(accesses[n.index].store...)
		e.op(0, 0)
	case selectNode:
		e.op(0x1b)
	case callNode:
		e.op(0x10)
		e.u(n.index)
	case indirectNode:
		e.op(0x11)
		e.u(n.index)
		e.op(0)
	case dropNode:
		e.op(0x1a)
	case fillNode:
		e.op(0xfc, 11, 0)
	case copyNode:
		e.op(0xfc, 10, 0, 0)
	case growNode:
		e.op(0x40, 0)
	case returnNode:
		e.op(0x0f)
	case trapNode:
		e.op(0x00)
	case nopNode:
		e.op(0x01)
	}
}

func (e *encoder) constant(n *node) {
	switch n.typ {
	case 'i':
		e.op(0x41)
		e.s(int64(int32(n.bits[0])))
	case 'I':
		e.op(0x42)
		e.s(int64(n.bits[0]))
	case 'f':
		e.op(0x43)
		e.b = binary.LittleEndian.AppendUint32(e.b, uint32(n.bits[0]))
	case 'F':
		e.op(0x44)
		e.b = binary.LittleEndian.AppendUint64(e.b, n.bits[0])
	case 'v':
		e.op(0xfd, 12)
		e.b = binary.LittleEndian.AppendUint64(e.b, n.bits[0])
		e.b = binary.LittleEndian.AppendUint64(e.b, n.bits[1])
	}
}
