package postgres

import (
	"strings"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres/lex"
)

// The parser is C and recursive where it writes its tree, on a stack whose size is the machine's. So a statement is measured before
// it is parsed: words, and an upper bound of how deep its tree can be.
const maxDepth = 2_000

// measure counts the words of a statement, and refuses what may be too deep. Trees grow deeper by words that no comma, AND or OR
// parts; those and the words that join whole clauses (JOIN, UNION, CASE) add up, on each level of parentheses.
func measure(sql string) (words int, err *engine.Error) {
	if strings.IndexByte(sql, 0) >= 0 {
		return 0, fail("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	type level struct{ soft, hard int }
	levels := []level{{}}
	below := 0 // the depth of the levels around
	lex.Scan(sql, func(t lex.Token) bool {
		words++
		top := &levels[len(levels)-1]
		switch {
		case t.Kind == lex.Open:
			below += top.soft + top.hard + 1
			levels = append(levels, level{})
		case t.Kind == lex.Close:
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
				top = &levels[len(levels)-1]
				below -= top.soft + top.hard + 1
				top.soft++
			}
		case t.Kind == lex.Comma || t.Kind == lex.Word && (t.Word == "and" || t.Word == "or"):
			top.soft = 0
		case t.Kind == lex.Word && joins[t.Word]:
			top.hard++
			top.soft++
		default:
			top.soft++
		}
		if below+top.soft+top.hard > maxDepth {
			err = fail("54001", "statement too complex: nested or chained deeper than %d", maxDepth)
		}
		return err == nil
	})
	return words, err
}

// joins are words by which clauses nest or chain without parentheses.
var joins = map[string]bool{"union": true, "intersect": true, "except": true, "join": true, "case": true, "select": true, "not": true, "with": true,
	"when": true, "else": true, "on": true, "then": true}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
