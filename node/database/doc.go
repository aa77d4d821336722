// Package database runs a node's replicas of cells: it asks the meta layer which those are, gives each a home, keys and ports, founds
// it with its cell, keeps it running as a child process, brings notices of the authorities to its cell, and removes it when the cell
// has ended. RunReplica is what the child does.
//
// It executes no SQL and orders nothing: that is the replica's (node/database/replica), and the engine's below it. A node calls it.
// How databases hang together stands in DESIGN.md.
package database
