// Package meta is an authority: one member of the proof-of-authority group that keeps the index, places pieces, signs
// tickets, watches nodes, repairs, and reports each epoch's traffic.
//
// The log's state machine is meta/state, the choice of nodes meta/placement; here they meet CometBFT, the value layer
// and the network. cmd/stratos runs it (stratos meta run).
package meta
