package postgres

import (
	_ "embed"
	"strings"
	"sync"
)

// What PostgreSQL 15 has of functions and operators by a name for types that are here, and protocol/postgres has not (yet). Such a
// name is refused rather than unknown where nothing fits. The list is made by the oracle, see TestUnsupported.
//
//go:embed unsupported.txt
var unsupportedText string

type missing struct{ functions, operators, known map[string]bool }

var unsupported = sync.OnceValue(func() missing {
	m := missing{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, line := range strings.Split(unsupportedText, "\n") {
		kind, name, _ := strings.Cut(line, " ")
		switch kind {
		case "function":
			m.functions[name] = true
		case "operator":
			m.operators[name] = true
		}
	}
	return m
})

func knownOperator(name string) bool { return unsupported().operators[name] }
