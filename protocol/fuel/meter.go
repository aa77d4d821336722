package fuel

import "strings"

// Prefix begins every name that the meter exports. A module that imports or exports such a name itself is refused.
const Prefix = "stratos:"

// What a metered module exports, besides its own.
const (
	// FuelExport is a mutable i64 global: what is left to spend. It is 0 in a new instance, so that nothing runs before the
	// host has set it. See Outcome for what it says afterwards.
	FuelExport = Prefix + "fuel"
	// StackExport is a mutable i32 global: the bytes of stack that are left, as estimated from each function's locals and
	// code. The host only reads it.
	StackExport = Prefix + "stack"
	// StopExport is a mutable i64 global, 0 at first: when the host sets it to Stop while a task runs, the task traps at its
	// next check. It is none of the fuel, because the code reads and writes that all the time, and in a tight loop would
	// overwrite nearly all that another thread writes there.
	StopExport = Prefix + "stop"
	// StartExport is the function that the module's start section named, if it had one. The host calls it first, once fuel
	// is set: instantiation runs no code any more.
	StartExport = Prefix + "start"
)

// StackBudget is how much stack a metered module may use, in bytes. wazero's compiler gives at least 50,000,000.
const StackBudget = 48_000_000

func reserved(name string) bool { return strings.HasPrefix(name, Prefix) }

// Options bound what a module may take when it runs. The zero value allows what WebAssembly does, but for tables.
type Options struct {
	// MemoryPages is the most pages of 64 KiB that a memory of the module may have; 0 means MaxPages. A module that begins
	// with more is refused; memory.grow fails beyond it.
	MemoryPages uint32
	// TableElements is the same for each of its tables; 0 means MaxTableSize.
	TableElements uint32
}

// A Metered module behaves as the one it was made from, but that it spends fuel, stops when fuel or stack runs out, and
// makes no NaN but the canonical one.
type Metered struct {
	Module []byte // the new binary
	Start  bool   // whether it exports StartExport
	// Fuel is the price of an instance before it runs: of its first memory, tables and segments. The host takes it from what
	// it gives.
	Fuel int64
}

// Meter checks a WebAssembly 2.0 binary and adds fuel, a bound of the stack and canonical NaNs to it. The same input gives
// the same output. What it refuses is Invalid (no valid module, or a feature that is not supported) or Exhausted (past a
// limit). It takes time and memory linear in the size of the module, whose Metered form is at most MaxOutput long.
func Meter(binary []byte, o Options) (Metered, error) {
	if o.MemoryPages == 0 {
		o.MemoryPages = MaxPages
	}
	if o.TableElements == 0 {
		o.TableElements = MaxTableSize
	}
	m, err := parse(binary)
	if err != nil {
		return Metered{}, err
	}
	if err := m.bound(o); err != nil {
		return Metered{}, err
	}
	w := &writer{m: m, fuel: uint32(len(m.globals)), stack: uint32(len(m.globals)) + 1, stop: uint32(len(m.globals)) + 2}
	code, err := w.bodies()
	if err != nil {
		return Metered{}, err
	}
	return Metered{Module: w.module(code), Start: m.start >= 0, Fuel: m.instance()}, nil
}

// instance is the price of the module's first memory and tables, as if they had grown, and of its bytes.
func (m *module) instance() (price int64) {
	for _, l := range m.memories[m.importedMemories:] {
		price += PageCost * int64(l.min)
	}
	for _, t := range m.tables[m.importedTables:] {
		price += ElementCost * int64(t.min)
	}
	return price + int64(len(m.raw[secData])) + ElementCost*int64(len(m.raw[secElement]))
}

// bound lowers the limits of the module's own memories and tables to those of the host. What is imported is the exporter's.
func (m *module) bound(o Options) error {
	clamp := func(l *limits, most uint32, what string) error {
		if l.min > most {
			return exhausted("a %s of at least %d, at most %d is given", what, l.min, most)
		}
		if !l.bounded || l.max > most {
			l.bounded, l.max = true, most
		}
		return nil
	}
	for i := m.importedMemories; i < len(m.memories); i++ {
		if err := clamp(&m.memories[i], o.MemoryPages, "memory"); err != nil {
			return err
		}
	}
	for i := m.importedTables; i < len(m.tables); i++ {
		if err := clamp(&m.tables[i].limits, o.TableElements, "table"); err != nil {
			return err
		}
	}
	return nil
}
