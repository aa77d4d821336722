package postgres

import (
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// lexemesOf are the rows of unnest(tsvector): a word, its places and its weights as a list of three.
func lexemesOf(call *postgres.Call, v any) (any, error) {
	if v == nil {
		return "[]", nil
	}
	lexemes, err := postgres.Lexemes(call, v)
	if err != nil {
		return nil, err
	}
	var l list
	for _, x := range lexemes {
		var row list
		for _, cell := range []any{x.Word, x.Positions, x.Weights} {
			if err := row.add(cell); err != nil {
				return nil, err
			}
		}
		if err := l.addList(&row); err != nil {
			return nil, err
		}
	}
	return l.text(), nil
}
