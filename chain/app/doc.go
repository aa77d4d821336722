// Package app wires the value layer: a Cosmos SDK application with an Ethereum virtual machine and the modules of
// Stratos. It has no IBC.
//
// It is not a node: package cmd/stchaind runs it under CometBFT. Before anything else of the SDK is used, Configure
// must have been called once in the process, and a process holds one App, because the EVM keeps its chain
// configuration in package variables.
package app
