package wasi

// What a task may hold. All of them are part of what a program can observe, so Digest has them.
const (
	// MaxOpen is how many descriptors a task may have open: more than programs need, few enough to search in order.
	MaxOpen = 256
	// MaxPath is the length of a path in bytes, MaxName of one name in it, as Linux has them.
	MaxPath = 4096
	MaxName = 255
	// MaxNesting is how deep directories may lie in each other: it bounds every walk up or down the tree.
	MaxNesting = 64
	// MaxStrings is the number of arguments and of variables of the environment, MaxStringBytes their bytes with the zeros
	// at their ends; each of both. They are copied to the guest at once.
	MaxStrings     = 1024
	MaxStringBytes = 128 << 10
	// MaxIovecs is how many buffers one read or write takes, as Linux's IOV_MAX.
	MaxIovecs = 1024
	// MaxSubscriptions is what one poll_oneoff waits for: descriptors and some timers.
	MaxSubscriptions = 1024
	// MaxFiles is the number of read-only files and of the directories that they imply: the tree is held in memory.
	MaxFiles = 16_384
	// MaxTmpBytes is what the files in /tmp may hold, in whole chunks of 4 KiB, and MaxTmpEntries how many files and directories: they
	// lie in the memory of the node, beside the guest's own.
	MaxTmpBytes   = 256 << 20
	MaxTmpEntries = 16_384
	// MaxStdout is what a task may write to its standard output: it is stored as the result. More ends it as exhausted.
	MaxStdout = 1 << 30
	// MaxStderr is what is kept of standard error. It is a log: what follows is dropped behind Dropped.
	MaxStderr = 1 << 20
	// MaxAsk is how long a request may be, and MaxAnswer its answer: both are held in memory.
	MaxAsk    = 1 << 20
	MaxAnswer = 1 << 20
	// MaxTime is the latest time at which a task may begin, in nanoseconds of Unix: what it sleeps is added without wrapping.
	MaxTime = 1 << 61
)

// Dropped is written to standard error, once, in place of all that exceeds its bound.
const Dropped = "\n[the log ends here: it has reached its limit]\n"

// FuelPerNanosecond is how the guest's clocks go: a nanosecond for so much fuel, about what a core takes.
const FuelPerNanosecond = 32
