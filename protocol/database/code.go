package database

import "github.com/stratosmesh/stratos/mesh"

// SQLSTATEs on which clients act.
const (
	CodeReadOnly = "25006" // a question that would write
	CodeNoGas    = "53400" // what ran has met its limit of gas
	CodeNotKept  = "55000" // of a program that was applied before: its outcome is not kept any more
	CodeNoOzone  = "53000" // what the owner's account pays is used up: insufficient_resources
)

// KindOfCode returns what a caller can do about an SQLSTATE; "" is no error, and Internal like all that is not known here.
func KindOfCode(code string) mesh.Kind {
	switch code {
	case "42501":
		return mesh.Denied
	case "57014":
		return mesh.Exhausted
	case "08006", "08007": // a cell that does not answer, or does not tell what became of a program
		return mesh.Unavailable
	}
	if len(code) != 5 {
		return mesh.Internal
	}
	switch code[:2] {
	case "0A", "21", "22", "25", "26", "2B", "34", "42", "3B", "3F", "08", "2D", "44":
		return mesh.Invalid
	case "28":
		return mesh.Denied
	case "3D":
		return mesh.NotFound
	case "23", "40", "55", "P0":
		return mesh.Conflict
	case "53", "54":
		return mesh.Exhausted
	case "57":
		return mesh.Unavailable
	}
	return mesh.Internal
}
