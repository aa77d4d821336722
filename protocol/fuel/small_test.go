package fuel_test

import "slices"

// A code is one function of a module written by hand, without its end.
type code struct {
	params, results, locals string
	body                    []byte
}

// handmade gives a module with the functions, exported as f0, f1, ...; a memory and a table that may grow without bound, the
// table beginning with the functions; and what more asks for.
func handmade(more func(id byte, e *encoder), funcs ...code) []byte {
	e := &encoder{b: []byte(magic)}
	section := func(id byte, n int, f func(c *encoder, i int)) {
		if more != nil {
			more(id, e)
		}
		e.list(id, n, f)
	}
	section(1, len(funcs), func(c *encoder, i int) {
		c.op(0x60)
		c.types(funcs[i].params)
		c.types(funcs[i].results)
	})
	section(3, len(funcs), func(c *encoder, i int) { c.u(i) })
	section(4, 1, func(c *encoder, i int) { c.op(0x70, 0, byte(len(funcs))) })
	section(5, 1, func(c *encoder, i int) { c.op(0, 1) })
	section(7, len(funcs)+1, func(c *encoder, i int) {
		if i == len(funcs) {
			c.name("memory")
			c.op(2, 0)
			return
		}
		c.name("f" + string(rune('0'+i)))
		c.op(0, byte(i))
	})
	section(9, 1, func(c *encoder, i int) {
		c.op(0, 0x41, 0, 0x0b)
		c.u(len(funcs))
		for i := range funcs {
			c.u(i)
		}
	})
	section(10, len(funcs), func(c *encoder, i int) {
		var b encoder
		b.u(len(funcs[i].locals))
		for _, t := range []byte(funcs[i].locals) {
			b.op(1, binaryType[t])
		}
		b.op(funcs[i].body...)
		b.op(0x0b)
		c.u(len(b.b))
		c.op(b.b...)
	})
	return e.b
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// num is i32.const.
func num(v int64) []byte {
	e := &encoder{b: []byte{0x41}}
	e.s(v)
	return e.b
}
