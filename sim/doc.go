// Package sim holds what is shown on the whole network, with real processes: the promises of the README, faults injected
// into every layer, and invariants that must hold after each. It is tests only.
//
// STRATOS_LONG=1 runs full sizes. Binaries are taken from bin/, or from STRATOS_BIN.
package sim
