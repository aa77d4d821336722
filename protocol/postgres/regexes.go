package postgres

import (
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// regexFlags reads the flags of a function of regular expressions.
func regexFlags(f string) (fold, global bool, err error) {
	for _, c := range f {
		switch c {
		case 'i':
			fold = true
		case 'c':
			fold = false
		case 'g':
			global = true
		case 's', 't':
		case 'e', 'n', 'm', 'p', 'q', 'w', 'x', 'b':
			return false, false, refuseRegex("flag " + string(c))
		default:
			return false, false, sqlstate.New(sqlstate.BadParameter, "invalid regular expression option: \"%c\"", c)
		}
	}
	return fold, global, nil
}

// prepare compiles, and pays for that and for a run.
func (c *Call) prepare(s, p string, fold bool) (pattern, error) {
	if len(p) > 4096 {
		return pattern{}, refuseRegex("more than 4096 bytes")
	}
	re, err := compile(p, fold, c.work)
	if err != nil {
		return re, err
	}
	return re, c.work(uint64(len(s)+1) * uint64(re.size+1) * 4)
}

// located is prepare where positions matter.
func (c *Call) located(s, p string, fold bool) (pattern, error) {
	re, err := c.prepare(s, p, fold)
	if err == nil && re.lazy {
		err = refuseRegex("quantifiers that are not greedy, where positions matter,")
	}
	return re, err
}

func matches(fold, want bool) do {
	return func(c *Call, a []any) (any, error) {
		re, err := c.prepare(a[0].(string), a[1].(string), fold)
		if err != nil {
			return nil, err
		}
		return re.re.MatchString(a[0].(string)) == want, nil
	}
}

func regexOperators() []Routine {
	var all []Routine
	for _, t := range []string{"text", "bpchar", "name"} {
		all = append(all, def("~("+t+", text) bool", matches(false, true)), def("!~("+t+", text) bool", matches(false, false)),
			def("~*("+t+", text) bool", matches(true, true)), def("!~*("+t+", text) bool", matches(true, false)))
	}
	return all
}

func regexFunctions() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	flag := func(a []any, i int) string {
		if i < len(a) {
			return a[i].(string)
		}
		return ""
	}
	like := func(c *Call, a []any) (any, error) {
		fold, global, err := regexFlags(flag(a, 2))
		if err == nil && global {
			err = sqlstate.New(sqlstate.BadParameter, "regexp_like() does not support the \"global\" option")
		}
		if err != nil {
			return nil, err
		}
		return matches(fold, true)(c, a[:2])
	}
	add("regexp_like(text, text) bool", like)
	add("regexp_like(text, text, text) bool", like)
	substitute := func(c *Call, a []any) (any, error) {
		s, with := a[0].(string), a[2].(string)
		fold, global, err := regexFlags(flag(a, 3))
		if err != nil {
			return nil, err
		}
		re, err := c.located(s, a[1].(string), fold)
		if err != nil {
			return nil, err
		}
		if global && re.anchored() {
			return nil, refuseRegex("^ or \\y, to replace all matches,")
		}
		// In what is put in, \& is the match, \\ a backslash; groups are refused.
		var parts []string
		part := ""
		for i := 0; i < len(with); i++ {
			if with[i] != '\\' || i+1 == len(with) {
				part += with[i : i+1]
				continue
			}
			switch d := with[i+1]; {
			case d >= '1' && d <= '9':
				return nil, refuseRegex("groups in what replaces a match")
			case d == '&':
				parts, part = append(parts, part), ""
				i++
			case d == '\\':
				part += `\`
				i++
			default:
				part += `\`
			}
		}
		parts = append(parts, part)
		var b strings.Builder
		end := 0
		re.each(s, func(from, to int) bool {
			b.WriteString(s[end:from])
			b.WriteString(strings.Join(parts, s[from:to]))
			end = to
			err = sized(b.Len())
			return global && err == nil
		})
		b.WriteString(s[end:])
		return b.String(), err
	}
	add("regexp_replace(text, text, text) text", substitute)
	add("regexp_replace(text, text, text, text) text", substitute)
	add("similar_to_escape(text) text", func(_ *Call, a []any) (any, error) { return textOrError(similarPattern(a[0].(string), `\`)) })
	add("similar_to_escape(text, text) text", func(_ *Call, a []any) (any, error) {
		return textOrError(similarPattern(a[0].(string), a[1].(string)))
	})
	add("regexp_count(text, text) int4", func(c *Call, a []any) (any, error) {
		re, err := c.located(a[0].(string), a[1].(string), false)
		if err == nil && re.anchored() {
			err = refuseRegex("^ or \\y, to count matches,")
		}
		if err != nil {
			return nil, err
		}
		n := int64(0)
		re.each(a[0].(string), func(int, int) bool { n++; return true })
		return n, nil
	})
	add("substring(text, text) text", func(c *Call, a []any) (any, error) {
		re, err := c.located(a[0].(string), a[1].(string), false)
		if err == nil && re.groups > 0 {
			err = refuseRegex("groups, to take a part out,")
		}
		if err != nil {
			return nil, err
		}
		m := re.re.FindStringIndex(a[0].(string))
		if m == nil {
			return nil, nil
		}
		return a[0].(string)[m[0]:m[1]], nil
	})
	add("regexp_match(text, text) text[]", func(c *Call, a []any) (any, error) {
		re, err := c.located(a[0].(string), a[1].(string), false)
		if err == nil && re.groups > 0 {
			err = refuseRegex("groups, to take parts out,")
		}
		if err != nil {
			return nil, err
		}
		m := re.re.FindStringIndex(a[0].(string))
		if m == nil {
			return nil, nil
		}
		return MakeArray(Text, []any{a[0].(string)[m[0]:m[1]]})
	})
	return all
}
