// Package state is the meta layer's deterministic state machine: accounts' ozone, sessions, leases, the index, the
// registry of nodes and authorities, and each epoch's ledger. It applies blocks of transactions in order and answers
// questions at a height. Equal blocks give equal states, byte for byte, on every authority.
//
// It makes no connections, starts no goroutines and reads no clock: time is the block's. What is not a function of the
// log (placement, tickets, heartbeats) lives in package meta above. The keys of the store stand in keys.go, the
// records in statepb/state.proto, the reasons in ../DESIGN.md.
package state
