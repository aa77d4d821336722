package worker

import (
	"fmt"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// A pages is an instance's memory: all that it may ever have is mapped when it begins, so that growing moves nothing and fails nowhere but
// at its limit, which is the same on every machine. The kernel gives pages when they are touched, and has them back at the end.
type pages []byte

// allocate is wazero's hook for memories. It panics where there is no room: that is the node's failure, and no answer for the guest.
func allocate(_, most uint64) experimental.LinearMemory {
	b, err := unix.Mmap(-1, 0, max(int(most), unix.Getpagesize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		panic(fmt.Errorf("mapping %d bytes of memory: %w", most, err))
	}
	return pages(b)
}

// Reallocate gives the first size bytes, which wazero never asks beyond most.
func (p pages) Reallocate(size uint64) []byte { return p[:size:size] }

// Free unmaps.
func (p pages) Free() { _ = unix.Munmap(p) } // of what was mapped so, it cannot fail
