package postgres

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// What PostgreSQL 15 has of functions and operators for types that are here, and protocol/postgres has not (yet): they take part in
// choosing, and are refused when they are chosen. Of others, the name is known. The list is made by the oracle, see TestUnsupported.
//
//go:embed unsupported.txt
var unsupportedText string

type missing struct {
	functions, operators             map[string]bool // names
	functionEntries, operatorEntries []*candidate
}

const isUnsupported = "unsupported"

var unsupported = sync.OnceValue(func() missing {
	m := missing{functions: map[string]bool{}, operators: map[string]bool{}}
	for _, line := range strings.Split(unsupportedText, "\n") {
		if rest, ok := strings.CutPrefix(line, "name of "); ok {
			kind, name, _ := strings.Cut(rest, " ")
			if kind == "function" {
				m.functions[name] = true
			} else {
				m.operators[name] = true
			}
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		name, args, ok := strings.Cut(rest, "(")
		if !ok {
			continue
		}
		list, variadic := strings.CutSuffix(args, " variadic")
		k := &candidate{name: name, special: isUnsupported, variadic: variadic, result: postgres.Text}
		for _, a := range strings.Split(strings.TrimSuffix(list, ")"), ",") {
			if a == "char" { // which alone is another name of bpchar
				a = `"char"`
			}
			if t, ok := postgres.TypeNamed(a); ok {
				k.args = append(k.args, t.OID)
			}
		}
		if kind == "function" {
			m.functionEntries = append(m.functionEntries, k)
		} else {
			m.operatorEntries = append(m.operatorEntries, k)
		}
	}
	return m
})

func knownOperator(name string) bool { return unsupported().operators[name] }

// here tells whether there is anything of a name that is not refused.
func here(list []*candidate) bool {
	return slices.ContainsFunc(list, func(k *candidate) bool { return k.special != isUnsupported })
}
