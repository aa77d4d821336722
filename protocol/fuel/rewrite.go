package fuel

import (
	"encoding/binary"
	"slices"
)

// The instructions that the pass adds.
const (
	opUnreachable = 0x00
	opBlock       = 0x02
	opIf          = 0x04
	opEnd         = 0x0b
	opBr          = 0x0c
	opReturn      = 0x0f
	opSelect      = 0x1b
	opLocalGet    = 0x20
	opLocalSet    = 0x21
	opLocalTee    = 0x22
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opI32Const    = 0x41
	opI64Const    = 0x42
	opF32Const    = 0x43
	opF64Const    = 0x44
	opI32LtS      = 0x48
	opI64LtS      = 0x53
	opI64Or       = 0x84
	opF32Eq       = 0x5b
	opF64Eq       = 0x61
	opI32Add      = 0x6a
	opI32Sub      = 0x6b
	opI64Sub      = 0x7d
	opI64Mul      = 0x7e
	opI64ShrU     = 0x88
	opI64ExtendU  = 0xad
	opMemoryGrow  = 0x40
	emptyBlock    = 0x40
)

// The frame of a function is taken to be as large as this says: an upper bound of what wazero's compiler makes of it, by
// measurement (DESIGN.md). A spilled value has a place of its own there, so that it grows with the code.
const (
	frameBase  = 128 // return address, saved registers
	frameSlot  = 16  // an operand; a local, and once more for each loop around what uses it
	frameBytes = 2   // a byte of code
	// A function that calls none and whose frame is no larger than this is not counted: one can only be the last on the
	// stack, and wazero's stack is larger than StackBudget by far more.
	frameLeaf = 64 << 10
)

// A writer makes the new module.
type writer struct {
	m                 *module
	fuel, stack, stop uint32 // the globals
	body              body   // of the function at hand
	out               []byte
	scratch           [5]uint32 // the function's added locals, by their type's place in scratchTypes
}

// scratchTypes are the types of the locals that a function may need for what is added: always the first, for the fuel.
const scratchTypes = "IifFv"

func unsigned(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

func signed(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// emit appends an instruction with one unsigned immediate.
func (w *writer) emit(op byte, immediate uint32) { w.out = unsigned(append(w.out, op), immediate) }

func (w *writer) ops(ops ...byte) { w.out = append(w.out, ops...) }

func (w *writer) constant(op byte, v int64) { w.out = signed(append(w.out, op), v) }

// bodies gives the content of the code section.
func (w *writer) bodies() ([]byte, error) {
	code := unsigned(nil, uint32(len(w.m.bodies)))
	for i := range w.m.bodies {
		if err := w.body.check(w.m, i); err != nil {
			return nil, err
		}
		w.out = w.out[:0]
		w.function(w.m.bodies[i])
		code = append(unsigned(code, uint32(len(w.out))), w.out...)
		if len(code) > MaxOutput {
			return nil, exhausted("its metered code is longer than %d bytes", MaxOutput)
		}
	}
	return code, nil
}

// function writes the body that was just checked:
//
//	locals, and ours
//	charge the first region, trap if there is no fuel
//	take the frame from the stack, trap if there is none     unless it is a small leaf
//	block                                                    "
//	  the steps; return is a branch to the end of the block
//	end
//	give the frame back                                      "
//	end
func (w *writer) function(code []byte) {
	b := &w.body
	w.declare(code)
	frame := b.frame(len(code))
	counted := b.calls || frame > frameLeaf
	first := &b.steps[0]
	w.charge(first.charge, first.check)
	first.charge, first.check = 0, false
	if counted {
		w.takeFrame(frame)
		w.openBlock(b.typ.results)
	}
	for i := range b.steps {
		s := &b.steps[i]
		if s.charge > 0 || s.check {
			w.charge(s.charge, s.check)
		}
		w.chargeBySize(s.op)
		if s.op == opReturn && counted {
			w.emit(opBr, s.index)
		} else {
			w.out = append(w.out, code[s.start:s.end]...)
		}
		if s.nan.canon != shapeNone {
			w.canonical(s.nan.canon)
		}
	}
	if counted {
		w.emit(opGlobalGet, w.stack)
		w.constant(opI32Const, frame)
		w.ops(opI32Add)
		w.emit(opGlobalSet, w.stack)
		w.ops(opEnd)
	}
}

// frame is the stack that a function is taken to use.
func (b *body) frame(code int) int64 {
	return frameBase + frameSlot*int64(len(b.locals)*(1+b.loops)+len(b.typ.results)+b.height) + frameBytes*int64(code)
}

// declare writes the declarations of locals, with those that the added code needs behind the function's own.
func (w *writer) declare(code []byte) {
	b := &w.body
	need := [len(scratchTypes)]bool{0: true}
	for _, s := range b.steps {
		need[1] = need[1] || sized(s.op)
		switch s.nan.canon {
		case shapeF32:
			need[2] = true
		case shapeF64:
			need[3] = true
		case shapeF32x4, shapeF64x2:
			need[4] = true
		}
	}
	r := &reader{b: code}
	groups := r.u32()
	next := uint32(len(b.locals))
	var ours []byte
	for i, n := range need {
		if n {
			w.scratch[i] = next
			next++
			groups++
			ours = append(ours, 1, valueBytes[scratchTypes[i]])
		}
	}
	w.out = unsigned(w.out, groups)
	w.out = append(w.out, code[r.pos:b.groups]...)
	w.out = append(w.out, ours...)
}

// charge takes a cost from the fuel, and traps if none is left and it must check.
func (w *writer) charge(cost int64, check bool) {
	w.emit(opGlobalGet, w.fuel)
	w.constant(opI64Const, cost)
	w.ops(opI64Sub)
	if check {
		w.spend()
	} else {
		w.emit(opGlobalSet, w.fuel)
	}
}

// spend sets the fuel to what lies on the stack, and traps if that is negative or the host wants it to stop.
func (w *writer) spend() {
	w.emit(opLocalTee, w.scratch[0])
	w.emit(opGlobalSet, w.fuel)
	w.emit(opLocalGet, w.scratch[0])
	w.emit(opGlobalGet, w.stop)
	w.ops(opI64Or)
	w.constant(opI64Const, 0)
	w.ops(opI64LtS, opIf, emptyBlock, opUnreachable, opEnd)
}

func (w *writer) takeFrame(frame int64) {
	w.emit(opGlobalGet, w.stack)
	w.constant(opI32Const, frame)
	w.ops(opI32Sub)
	w.emit(opGlobalSet, w.stack)
	w.emit(opGlobalGet, w.stack)
	w.constant(opI32Const, 0)
	w.ops(opI32LtS, opIf, emptyBlock, opUnreachable, opEnd)
}

// openBlock begins a block without parameters that gives the results.
func (w *writer) openBlock(results string) {
	w.ops(opBlock)
	switch len(results) {
	case 0:
		w.ops(emptyBlock)
	case 1:
		w.ops(valueBytes[results[0]])
	default:
		t := funcType{results: results}
		i := slices.Index(w.m.types, t)
		if i < 0 {
			i = len(w.m.types)
			w.m.types = append(w.m.types, t)
		}
		w.out = signed(w.out, int64(i))
	}
}

// sized reports whether an instruction takes time by the number on top of its operands.
func sized(op uint16) bool {
	switch op {
	case opMemoryGrow, 0xfc08, 0xfc0a, 0xfc0b, 0xfc0c, 0xfc0e, 0xfc0f, 0xfc11:
		return true
	}
	return false
}

// chargeBySize charges an instruction by the number on top of its operands, which it leaves there. The number has 32 bits
// and no price more than 17, so that nothing wraps.
func (w *writer) chargeBySize(op uint16) {
	if !sized(op) {
		return
	}
	w.emit(opLocalSet, w.scratch[1])
	w.emit(opGlobalGet, w.fuel)
	w.emit(opLocalGet, w.scratch[1])
	w.ops(opI64ExtendU)
	switch op {
	case opMemoryGrow:
		w.constant(opI64Const, PageCost)
		w.ops(opI64Mul)
	case 0xfc08, 0xfc0a, 0xfc0b:
		w.constant(opI64Const, bytesPerFuelLog)
		w.ops(opI64ShrU)
	default:
		w.constant(opI64Const, ElementCost)
		w.ops(opI64Mul)
	}
	w.ops(opI64Sub)
	w.spend()
	w.emit(opLocalGet, w.scratch[1])
}

// canonical replaces the NaNs in the value on top: what does not equal itself is chosen from the constant.
func (w *writer) canonical(s shape) {
	var local uint32
	var constant, equal []byte
	choose := []byte{opSelect}
	f32, f64 := []byte{0, 0, 0xc0, 0x7f}, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f}
	switch s {
	case shapeF32:
		local, constant, equal = w.scratch[2], append([]byte{opF32Const}, f32...), []byte{opF32Eq}
	case shapeF64:
		local, constant, equal = w.scratch[3], append([]byte{opF64Const}, f64...), []byte{opF64Eq}
	case shapeF32x4:
		local, constant, equal = w.scratch[4], slices.Concat([]byte{0xfd, 12}, f32, f32, f32, f32), []byte{0xfd, 65}
	case shapeF64x2:
		local, constant, equal = w.scratch[4], slices.Concat([]byte{0xfd, 12}, f64, f64), []byte{0xfd, 71}
	}
	if s == shapeF32x4 || s == shapeF64x2 {
		choose = []byte{0xfd, 82} // v128.bitselect
	}
	w.emit(opLocalTee, local)
	w.ops(constant...)
	w.emit(opLocalGet, local)
	w.emit(opLocalGet, local)
	w.ops(equal...)
	w.ops(choose...)
}
