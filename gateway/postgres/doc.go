// Package postgres speaks PostgreSQL's protocol, version 3, for databases of the mesh: who connects shows an access key by SCRAM, and
// its statements become programs of the cell. See ../DESIGN.md.
//
// It knows what clients of PostgreSQL expect of a server (transactions, portals, settings, COPY, cursors), and nothing of SQL's
// meaning: replicas compile statements. The gateway runs it.
package postgres
