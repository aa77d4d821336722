package postgres

import (
	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

func (c *Call) zone() *datetime.Zone {
	if c.Env.Zone == nil {
		return datetime.UTC
	}
	return c.Env.Zone
}

func intervalCell(v datetime.Interval, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v.String(), nil
}

func intOrError(n int64, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return n, nil
}

func timeOperators() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	both := func(op, l, r, result string, f do) {
		add(op+"("+l+", "+r+") "+result, f)
		if l != r {
			add(op+"("+r+", "+l+") "+result, func(c *Call, a []any) (any, error) { return f(c, []any{a[1], a[0]}) })
		}
	}
	both("+", "date", "int4", "date", func(_ *Call, a []any) (any, error) { return intOrError(datetime.AddDays(a[0].(int64), a[1].(int64))) })
	add("-(date, int4) date", func(_ *Call, a []any) (any, error) { return intOrError(datetime.AddDays(a[0].(int64), -a[1].(int64))) })
	add("-(date, date) int4", func(_ *Call, a []any) (any, error) { return intOrError(datetime.SubDates(a[0].(int64), a[1].(int64))) })
	plus := func(negate bool, start func(*Call, any) (int64, error), zoned bool) do {
		return func(c *Call, a []any) (any, error) {
			t, err := start(c, a[0])
			if err != nil {
				return nil, err
			}
			v := interval(a[1])
			if negate {
				v = datetime.Interval{Months: -v.Months, Days: -v.Days, Micros: -v.Micros}
			}
			var zone *datetime.Zone
			if zoned {
				zone = c.zone()
			}
			return intOrError(datetime.Add(t, v, zone))
		}
	}
	stamp := func(_ *Call, v any) (int64, error) { return v.(int64), nil }
	date := func(_ *Call, v any) (int64, error) { return datetime.DateToTimestamp(v.(int64)) }
	both("+", "date", "interval", "timestamp", plus(false, date, false))
	add("-(date, interval) timestamp", plus(true, date, false))
	both("+", "timestamp", "interval", "timestamp", plus(false, stamp, false))
	add("-(timestamp, interval) timestamp", plus(true, stamp, false))
	both("+", "timestamptz", "interval", "timestamptz", plus(false, stamp, true))
	add("-(timestamptz, interval) timestamptz", plus(true, stamp, true))
	subtract := func(_ *Call, a []any) (any, error) {
		return intervalCell(datetime.SubTimestamps(a[0].(int64), a[1].(int64)))
	}
	add("-(timestamp, timestamp) interval", subtract)
	add("-(timestamptz, timestamptz) interval", subtract)
	both("+", "date", "time", "timestamp", func(_ *Call, a []any) (any, error) {
		t, err := datetime.DateToTimestamp(a[0].(int64))
		if err != nil || !datetime.Finite(t) {
			return t, err
		}
		return intOrError(datetime.Add(t, datetime.Interval{Micros: a[1].(int64)}, nil))
	})
	both("+", "time", "interval", "time", func(_ *Call, a []any) (any, error) { return datetime.AddToTime(a[0].(int64), interval(a[1])), nil })
	add("-(time, interval) time", func(_ *Call, a []any) (any, error) {
		return datetime.SubFromTime(a[0].(int64), interval(a[1])), nil
	})
	add("-(time, time) interval", func(_ *Call, a []any) (any, error) {
		return datetime.Interval{Micros: a[0].(int64) - a[1].(int64)}.String(), nil
	})
	add("+(interval, interval) interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).Add(interval(a[1]))) })
	add("-(interval, interval) interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).Sub(interval(a[1]))) })
	add("-(interval) interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).Neg()) })
	both("*", "interval", "float8", "interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).Mul(float(a[1]))) })
	add("/(interval, float8) interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).Div(float(a[1]))) })
	return all
}

func partOf(find func(c *Call, unit string, v any) (datetime.Part, error), numeric bool) do {
	return func(c *Call, a []any) (any, error) {
		p, err := find(c, a[0].(string), a[1])
		switch {
		case err != nil:
			return nil, err
		case p.Null:
			return nil, nil
		case numeric:
			return p.Numeric.String(), nil
		}
		return floatCell(p.Float), nil
	}
}

func timeFunctions() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	for _, t := range []struct {
		name string
		find func(c *Call, unit string, v any) (datetime.Part, error)
	}{
		{"timestamp", func(_ *Call, u string, v any) (datetime.Part, error) {
			return datetime.PartOfTimestamp(u, v.(int64), nil)
		}},
		{"timestamptz", func(c *Call, u string, v any) (datetime.Part, error) {
			return datetime.PartOfTimestamp(u, v.(int64), c.zone())
		}},
		{"time", func(_ *Call, u string, v any) (datetime.Part, error) { return datetime.PartOfTime(u, v.(int64)) }},
		{"interval", func(_ *Call, u string, v any) (datetime.Part, error) { return datetime.PartOfInterval(u, interval(v)) }},
	} {
		add("extract(text, "+t.name+") numeric", partOf(t.find, true))
		add("date_part(text, "+t.name+") float8", partOf(t.find, false))
	}
	add("extract(text, date) numeric", partOf(func(_ *Call, u string, v any) (datetime.Part, error) { return datetime.PartOfDate(u, v.(int64)) }, true))
	add("date_part(text, date) float8", partOf(func(_ *Call, u string, v any) (datetime.Part, error) {
		t, err := datetime.DateToTimestamp(v.(int64))
		if err != nil {
			return datetime.Part{}, err
		}
		return datetime.PartOfTimestamp(u, t, nil)
	}, false))
	add("date_trunc(text, timestamp) timestamp", func(_ *Call, a []any) (any, error) {
		return intOrError(datetime.Trunc(a[0].(string), a[1].(int64), nil))
	})
	add("date_trunc(text, timestamptz) timestamptz", func(c *Call, a []any) (any, error) {
		return intOrError(datetime.Trunc(a[0].(string), a[1].(int64), c.zone()))
	})
	add("date_trunc(text, timestamptz, text) timestamptz", func(_ *Call, a []any) (any, error) {
		return intOrError(datetime.TruncAt(a[0].(string), a[1].(int64), a[2].(string)))
	})
	add("date_trunc(text, interval) interval", func(_ *Call, a []any) (any, error) {
		return intervalCell(datetime.TruncInterval(a[0].(string), interval(a[1])))
	})
	for _, t := range []string{"timestamp", "timestamptz"} {
		add("date_bin(interval, "+t+", "+t+") "+t, func(_ *Call, a []any) (any, error) {
			return intOrError(datetime.Bin(interval(a[0]), a[1].(int64), a[2].(int64)))
		})
	}
	age := func(zoned bool) do {
		return func(c *Call, a []any) (any, error) {
			var zone *datetime.Zone
			if zoned {
				zone = c.zone()
			}
			x, y := a[0].(int64), int64(0)
			if len(a) > 1 {
				y = a[1].(int64)
			} else {
				d, err := datetime.ToDate(c.Env.Now, c.zone())
				if err != nil {
					return nil, err
				}
				if x, y = d*datetime.Day, a[0].(int64); zoned {
					if x, err = datetime.FromLocal(x, zone); err != nil {
						return nil, err
					}
				}
			}
			return intervalCell(datetime.Age(x, y, zone))
		}
	}
	add("age(timestamp) interval", age(false))
	add("age(timestamptz) interval", age(true))
	add("age(timestamp, timestamp) interval", age(false))
	add("age(timestamptz, timestamptz) interval", age(true))
	add("justify_days(interval) interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).JustifyDays()) })
	add("justify_hours(interval) interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).JustifyHours()) })
	add("justify_interval(interval) interval", func(_ *Call, a []any) (any, error) { return intervalCell(interval(a[0]).Justify()) })
	add("isfinite(date) bool", func(_ *Call, a []any) (any, error) { return datetime.FiniteDate(a[0].(int64)), nil })
	add("isfinite(timestamp) bool", func(_ *Call, a []any) (any, error) { return datetime.Finite(a[0].(int64)), nil })
	add("isfinite(timestamptz) bool", func(_ *Call, a []any) (any, error) { return datetime.Finite(a[0].(int64)), nil })
	add("isfinite(interval) bool", func(*Call, []any) (any, error) { return true, nil })
	add("make_date(int4, int4, int4) date", func(_ *Call, a []any) (any, error) {
		return intOrError(datetime.MakeDate(a[0].(int64), a[1].(int64), a[2].(int64)))
	})
	add("make_time(int4, int4, float8) time", func(_ *Call, a []any) (any, error) {
		return intOrError(datetime.MakeTime(a[0].(int64), a[1].(int64), float(a[2])))
	})
	stamp := func(a []any, zone *datetime.Zone) (any, error) {
		return intOrError(datetime.MakeTimestamp(a[0].(int64), a[1].(int64), a[2].(int64), a[3].(int64), a[4].(int64), float(a[5]), zone))
	}
	add("make_timestamp(int4, int4, int4, int4, int4, float8) timestamp", func(_ *Call, a []any) (any, error) { return stamp(a, nil) })
	add("make_timestamptz(int4, int4, int4, int4, int4, float8) timestamptz", func(c *Call, a []any) (any, error) { return stamp(a, c.zone()) })
	add("make_timestamptz(int4, int4, int4, int4, int4, float8, text) timestamptz", func(_ *Call, a []any) (any, error) {
		if _, err := stamp(a, nil); err != nil {
			return nil, err
		}
		z, err := datetime.MakeZone(a[6].(string))
		if err != nil {
			return nil, err
		}
		return stamp(a, z)
	})
	add("make_interval(int4, int4, int4, int4, int4, int4, float8) interval", func(_ *Call, a []any) (any, error) {
		n := func(i int) int32 { return int32(a[i].(int64)) }
		return intervalCell(datetime.MakeInterval(n(0), n(1), n(2), n(3), n(4), n(5), float(a[6])))
	})
	char := func(show func(c *Call, v any, format string) (string, bool, error)) do {
		return func(c *Call, a []any) (any, error) {
			f := a[1].(string)
			if err := c.work(uint64(len(f)) * 64); err != nil {
				return nil, err
			}
			if err := sized(12 * len(f)); err != nil { // what a pattern may become
				return nil, err
			}
			s, ok, err := show(c, a[0], f)
			if err != nil || !ok {
				return nil, err
			}
			return s, nil
		}
	}
	add("to_char(timestamp, text) text", char(func(_ *Call, v any, f string) (string, bool, error) { return datetime.ToChar(v.(int64), nil, f) }))
	add("to_char(timestamptz, text) text", char(func(c *Call, v any, f string) (string, bool, error) {
		return datetime.ToChar(v.(int64), c.zone(), f)
	}))
	add("to_char(interval, text) text", char(func(_ *Call, v any, f string) (string, bool, error) { return datetime.IntervalToChar(interval(v), f) }))
	add("to_timestamp(float8) timestamptz", func(_ *Call, a []any) (any, error) { return intOrError(datetime.FromUnix(float(a[0]))) })
	add("timezone(text, timestamptz) timestamp", func(_ *Call, a []any) (any, error) {
		return intOrError(datetime.AtZone(a[1].(int64), a[0].(string)))
	})
	add("timezone(text, timestamp) timestamptz", func(_ *Call, a []any) (any, error) {
		return intOrError(datetime.FromZone(a[1].(int64), a[0].(string)))
	})
	// The zone may be an interval: so much east of UTC.
	fixed := func(v any) (*datetime.Zone, error) {
		d := interval(v)
		if d.Months != 0 || d.Days != 0 {
			return nil, sqlstate.New(sqlstate.BadParameter, "interval time zone \"%s\" must not include months or days", v)
		}
		return datetime.FixedZone("", int(int32(d.Micros/datetime.Second))), nil
	}
	add("timezone(interval, timestamptz) timestamp", func(_ *Call, a []any) (any, error) {
		if !datetime.Finite(a[1].(int64)) {
			return a[1], nil
		}
		z, err := fixed(a[0])
		if err != nil {
			return nil, err
		}
		return intOrError(datetime.ToLocal(a[1].(int64), z))
	})
	add("timezone(interval, timestamp) timestamptz", func(_ *Call, a []any) (any, error) {
		if !datetime.Finite(a[1].(int64)) {
			return a[1], nil
		}
		z, err := fixed(a[0])
		if err != nil {
			return nil, err
		}
		return intOrError(datetime.FromLocal(a[1].(int64), z))
	})
	return all
}
