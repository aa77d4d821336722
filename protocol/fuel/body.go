package fuel

// A step is one instruction of a body with what the pass wants to do about it.
type step struct {
	op         uint16 // opcode; after a prefix, the prefix in the upper byte
	start, end uint32 // where it stands in the body
	index      uint32 // local of local.get and local.tee; nesting depth of return
	charge     int64  // fuel of the region that begins here
	check      bool   // whether the fuel must not be negative after that charge
	nan        nan    // whether its result may hold a NaN to be made canonical
}

// A value is what the checker knows of one operand.
type value struct {
	typ    byte
	origin int // step whose result this is, if the bits of a NaN in it are open; else bitsFixed or neverNaN
}

const (
	bitsFixed = -1 // loaded, passed or otherwise moved: NaNs keep their bits
	neverNaN  = -2
)

// A label is an open block: its types, and the height of the operand stack where it began.
type label struct {
	op          byte // 0x02 block, 0x03 loop, 0x04 if, 0x05 else, 0 the function
	typ         funcType
	height      int
	loops       int // among this label and those around it
	unreachable bool
	targeted    bool // a branch leads to its end
}

// targets are the types that a branch to the label carries.
func (l *label) targets() string {
	if l.op == 0x03 {
		return l.typ.params
	}
	return l.typ.results
}

// A body is one function's code as it is checked: by the algorithm of the specification's appendix, extended by the
// regions of straight-line code (see enter and cut) and by the flow of open NaNs (see nan.go).
type body struct {
	m      *module
	r      reader
	typ    funcType
	locals []byte // types, parameters first
	groups int    // where the code begins: after the declarations of locals
	steps  []step
	stack  []value
	labels []label
	flows  []flow // one a local

	height    int  // the operand stack's greatest
	opened    int  // labels in all
	loops     int  // their deepest nesting
	calls     bool // whether another function is called
	region    int  // step where the present region begins
	fuel      int64
	mustCheck bool
}

// check reads body i of the module. The result is valid until the next call, which uses the same memory.
func (b *body) check(m *module, i int) error {
	f := m.function(uint32(m.importedFuncs + i))
	*b = body{m: m, r: reader{b: m.bodies[i]}, typ: f, locals: append(b.locals[:0], f.params...),
		steps: b.steps[:0], stack: b.stack[:0], labels: b.labels[:0], flows: b.flows[:0]}
	b.declareLocals()
	b.groups = b.r.pos
	b.fuel, b.mustCheck = ClassEnter.Cost(), true
	b.labels = append(b.labels, label{typ: funcType{results: f.results}})
	for b.r.err == nil && len(b.labels) > 0 {
		b.instruction()
	}
	b.r.end("a function")
	if b.r.err != nil {
		return b.r.err
	}
	b.cut()
	b.settle()
	if b.opened*len(b.locals) > MaxJoins {
		return exhausted("function %d has %d blocks and %d locals; their product is at most %d", m.importedFuncs+i, b.opened, len(b.locals), MaxJoins)
	}
	if b.loops*len(b.locals) > MaxCopies {
		return exhausted("function %d has %d loops in each other and %d locals; their product is at most %d", m.importedFuncs+i, b.loops, len(b.locals), MaxCopies)
	}
	return nil
}

func (b *body) declareLocals() {
	r := &b.r
	for range r.count(MaxLocals, "groups of locals") {
		n, t := r.u32(), r.valueType()
		if r.err == nil && uint64(n)+uint64(len(b.locals)) > MaxLocals {
			r.refuse(exhausted("a function with more than %d locals", MaxLocals))
		}
		if r.err != nil {
			return
		}
		for range n {
			b.locals = append(b.locals, t)
		}
	}
	for i, t := range b.locals {
		b.flows = append(b.flows, flow{fixed: i < len(b.typ.params) || isReference(t)})
	}
}

func (b *body) push(t byte, origin int) {
	b.stack = append(b.stack, value{t, origin})
	if n := len(b.stack); n > b.height {
		if b.height = n; n > MaxHeight {
			b.r.refuse(exhausted("a function with more than %d operands", MaxHeight))
		}
	}
}

func (b *body) pushes(types string) {
	for i := range len(types) {
		b.push(types[i], bitsFixed)
	}
}

// take pops a value of the wanted type, or any when that is unknown, and does not yet say how it is used. The value's type
// is unknown in code that is never reached.
func (b *body) take(want byte) value {
	if len(b.labels) == 0 {
		b.r.fail("code after the end of the function")
		return value{typeUnknown, bitsFixed}
	}
	l := &b.labels[len(b.labels)-1]
	if len(b.stack) == l.height {
		if !l.unreachable {
			b.r.fail("an operand is missing")
		}
		return value{typeUnknown, bitsFixed}
	}
	v := b.stack[len(b.stack)-1]
	b.stack = b.stack[:len(b.stack)-1]
	if v.typ != typeUnknown && want != typeUnknown && v.typ != want {
		b.r.fail("an operand is %c, %c is wanted", v.typ, want)
	}
	return v
}

// pop takes a value whose bits are seen.
func (b *body) pop(want byte) byte {
	v := b.take(want)
	b.see(v)
	return v.typ
}

func (b *body) pops(types string) {
	for i := len(types) - 1; i >= 0; i-- {
		b.pop(types[i])
	}
}

func (b *body) open(op byte, t funcType) {
	l := label{op: op, typ: t, height: len(b.stack), loops: b.labels[len(b.labels)-1].loops}
	if op == 0x03 {
		if l.loops++; l.loops > MaxLoops {
			b.r.refuse(exhausted("loops nested deeper than %d", MaxLoops))
		}
		b.loops = max(b.loops, l.loops)
	}
	b.labels = append(b.labels, l)
	if b.opened++; len(b.labels) > MaxNesting {
		b.r.refuse(exhausted("blocks nested deeper than %d", MaxNesting))
	}
	b.pushes(t.params)
}

// close ends the innermost block, whose results must be all that is left on the stack.
func (b *body) close() (l label) {
	l = b.labels[len(b.labels)-1]
	b.pops(l.typ.results)
	if len(b.stack) != l.height {
		b.r.fail("operands are left at the end of a block")
	}
	b.labels = b.labels[:len(b.labels)-1]
	return l
}

// never marks what follows as code that is not reached.
func (b *body) never() {
	l := &b.labels[len(b.labels)-1]
	b.stack = b.stack[:l.height]
	l.unreachable = true
}

// branch reads the index of a label.
func (b *body) branch() *label {
	i := int(b.r.index(len(b.labels), "label"))
	l := &b.labels[len(b.labels)-1-i]
	l.targeted = true
	return l
}

// cut ends a region: the next instruction begins another. What was counted is charged where the region begins. Regions end
// after whatever may not go on to the next instruction, and before whatever is reached from elsewhere; so that who executes
// the first instruction of a region executes all, unless one traps. The instructions that are cut behind and may be reached
// from elsewhere (else, end) cost nothing.
func (b *body) cut() {
	if b.region < len(b.steps) {
		b.steps[b.region].charge, b.steps[b.region].check = b.fuel, b.mustCheck
		b.region, b.fuel, b.mustCheck = len(b.steps), 0, false
	}
}

// blockType reads the type of a block: none, one result, or the index of a type.
func (b *body) blockType() funcType {
	if b.r.left() > 0 {
		c := b.r.b[b.r.pos]
		if c == 0x40 {
			b.r.pos++
			return funcType{}
		}
		if t, ok := valueTypes[c]; ok {
			b.r.pos++
			return funcType{results: string(rune(t))}
		}
	}
	i := b.r.signed(33)
	if b.r.err == nil && (i < 0 || i >= int64(len(b.m.types))) {
		b.r.fail("a block of type %d of %d", i, len(b.m.types))
	}
	if b.r.err != nil {
		return funcType{}
	}
	return b.m.types[i]
}

func (b *body) instruction() {
	r := &b.r
	at := r.pos
	op := uint16(r.byte())
	var ins *instruction
	switch op {
	case 0xfc, 0xfd:
		sub := r.u32()
		if sub > 0xff {
			r.fail("instruction %#x %d is refused", op, sub)
			return
		}
		ins = &prefixFC[sub]
		if op == 0xfd {
			ins = &prefixFD[sub]
		}
		op = op<<8 | uint16(sub)
	default:
		ins = &plain[op]
	}
	if r.err == nil && !ins.known {
		r.fail("instruction %#x is refused: it is unknown or beyond WebAssembly 2.0", op)
	}
	if r.err != nil {
		return
	}
	b.steps = append(b.steps, step{op: op, start: uint32(at)})
	b.fuel += ins.class.Cost()
	switch ins.imm {
	case immMemory:
		b.memoryAccess(ins.align)
	case immLane:
		b.lane(ins.lanes)
	case immMemoryLane:
		b.memoryAccess(ins.align)
		b.lane(ins.lanes)
	case immOther:
		b.other(op)
		b.steps[len(b.steps)-1].end = uint32(r.pos)
		b.boundary(op)
		return
	}
	b.steps[len(b.steps)-1].end = uint32(r.pos)
	b.plain(ins)
}

// plain applies an instruction whose types stand in the table.
func (b *body) plain(ins *instruction) {
	for i := len(ins.pops) - 1; i >= 0; i-- {
		v := b.take(ins.pops[i])
		b.read(v, ins.reads)
	}
	if ins.pushes == "" {
		return
	}
	origin := bitsFixed
	if ins.makes != shapeNone {
		origin = len(b.steps) - 1
		b.steps[origin].nan.makes = ins.makes
	} else if ins.class == ClassFloatConvert {
		origin = neverNaN
	}
	b.push(ins.pushes[0], origin)
}

func (b *body) memoryAccess(align uint8) {
	if len(b.m.memories) == 0 {
		b.r.fail("there is no memory")
	}
	if a := b.r.u32(); a > uint32(align) {
		b.r.fail("an alignment of 2^%d, the natural one is 2^%d", a, align)
	}
	b.r.u32()
}

func (b *body) lane(lanes uint8) {
	if b.r.byte() >= lanes {
		b.r.fail("a lane past the last")
	}
}

// boundary ends the region after an instruction that may not go on to the next one, or that may be reached from elsewhere.
func (b *body) boundary(op uint16) {
	switch op {
	case 0x00, 0x04, 0x05, 0x0c, 0x0d, 0x0e, 0x0f: // unreachable, if, else, br, br_if, br_table, return
		b.cut()
	case 0x03: // loop: its own fuel is spent in each round
		b.fuel -= ClassLoop.Cost()
		b.cut()
		b.fuel += ClassLoop.Cost()
		b.mustCheck = true
	case 0x10: // a host's function must not run on fuel that is not there; other functions check for themselves
		b.calls = true
		if b.steps[len(b.steps)-1].index < uint32(b.m.importedFuncs) {
			b.mustCheck = true
		}
	case 0x11:
		b.calls, b.mustCheck = true, true
	}
}
