package fuel

import "github.com/stratosmesh/stratos/mesh"

// What a module may hold. Each limit bounds the time and memory that checking, rewriting or compiling one takes, in which
// no fuel is spent. The reason stands beside it; the orders of magnitude are those of browsers, which take what compilers emit.
const (
	MaxModule    = 32 << 20 // bytes; a Go program has 2 to 20 MiB
	MaxOutput    = 128 << 20
	MaxTypes     = 10_000
	MaxImports   = 10_000
	MaxFunctions = 100_000
	MaxExports   = 10_000
	MaxGlobals   = 10_000
	MaxTables    = 16      // compilers emit one
	MaxSegments  = 100_000 // of data, or of elements: linkers emit some, ahead-of-time translators many
	MaxElements  = 1 << 20 // in all element segments
	MaxParams    = 128     // or results, of a type: they lie in the caller's frame
	MaxLocals    = 5_000   // of one function, with its parameters: the compiler joins each at every merge of control
	MaxBody      = 1 << 20 // bytes of one function: bounds the time between two checks of the fuel, and one compilation
	MaxNesting   = 4_000   // of blocks: Go nests one for each call of a function, 1,077 in its largest; the compiler takes the square of it, 0.4 s here
	MaxLoops     = 32      // of loops, among them: each may have its own copy of each local in the frame
	MaxBranches  = 1 << 16 // targets of one br_table
	MaxHeight    = 10_000  // of the operand stack, in values
	MaxJoins     = 1 << 22 // locals times labels of one function, a bound of the compiler's joins
	MaxCopies    = 1 << 14 // locals times nested loops of one function: the compiler takes about 0.2 ms for each
	MaxPages     = 65_536  // of 64 KiB: the 4 GiB that 32 bits address
	MaxTableSize = 1 << 20 // elements of a table, of 8 bytes each
)

func invalid(format string, a ...any) error {
	return mesh.Errorf(mesh.Invalid, "module: "+format, a...)
}

func exhausted(format string, a ...any) error {
	return mesh.Errorf(mesh.Exhausted, "module: "+format, a...)
}
