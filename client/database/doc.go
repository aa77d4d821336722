// Package database is the Go SDK's side of a database: it signs programs, sends them to the replicas of the database's cell, and
// believes what so many of them have signed alike that one of them is honest.
//
// A DB comes from client.Client, which finds the cell by the meta layer. A replica that lies decides nothing: see Level. Answers that
// contradict what was agreed are kept as Evidence. Errors carry a mesh.Kind; those of SQL are an *Error with an SQLSTATE.
package database
