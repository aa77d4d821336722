package fuel

// module writes the sections in their order. Types, globals and exports are appended to, so that no index changes;
// memories and tables have new limits; the start section is an export now. Of the custom sections only the first with
// names is kept, which stays right for the same reason: the others, of debuggers, speak of places in the code.
func (w *writer) module(code []byte) []byte {
	m := w.m
	out := make([]byte, 0, len(code)+len(code)/8+4096)
	out = append(out, "\x00asm\x01\x00\x00\x00"...)
	section := func(id byte, content []byte) {
		out = append(unsigned(append(out, id), uint32(len(content))), content...)
	}
	keep := func(id byte) {
		if m.has[id] {
			section(id, m.raw[id])
		}
	}
	if m.has[secType] {
		section(secType, w.types())
	}
	keep(secImport)
	keep(secFunction)
	if m.has[secTable] {
		section(secTable, w.tables())
	}
	if m.has[secMemory] {
		section(secMemory, w.memories())
	}
	section(secGlobal, w.globals())
	section(secExport, w.exports())
	keep(secElement)
	keep(secDataCount)
	if m.has[secCode] {
		section(secCode, code)
	}
	keep(secData)
	if m.names != nil {
		section(secCustom, m.names)
	}
	return out
}

// list gives a section's list: more elements than it had, and what stands behind its old ones.
func (w *writer) list(id byte, more int) []byte {
	r := &reader{b: w.m.raw[id]}
	n := uint32(0)
	if w.m.has[id] {
		n = r.u32()
	}
	return append(unsigned(nil, n+uint32(more)), r.b[r.pos:]...)
}

func (w *writer) types() []byte {
	r := &reader{b: w.m.raw[secType]}
	added := w.m.types[r.u32():]
	b := w.list(secType, len(added))
	for _, t := range added {
		b = append(b, 0x60, 0)
		b = unsigned(b, uint32(len(t.results)))
		for i := range len(t.results) {
			b = append(b, valueBytes[t.results[i]])
		}
	}
	return b
}

func bounded(b []byte, l limits) []byte {
	return unsigned(unsigned(append(b, 1), l.min), l.max)
}

func (w *writer) tables() []byte {
	own := w.m.tables[w.m.importedTables:]
	b := unsigned(nil, uint32(len(own)))
	for _, t := range own {
		b = bounded(append(b, valueBytes[t.elem]), t.limits)
	}
	return b
}

func (w *writer) memories() []byte {
	own := w.m.memories[w.m.importedMemories:]
	b := unsigned(nil, uint32(len(own)))
	for _, l := range own {
		b = bounded(b, l)
	}
	return b
}

func (w *writer) globals() []byte {
	b := w.list(secGlobal, 3)
	b = append(b, valueBytes[typeI64], 1, opI64Const, 0, opEnd)
	b = append(b, valueBytes[typeI32], 1)
	b = append(signed(append(b, opI32Const), StackBudget), opEnd)
	return append(b, valueBytes[typeI64], 1, opI64Const, 0, opEnd)
}

func (w *writer) exports() []byte {
	type export struct {
		name  string
		kind  byte
		index uint32
	}
	ours := []export{{FuelExport, 3, w.fuel}, {StackExport, 3, w.stack}, {StopExport, 3, w.stop}}
	if w.m.start >= 0 {
		ours = append(ours, export{StartExport, 0, uint32(w.m.start)})
	}
	b := w.list(secExport, len(ours))
	for _, e := range ours {
		b = append(unsigned(b, uint32(len(e.name))), e.name...)
		b = unsigned(append(b, e.kind), e.index)
	}
	return b
}
