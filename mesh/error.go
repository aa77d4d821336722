package mesh

import (
	"errors"
	"fmt"
	"net/http"
)

// A Kind is what a caller can do about an error. The set is closed; each kind maps once to an HTTP status and to an
// exit code. Nobody matches the text of an error.
type Kind uint8

const (
	Internal    Kind = iota // a fault of ours
	NotFound                // what was named is not there
	Denied                  // the caller may not do this
	Invalid                 // the request is malformed or against the rules; it will never succeed as it is
	Conflict                // the state changed or already holds something else
	Unavailable             // it may succeed later or elsewhere, unchanged
	Corrupt                 // bytes are not what their name, checksum or signature says
	Exhausted               // out of ozone, space or budget, or past a limit
	kinds
)

var kindTable = [kinds]struct {
	name   string
	status int // HTTP
	exit   int // of a process; 2 is usage, 130 an interrupt
}{
	Internal:    {"internal", http.StatusInternalServerError, 1},
	NotFound:    {"not found", http.StatusNotFound, 3},
	Denied:      {"denied", http.StatusForbidden, 4},
	Invalid:     {"invalid", http.StatusBadRequest, 5},
	Conflict:    {"conflict", http.StatusConflict, 6},
	Unavailable: {"unavailable", http.StatusServiceUnavailable, 7},
	Corrupt:     {"corrupt", http.StatusUnprocessableEntity, 8},
	Exhausted:   {"exhausted", http.StatusTooManyRequests, 9},
}

func (k Kind) valid() Kind {
	if k >= kinds {
		return Internal
	}
	return k
}

func (k Kind) String() string { return kindTable[k.valid()].name }

// HTTPStatus is the status with which a server of ours answers an error of this kind.
func (k Kind) HTTPStatus() int { return kindTable[k.valid()].status }

// ExitCode is the exit code of a command that ends with an error of this kind.
func (k Kind) ExitCode() int { return kindTable[k.valid()].exit }

// KindOfStatus is the inverse of HTTPStatus; a status that no kind has is Internal.
func KindOfStatus(status int) Kind {
	for k := range kinds {
		if kindTable[k].status == status {
			return k
		}
	}
	return Internal
}

// An Error is an error with a kind and, where a person will read it, what to do next.
type Error struct {
	Kind Kind
	Text string // what failed and why; no capital, no full stop
	Hint string // what to do next; may be empty
	Err  error  // the cause; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	if e.Text == "" {
		return e.Err.Error()
	}
	return e.Text + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind. A %w in the format is kept as the cause.
func Errorf(k Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if errors.Unwrap(err) != nil {
		return &Error{Kind: k, Err: err}
	}
	return &Error{Kind: k, Text: err.Error()}
}

// WithHint adds to err what a person can do next; kind and text stay. It returns nil for nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Hint: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of the outermost Error in err's chain, Internal when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// HintOf returns the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
}
