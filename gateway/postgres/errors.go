package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A sqlError is an error as PostgreSQL tells it.
type sqlError struct {
	code, text, detail, note  string
	position                  int32
	table, column, constraint string

	statement int // of a program, from 0
}

func newError(code, format string, args ...any) *sqlError {
	return &sqlError{code: code, text: fmt.Sprintf(format, args...)}
}

func (e *sqlError) Error() string { return e.text }

func (e *sqlError) hint(format string, args ...any) *sqlError {
	e.note = fmt.Sprintf(format, args...)
	return e
}

// at says which statement of a program it is of.
func (e *sqlError) at(statement int) *sqlError {
	e.statement = statement
	return e
}

func (e *sqlError) message(severity string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: e.code, Message: e.text, Detail: e.detail, Hint: e.note,
		Position: e.position, TableName: e.table, ColumnName: e.column, ConstraintName: e.constraint}
}

// unsupported is what is understood, and not done.
func unsupported(format string, args ...any) *sqlError {
	return newError(sqlstate.Unsupported, format, args...)
}

// aborted is what a transaction that has failed answers.
var aborted = newError("25P02", "current transaction is aborted, commands ignored until end of transaction block")

// states are the SQLSTATEs of errors that are none of SQL's.
var states = map[mesh.Kind]string{
	mesh.NotFound:    "42704",                  // undefined_object
	mesh.Denied:      "42501",                  // insufficient_privilege
	mesh.Invalid:     "22023",                  // invalid_parameter_value
	mesh.Conflict:    "40001",                  // serialization_failure
	mesh.Unavailable: "08006",                  // connection_failure: to the cell
	mesh.Corrupt:     "XX001",                  // data_corrupted
	mesh.Exhausted:   wiredatabase.CodeNoOzone, // insufficient_resources: as of the owner's account
	mesh.Internal:    "XX000",
}

// errorOf tells an error of whatever kind.
func errorOf(err error) *sqlError {
	var e *sqlError
	var value *sqlstate.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &value):
		return &sqlError{code: value.Code, text: value.Text, detail: value.Detail, note: value.Hint}
	case database.Unknown(err):
		return newError("08007", "%v", err).hint("%s", mesh.HintOf(err)) // transaction_resolution_unknown
	case errors.Is(err, context.DeadlineExceeded):
		return newError("57014", "canceling statement due to statement timeout")
	case errors.Is(err, context.Canceled):
		return newError("57014", "canceling statement due to user request")
	}
	return newError(states[mesh.KindOf(err)], "%v", err).hint("%s", mesh.HintOf(err))
}

// failure is why an outcome is none; nil when it is one.
func failure(o *wirepb.Outcome) *sqlError {
	if o.Code == "" {
		return nil
	}
	return &sqlError{code: o.Code, text: o.Text, detail: o.Detail, note: o.Hint, position: int32(o.Position), table: o.Table, column: o.Column, constraint: o.Constraint}
}
