// Package worker runs one WebAssembly module, task by task, in a process that can do nothing else: metered, bounded in memory, without files,
// network or other processes. Serve is that process; a Process is the node's handle of it, which gives it tasks and serves what they read.
//
// It does not choose what runs when, and keeps nothing on disk but what it compiles: package compute does the one, its author the other.
package worker
