// Package client is the Go SDK of Stratos: objects in and out of the network as streams of any size in bounded memory,
// encrypted, coded and paid on the way.
//
// A Client acts under an Access, which an account signs once, or under a narrower one that somebody shared. Paths are
// mesh.Path values; errors carry a mesh.Kind. Everything that an authority or a node answers is checked before it is
// believed. What a Put or a reader holds is bounded by itself, or together with all others that share a Memory.
//
// Ethereum accounts live in client/wallet, value-layer transactions in client/chain, the local folder in client/home.
package client
