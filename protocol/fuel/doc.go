// Package fuel meters WebAssembly: it rewrites a module so that it counts what it spends, whatever engine runs it.
//
// Meter is a pure function from binary to binary. The new module behaves as the old one, but that each instruction costs
// fuel, that it stops when fuel or stack runs out, at the same instruction everywhere, and that arithmetic gives no NaN but
// the canonical one. So two machines that run it on the same input agree on its results and on its price.
//
// The package runs nothing itself and knows no engine; node/compute does that, with wazero. What it must do, and why the
// pass is right, stands in DESIGN.md.
package fuel
