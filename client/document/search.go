package document

import (
	"encoding/json"

	"github.com/stratosmesh/stratos/mesh"
)

// A Search is what $text and the rank of an Order want: words, of which a document has all; those in quotes one after the other, those
// behind a minus not at all, and with or between them one of both. As JSON it is such a text, or an object.
type Search struct {
	Search   string `json:"search"`
	Language string `json:"language"` // english, which is meant where none is said, or simple: words as they are
}

const defaultLanguage = "english"

// language checks the name of a configuration, which stands in SQL: only so do indexes match.
func language(name string) (string, error) {
	switch name {
	case "":
		return defaultLanguage, nil
	case "english", "simple":
		return name, nil
	}
	return "", mesh.Errorf(mesh.Invalid, "%.40q is no language that texts are searched in: english, simple", name)
}

// vector is the words of a field: of its text, or of all texts in it.
func vector(f, language string) string { return "to_tsvector('" + language + "', " + f + ")" }

// search makes the words of a field and what is searched.
func (b *builder) search(f, name string, raw json.RawMessage) (words, query string, err error) {
	var s Search
	if len(raw) > 0 && raw[0] == '{' {
		err = strictly(raw, &s)
	} else {
		err = json.Unmarshal(raw, &s.Search)
	}
	if err != nil || len(raw) == 0 || raw[0] != '{' && raw[0] != '"' {
		return "", "", mesh.Errorf(mesh.Invalid, "a search in %.60q wants a text, or an object of search and language, and %.60s is none", name, raw)
	}
	if s.Language, err = language(s.Language); err != nil {
		return "", "", err
	}
	return vector(f, s.Language), "websearch_to_tsquery('" + s.Language + "', " + b.text(s.Search) + ")", nil
}

// strictly reads an object in which nothing is unknown.
func strictly(raw json.RawMessage, to *Search) error {
	names, values, err := keys(raw, "a search")
	if err != nil {
		return err
	}
	for i, n := range names {
		switch n {
		case "search":
			err = json.Unmarshal(values[i], &to.Search)
		case "language":
			err = json.Unmarshal(values[i], &to.Language)
		default:
			err = mesh.Errorf(mesh.Invalid, "a search has no %.40q", n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
