package wasi

// An Errno is what every function but proc_exit returns to the guest. The numbers are those of preview 1.
type Errno uint32

// The ones that are used here.
const (
	Success     Errno = 0
	BadF        Errno = 8  // no such descriptor, or not open for that
	Busy        Errno = 10 // the directory is / or /tmp
	Exist       Errno = 20
	Fault       Errno = 21 // a pointer out of memory
	FBig        Errno = 22 // an offset past what a file can have
	Inval       Errno = 28
	IsDir       Errno = 31
	MFile       Errno = 33 // MaxOpen
	NameTooLong Errno = 37 // MaxPath, MaxName or MaxNesting
	NoEnt       Errno = 44
	NoSpc       Errno = 51 // the bytes or the entries of /tmp
	NotDir      Errno = 54
	NotEmpty    Errno = 55
	NotSup      Errno = 58 // links, sockets, signals, rights
	Perm        Errno = 63 // a path that does not begin at its directory
	RoFS        Errno = 69 // outside of /tmp
	SPipe       Errno = 70 // a place in a stream
)
