package fuel

import (
	"crypto/sha256"
	"encoding/binary"
)

// Version numbers the rules by which fuel is counted: the costs below, where they are charged and how NaNs and the stack
// are handled. Whatever changes the fuel or the result of any program raises it.
const Version = 1

// A Class is a set of instructions with one price.
type Class uint8

// The classes; which instruction is in which stands in the tables of instructions.go.
const (
	ClassFree          Class = iota // nop, block, else, end, drop: no machine code
	ClassLocal                      // locals, constants: moves between registers, often nothing
	ClassInteger                    // integer arithmetic and comparison of one cycle
	ClassMultiply                   // integer multiplication
	ClassBitCount                   // clz, ctz, popcnt
	ClassDivide                     // i32 division and remainder, which also check for a trap
	ClassLongDivide                 // the same for i64
	ClassSelect                     // select
	ClassLoop                       // loop, in each round: the fuel goes through memory
	ClassJump                       // br, br_if, if, loop, return, unreachable
	ClassJumpTable                  // br_table
	ClassCall                       // call
	ClassCallIndirect               // call_indirect: checks table, element and type
	ClassEnter                      // entering a function: its frame and the pass's own checks
	ClassGlobal                     // global.get, global.set, memory.size, table.size
	ClassRefFunc                    // ref.func: wazero leaves its compiled code for it
	ClassTable                      // table.get, table.set, other references
	ClassLoad                       // memory loads
	ClassStore                      // memory stores, vectors too
	ClassFloat                      // what gives no new NaN: comparisons, abs, neg, copysign
	ClassFloatMake                  // add, sub, mul, promote, demote, with the canonical NaN
	ClassFloatRound                 // ceil, floor, trunc, nearest
	ClassFloatExtreme               // min, max
	ClassFloatDivide                // div
	ClassFloatRoot                  // sqrt
	ClassFloatConvert               // integer to floating point
	ClassFloatTruncate              // floating point to integer
	ClassVector                     // integer and bitwise SIMD
	ClassVectorSlow                 // SIMD that takes several machine instructions
	ClassVectorShift                // shifts of i8x16 and i64x2, which go through memory one by one
	ClassVectorLoad                 // SIMD loads
	ClassVectorMake                 // SIMD floating point, with the canonical NaN
	ClassVectorDivide               // SIMD division, min and max
	ClassVectorRoot                 // SIMD sqrt
	ClassBulk                       // the fixed part of bulk memory and table instructions and of growing
	classes
)

// costs is the price of one instruction of each class, in fuel. Ordinary code in wazero's compiler spends 25 to 60 fuel
// in a nanosecond of an EPYC core; DESIGN.md has the measurement.
var costs = [classes]int64{
	ClassFree:          0,
	ClassLocal:         1,
	ClassInteger:       2,
	ClassMultiply:      4,
	ClassBitCount:      4,
	ClassDivide:        30,
	ClassLongDivide:    40,
	ClassSelect:        4,
	ClassLoop:          20,
	ClassJump:          6,
	ClassJumpTable:     20,
	ClassCall:          10,
	ClassCallIndirect:  40,
	ClassEnter:         30,
	ClassGlobal:        4,
	ClassRefFunc:       4000,
	ClassTable:         20,
	ClassLoad:          10,
	ClassStore:         6,
	ClassFloat:         6,
	ClassFloatMake:     12,
	ClassFloatRound:    20,
	ClassFloatExtreme:  25,
	ClassFloatDivide:   30,
	ClassFloatRoot:     50,
	ClassFloatConvert:  12,
	ClassFloatTruncate: 25,
	ClassVector:        5,
	ClassVectorSlow:    20,
	ClassVectorShift:   150,
	ClassVectorLoad:    10,
	ClassVectorMake:    20,
	ClassVectorDivide:  50,
	ClassVectorRoot:    70,
	ClassBulk:          300,
}

// Cost is the fuel of one instruction of the class.
func (c Class) Cost() int64 { return costs[c] }

// Prices of what is charged by size when the instruction runs, before it acts and whether or not it succeeds.
const (
	// BytesPerFuel is how many bytes memory.fill, memory.copy and memory.init handle for one fuel.
	BytesPerFuel = 1 << bytesPerFuelLog
	// ElementCost is the fuel of one element of table.fill, table.copy, table.init and table.grow.
	ElementCost = 16
	// PageCost is the fuel of one page of 64 KiB of memory.grow: the page must be zeroed, and is held until the end.
	PageCost = 1 << 16

	bytesPerFuelLog = 1
)

// Digest commits to Version, to every price and to what instruction has which. It belongs into whatever binds a result: two who counted by different
// rules must not seem to agree.
func Digest() [sha256.Size]byte {
	b := append([]byte("stratos-fuel-v1"), 0)
	b = binary.BigEndian.AppendUint64(b, Version)
	for _, c := range costs {
		b = binary.BigEndian.AppendUint64(b, uint64(c))
	}
	for _, c := range []int64{BytesPerFuel, ElementCost, PageCost, StackBudget, frameBase, frameSlot, frameBytes} {
		b = binary.BigEndian.AppendUint64(b, uint64(c))
	}
	for _, table := range [][256]instruction{plain, prefixFC, prefixFD} {
		for _, ins := range table {
			b = append(b, byte(ins.class), byte(ins.reads), byte(ins.makes))
		}
	}
	return sha256.Sum256(b)
}
