package fuel_test

import (
	"encoding/binary"
	"math"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// An oracle runs a program from its tree, one instruction at a time, and adds up what each costs when it runs. It makes
// every NaN canonical at once.
type oracle struct {
	p       *program
	spent   int64
	steps   int
	memory  []byte
	globals [globalCount]word
}

// tooLong is what the oracle panics with when a program runs for longer than a test should.
type tooLong struct{}

const oracleSteps = 200_000

// A signal is how control leaves a list of statements.
type signal struct {
	returned bool
	value    word
}

// run calls function i. It gives the trap, or "".
func (o *oracle) run(i int, args []word) (result word, trap string) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case trapped:
			trap = string(e)
		default:
			panic(e)
		}
	}()
	return o.call(i, args), ""
}

func (o *oracle) spend(c fuel.Class) {
	o.spent += c.Cost()
	if o.steps++; o.steps > oracleSteps {
		panic(tooLong{})
	}
}

func (o *oracle) call(i int, args []word) word {
	f := o.p.funcs[i]
	locals := make([]word, len(f.params)+len(f.locals))
	copy(locals, args)
	o.spend(fuel.ClassEnter)
	body := f.body
	if f.result != 0 {
		body = body[:len(body)-1]
	}
	if s := o.all(body, locals); s.returned || f.result == 0 {
		return s.value
	}
	v := o.value(f.body[len(f.body)-1], locals)
	return v
}

func (o *oracle) all(list []*node, locals []word) signal {
	for _, n := range list {
		if s := o.statement(n, locals); s.returned {
			return s
		}
	}
	return signal{}
}

func (o *oracle) values(list []*node, locals []word) (v []word) {
	for _, n := range list {
		v = append(v, o.value(n, locals))
	}
	return v
}

// slice is memory, or a trap.
func (o *oracle) slice(at, n uint64) []byte {
	if at+n > uint64(len(o.memory)) {
		panic(trapped("out of bounds memory access"))
	}
	return o.memory[at : at+n]
}

func (o *oracle) statement(n *node, locals []word) signal {
	switch n.kind {
	case nopNode:
		o.spend(fuel.ClassFree)
	case trapNode:
		o.spend(fuel.ClassJump)
		panic(trapped("unreachable"))
	case returnNode:
		v := o.values(n.args, locals)
		o.spend(fuel.ClassJump)
		return signal{true, append(v, word{})[0]}
	case setNode:
		v := o.value(n.args[0], locals)
		o.spend(fuel.ClassLocal)
		locals[n.index] = v
	case globalSetNode:
		v := o.value(n.args[0], locals)
		o.spend(fuel.ClassGlobal)
		o.globals[n.index] = v
	case storeNode:
		v := o.values(n.args, locals)
		o.spend(fuel.ClassStore)
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], v[1][0])
		binary.LittleEndian.PutUint64(b[8:], v[1][1])
		size := accesses[n.index].size
		copy(o.slice(v[0][0], uint64(size)), b[:size])
	case ifNode:
		c := o.value(n.args[0], locals)
		o.spend(fuel.ClassJump)
		if uint32(c[0]) != 0 {
			return o.all(n.body, locals)
		}
		return o.all(n.other, locals)
	case escapeNode:
		if s := o.all(n.body, locals); s.returned {
			return s
		}
		c := o.value(n.args[0], locals)
		o.spend(fuel.ClassJump)
		if uint32(c[0]) == 0 {
			return o.all(n.other, locals)
		}
	case loopNode:
		o.spend(fuel.ClassLocal) // i32.const
		o.spend(fuel.ClassLocal) // local.set
		for k := n.bits[0]; k > 0; k-- {
			o.spend(fuel.ClassLoop)
			if s := o.all(n.body, locals); s.returned {
				return s
			}
			for range 3 { // local.get, i32.const, local.tee
				o.spend(fuel.ClassLocal)
			}
			o.spend(fuel.ClassInteger) // i32.sub
			o.spend(fuel.ClassJump)    // br_if
			locals[n.index] = i32(uint32(k - 1))
		}
	case switchNode:
		c := o.value(n.args[0], locals)
		o.spend(fuel.ClassJumpTable)
		if uint32(c[0]) == 0 {
			if s := o.all(n.body, locals); s.returned {
				return s
			}
		}
		return o.all(n.other, locals)
	case callNode, indirectNode:
		o.invoke(n, locals)
	case dropNode:
		o.value(n.args[0], locals)
		o.spend(fuel.ClassFree)
	case fillNode, copyNode:
		v := o.values(n.args, locals)
		o.spend(fuel.ClassBulk)
		o.spent += int64(uint32(v[2][0]) / fuel.BytesPerFuel)
		size := uint64(uint32(v[2][0]))
		o.steps += int(size >> 6) // it takes time here, too
		to := o.slice(v[0][0], size)
		if n.kind == copyNode {
			copy(to, o.slice(v[1][0], size))
			break
		}
		for i := range to {
			to[i] = byte(v[1][0])
		}
	default:
		panic("a statement of unknown kind")
	}
	return signal{}
}

func (o *oracle) invoke(n *node, locals []word) word {
	v := o.values(n.args, locals)
	if n.kind == callNode {
		o.spend(fuel.ClassCall)
		return o.call(n.index, v)
	}
	o.spend(fuel.ClassCallIndirect)
	e := int(uint32(v[len(v)-1][0]))
	if e >= tableSize || e >= len(o.p.funcs) {
		panic(trapped("invalid table access"))
	}
	if f, g := o.p.funcs[e], o.p.funcs[n.index]; f.params != g.params || f.result != g.result {
		panic(trapped("indirect call type mismatch"))
	}
	return o.call(e, v[:len(v)-1])
}

func (o *oracle) value(n *node, locals []word) word {
	switch n.kind {
	case constNode:
		if n.typ == 'v' {
			o.spend(fuel.ClassVector)
		} else {
			o.spend(fuel.ClassLocal)
		}
		return n.bits
	case opNode:
		v := o.values(n.args, locals)
		o.spend(n.op.class)
		return n.op.eval(v)
	case getNode:
		o.spend(fuel.ClassLocal)
		return locals[n.index]
	case teeNode:
		v := o.value(n.args[0], locals)
		o.spend(fuel.ClassLocal)
		locals[n.index] = v
		return v
	case globalGetNode:
		o.spend(fuel.ClassGlobal)
		return o.globals[n.index]
	case loadNode:
		v := o.value(n.args[0], locals)
		a := accesses[n.index]
		if a.typ == 'v' {
			o.spend(fuel.ClassVectorLoad)
		} else {
			o.spend(fuel.ClassLoad)
		}
		var b [16]byte
		copy(b[:], o.slice(v[0], uint64(a.size)))
		return word{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
	case selectNode:
		v := o.values(n.args, locals)
		o.spend(fuel.ClassSelect)
		if uint32(v[2][0]) != 0 {
			return v[0]
		}
		return v[1]
	case choiceNode:
		v := o.values(n.args[:2], locals)
		o.spend(fuel.ClassJump)
		if uint32(v[1][0]) != 0 {
			return v[0]
		}
		return o.value(n.args[2], locals)
	case callNode, indirectNode:
		return o.invoke(n, locals)
	case growNode:
		v := uint64(uint32(o.value(n.args[0], locals)[0]))
		o.spend(fuel.ClassBulk)
		o.spent += int64(v) * fuel.PageCost
		pages := uint64(len(o.memory) >> 16)
		if pages+v > memoryPages {
			return i32(math.MaxUint32)
		}
		o.memory = append(o.memory, make([]byte, v<<16)...)
		return i32(uint32(pages))
	}
	panic("a value of unknown kind")
}
