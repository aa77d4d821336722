package fuel

// An immediate says what follows an opcode in the byte code.
type immediate uint8

const (
	immNone       immediate = iota
	immMemory               // alignment, offset
	immLane                 // a lane of a vector
	immMemoryLane           // alignment, offset, lane
	immOther                // read by the checker's own case
)

// A shape is the way in which the bits of a value are read as floating point numbers, where that matters for NaNs.
type shape uint8

const (
	shapeNone shape = iota
	shapeF32
	shapeF64
	shapeF32x4
	shapeF64x2
)

// An instruction is what the checker and the pass must know of one opcode.
type instruction struct {
	known bool
	imm   immediate
	class Class
	// pops and pushes are value types: i I f F v for i32 i64 f32 f64 v128, top of the stack last.
	pops, pushes string
	// reads is the shape in which all operands of that type are read as numbers: a NaN among them acts the same whatever
	// its bits. An operand that is read in another way, or moved, has its bits seen.
	reads shape
	// makes is the shape of a result that may be a NaN whose bits the specification leaves open.
	makes shape
	align uint8 // log2 of the natural alignment, for immMemory
	lanes uint8 // how many lanes there are, for immLane
}

// The tables hold one entry an opcode: those of one byte, those after 0xfc and those after 0xfd. What is not known is
// refused: atomics (0xfe), relaxed SIMD (0xfd 256 and on), exceptions, tail calls, typed references, and whatever a later
// WebAssembly brings. Instructions with immOther keep their types in the checker, which has a case for each.
var plain, prefixFC, prefixFD = build(plainRows), build(fcRows), build(fdRows)

// A row is the instructions from first to last, which are alike.
type row struct {
	first, last int
	types       string // pops:pushes
	instruction
}

func build(rows []row) (t [256]instruction) {
	for _, r := range rows {
		ins := r.instruction
		ins.known = true
		for i := range r.types {
			if r.types[i] == ':' {
				ins.pops, ins.pushes = r.types[:i], r.types[i+1:]
			}
		}
		for op := r.first; op <= r.last; op++ {
			if t[op].known {
				panic("an opcode stands twice in the table")
			}
			t[op] = ins
		}
	}
	return t
}

func op(first, last int, types string, c Class) row {
	return row{first, last, types, instruction{class: c}}
}

func other(first, last int, c Class) row {
	return row{first, last, "", instruction{class: c, imm: immOther}}
}

func memory(first, last int, types string, c Class, align uint8) row {
	return row{first, last, types, instruction{class: c, imm: immMemory, align: align}}
}

func lane(first, last int, types string, lanes uint8) row {
	return row{first, last, types, instruction{class: ClassVector, imm: immLane, lanes: lanes}}
}

func memoryLane(op int, types string, c Class, align, lanes uint8) row {
	return row{op, op, types, instruction{class: c, imm: immMemoryLane, align: align, lanes: lanes}}
}

func float(first, last int, types string, c Class, reads, makes shape) row {
	return row{first, last, types, instruction{class: c, reads: reads, makes: makes}}
}

var plainRows = []row{
	other(0x00, 0x00, ClassJump), // unreachable
	other(0x01, 0x01, ClassFree), // nop
	other(0x02, 0x02, ClassFree), // block
	other(0x03, 0x03, ClassLoop), // loop
	other(0x04, 0x04, ClassJump), // if
	other(0x05, 0x05, ClassFree), // else
	other(0x0b, 0x0b, ClassFree), // end
	other(0x0c, 0x0d, ClassJump), // br, br_if
	other(0x0e, 0x0e, ClassJumpTable),
	other(0x0f, 0x0f, ClassJump), // return
	other(0x10, 0x10, ClassCall),
	other(0x11, 0x11, ClassCallIndirect),
	other(0x1a, 0x1a, ClassFree),   // drop
	other(0x1b, 0x1c, ClassSelect), // select, select with a type
	other(0x20, 0x22, ClassLocal),  // local.get, local.set, local.tee
	other(0x23, 0x24, ClassGlobal), // global.get, global.set
	other(0x25, 0x26, ClassTable),  // table.get, table.set

	memory(0x28, 0x28, "i:i", ClassLoad, 2),
	memory(0x29, 0x29, "i:I", ClassLoad, 3),
	memory(0x2a, 0x2a, "i:f", ClassLoad, 2),
	memory(0x2b, 0x2b, "i:F", ClassLoad, 3),
	memory(0x2c, 0x2d, "i:i", ClassLoad, 0),
	memory(0x2e, 0x2f, "i:i", ClassLoad, 1),
	memory(0x30, 0x31, "i:I", ClassLoad, 0),
	memory(0x32, 0x33, "i:I", ClassLoad, 1),
	memory(0x34, 0x35, "i:I", ClassLoad, 2),
	memory(0x36, 0x36, "ii:", ClassStore, 2),
	memory(0x37, 0x37, "iI:", ClassStore, 3),
	memory(0x38, 0x38, "if:", ClassStore, 2),
	memory(0x39, 0x39, "iF:", ClassStore, 3),
	memory(0x3a, 0x3a, "ii:", ClassStore, 0),
	memory(0x3b, 0x3b, "ii:", ClassStore, 1),
	memory(0x3c, 0x3c, "iI:", ClassStore, 0),
	memory(0x3d, 0x3d, "iI:", ClassStore, 1),
	memory(0x3e, 0x3e, "iI:", ClassStore, 2),
	other(0x3f, 0x3f, ClassGlobal), // memory.size
	other(0x40, 0x40, ClassBulk),   // memory.grow
	other(0x41, 0x44, ClassLocal),  // constants

	op(0x45, 0x45, "i:i", ClassInteger), // i32.eqz
	op(0x46, 0x4f, "ii:i", ClassInteger),
	op(0x50, 0x50, "I:i", ClassInteger), // i64.eqz
	op(0x51, 0x5a, "II:i", ClassInteger),
	float(0x5b, 0x60, "ff:i", ClassFloat, shapeF32, shapeNone), // comparisons
	float(0x61, 0x66, "FF:i", ClassFloat, shapeF64, shapeNone),
	op(0x67, 0x69, "i:i", ClassBitCount),    // i32.clz, ctz, popcnt
	op(0x6a, 0x6b, "ii:i", ClassInteger),    // i32.add, sub
	op(0x6c, 0x6c, "ii:i", ClassMultiply),   // i32.mul
	op(0x6d, 0x70, "ii:i", ClassDivide),     // i32.div, rem
	op(0x71, 0x78, "ii:i", ClassInteger),    // i32.and to rotr
	op(0x79, 0x7b, "I:I", ClassBitCount),    // i64.clz, ctz, popcnt
	op(0x7c, 0x7d, "II:I", ClassInteger),    // i64.add, sub
	op(0x7e, 0x7e, "II:I", ClassMultiply),   // i64.mul
	op(0x7f, 0x82, "II:I", ClassLongDivide), // i64.div, rem
	op(0x83, 0x8a, "II:I", ClassInteger),    // i64.and to rotr
	op(0x8b, 0x8c, "f:f", ClassFloat),       // f32.abs, neg: bits are moved
	float(0x8d, 0x90, "f:f", ClassFloatRound, shapeF32, shapeF32),
	float(0x91, 0x91, "f:f", ClassFloatRoot, shapeF32, shapeF32),
	float(0x92, 0x94, "ff:f", ClassFloatMake, shapeF32, shapeF32),
	float(0x95, 0x95, "ff:f", ClassFloatDivide, shapeF32, shapeF32),
	float(0x96, 0x97, "ff:f", ClassFloatExtreme, shapeF32, shapeF32), // f32.min, max
	op(0x98, 0x98, "ff:f", ClassFloat),                               // f32.copysign
	op(0x99, 0x9a, "F:F", ClassFloat),
	float(0x9b, 0x9e, "F:F", ClassFloatRound, shapeF64, shapeF64),
	float(0x9f, 0x9f, "F:F", ClassFloatRoot, shapeF64, shapeF64),
	float(0xa0, 0xa2, "FF:F", ClassFloatMake, shapeF64, shapeF64),
	float(0xa3, 0xa3, "FF:F", ClassFloatDivide, shapeF64, shapeF64),
	float(0xa4, 0xa5, "FF:F", ClassFloatExtreme, shapeF64, shapeF64),
	op(0xa6, 0xa6, "FF:F", ClassFloat),
	op(0xa7, 0xa7, "I:i", ClassInteger), // i32.wrap_i64
	float(0xa8, 0xa9, "f:i", ClassFloatTruncate, shapeF32, shapeNone),
	float(0xaa, 0xab, "F:i", ClassFloatTruncate, shapeF64, shapeNone),
	op(0xac, 0xad, "i:I", ClassInteger), // i64.extend_i32
	float(0xae, 0xaf, "f:I", ClassFloatTruncate, shapeF32, shapeNone),
	float(0xb0, 0xb1, "F:I", ClassFloatTruncate, shapeF64, shapeNone),
	op(0xb2, 0xb3, "i:f", ClassFloatConvert),
	op(0xb4, 0xb5, "I:f", ClassFloatConvert),
	float(0xb6, 0xb6, "F:f", ClassFloatMake, shapeF64, shapeF32), // f32.demote_f64
	op(0xb7, 0xb8, "i:F", ClassFloatConvert),
	op(0xb9, 0xba, "I:F", ClassFloatConvert),
	float(0xbb, 0xbb, "f:F", ClassFloatMake, shapeF32, shapeF64), // f64.promote_f32
	op(0xbc, 0xbc, "f:i", ClassInteger),                          // reinterpretations
	op(0xbd, 0xbd, "F:I", ClassInteger),
	op(0xbe, 0xbe, "i:f", ClassInteger),
	op(0xbf, 0xbf, "I:F", ClassInteger),
	op(0xc0, 0xc1, "i:i", ClassInteger), // extensions of the sign
	op(0xc2, 0xc4, "I:I", ClassInteger),
	other(0xd0, 0xd1, ClassTable), // ref.null, ref.is_null
	other(0xd2, 0xd2, ClassRefFunc),
}

var fcRows = []row{
	float(0, 1, "f:i", ClassFloatTruncate, shapeF32, shapeNone), // saturating truncation
	float(2, 3, "F:i", ClassFloatTruncate, shapeF64, shapeNone),
	float(4, 5, "f:I", ClassFloatTruncate, shapeF32, shapeNone),
	float(6, 7, "F:I", ClassFloatTruncate, shapeF64, shapeNone),
	other(8, 15, ClassBulk),
	other(16, 16, ClassGlobal), // table.size
	other(17, 17, ClassBulk),   // table.fill
}

var fdRows = []row{
	memory(0, 0, "i:v", ClassVectorLoad, 4),
	memory(1, 6, "i:v", ClassVectorLoad, 3),
	memory(7, 7, "i:v", ClassVectorLoad, 0),
	memory(8, 8, "i:v", ClassVectorLoad, 1),
	memory(9, 9, "i:v", ClassVectorLoad, 2),
	memory(10, 10, "i:v", ClassVectorLoad, 3),
	memory(11, 11, "iv:", ClassStore, 4),
	other(12, 12, ClassVector), // v128.const
	other(13, 13, ClassVector), // i8x16.shuffle
	op(14, 14, "vv:v", ClassVectorSlow),
	op(15, 17, "i:v", ClassVector), // splats
	op(18, 18, "I:v", ClassVector),
	op(19, 19, "f:v", ClassVector),
	op(20, 20, "F:v", ClassVector),
	lane(21, 22, "v:i", 16),
	lane(23, 23, "vi:v", 16),
	lane(24, 25, "v:i", 8),
	lane(26, 26, "vi:v", 8),
	lane(27, 27, "v:i", 4),
	lane(28, 28, "vi:v", 4),
	lane(29, 29, "v:I", 2),
	lane(30, 30, "vI:v", 2),
	lane(31, 31, "v:f", 4),
	lane(32, 32, "vf:v", 4),
	lane(33, 33, "v:F", 2),
	lane(34, 34, "vF:v", 2),
	op(35, 64, "vv:v", ClassVector), // comparisons of i8x16, i16x8, i32x4
	float(65, 70, "vv:v", ClassVector, shapeF32x4, shapeNone),
	float(71, 76, "vv:v", ClassVector, shapeF64x2, shapeNone),
	op(77, 77, "v:v", ClassVector),
	op(78, 81, "vv:v", ClassVector),
	op(82, 82, "vvv:v", ClassVector),
	op(83, 83, "v:i", ClassVector),
	memoryLane(84, "iv:v", ClassVectorLoad, 0, 16),
	memoryLane(85, "iv:v", ClassVectorLoad, 1, 8),
	memoryLane(86, "iv:v", ClassVectorLoad, 2, 4),
	memoryLane(87, "iv:v", ClassVectorLoad, 3, 2),
	memoryLane(88, "iv:", ClassStore, 0, 16),
	memoryLane(89, "iv:", ClassStore, 1, 8),
	memoryLane(90, "iv:", ClassStore, 2, 4),
	memoryLane(91, "iv:", ClassStore, 3, 2),
	memory(92, 92, "i:v", ClassVectorLoad, 2),
	memory(93, 93, "i:v", ClassVectorLoad, 3),
	float(94, 94, "v:v", ClassVectorMake, shapeF64x2, shapeF32x4), // f32x4.demote_f64x2_zero
	float(95, 95, "v:v", ClassVectorMake, shapeF32x4, shapeF64x2), // f64x2.promote_low_f32x4
	op(96, 97, "v:v", ClassVector),
	op(98, 98, "v:v", ClassVectorSlow), // i8x16.popcnt
	op(99, 100, "v:i", ClassVector),
	op(101, 102, "vv:v", ClassVector),
	float(103, 106, "v:v", ClassVectorMake, shapeF32x4, shapeF32x4), // ceil, floor, trunc, nearest
	op(107, 109, "vi:v", ClassVectorShift),                          // i8x16 shifts
	op(110, 115, "vv:v", ClassVector),
	float(116, 117, "v:v", ClassVectorMake, shapeF64x2, shapeF64x2),
	op(118, 121, "vv:v", ClassVector),
	float(122, 122, "v:v", ClassVectorMake, shapeF64x2, shapeF64x2),
	op(123, 123, "vv:v", ClassVector),
	op(124, 127, "v:v", ClassVector),
	op(128, 129, "v:v", ClassVector),
	op(130, 130, "vv:v", ClassVector),
	op(131, 132, "v:i", ClassVector),
	op(133, 134, "vv:v", ClassVector),
	op(135, 138, "v:v", ClassVector),
	op(139, 141, "vi:v", ClassVector),
	op(142, 147, "vv:v", ClassVector),
	float(148, 148, "v:v", ClassVectorMake, shapeF64x2, shapeF64x2),
	op(149, 153, "vv:v", ClassVector),
	op(155, 155, "vv:v", ClassVector),
	op(156, 159, "vv:v", ClassVector),
	op(160, 161, "v:v", ClassVector),
	op(163, 164, "v:i", ClassVector),
	op(167, 170, "v:v", ClassVector),
	op(171, 173, "vi:v", ClassVector),
	op(174, 174, "vv:v", ClassVector),
	op(177, 177, "vv:v", ClassVector),
	op(181, 186, "vv:v", ClassVector),
	op(188, 191, "vv:v", ClassVector),
	op(192, 193, "v:v", ClassVector),
	op(195, 196, "v:i", ClassVector),
	op(199, 202, "v:v", ClassVector),
	op(203, 205, "vi:v", ClassVectorShift), // i64x2 shifts
	op(206, 206, "vv:v", ClassVector),
	op(209, 209, "vv:v", ClassVector),
	op(213, 213, "vv:v", ClassVectorSlow), // i64x2.mul
	op(214, 219, "vv:v", ClassVectorSlow),
	op(220, 223, "vv:v", ClassVector),
	op(224, 225, "v:v", ClassVector), // f32x4.abs, neg
	float(227, 227, "v:v", ClassVectorRoot, shapeF32x4, shapeF32x4),
	float(228, 230, "vv:v", ClassVectorMake, shapeF32x4, shapeF32x4),
	float(231, 231, "vv:v", ClassVectorDivide, shapeF32x4, shapeF32x4),
	float(232, 233, "vv:v", ClassVectorDivide, shapeF32x4, shapeF32x4),
	op(234, 235, "vv:v", ClassVector), // f32x4.pmin, pmax: give one operand's bits
	op(236, 237, "v:v", ClassVector),
	float(239, 239, "v:v", ClassVectorRoot, shapeF64x2, shapeF64x2),
	float(240, 242, "vv:v", ClassVectorMake, shapeF64x2, shapeF64x2),
	float(243, 243, "vv:v", ClassVectorDivide, shapeF64x2, shapeF64x2),
	float(244, 245, "vv:v", ClassVectorDivide, shapeF64x2, shapeF64x2),
	op(246, 247, "vv:v", ClassVector),
	float(248, 249, "v:v", ClassVectorSlow, shapeF32x4, shapeNone), // saturating truncation
	op(250, 251, "v:v", ClassVectorSlow),
	float(252, 253, "v:v", ClassVectorSlow, shapeF64x2, shapeNone),
	op(254, 255, "v:v", ClassVectorSlow),
}
