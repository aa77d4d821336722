package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/jsonb"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/postgres/textsearch"
)

// Configurations of text search, by PostgreSQL's numbers. The default of a database in the locale C is english.
var configs = map[int64]struct {
	name string
	c    textsearch.Config
}{
	3748:          {"simple", textsearch.Simple},
	defaultConfig: {"english", textsearch.English},
}

const defaultConfig int64 = 13164

// otherConfigs are those that PostgreSQL has and we have not.
const otherConfigs = ` arabic armenian basque catalan danish dutch finnish french german greek hindi hungarian indonesian irish italian lithuanian nepali norwegian
	portuguese romanian russian serbian spanish swedish tamil turkish yiddish `

// parseConfig reads a regconfig: a name, perhaps with its schema, or a number.
func parseConfig(s string) (any, error) {
	t := trimSpace(s)
	if t == "-" {
		return int64(0), nil
	}
	if n, err := strconv.ParseUint(t, 10, 32); err == nil && t == s {
		return int64(n), nil
	}
	parts := strings.Split(t, ".")
	for i, p := range parts {
		p = trimSpace(p)
		if n := len(p); n > 2 && p[0] == '"' && p[n-1] == '"' {
			p = p[1 : n-1]
		} else if p = lower(p); p == "" || strings.ContainsAny(p, " \"") {
			return nil, sqlstate.New("42602", "invalid name syntax")
		}
		parts[i] = p
	}
	name := parts[len(parts)-1]
	if len(parts) > 2 || len(parts) == 2 && parts[0] != "pg_catalog" {
		name = ""
	}
	for oid, c := range configs {
		if c.name == name {
			return oid, nil
		}
	}
	if strings.Contains(otherConfigs, " "+name+" ") {
		return nil, sqlstate.New(sqlstate.Unsupported, "text search configuration \"%s\" is not supported: simple and english are", name)
	}
	return nil, sqlstate.New(sqlstate.UndefinedObject, "text search configuration \"%s\" does not exist", s)
}

func formatConfig(v any) string {
	n := v.(int64)
	if n == 0 {
		return "-"
	}
	if c, ok := configs[n]; ok {
		return c.name
	}
	return strconv.FormatInt(n, 10)
}

func config(v any) (textsearch.Config, error) {
	if c, ok := configs[v.(int64)]; ok {
		return c.c, nil
	}
	return 0, sqlstate.New(sqlstate.Unsupported, "text search configuration %d is not supported: simple and english are", v)
}

// parseChar reads a "char": one byte, or three octal digits behind a backslash. Its cell is the text that PostgreSQL shows.
func parseChar(s string) any {
	b := byte(0)
	octal := func(i int) bool { return s[i] >= '0' && s[i] <= '7' }
	switch {
	case len(s) == 4 && s[0] == '\\' && octal(1) && octal(2) && octal(3):
		b = (s[1]-'0')<<6 | (s[2]-'0')<<3 | s[3] - '0'
	case s != "":
		b = s[0]
	}
	return charCell(b)
}

func charCell(b byte) any {
	switch {
	case b == 0:
		return ""
	case b >= 0x80:
		return fmt.Sprintf(`\%03o`, b)
	}
	return string(rune(b))
}

func charByte(v any) byte {
	switch s := v.(string); len(s) {
	case 0:
		return 0
	case 1:
		return s[0]
	default:
		return (s[1]-'0')<<6 | (s[2]-'0')<<3 | s[3] - '0'
	}
}

// Cells of tsvector are PostgreSQL's text, those of tsquery one that groups all operands as they are.

func vectorCell(v textsearch.Vector, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	s := v.String()
	return s, sized(len(s))
}

func queryCell(q textsearch.Query, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	s := q.Exact()
	return s, sized(len(s))
}

func vector(v any) textsearch.Vector {
	x, err := textsearch.ParseVector(v.(string))
	if err != nil {
		panic(err)
	}
	return x
}

func query(v any) textsearch.Query {
	x, err := textsearch.ReadExact(nil, v.(string))
	if err != nil {
		panic(err)
	}
	return x
}

// reading is the work of making values of cells, for each byte.
const reading = 4

// vectors and queries make values of arguments, and pay for it.
func (c *Call) vectors(cells ...any) ([]textsearch.Vector, error) {
	out := make([]textsearch.Vector, len(cells))
	for i, v := range cells {
		if err := c.work(uint64(reading * len(v.(string)))); err != nil {
			return nil, err
		}
		out[i] = vector(v)
	}
	return out, nil
}

func (c *Call) queries(cells ...any) ([]textsearch.Query, error) {
	out := make([]textsearch.Query, len(cells))
	for i, v := range cells {
		if err := c.work(uint64(reading * len(v.(string)))); err != nil {
			return nil, err
		}
		out[i] = query(v)
	}
	return out, nil
}

func (c *Call) both(vector, query any) (v textsearch.Vector, q textsearch.Query, err error) {
	vs, err := c.vectors(vector)
	if err != nil {
		return nil, nil, err
	}
	qs, err := c.queries(query)
	if err != nil {
		return nil, nil, err
	}
	return vs[0], qs[0], nil
}

func (c *Call) match(vector, query any) (any, error) {
	v, q, err := c.both(vector, query)
	if err != nil {
		return nil, err
	}
	ok, err := v.Match(c.work, q)
	return ok, err
}

// texts are the items of a cell of text[], without NULLs.
func texts(v any) []string {
	out := []string{}
	for _, item := range arrayOf(Text, v).items {
		if item != nil {
			out = append(out, item.(string))
		}
	}
	return out
}

// jsonTexts are the texts in a JSON value, but for keys, in its order.
func jsonTexts(v jsonb.Value) (list []string, err error) {
	switch v.Kind {
	case jsonb.String:
		s := v.Text
		if v.Raw != "" {
			if s, err = v.Unquote(); err != nil {
				return nil, err
			}
		}
		return []string{s}, nil
	case jsonb.Array:
		for _, item := range v.Items {
			l, err := jsonTexts(item)
			if err != nil {
				return nil, err
			}
			list = append(list, l...)
		}
	case jsonb.Object:
		for _, m := range v.Members {
			l, err := jsonTexts(m.Value)
			if err != nil {
				return nil, err
			}
			list = append(list, l...)
		}
	}
	return list, nil
}

func searchOperators() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	for _, op := range []string{"@@", "@@@"} {
		add(op+"(tsvector, tsquery) bool", func(c *Call, a []any) (any, error) { return c.match(a[0], a[1]) })
		add(op+"(tsquery, tsvector) bool", func(c *Call, a []any) (any, error) { return c.match(a[1], a[0]) })
	}
	of := func(c *Call, text any) (textsearch.Vector, error) {
		return textsearch.English.Vector(c.work, text.(string))
	}
	matches := func(c *Call, v textsearch.Vector, q textsearch.Query) (any, error) {
		ok, err := v.Match(c.work, q)
		return ok, err
	}
	add("@@(text, tsquery) bool", func(c *Call, a []any) (any, error) {
		v, err := of(c, a[0])
		if err != nil {
			return nil, err
		}
		q, err := c.queries(a[1])
		if err != nil {
			return nil, err
		}
		return matches(c, v, q[0])
	})
	add("@@(text, text) bool", func(c *Call, a []any) (any, error) {
		v, err := of(c, a[0])
		if err != nil {
			return nil, err
		}
		q, err := textsearch.English.Plain(c.work, a[1].(string), textsearch.And)
		if err != nil {
			return nil, err
		}
		return matches(c, v, q)
	})
	add("||(tsvector, tsvector) tsvector", func(c *Call, a []any) (any, error) {
		v, err := c.vectors(a...)
		if err != nil {
			return nil, err
		}
		return vectorCell(v[0].Concat(v[1]))
	})
	for _, o := range []struct {
		sign string
		join textsearch.Operator
	}{{"&&", textsearch.And}, {"||", textsearch.Or}, {"<->", textsearch.Phrase}} {
		add(o.sign+"(tsquery, tsquery) tsquery", func(c *Call, a []any) (any, error) {
			q, err := c.queries(a...)
			if err != nil {
				return nil, err
			}
			return queryCell(q[0].Join(o.join, q[1], 1))
		})
	}
	add("!!(tsquery) tsquery", func(c *Call, a []any) (any, error) {
		q, err := c.queries(a...)
		if err != nil {
			return nil, err
		}
		return queryCell(q[0].Negated())
	})
	for first, op := range []string{"@>", "<@"} {
		add(op+"(tsquery, tsquery) bool", func(c *Call, a []any) (any, error) {
			q, err := c.queries(a...)
			if err != nil {
				return nil, err
			}
			return q[first].Contains(q[1-first]), nil
		})
	}
	return all
}

func searchFunctions() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	// configured adds a function with a configuration before its arguments, and one without.
	configured := func(name, args, result string, f func(c *Call, config textsearch.Config, a []any) (any, error)) {
		add(name+"("+args+") "+result, func(c *Call, a []any) (any, error) { return f(c, textsearch.English, a) })
		add(name+"(regconfig, "+args+") "+result, func(c *Call, a []any) (any, error) {
			which, err := config(a[0])
			if err != nil {
				return nil, err
			}
			return f(c, which, a[1:])
		})
	}
	configured("to_tsvector", "text", "tsvector", func(c *Call, config textsearch.Config, a []any) (any, error) {
		return vectorCell(config.Vector(c.work, a[0].(string)))
	})
	for _, kind := range []struct {
		name  string
		parse func(string) (jsonb.Value, error)
	}{{"json", jsonb.ParseJSON}, {"jsonb", jsonb.Parse}} {
		configured("to_tsvector", kind.name, "tsvector", func(c *Call, config textsearch.Config, a []any) (any, error) {
			v, err := kind.parse(a[0].(string))
			if err != nil {
				return nil, err
			}
			list, err := jsonTexts(v)
			if err != nil {
				return nil, err
			}
			return vectorCell(config.Vectors(c.work, list))
		})
	}
	configured("to_tsquery", "text", "tsquery", func(c *Call, config textsearch.Config, a []any) (any, error) {
		return queryCell(config.Query(c.work, a[0].(string)))
	})
	configured("plainto_tsquery", "text", "tsquery", func(c *Call, config textsearch.Config, a []any) (any, error) {
		return queryCell(config.Plain(c.work, a[0].(string), textsearch.And))
	})
	configured("phraseto_tsquery", "text", "tsquery", func(c *Call, config textsearch.Config, a []any) (any, error) {
		return queryCell(config.Plain(c.work, a[0].(string), textsearch.Phrase))
	})
	configured("websearch_to_tsquery", "text", "tsquery", func(c *Call, config textsearch.Config, a []any) (any, error) {
		return queryCell(config.Web(c.work, a[0].(string)))
	})
	headline := func(c *Call, config textsearch.Config, a []any) (any, error) {
		q, err := c.queries(a[1])
		if err != nil {
			return nil, err
		}
		options := ""
		if len(a) > 2 {
			options = a[2].(string)
		}
		s, err := config.Headline(c.work, a[0].(string), q[0], options)
		return s, err
	}
	configured("ts_headline", "text, tsquery", "text", headline)
	configured("ts_headline", "text, tsquery, text", "text", headline)
	add("get_current_ts_config() regconfig", func(*Call, []any) (any, error) { return defaultConfig, nil })
	add("numnode(tsquery) int4", func(c *Call, a []any) (any, error) {
		q, err := c.queries(a...)
		if err != nil {
			return nil, err
		}
		return int64(len(q[0])), nil
	})
	add("querytree(tsquery) text", func(c *Call, a []any) (any, error) {
		q, err := c.queries(a...)
		if err != nil {
			return nil, err
		}
		tree, everything := q[0].Indexable()
		if everything {
			return "T", nil
		}
		return tree.String(), nil
	})
	phrase := func(c *Call, a []any) (any, error) {
		q, err := c.queries(a[:2]...)
		if err != nil {
			return nil, err
		}
		distance := int64(1)
		if len(a) > 2 {
			distance = a[2].(int64)
		}
		return queryCell(q[0].Join(textsearch.Phrase, q[1], int(distance)))
	}
	add("tsquery_phrase(tsquery, tsquery) tsquery", phrase)
	add("tsquery_phrase(tsquery, tsquery, int4) tsquery", phrase)
	weigh := func(c *Call, a []any) (any, error) {
		v, err := c.vectors(a[0])
		if err != nil {
			return nil, err
		}
		b := charByte(a[1])
		w, ok := textsearch.WeightNamed(b)
		if !ok {
			return nil, sqlstate.New(sqlstate.Internal, "unrecognized weight: %d", b)
		}
		var words []string
		if len(a) > 2 {
			words = texts(a[2])
			if err := c.work(uint64(len(words)) * 64); err != nil {
				return nil, err
			}
		}
		return vectorCell(v[0].Weigh(w, words), nil)
	}
	add(`setweight(tsvector, "char") tsvector`, weigh)
	add(`setweight(tsvector, "char", text[]) tsvector`, weigh)
	// edit adds a function of one vector.
	edit := func(signature string, f func(v textsearch.Vector, a []any) (any, error)) {
		add(signature, func(c *Call, a []any) (any, error) {
			v, err := c.vectors(a[0])
			if err != nil {
				return nil, err
			}
			return f(v[0], a)
		})
	}
	edit("strip(tsvector) tsvector", func(v textsearch.Vector, _ []any) (any, error) { return vectorCell(v.Strip(), nil) })
	edit("length(tsvector) int4", func(v textsearch.Vector, _ []any) (any, error) { return int64(len(v)), nil })
	edit("ts_delete(tsvector, text) tsvector", func(v textsearch.Vector, a []any) (any, error) {
		return vectorCell(v.Delete([]string{a[1].(string)}), nil)
	})
	edit("ts_delete(tsvector, text[]) tsvector", func(v textsearch.Vector, a []any) (any, error) {
		return vectorCell(v.Delete(texts(a[1])), nil)
	})
	edit(`ts_filter(tsvector, "char"[]) tsvector`, func(v textsearch.Vector, a []any) (any, error) {
		weights := uint8(0)
		for _, item := range arrayOf(Char, a[1]).items {
			if item == nil {
				return nil, sqlstate.New(sqlstate.NullNotAllowed, "weight array may not contain nulls")
			}
			w, ok := textsearch.WeightNamed(charByte(item))
			if !ok {
				return nil, sqlstate.New(sqlstate.BadParameter, "unrecognized weight: \"%s\"", item)
			}
			weights |= 1 << w
		}
		return vectorCell(v.Filter(weights), nil)
	})
	edit("tsvector_to_array(tsvector) text[]", func(v textsearch.Vector, _ []any) (any, error) {
		items := make([]any, len(v))
		for i, w := range v.Words() {
			items[i] = w
		}
		return MakeArray(Text, items)
	})
	add("array_to_tsvector(text[]) tsvector", func(c *Call, a []any) (any, error) {
		var words []string
		for _, item := range arrayOf(Text, a[0]).items {
			if item == nil {
				return nil, sqlstate.New(sqlstate.NullNotAllowed, "lexeme array may not contain nulls")
			}
			if words = append(words, item.(string)); item == "" {
				break
			}
		}
		if err := c.work(uint64(len(words)) * 64); err != nil {
			return nil, err
		}
		return vectorCell(textsearch.VectorOf(words))
	})
	for _, rank := range []struct {
		name string
		of   func(textsearch.Vector, textsearch.Work, textsearch.Weights, textsearch.Query, int32) (float32, error)
	}{{"ts_rank", textsearch.Vector.Rank}, {"ts_rank_cd", textsearch.Vector.RankCover}} {
		for _, args := range []string{"tsvector, tsquery", "tsvector, tsquery, int4", "float4[], tsvector, tsquery", "float4[], tsvector, tsquery, int4"} {
			add(rank.name+"("+args+") float4", func(c *Call, a []any) (any, error) {
				w := textsearch.DefaultWeights
				if strings.HasPrefix(args, "float4[]") {
					var err error
					if w, err = rankWeights(a[0]); err != nil {
						return nil, err
					}
					a = a[1:]
				}
				v, q, err := c.both(a[0], a[1])
				if err != nil {
					return nil, err
				}
				method := int32(0)
				if len(a) > 2 {
					method = int32(a[2].(int64))
				}
				r, err := rank.of(v, c.work, w, q, method)
				return float64(r), err
			})
		}
	}
	return all
}

func rankWeights(v any) (w textsearch.Weights, err error) {
	a := arrayOf(Float4, v)
	if len(a.lengths) != 1 {
		return w, sqlstate.New(sqlstate.ArraySubscript, "array of weight must be one-dimensional")
	}
	given := make([]float32, len(a.items))
	null := false
	for i, item := range a.items {
		if item == nil {
			null = true
		} else {
			given[i] = float32(float(item))
		}
	}
	if len(given) >= len(w) && null {
		return w, sqlstate.New(sqlstate.NullNotAllowed, "array of weight must not contain nulls")
	}
	return textsearch.MakeWeights(given)
}

// A Lexeme is a row of unnest(tsvector): cells of text, int2[] and text[], of which the latter two may be nil.
type Lexeme struct{ Word, Positions, Weights any }

// Lexemes are those of the cell of a tsvector.
func Lexemes(c *Call, cell any) ([]Lexeme, error) {
	v, err := c.vectors(cell)
	if err != nil {
		return nil, err
	}
	out := make([]Lexeme, len(v[0]))
	for i, l := range v[0] {
		out[i].Word = l.Word
		if len(l.Positions) == 0 {
			continue
		}
		var at, weights []any
		for _, p := range l.Positions {
			at, weights = append(at, int64(p.At())), append(weights, string("DCBA"[p.Weight()]))
		}
		if out[i].Positions, err = MakeArray(Int2, at); err != nil {
			return nil, err
		}
		if out[i].Weights, err = MakeArray(Text, weights); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Words are the words of the cell of a tsvector.
func Words(c *Call, cell any) ([]string, error) {
	v, err := c.vectors(cell)
	if err != nil {
		return nil, err
	}
	return v[0].Words(), nil
}

// Terms are what an index of words is asked for the cell of a tsquery; see textsearch.
func Terms(c *Call, cell any) (groups [][]textsearch.Term, all bool, err error) {
	q, err := c.queries(cell)
	if err != nil {
		return nil, false, err
	}
	groups, all = q[0].Terms()
	return groups, all, nil
}
