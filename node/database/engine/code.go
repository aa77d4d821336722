package engine

import (
	"fmt"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
)

// SQLSTATEs of outcomes. They are part of the digest; texts are not.
const (
	codeRefused     = "0A000" // not offered here
	codeData        = "22000" // a value that an expression cannot take
	codeOutOfRange  = "22003" // integer overflow, or the last row id
	codeEncoding    = "22021" // text that is not UTF-8
	codeParameter   = "22023" // the program itself is malformed
	codeConstraint  = "23000"
	codeNotNull     = "23502"
	codeForeignKey  = "23503"
	codeUnique      = "23505"
	codeCheck       = "23514"
	codeReadOnly    = "25006" // a question that would write
	codeSerialize   = "40001" // a result is not what the author saw
	codeSyntaxClass = "42000"
	codeSyntax      = "42601"
	codeTooBig      = "54000"
	codeTooComplex  = "54001"
	codeNotKept     = "55000" // database.CodeNotKept: applied before; the outcome is no longer kept
	codeFull        = "53100" // the file has as many pages as it may
	codeExhausted   = "53400" // gas
	codeCancelled   = "57014" // a question whose time is over
	codeRaised      = "P0001" // RAISE in a trigger
	codeType        = "42804"
	codeInternal    = "XX000"
)

// texts are the errors that SQLite tells apart by their text only; its version is pinned, and tests hold them.
// The first that fits counts.
var texts = []struct{ prefix, within, code string }{
	{"no such table", "", "42P01"},
	{"no such view", "", "42P01"},
	{"no such column", "", "42703"},
	{"", "has no column named", "42703"},
	{"unknown column", "", "42703"},
	{"no such function", "", "42883"},
	{"wrong number of arguments", "", "42883"},
	{"no such index", "", "42704"},
	{"no such trigger", "", "42704"},
	{"no such collation", "", "42704"},
	{"no such module", "", codeRefused},
	{"ambiguous column name", "", "42702"},
	{"duplicate column name", "", "42701"},
	{"", "already exists", "42P07"},
	{"there is already", "", "42P07"},
	{"incomplete input", "", codeSyntax},
	{"unrecognized token", "", codeSyntax},
	{"", "syntax error", codeSyntax},
	{"", "values were supplied", codeSyntax},
	{"", "values for", codeSyntax},
	{"Expression tree is too large", "", codeTooComplex},
	{"parser stack overflow", "", codeTooComplex},
	{"Recursion limit", "", codeTooComplex},
	{"too many levels of trigger", "", codeTooComplex},
	{"LIKE or GLOB pattern too complex", "", codeTooBig},
	{"too many", "", codeTooBig},
	{"at most", "", codeTooBig},
	{"integer overflow", "", codeOutOfRange},
	{"local time unavailable", "", codeRefused},
	{"", "may not be modified", codeRefused},
	{"", "may not be dropped", codeRefused},
	{"", "may not be altered", codeRefused},
	{"", "may not be indexed", codeRefused},
	{"object name reserved", "", codeRefused},
	{"unsafe use of", "", codeRefused},
	{"not authorized", "", codeRefused},
	{"prohibited", "", codeRefused},
	{"cannot INSERT into generated", "", "428C9"},
	{"cannot UPDATE generated", "", "428C9"},
	{"missing datatype", "", "42611"},
	{"unknown datatype", "", "42611"},
	{"malformed JSON", "", "22032"},
	{"", "foreign key mismatch", "42830"},
}

// stateOf says which SQLSTATE an error of SQLite has that is of the program and not of the file. Running tells whether
// the statement was compiled.
func stateOf(rc int, text string, running bool) string {
	switch rc & 0xff {
	case 19: // SQLITE_CONSTRAINT
		switch rc >> 8 {
		case 1:
			return codeCheck
		case 3:
			return codeForeignKey
		case 5:
			return codeNotNull
		case 6, 8, 10: // of a primary key, of an index, of row ids
			return codeUnique
		case 7:
			return codeRaised
		case 12:
			return codeType
		}
		return codeConstraint
	case 13: // SQLITE_FULL
		return codeFull
	case rcTooBig:
		return codeTooBig
	case rcNoMem:
		return codeTooComplex
	case 20: // SQLITE_MISMATCH
		return codeType
	case 25: // SQLITE_RANGE
		return codeParameter
	case 23: // SQLITE_AUTH
		return codeRefused
	case 9: // SQLITE_INTERRUPT
		return codeCancelled
	}
	for _, t := range texts {
		if strings.HasPrefix(text, t.prefix) && strings.Contains(text, t.within) {
			return t.code
		}
	}
	if running {
		return codeData
	}
	return codeSyntaxClass
}

// ofFile tells whether an error is of the file, the disk or the machine, and so says nothing about the program: another
// replica may not have it. A full disk and a full database have the same code; the file system below tells which.
// Memory for a compiled statement is refused by SQLite at Limits.Ops, with the code that it has for lack of memory, so
// that while compiling it is an outcome; a machine that has none ends the process anyway.
func ofFile(rc, flags int, running bool) bool {
	switch rc & 0xff {
	case 0, 1, 4, 9, 18, 19, 20, 23, 25: // ok, error, abort, interrupt, too big, constraint, mismatch, auth, range
		return false
	case rcFull:
		return flags&flagDiskFull != 0
	case rcNoMem:
		return running
	}
	return true
}

// fileError is an error that stops the database.
func fileError(doing string, rc int, text string) error { return fileErrorFlags(doing, rc, 0, text) }

func fileErrorFlags(doing string, rc, flags int, text string) error {
	kind, why := mesh.Internal, ""
	switch rc & 0xff {
	case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
		kind, why = mesh.Corrupt, "the file is damaged"
	case 10: // SQLITE_IOERR
		kind, why = mesh.Unavailable, "reading or writing the file failed"
	case rcFull:
		kind, why = mesh.Exhausted, "the disk is full"
		if flags&flagDiskFull == 0 {
			why = "the file is full"
		}
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		kind, why = mesh.Unavailable, "another process uses the file"
	case 14: // SQLITE_CANTOPEN
		kind, why = mesh.Unavailable, "the file cannot be opened"
	case rcNoMem:
		kind, why = mesh.Exhausted, "out of memory"
	case 3, 8: // SQLITE_PERM, SQLITE_READONLY
		kind, why = mesh.Denied, "the file cannot be written"
	}
	return &mesh.Error{Kind: kind, Text: fmt.Sprintf("database: %s: %s (SQLite %d: %s)", doing, why, rc, text)}
}
