package wasi

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/stratosmesh/stratos/mesh"
)

// Module is the name under which guests import the functions.
const Module = "wasi_snapshot_preview1"

// A Host is the functions of WASI in a wazero runtime. It serves one task at a time and is not safe for concurrent use.
type Host struct{ task *Task }

// A function of WASI: its name, its parameters (i for i32, I for i64) and what it does. All but proc_exit return an i32.
type function struct {
	name, params string
	call         func(t *Task, a []uint64) Errno
}

// functions are all of preview 1, in the order of its document.
var functions = []function{
	{"args_get", "ii", argsGet},
	{"args_sizes_get", "ii", argsSizesGet},
	{"environ_get", "ii", environGet},
	{"environ_sizes_get", "ii", environSizesGet},
	{"clock_res_get", "ii", clockResGet},
	{"clock_time_get", "iIi", clockTimeGet},
	{"fd_advise", "iIIi", fdAdvise},
	{"fd_allocate", "iII", fdAllocate},
	{"fd_close", "i", fdClose},
	{"fd_datasync", "i", fdSync},
	{"fd_fdstat_get", "ii", fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", fdFdstatSetFlags},
	{"fd_fdstat_set_rights", "iII", fdFdstatSetRights},
	{"fd_filestat_get", "ii", fdFilestatGet},
	{"fd_filestat_set_size", "iI", fdFilestatSetSize},
	{"fd_filestat_set_times", "iIIi", fdFilestatSetTimes},
	{"fd_pread", "iiiIi", fdPread},
	{"fd_prestat_get", "ii", fdPrestatGet},
	{"fd_prestat_dir_name", "iii", fdPrestatDirName},
	{"fd_pwrite", "iiiIi", fdPwrite},
	{"fd_read", "iiii", fdRead},
	{"fd_readdir", "iiiIi", fdReaddir},
	{"fd_renumber", "ii", fdRenumber},
	{"fd_seek", "iIii", fdSeek},
	{"fd_sync", "i", fdSync},
	{"fd_tell", "ii", fdTell},
	{"fd_write", "iiii", fdWrite},
	{"path_create_directory", "iii", pathCreateDirectory},
	{"path_filestat_get", "iiiii", pathFilestatGet},
	{"path_filestat_set_times", "iiiiIIi", pathFilestatSetTimes},
	{"path_link", "iiiiiii", pathLink},
	{"path_open", "iiiiiIIii", pathOpen},
	{"path_readlink", "iiiiii", pathReadlink},
	{"path_remove_directory", "iii", pathRemoveDirectory},
	{"path_rename", "iiiiii", pathRename},
	{"path_symlink", "iiiii", pathSymlink},
	{"path_unlink_file", "iii", pathUnlinkFile},
	{"poll_oneoff", "iiii", pollOneoff},
	{"proc_exit", "i", procExit},
	{"proc_raise", "i", procRaise},
	{"sched_yield", "", schedYield},
	{"random_get", "ii", randomGet},
	{"sock_accept", "iii", sock},
	{"sock_recv", "iiiiii", sock},
	{"sock_send", "iiiii", sock},
	{"sock_shutdown", "ii", sock},
}

// Instantiate puts the functions into a runtime, which must not have such a module yet. They live as long as the runtime.
func Instantiate(ctx context.Context, r wazero.Runtime) (*Host, error) {
	h := new(Host)
	b := r.NewHostModuleBuilder(Module)
	for _, f := range functions {
		var params, results []api.ValueType
		for _, p := range f.params {
			params = append(params, map[rune]api.ValueType{'i': api.ValueTypeI32, 'I': api.ValueTypeI64}[p])
		}
		if f.name != "proc_exit" {
			results = []api.ValueType{api.ValueTypeI32}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			t := h.task
			if t == nil {
				panic(fmt.Errorf("%s is called outside of a task", f.name)) // by a start function, which metered modules have none of
			}
			t.op = f.name
			t.charge(PriceCall, 1)
			e := f.call(t, stack)
			if len(results) > 0 {
				stack[0] = uint64(e)
			}
		}), params, results).Export(f.name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "give the runtime the functions of WASI: %w", err)
	}
	return h, nil
}

// Call calls a function that the task's instance exports, and gives its results. The instance must be the one whose globals
// the task was made with, and export its memory as "memory"; without one, every pointer is a fault.
//
// The error says how the run ended, if not by returning: Exit by proc_exit, also with 0; ErrOutput by too much output;
// ErrFuel by a function that could not be paid; a NodeError by a fault of this machine, which says nothing of the task;
// else what the engine says of a trap. First ask Globals.Outcome: a run with no fuel left is that, whatever its error, but
// for a NodeError. After any error the task and its instance are spent, and further calls give it again.
func (h *Host) Call(ctx context.Context, t *Task, m api.Module, name string, params ...uint64) ([]uint64, error) {
	if t.ended != nil {
		return nil, t.ended
	}
	if h.task != nil {
		return nil, mesh.Errorf(mesh.Conflict, "call %s: the runtime runs another task", name)
	}
	f := m.ExportedFunction(name)
	if f == nil {
		return nil, mesh.Errorf(mesh.Invalid, "the module exports no function %q", name)
	}
	t.memory = m.ExportedMemory("memory")
	h.task = t
	defer func() { h.task = nil }()
	results, err := f.Call(ctx, params...)
	if err != nil {
		if t.ended == nil {
			t.ended = runError(err)
		}
		return nil, t.ended
	}
	return results, nil
}
