package postgres

import (
	"context"
	"iter"

	client "github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Program is statements that a database runs, all or none.
type Program struct {
	Statements []*wirepb.Statement
	Settings   *wirepb.Settings
	View       *wirepb.View // of a transaction that goes on over more than one program
}

// A Database is one database as a connection uses it. Errors of SQL come as outcomes with a code, everything else as errors with a
// mesh.Kind. Results are of dialect postgres.
type Database interface {
	// Describe tells the types of the last statement's parameters, and its columns. With a view, those before it are run first, and undone.
	Describe(ctx context.Context, p Program) (*wirepb.Outcome, error)
	// Query runs what only reads, at the level.
	Query(ctx context.Context, level Level, p Program) (*wirepb.Outcome, error)
	// Try runs a program with a view on the newest state and undoes it; results whose digests the view has are left out.
	Try(ctx context.Context, level Level, p Program) (*wirepb.Outcome, error)
	// Exec runs a program on the log.
	Exec(ctx context.Context, p Program) (*wirepb.Outcome, error)
	// Newest is the position behind what the database has told so far, and Follow what NOTIFY says behind one; see client/database's DB.
	Newest(ctx context.Context) (client.Position, error)
	Follow(ctx context.Context, from client.Position) iter.Seq2[client.Batch, error]
	// Close gives back what the connection holds.
	Close() error
}

// A Level is how many replicas must agree on what a statement reads.
type Level string

// Levels of reading.
const (
	Fast    Level = "fast"
	Default Level = "default"
	Ordered Level = "ordered"
)
