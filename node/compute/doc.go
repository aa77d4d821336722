// Package compute runs WebAssembly modules of strangers on a node: tasks in worker processes, each with what it may take, so that none
// harms the node or another's task, and with results that are the same wherever they run.
//
// It is not the sandbox itself (package worker), and knows no jobs, no prices and no network: whoever has a task hands in its module,
// its input and its budget of fuel. DESIGN.md has the whole.
package compute
