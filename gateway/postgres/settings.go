package postgres

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A variable is a setting of a session.
type variable struct {
	name   string // as SHOW tells it
	value  string // default
	fixed  bool   // nobody sets it
	report bool   // clients are told of each change
	// check returns the value as it is kept. nil: any.
	check func(s string) (string, bool)
	note  string // why a value is refused
}

func oneOf(all ...string) func(string) (string, bool) {
	return func(s string) (string, bool) {
		i := slices.IndexFunc(all, func(a string) bool { return strings.EqualFold(a, s) })
		if i < 0 {
			return "", false
		}
		return all[i], true
	}
}

func boolean(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "on", "true", "yes", "1", "t", "y":
		return "on", true
	case "off", "false", "no", "0", "f", "n":
		return "off", true
	}
	return "", false
}

func on(s string) (string, bool) {
	v, ok := boolean(s)
	return v, ok && v == "on"
}

// duration is a length of time as PostgreSQL shows it: in the largest unit of which it is a whole number.
func duration(s string) (string, bool) {
	ms, ok := milliseconds(s)
	for _, u := range []struct {
		name string
		ms   int64
	}{{"d", 86_400_000}, {"h", 3_600_000}, {"min", 60_000}, {"s", 1000}, {"ms", 1}} {
		if ms > 0 && ms%u.ms == 0 {
			return strconv.FormatInt(ms/u.ms, 10) + u.name, ok
		}
	}
	return "0", ok
}

// milliseconds reads a length of time as PostgreSQL does, without a unit in milliseconds.
func milliseconds(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	n := strings.TrimRight(s, "usminhd ")
	unit, ok := map[string]time.Duration{"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[strings.TrimSpace(s[len(n):])]
	v, err := strconv.ParseFloat(n, 64)
	if !ok || err != nil || v < 0 || v*float64(unit) > float64(1<<31*time.Millisecond) {
		return 0, false
	}
	return int64(v * float64(unit) / float64(time.Millisecond)), true
}

func zone(s string) (string, bool) {
	z, err := datetime.LoadZone(s)
	if err != nil {
		return "", false
	}
	return z.Name, true
}

func isolation(s string) (string, bool) {
	return oneOf("serializable", "repeatable read", "read committed", "read uncommitted")(s)
}

const oneMeaning = "results have one meaning for all sessions"

// serverVersion is what clients choose their words by: the release whose meaning statements have.
const serverVersion = "15.0"

// variables are all that there are, by name in lower case.
var variables = func() map[string]*variable {
	all := []*variable{
		{name: "application_name", report: true},
		{name: "bytea_output", value: "hex", check: oneOf("hex"), note: oneMeaning},
		{name: "client_encoding", value: "UTF8", report: true, note: "texts are UTF-8", check: func(s string) (string, bool) {
			_, ok := oneOf("utf8", "utf-8", "unicode")(strings.Trim(s, "'"))
			return "UTF8", ok
		}},
		{name: "client_min_messages", value: "notice", check: oneOf("debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "notice", "warning", "error")},
		{name: "DateStyle", value: "ISO, MDY", report: true, note: oneMeaning, check: func(s string) (string, bool) {
			_, ok := oneOf("iso", "iso, mdy", "iso,mdy", "mdy", "mdy, iso", "default")(s)
			return "ISO, MDY", ok
		}},
		{name: "default_text_search_config", value: "pg_catalog.english", note: oneMeaning, check: func(s string) (string, bool) {
			return "pg_catalog.english", strings.TrimPrefix(strings.ToLower(s), "pg_catalog.") == "english"
		}},
		{name: "default_transaction_deferrable", value: "off", check: boolean},
		{name: "default_transaction_isolation", value: "read committed", check: isolation},
		{name: "default_transaction_read_only", value: "off", report: true, check: boolean},
		{name: "extra_float_digits", value: "1", note: oneMeaning, check: func(s string) (string, bool) { return s, s == "1" || s == "2" || s == "3" }},
		{name: "idle_in_transaction_session_timeout", value: "0", check: duration},
		{name: "in_hot_standby", value: "off", fixed: true, report: true},
		{name: "integer_datetimes", value: "on", fixed: true, report: true},
		{name: "IntervalStyle", value: "postgres", report: true, check: oneOf("postgres"), note: oneMeaning},
		{name: "is_superuser", value: "off", fixed: true, report: true},
		{name: "lc_collate", value: "C", fixed: true},
		{name: "lc_ctype", value: "C", fixed: true},
		{name: "lc_messages", value: "C", check: oneOf("c", "en_us.utf-8", "en_us.utf8")},
		{name: "lock_timeout", value: "0", check: duration},
		{name: "max_identifier_length", value: "63", fixed: true},
		{name: "row_security", value: "on", check: boolean},
		{name: "search_path", value: `"$user", public`, note: "there is the schema public", check: func(s string) (string, bool) {
			for _, name := range strings.Split(s, ",") {
				if n := strings.Trim(strings.TrimSpace(name), `"'`); n != "" && n != "$user" && n != "public" && n != "pg_catalog" {
					return "", false
				}
			}
			return s, true
		}},
		{name: "server_encoding", value: "UTF8", fixed: true, report: true},
		{name: "server_version", value: serverVersion, fixed: true, report: true},
		{name: "server_version_num", value: "150000", fixed: true},
		{name: "session_authorization", fixed: true, report: true},
		{name: "standard_conforming_strings", value: "on", report: true, check: on, note: oneMeaning},
		{name: "statement_timeout", value: "0", check: duration},
		{name: "stratos.level", value: string(Default), check: oneOf(string(Fast), string(Default), string(Ordered)), note: "fast, default or ordered"},
		{name: "synchronous_commit", value: "on", check: on, note: "what is committed is on the disks of most replicas"},
		{name: "TimeZone", value: "UTC", report: true, check: zone},
		{name: "transaction_deferrable", value: "off", check: boolean},
		{name: "transaction_isolation", value: "read committed", check: isolation},
		{name: "transaction_read_only", value: "off", check: boolean},
		{name: "xmloption", value: "content", check: oneOf("content", "document")},
	}
	m := map[string]*variable{}
	for _, v := range all {
		m[strings.ToLower(v.name)] = v
	}
	return m
}()

// settings are a session's variables. SET LOCAL lasts until the transaction ends, and SET is undone with it.
type settings struct {
	defaults map[string]string // those of the connection
	values   map[string]string // that differ from the defaults
	saved    map[string]string // as the transaction found them; nil outside
	local    map[string]string // what they will be after COMMIT, where SET LOCAL changed them
}

func newSettings(parameters map[string]string) (*settings, *sqlError) {
	s := &settings{defaults: map[string]string{}, values: map[string]string{}}
	begin := func(name, value string) *sqlError {
		v, refused := lookup(name)
		if refused != nil {
			return refused
		}
		kept, refused := v.accept(value)
		if refused == nil {
			s.defaults[strings.ToLower(name)] = kept
		}
		return refused
	}
	for name, value := range parameters {
		switch {
		case name == "user" || name == "database" || strings.HasPrefix(name, "_pq_."):
		case name == "replication":
			if v, ok := boolean(value); !ok || v == "on" {
				return nil, unsupported("replication connections are not supported")
			}
		case name == "options":
			all, refused := options(value)
			if refused != nil {
				return nil, refused
			}
			for n, v := range all {
				if refused := begin(n, v); refused != nil {
					return nil, refused
				}
			}
		default:
			if refused := begin(name, value); refused != nil {
				return nil, refused
			}
		}
	}
	return s, nil
}

// options reads what clients give as command line: -c name=value and --name=value.
func options(line string) (map[string]string, *sqlError) {
	var words []string
	word, inside := "", false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i++
			word, inside = word+line[i:i+1], true
		case c == ' ' || c == '\t' || c == '\n':
			if inside {
				words = append(words, word)
			}
			word, inside = "", false
		default:
			word, inside = word+line[i:i+1], true
		}
	}
	if inside {
		words = append(words, word)
	}
	all := map[string]string{}
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		default:
			return nil, newError("42601", "invalid command-line argument for server process: %s", w)
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, newError("42601", "-c %s requires a value", w)
		}
		all[strings.ReplaceAll(name, "-", "_")] = value
	}
	return all, nil
}

func lookup(name string) (*variable, *sqlError) {
	if v := variables[strings.ToLower(name)]; v != nil {
		return v, nil
	}
	return nil, newError(sqlstate.UndefinedObject, "unrecognized configuration parameter \"%s\"", name)
}

func (v *variable) accept(value string) (string, *sqlError) {
	if v.fixed {
		return "", newError("55P02", "parameter \"%s\" cannot be changed", v.name)
	}
	if v.check == nil {
		return value, nil
	}
	kept, ok := v.check(value)
	if !ok {
		e := newError(sqlstate.BadParameter, "invalid value for parameter \"%s\": \"%s\"", v.name, value)
		if v.note != "" {
			e.code, e.detail = sqlstate.Unsupported, v.note
		}
		return "", e
	}
	return kept, nil
}

// get returns a variable's value; the variable exists.
func (s *settings) get(name string) string {
	name = strings.ToLower(name)
	if v, ok := s.values[name]; ok {
		return v
	}
	if v, ok := s.defaults[name]; ok {
		return v
	}
	return variables[name].value
}

// set changes a variable, for the transaction only if local. A nil value means the default.
func (s *settings) set(name string, value *string, local bool) *sqlError {
	v, refused := lookup(name)
	if refused != nil {
		return refused
	}
	name = strings.ToLower(name)
	was := s.get(name)
	kept := ""
	if value == nil {
		if v.fixed {
			return newError("55P02", "parameter \"%s\" cannot be changed", v.name)
		}
		var ok bool
		if kept, ok = s.defaults[name]; !ok {
			kept = v.value
		}
	} else if kept, refused = v.accept(*value); refused != nil {
		return refused
	}
	if local && s.saved == nil {
		return nil // PostgreSQL warns, and does nothing
	}
	if s.saved != nil {
		if local {
			if _, ok := s.local[name]; !ok {
				s.local[name] = was
			}
		} else {
			delete(s.local, name)
		}
	}
	s.values[name] = kept
	return nil
}

// begin remembers the variables as a transaction finds them.
func (s *settings) begin() { s.saved, s.local = maps.Clone(s.values), map[string]string{} }

// end takes back what the transaction set, all or what was local.
func (s *settings) end(committed bool) {
	switch {
	case s.saved == nil:
		return
	case committed:
		maps.Copy(s.values, s.local)
	default:
		s.values = s.saved
	}
	s.saved, s.local = nil, nil
	for _, name := range []string{"transaction_isolation", "transaction_read_only", "transaction_deferrable"} {
		delete(s.values, name)
	}
}

// reported are the variables of which clients are told, with their values.
func (s *settings) reported() map[string]string {
	m := map[string]string{}
	for name, v := range variables {
		if v.report {
			m[v.name] = s.get(name)
		}
	}
	return m
}

func (s *settings) level() Level { return Level(s.get("stratos.level")) }

// timeout is a length of time that a variable has; 0: none.
func (s *settings) timeout(name string) time.Duration {
	n, _ := milliseconds(s.get(name)) // as duration made it
	return time.Duration(n) * time.Millisecond
}

// wire is what of the settings replicas must know.
func (s *settings) wire() *wirepb.Settings { return &wirepb.Settings{TimeZone: s.get("timezone")} }
