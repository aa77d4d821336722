// Package compute is the pure part of jobs: how inputs are cut into records, how the lines that a map gives are sorted, parted and merged for
// a reduce, and what digests name a task and its result. It is the same for whoever runs a job, on a node or on the author's own machine.
//
// It runs no module and reads no network; node/compute and client do. DESIGN.md in node/compute has the whole.
package compute
