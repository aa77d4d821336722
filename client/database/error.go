package database

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// An Error is why a program or a question failed: nothing of it happened. Its mesh.Kind follows from the code. Only 55000 of a program
// that was sent again says that it was applied, and that its outcome is not on record any more.
type Error struct {
	Code      string // SQLSTATE; this and Statement are what so many replicas say that one of them is honest
	Text      string // empty when they say it differently
	Hint      string
	Statement int    // that failed, from 0
	SQL       string // its text; empty when the whole program failed
}

func (e *Error) Error() string {
	text := e.Text
	if text == "" {
		text = "the statement failed"
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", text, e.Code)
}

// Unwrap gives the error its kind and its hint.
func (e *Error) Unwrap() error {
	return &mesh.Error{Kind: wiredatabase.KindOfCode(e.Code), Text: e.Error(), Hint: e.Hint}
}

// An UnknownError says that nobody could tell whether a program was applied; its kind is Unavailable. Whoever runs the program again
// with the same id, under the same session and within ten minutes, learns it: a program is applied once.
type UnknownError struct {
	ID       ID
	NotAfter time.Time // it is not applied after that, in the time of the cell's blocks
	Err      error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("whether program %s was applied is not known: %v", e.ID, e.Err)
}

// Unwrap gives the error its kind and its hint.
func (e *UnknownError) Unwrap() error {
	hint := fmt.Sprintf("run it again within ten minutes, with the same id, %s: it is applied once", e.ID)
	return &mesh.Error{Kind: mesh.Unavailable, Text: e.Error(), Hint: hint}
}

// An ID names a program, so that it is applied once however often it is sent.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String writes.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, mesh.Errorf(mesh.Invalid, "%.40q is no id of a program: 32 hexadecimal digits", s)
	}
	return ID(b), nil
}
