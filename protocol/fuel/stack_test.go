package fuel_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

func localOp(op byte, i int) []byte { return binary.AppendUvarint([]byte{op}, uint64(i)) }

func repeat(n int, f func(i int) []byte) (b []byte) {
	for i := range n {
		b = append(b, f(i)...)
	}
	return b
}

// TestStackIsOurs recurses without end in functions whose frames are as large as we could make them: our budget must end it,
// not wazero's stack.
func TestStackIsOurs(t *testing.T) {
	self := []byte{0x10, 0}
	one := []byte{0x41, 1}
	tests := []struct {
		name string
		code code
	}{
		{"nothing", code{body: self}},
		{"128 parameters", code{params: strings.Repeat("I", 128), body: join(repeat(128, func(i int) []byte { return localOp(0x20, i) }), self)}},
		{"128 vectors as results", code{results: strings.Repeat("v", 128), body: self}},
		{"4,000 locals over the call", code{params: "I", locals: strings.Repeat("I", 4000), body: join(
			repeat(4000, func(i int) []byte { return join([]byte{0x20, 0, 0x42, 3, 0x7e, 0x22, 0}, localOp(0x21, i+1)) }), []byte{0x20, 0}, self,
			repeat(4000, func(i int) []byte { return join(localOp(0x20, i+1), []byte{0x24, 0}) }))}},
		{"4,000 vectors over the call", code{params: "v", locals: strings.Repeat("v", 4000), body: join(
			repeat(4000, func(i int) []byte { return join([]byte{0x20, 0, 0x20, 0, 0xfd, 174, 1, 0x22, 0}, localOp(0x21, i+1)) }), []byte{0x20, 0}, self,
			repeat(4000, func(i int) []byte { return join(localOp(0x20, i+1), []byte{0xfd, 29, 0, 0x24, 0}) }))}},
		{"9,000 vectors as operands", code{params: "v", body: join(
			repeat(9000, func(i int) []byte { return []byte{0x20, 0, 0xfd, 77, 0x22, 0} }), []byte{0x20, 0}, self,
			repeat(9000, func(i int) []byte { return []byte{0xfd, 29, 0, 0x24, 0} }))}},
		{"a new generation of locals after each of 100 calls", code{params: "I", locals: strings.Repeat("I", 50), body: repeat(100, func(int) []byte {
			return join(repeat(50, func(i int) []byte { return join(localOp(0x20, i+1), one, []byte{0xac, 0x7c}, localOp(0x21, i+1)) }), []byte{0x20, 0}, self)
		})}},
		{"a new generation of vectors after each of 100 calls", code{params: "v", locals: strings.Repeat("v", 50), body: repeat(100, func(int) []byte {
			return join(repeat(50, func(i int) []byte { return join(localOp(0x20, i+1), []byte{0xfd, 77}, localOp(0x21, i+1)) }), []byte{0x20, 0}, self)
		})}},
		{"32 loops over 500 locals", code{params: "I", locals: strings.Repeat("I", 500), body: join(
			repeat(fuel.MaxLoops, func(int) []byte { return []byte{0x03, 0x40} }),
			repeat(500, func(i int) []byte { return join(localOp(0x20, i+1), []byte{0x42, 1, 0x7c}, localOp(0x21, i+1)) }),
			[]byte{0x20, 0}, self,
			repeat(fuel.MaxLoops, func(int) []byte { return []byte{0x20, 0, 0xa7, 0x0d, 0, 0x0b} }))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			defer r.Close(ctx)
			b := handmade(func(id byte, e *encoder) {
				if id == 7 {
					e.op(6, 6, 1, 0x7e, 1, 0x42, 0, 0x0b)
				}
			}, tt.code)
			m := instantiate(t, r, b, fuel.Options{}, plenty)
			args := make([]uint64, len(tt.code.params)+strings.Count(tt.code.params, "v")) // a vector takes two
			_, err := m.ExportedFunction("f0").Call(ctx, args...)
			if m.Outcome() != fuel.OutOfStack || trapOf(err) != "unreachable" {
				t.Errorf("outcome %d, %s", m.Outcome(), trapOf(err))
			}
		})
	}
}
