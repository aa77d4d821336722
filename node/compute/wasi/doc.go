// Package wasi gives WebAssembly tasks the functions of WASI preview 1 (wasi_snapshot_preview1), as host functions of
// wazero: for tasks that protocol/fuel meters, and whose result must be the same on every machine.
//
// A Task has arguments, an environment, streams, read-only files and an empty /tmp in memory. It sees nothing of the
// machine: no clock, no file, no randomness, no network but what its Config says. Every function charges fuel before it
// acts, every length is bounded, and what a function gives depends on nothing but the Config and what the task did before.
// When the machine itself fails, the task ends with a NodeError instead of seeing an errno.
//
// The package compiles and instantiates no guests, and decides nothing about fuel; node/compute does, and calls it.
// node/compute/DESIGN.md has the reasons.
package wasi
