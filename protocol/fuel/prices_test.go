//go:build linux

package fuel_test

import (
	"bytes"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// local pushes a local: 0 is an i32 counter, 1 an i64, 2 an f32, 3 an f64, 4 a v128.
func local(i byte) []byte { return []byte{0x20, i} }

// priced are programs that are nearly nothing but one instruction, 100 times in a loop, each on the result of the one before
// or, with keep, on its own.
var priced = []struct {
	name  string
	local byte // which holds the chain's value; 0 to drop it
	body  []byte
}{
	{"local.get, drop", 0, join(local(0), []byte{0x1a})},
	{"i32.add", 5, join(local(5), local(0), []byte{0x6a})},
	{"i64.mul", 1, join(local(1), local(1), []byte{0x7e})},
	{"i32.popcnt", 5, join(local(5), []byte{0x69})},
	{"i32.rem_u", 5, join(local(0), local(5), num(3), []byte{0x72, 0x70})},
	{"i32.div_s", 5, join(local(0), local(5), num(3), []byte{0x72, 0x6d})},
	{"i64.div_s", 1, join([]byte{0x42}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, local(1), []byte{0x42, 3, 0x84, 0x7f})},
	{"i64.rem_u", 1, join([]byte{0x42}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, local(1), []byte{0x42, 3, 0x84, 0x82})},
	{"select", 5, join(local(5), local(0), local(5), []byte{0x1b})},
	{"block br_if", 0, join([]byte{0x02, 0x40}, local(0), []byte{0x0d, 0, 0x0b})},
	{"if else", 5, join(local(5), []byte{0x04, 0x7f, 0x41, 1, 0x05, 0x41, 0, 0x0b})},
	{"inner loop", 0, []byte{0x03, 0x40, 0x0b}},
	{"br_table", 0, join([]byte{0x02, 0x40, 0x02, 0x40}, local(0), []byte{0x41, 1, 0x71, 0x0e, 1, 0, 1, 0x0b, 0x0b})},
	{"call", 0, []byte{0x10, 1}},
	{"call_indirect", 0, join(num(1), []byte{0x11, 1, 0})},
	{"global", 0, []byte{0x23, 0, 0x24, 0}},
	{"table.get", 0, join(num(1), []byte{0x25, 0, 0x1a})},
	{"table.set", 0, join(num(1), []byte{0xd0, 0x70, 0x26, 0})},
	{"ref.func", 0, []byte{0xd2, 1, 0x1a}},
	{"memory.size", 0, []byte{0x3f, 0, 0x1a}},
	{"i32.load", 5, join(local(5), num(0xffc), []byte{0x71, 0x28, 2, 0})},
	{"i32.load at random", 5, join(local(5), []byte{0x41, 0x93, 0xa2, 0xcc, 0xf5, 0x00, 0x6c, 0x41, 0x95, 0xea, 0xf5, 0xf0, 0x03, 0x6a, 0x22, 5}, num(8), []byte{0x76, 0x2d, 0, 0}, local(5), []byte{0x6a})},
	{"i32.store", 0, join(local(0), num(0xffc), []byte{0x71}, local(0), []byte{0x36, 2, 0})},
	{"f64.lt", 5, join(local(3), local(3), []byte{0x63})},
	{"f32.neg", 2, join(local(2), []byte{0x8c})},
	{"f64.copysign", 3, join(local(3), local(3), []byte{0xa6})},
	{"f64.add", 3, join(local(3), local(3), []byte{0xa0})},
	{"f64.mul seen", 3, join(local(3), local(3), []byte{0xa2, 0xbd, 0xbf})},
	{"f64.nearest", 3, join(local(3), []byte{0x9e})},
	{"f64.min", 3, join(local(3), local(3), []byte{0xa4})},
	{"f32.max seen", 2, join(local(2), local(2), []byte{0x97, 0xbc, 0xbe})},
	{"f64.div", 3, join(local(3), local(3), []byte{0xa3})},
	{"f64.sqrt", 3, join(local(3), []byte{0x9f})},
	{"f32.demote", 2, join(local(2), []byte{0xbb, 0xb6})},
	{"f32.convert_i64_u", 2, join(local(1), []byte{0xb5})},
	{"i64.trunc_sat_f64_u", 1, join(local(3), []byte{0xfc, 7})},
	{"i32.trunc_sat_f32_s", 5, join(local(2), []byte{0xfc, 0})},
	{"i32x4.add", 4, join(local(4), local(4), []byte{0xfd, 174, 1})},
	{"i8x16.popcnt", 4, join(local(4), []byte{0xfd, 98})},
	{"i8x16.shr_s", 4, join(local(4), local(0), []byte{0xfd, 108})},
	{"i64x2.shr_s", 4, join(local(4), local(0), []byte{0xfd, 204, 1})},
	{"i64x2.mul", 4, join(local(4), local(4), []byte{0xfd, 213, 1})},
	{"i8x16.swizzle", 4, join(local(4), local(4), []byte{0xfd, 14})},
	{"i64x2.ge_s", 4, join(local(4), local(4), []byte{0xfd, 219, 1})},
	{"i16x8.extmul", 4, join(local(4), local(4), []byte{0xfd, 157, 1})},
	{"i16x8.bitmask", 5, join(local(4), []byte{0xfd, 132, 1})},
	{"f32x4.add", 4, join(local(4), local(4), []byte{0xfd, 228, 1})},
	{"f64x2.mul seen", 4, join(local(4), local(4), []byte{0xfd, 242, 1, 0xfd, 77})},
	{"f32x4.max", 4, join(local(4), local(4), []byte{0xfd, 233, 1})},
	{"f64x2.nearest", 4, join(local(4), []byte{0xfd, 148, 1})},
	{"f64x2.div", 4, join(local(4), local(4), []byte{0xfd, 243, 1})},
	{"f64x2.sqrt", 4, join(local(4), []byte{0xfd, 239, 1})},
	{"i32x4.trunc_sat_f32x4_u", 4, join(local(4), []byte{0xfd, 249, 1})},
	{"f64x2.convert_low_u", 4, join(local(4), []byte{0xfd, 255, 1})},
	{"v128.load", 4, join(local(0), num(0xff0), []byte{0x71, 0xfd, 0, 4, 0})},
	{"memory.fill 0", 0, join(num(0), num(0), num(0), []byte{0xfc, 11, 0})},
	{"memory.fill 64", 0, join(num(0), num(0), num(64), []byte{0xfc, 11, 0})},
	{"memory.copy 64 KiB", 0, join(num(0), num(65536), num(65536), []byte{0xfc, 10, 0, 0})},
	{"memory.copy 0", 0, join(num(0), num(0), num(0), []byte{0xfc, 10, 0, 0})},
	{"memory.grow 0", 0, join(num(0), []byte{0x40, 0, 0x1a})},
	{"memory.grow in vain", 0, join(num(10), []byte{0x40, 0, 0x1a})},
	{"table.fill 64", 0, join(num(0), []byte{0xd0, 0x70}, num(64), []byte{0xfc, 17, 0})},
	{"table.copy 64", 0, join(num(0), num(64), num(64), []byte{0xfc, 14, 0, 0})},
	{"table.grow 0", 0, join([]byte{0xd0, 0x70}, num(0), []byte{0xfc, 15, 0, 0x1a})},
}

// BenchmarkPrices gives the nanoseconds that one fuel buys by each instruction. The greatest is what a hostile program gets.
func BenchmarkPrices(b *testing.B) {
	for _, p := range priced {
		b.Run(p.name, func(b *testing.B) {
			one := p.body
			if p.local > 0 {
				one = join(one, []byte{0x21, p.local})
			}
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			defer r.Close(ctx)
			// Local 0 counts down; what the chains begin with is small and odd.
			body := join([]byte{0x42, 3, 0x21, 1, 0x43, 0, 0, 0x80, 0x3f, 0x21, 2, 0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x21, 3}, num(5), []byte{0x21, 5, 0x03, 0x40},
				bytes.Repeat(one, 100), local(0), []byte{0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b}, local(5), local(1), []byte{0xa7, 0x6a}, local(3), []byte{0xfc, 2, 0x6a}, local(2), []byte{0xfc, 0, 0x6a}, local(4), []byte{0xfd, 27, 0, 0x6a})
			binary := handmade(func(id byte, e *encoder) {
				if id == 7 {
					e.op(6, 6, 1, 0x7f, 1, 0x41, 0, 0x0b)
				}
			}, code{"i", "i", "IfFvi", body}, code{})
			binary = bytes.Replace(binary, []byte{5, 3, 1, 0, 1}, []byte{5, 4, 1, 0, 0x81, 0x04}, 1) // 32 MiB of memory
			binary = bytes.Replace(binary, []byte{4, 4, 1, 0x70, 0, 2}, []byte{4, 5, 1, 0x70, 0, 0x80, 1}, 1)
			m := instantiate(b, r, binary, fuel.Options{MemoryPages: 513, TableElements: 128}, fuel.MaxFuel)
			f := m.ExportedFunction("f0")
			var total float64
			for b.Loop() {
				m.Fuel.Set(fuel.MaxFuel)
				total += cpu(b, f, 1000)
			}
			mean := total / float64(b.N) * 1e9
			b.ReportMetric(mean/float64(m.Used(fuel.MaxFuel)), "ns/fuel")
			b.ReportMetric(mean/1e5, "ns/instruction")
			b.ReportMetric(0, "ns/op")
		})
	}
}
