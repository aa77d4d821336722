package fuel

import "math"

// other applies an instruction that the tables do not describe: its immediates, and its operands.
func (b *body) other(op uint16) {
	switch {
	case op <= 0x11:
		b.control(op)
	case op <= 0x24:
		b.variable(op)
	case op <= 0x26 || op >= 0xd0 && op <= 0xd2 || op >= 0xfc0c && op <= 0xfc11:
		b.tableOrReference(op)
	case op <= 0x40 || op >= 0xfc08 && op <= 0xfc0b:
		b.memoryOperation(op)
	default:
		b.constant(op)
	}
}

func (b *body) control(op uint16) {
	r := &b.r
	switch op {
	case 0x00: // unreachable
		b.never()
	case 0x02, 0x03: // block, loop
		t := b.blockType()
		b.pops(t.params)
		b.open(byte(op), t)
	case 0x04: // if
		t := b.blockType()
		b.pop(typeI32)
		b.pops(t.params)
		b.open(byte(op), t)
	case 0x05: // else
		l := b.close()
		if l.op != 0x04 {
			r.fail("else without if")
		}
		b.open(0x05, l.typ)
		b.labels[len(b.labels)-1].targeted = true // by the end of the first branch
	case 0x0b: // end
		l := b.close()
		if l.op == 0x04 && l.typ.params != l.typ.results {
			r.fail("if without else changes the operands")
		}
		b.pushes(l.typ.results)
		if l.op == 0x04 || l.targeted && l.op != 0x03 {
			b.cut() // it is reached from elsewhere
		}
	case 0x0c: // br
		b.pops(b.branch().targets())
		b.never()
	case 0x0d: // br_if
		l := b.branch()
		b.pop(typeI32)
		b.pops(l.targets())
		b.pushes(l.targets())
	case 0x0e: // br_table
		n := r.count(MaxBranches, "branches")
		b.pop(typeI32)
		arity := -1
		for i := 0; i <= n && r.err == nil; i++ {
			t := b.branch().targets()
			if arity < 0 {
				arity = len(t)
			}
			if len(t) != arity {
				r.fail("the branches of br_table differ")
			}
			b.peek(t)
		}
		b.never()
	case 0x0f: // return
		b.steps[len(b.steps)-1].index = uint32(len(b.labels) - 1)
		b.pops(b.typ.results)
		b.never()
	case 0x10: // call
		f := r.index(len(b.m.funcs), "function")
		b.steps[len(b.steps)-1].index = f
		if r.err == nil {
			t := b.m.function(f)
			b.pops(t.params)
			b.pushes(t.results)
		}
	case 0x11: // call_indirect
		t := r.index(len(b.m.types), "type")
		table := r.index(len(b.m.tables), "table")
		if r.err == nil {
			if b.m.tables[table].elem != typeFuncref {
				r.fail("call_indirect of a table without functions")
			}
			b.pop(typeI32)
			b.pops(b.m.types[t].params)
			b.pushes(b.m.types[t].results)
		}
	}
}

// peek checks the operands of one branch of a br_table and leaves them.
func (b *body) peek(types string) {
	var held [MaxParams]value
	for i := len(types) - 1; i >= 0; i-- {
		held[i] = b.take(types[i])
		b.see(held[i])
	}
	for i := range len(types) {
		b.push(held[i].typ, held[i].origin)
	}
}

func (b *body) variable(op uint16) {
	r := &b.r
	here := len(b.steps) - 1
	switch op {
	case 0x1a: // drop
		b.take(typeUnknown)
	case 0x1b: // select
		b.pop(typeI32)
		t := b.pop(typeUnknown)
		u := b.pop(t)
		if t == typeUnknown {
			t = u
		}
		if t != typeUnknown && isReference(t) {
			r.fail("select of references needs a type")
		}
		b.push(t, bitsFixed)
	case 0x1c: // select with a type
		if r.u32() != 1 {
			r.fail("select of other than one value")
		}
		t := r.valueType()
		b.pop(typeI32)
		b.pop(t)
		b.pop(t)
		b.push(t, bitsFixed)
	case 0x20, 0x21, 0x22: // local.get, local.set, local.tee
		i := r.index(len(b.locals), "local")
		if r.err != nil {
			return
		}
		b.steps[here].index = i
		if op != 0x20 {
			b.assign(b.take(b.locals[i]), i)
		}
		if op != 0x21 {
			b.push(b.locals[i], b.copyOf(i))
		}
	case 0x23, 0x24: // global.get, global.set
		i := r.index(len(b.m.globals), "global")
		if r.err != nil {
			return
		}
		g := b.m.globals[i]
		if op == 0x23 {
			b.push(g.typ, bitsFixed)
		} else {
			if !g.mutable {
				r.fail("global.set of a constant")
			}
			b.pop(g.typ)
		}
	}
}

func (b *body) memoryOperation(op uint16) {
	r := &b.r
	if len(b.m.memories) == 0 && op != 0xfc09 {
		r.fail("there is no memory")
	}
	segment := func() {
		if !b.m.has[secDataCount] {
			r.fail("a data segment is used and none is announced")
		}
		r.index(max(b.m.data, 0), "data segment")
	}
	memory := func() {
		if r.byte() != 0 {
			r.fail("a memory other than the first")
		}
	}
	switch op {
	case 0x3f: // memory.size
		memory()
		b.push(typeI32, bitsFixed)
	case 0x40: // memory.grow
		memory()
		b.pop(typeI32)
		b.push(typeI32, bitsFixed)
	case 0xfc08: // memory.init
		segment()
		memory()
		b.pops("iii")
	case 0xfc09: // data.drop
		segment()
	case 0xfc0a: // memory.copy
		memory()
		memory()
		b.pops("iii")
	case 0xfc0b: // memory.fill
		memory()
		b.pops("iii")
	}
}

func (b *body) tableOrReference(op uint16) {
	r := &b.r
	table := func() byte {
		i := r.index(len(b.m.tables), "table")
		if r.err != nil {
			return typeUnknown
		}
		return b.m.tables[i].elem
	}
	segment := func() byte {
		i := r.index(len(b.m.elements), "element segment")
		if r.err != nil {
			return typeUnknown
		}
		return b.m.elements[i]
	}
	same := func(a, c byte) {
		if a != c {
			r.fail("elements of two types")
		}
	}
	switch op {
	case 0x25: // table.get
		t := table()
		b.pop(typeI32)
		b.push(t, bitsFixed)
	case 0x26: // table.set
		t := table()
		b.pop(t)
		b.pop(typeI32)
	case 0xd0: // ref.null
		b.push(r.referenceType(), bitsFixed)
	case 0xd1: // ref.is_null
		if t := b.pop(typeUnknown); !isReference(t) {
			r.fail("ref.is_null of a number")
		}
		b.push(typeI32, bitsFixed)
	case 0xd2: // ref.func
		if f := r.index(len(b.m.funcs), "function"); !b.m.refs[f] {
			r.fail("ref.func of a function that is declared nowhere else")
		}
		b.push(typeFuncref, bitsFixed)
	case 0xfc0c: // table.init
		s := segment()
		same(s, table())
		b.pops("iii")
	case 0xfc0d: // elem.drop
		segment()
	case 0xfc0e: // table.copy
		to := table()
		same(to, table())
		b.pops("iii")
	case 0xfc0f: // table.grow
		t := table()
		b.pop(typeI32)
		b.pop(t)
		b.push(typeI32, bitsFixed)
	case 0xfc10: // table.size
		table()
		b.push(typeI32, bitsFixed)
	case 0xfc11: // table.fill
		t := table()
		b.pop(typeI32)
		b.pop(t)
		b.pop(typeI32)
	}
}

func (b *body) constant(op uint16) {
	r := &b.r
	number := func(is bool) int {
		if is {
			return neverNaN
		}
		return bitsFixed
	}
	switch op {
	case 0x41:
		r.signed(32)
		b.push(typeI32, bitsFixed)
	case 0x42:
		r.signed(64)
		b.push(typeI64, bitsFixed)
	case 0x43:
		b.push(typeF32, number(!isNaN32(r.bytes(4))))
	case 0x44:
		b.push(typeF64, number(!isNaN64(r.bytes(8))))
	case 0xfd0c: // v128.const
		c := r.bytes(16)
		b.push(typeV128, number(len(c) == 16 && !isNaN64(c[:8]) && !isNaN64(c[8:]) &&
			!isNaN32(c[:4]) && !isNaN32(c[4:8]) && !isNaN32(c[8:12]) && !isNaN32(c[12:])))
	case 0xfd0d: // i8x16.shuffle
		for _, lane := range r.bytes(16) {
			if lane >= 32 {
				r.fail("a lane past the last")
			}
		}
		b.pops("vv")
		b.push(typeV128, bitsFixed)
	}
}

func isNaN32(c []byte) bool {
	return len(c) == 4 && math.Float32frombits(little32(c)) != math.Float32frombits(little32(c))
}

func isNaN64(c []byte) bool {
	if len(c) != 8 {
		return false
	}
	f := math.Float64frombits(uint64(little32(c)) | uint64(little32(c[4:]))<<32)
	return f != f
}

func little32(c []byte) uint32 {
	return uint32(c[0]) | uint32(c[1])<<8 | uint32(c[2])<<16 | uint32(c[3])<<24
}
