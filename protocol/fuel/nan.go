package fuel

// Where NaNs are made canonical.
//
// WebAssembly leaves the sign and payload of a NaN that arithmetic makes to the machine. The bits matter only where they
// are seen: stored, reinterpreted, passed on, returned. An operand of further arithmetic, of a comparison, of a truncation
// is read as a number, and all NaNs are one number. So a result is made canonical right after the instruction that makes
// it, and only if its one consumer on the operand stack sees its bits.
//
// A local that is given nothing but such results (and constants that are no NaN, as accumulators are) holds no NaN whose
// bits anybody may rely on. What is stored in it is left as it is, and each local.get whose bits are seen makes its copy
// canonical. Any other local is given canonical values only: it may hold a NaN that was loaded, whose bits must be kept.

// A nan is what the pass knows of the NaNs in one step's result.
type nan struct {
	makes shape  // the step makes NaNs of this shape; of a local.get or local.tee, none
	read  shape  // the shape in which its consumer reads it as numbers
	seen  bool   // its consumer sees the bits
	into  uint32 // 1 + the local that consumes it, or 0
	canon shape  // the verdict: its result is made canonical in this shape
}

// A flow is what all steps together put into one local.
type flow struct {
	fixed bool  // something whose NaNs keep their bits
	made  shape // results of arithmetic of this shape
}

// read says that v is consumed as numbers of shape s; with no shape, its bits are seen.
func (b *body) read(v value, s shape) {
	if v.origin < 0 {
		return
	}
	n := &b.steps[v.origin].nan
	if s == shapeNone || n.makes != shapeNone && n.makes != s {
		n.seen = true
	}
	n.read = s
}

// see says that the bits of v are seen.
func (b *body) see(v value) { b.read(v, shapeNone) }

// assign says that v is put into a local.
func (b *body) assign(v value, local uint32) {
	f := &b.flows[local]
	switch {
	case v.origin == neverNaN:
	case v.origin == bitsFixed:
		f.fixed = true
	default:
		n := &b.steps[v.origin].nan
		if n.makes == shapeNone { // a copy of another local
			n.seen, f.fixed = true, true
			return
		}
		n.into = local + 1
		if f.made != shapeNone && f.made != n.makes {
			f.fixed = true
		}
		f.made = n.makes
	}
}

// copyOf is the origin of a value that the present step copies from a local.
func (b *body) copyOf(local uint32) int {
	switch b.locals[local] {
	case typeF32, typeF64, typeV128:
		return len(b.steps) - 1
	}
	return bitsFixed
}

// settle gives the verdicts, once all flows are known.
func (b *body) settle() {
	for i := range b.steps {
		s := &b.steps[i]
		n := &s.nan
		switch {
		case n.makes != shapeNone:
			if n.seen || n.into > 0 && b.flows[n.into-1].fixed {
				n.canon = n.makes
			}
		case s.op == 0x20 || s.op == 0x22: // local.get, local.tee
			if f := b.flows[s.index]; !f.fixed && f.made != shapeNone && (n.seen || n.read != shapeNone && n.read != f.made) {
				n.canon = f.made
			}
		}
	}
}
