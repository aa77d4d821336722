package worker

import (
	"fmt"
	"os"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// ownMemory is what a worker may have besides its instance's: the program, Go's heap when it compiles the largest module, stacks of threads.
const ownMemory = 1 << 30

// niceness leaves the processor to the node where both want it.
const niceness = 10

// settle bounds what this process may take, before it reads anything of a module.
func settle(memory uint64) error {
	for _, l := range []struct {
		what  int
		most  uint64
		words string
	}{
		{unix.RLIMIT_CORE, 0, "core files"}, // they would hold what the task read
		{unix.RLIMIT_DATA, ownMemory + memory, "memory"},
		{unix.RLIMIT_NOFILE, 64, "open files"},
	} {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("limiting %s: %w", l.words, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // nor may another process look in
		return fmt.Errorf("prctl: %w", err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, niceness); err != nil {
		return fmt.Errorf("lowering the priority: %w", err)
	}
	return nil
}

// confine takes from this process everything but what running wazero's code and speaking over its pipes needs: no files, no sockets, no
// other process. It is what is left to code that breaks out of the sandbox.
func confine() error {
	allowed := []string{
		"read", "write", "close", "exit", "exit_group", "restart_syscall",
		"mmap", "munmap", "mremap", "mprotect", "madvise", "mincore",
		"futex", "sched_yield", "sched_getaffinity", "nanosleep", "clock_nanosleep", "clock_gettime",
		"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "gettid", "getpid",
		"epoll_pwait", "epoll_ctl", "getrandom", "set_robust_list", "rseq", "timer_create", "timer_settime", "timer_delete",
	}
	filter := seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync, // all threads
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				{Action: seccomp.ActionAllow, Names: allowed},
				// A thread, and no process. What clone3 is asked for lies in memory, where no filter looks: without it C makes threads by clone.
				{Action: seccomp.ActionAllow, NamesWithCondtions: []seccomp.NameWithConditions{{Name: "clone", Conditions: seccomp.ArgumentConditions{
					{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD},
				}}}},
				{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
			},
		},
	}
	if !seccomp.Supported() {
		return fmt.Errorf("this kernel has no seccomp")
	}
	if err := seccomp.LoadFilter(filter); err != nil {
		return fmt.Errorf("confining the worker: %w", err)
	}
	if _, err := os.Open("/"); err == nil {
		return fmt.Errorf("the worker is not confined: it can open files")
	}
	return nil
}
