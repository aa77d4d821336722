// Package database is what owners, cells and clients of databases say to each other: the checks of each message by itself,
// digests and limits. See node/database/DESIGN.md.
//
// It is pure: what exists and who may is the caller's knowledge. Client, authority and replica call it.
package database
