package datetime

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

//go:embed zoneinfo.zip
var zoneArchive []byte

// zoneFiles is the content of the archive by lower-case name; it is only read.
var zoneFiles = sync.OnceValue(func() map[string]*zip.File {
	r, err := zip.NewReader(bytes.NewReader(zoneArchive), int64(len(zoneArchive)))
	if err != nil {
		panic(err) // embedded, and tested
	}
	m := map[string]*zip.File{}
	for _, f := range r.File {
		m[strings.ToLower(f.Name)] = f
	}
	return m
})

// A Zone is a time zone: one of the IANA database, or a distance from UTC.
type Zone struct {
	Name  string
	loc   *time.Location // nil: fixed
	fixed int            // seconds west
}

// UTC is the zone of a new session.
var UTC = &Zone{Name: "UTC"}

// FixedZone is so many seconds east of UTC.
func FixedZone(name string, east int) *Zone { return &Zone{Name: name, fixed: -east} }

func errZone(name string) error {
	return sqlstate.New(sqlstate.BadParameter, "time zone \"%s\" not recognized", name)
}

// posixZone reads a name and how far west of UTC it is, as POSIX has it: <+0330>-3:30, FOO5. Rules for summer time are not known.
func posixZone(name string) (*Zone, error) {
	rest := ""
	if strings.HasPrefix(name, "<") {
		i := strings.IndexByte(name, '>')
		if i < 0 {
			return nil, errZone(name)
		}
		rest = name[i+1:]
	} else {
		i := strings.IndexAny(name, "0123456789,-+")
		if i < 1 {
			return nil, errZone(name)
		}
		rest = name[i:]
	}
	sign := 1
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		if rest[0] == '-' {
			sign = -1
		}
		rest = rest[1:]
	}
	west, unit := 0, 3600
	for _, limit := range []int{167, 59, 60} {
		n := 0
		for n < len(rest) && isDigit(rest[n]) {
			n++
		}
		v, _, over := strtoint(rest[:n])
		if n == 0 || over || v > limit {
			return nil, errZone(name)
		}
		west += v * unit
		if rest = rest[n:]; unit == 1 || !strings.HasPrefix(rest, ":") {
			break
		}
		rest, unit = rest[1:], unit/60
	}
	if rest != "" {
		return nil, sqlstate.New(sqlstate.Unsupported, "time zone \"%s\": zones with rules of their own are not supported, use a name of the IANA database", name)
	}
	return FixedZone(name, -sign*west), nil
}

// LoadZone finds a zone by its IANA name, in any case, or by a distance as POSIX writes it.
func LoadZone(name string) (*Zone, error) {
	l := strings.ToLower(name)
	if l == "utc" || l == "gmt" {
		return &Zone{Name: strings.ToUpper(name)}, nil
	}
	f := zoneFiles()[l]
	if f == nil || strings.HasSuffix(l, "/") {
		return posixZone(name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, errZone(name)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, errZone(name)
	}
	loc, err := time.LoadLocationFromTZData(f.Name, data)
	if err != nil {
		return nil, errZone(name)
	}
	return &Zone{Name: f.Name, loc: loc}, nil
}

func unix(t int64) time.Time {
	s, _ := floorDiv(t, Second)
	return time.Unix(s-UnixEpoch/Second, 0)
}

// west returns how many seconds the zone is behind UTC at a timestamp.
func (z *Zone) west(t int64) int {
	if z == nil {
		return 0
	}
	if z.loc == nil {
		return z.fixed
	}
	_, east := unix(t).In(z.loc).Zone()
	return -east
}

// westOfLocal is west at a time of the zone's own. Of the two meanings that a time has when clocks are set back, it is the
// later, standard one; a time that does not exist when they are set forward is read by what was valid before.
func (z *Zone) westOfLocal(x *tm) int {
	if z == nil {
		return 0
	}
	if z.loc == nil {
		return z.fixed
	}
	if !validJulian(x.year, x.mon) {
		return 0
	}
	local := int64(toJulian(x.year, x.mon, x.mday)-unixJulian)*secondsPerDay + int64(x.sec) + 60*(int64(x.min)+60*int64(x.hour))
	prev := time.Unix(local-secondsPerDay, 0).In(z.loc)
	_, before := prev.Zone()
	_, boundary := prev.ZoneBounds()
	if boundary.IsZero() {
		return -before
	}
	_, after := boundary.Zone()
	b, a, limit := local-int64(before), local-int64(after), boundary.Unix()
	switch {
	case b < limit && a < limit:
		return -before
	case b > limit && a >= limit:
		return -after
	case b > a:
		return -before
	}
	return -after
}

// zoneByName is what AT TIME ZONE and the like accept: a distance, an abbreviation, or a name.
func zoneByName(name string) (*Zone, error) {
	if l := strings.ToLower(name); l != "" {
		if a, ok := abbreviation(l); ok {
			if a.dynamic {
				return nil, sqlstate.New(sqlstate.Unsupported, "the time zone abbreviation \"%s\" is not supported: use the name of its zone", name)
			}
			return FixedZone(name, a.east), nil
		}
	}
	return LoadZone(name)
}

//go:embed abbreviations.txt
var abbreviationText string

type abbrev struct {
	east    int
	summer  bool
	dynamic bool
}

var abbreviations = sync.OnceValue(func() map[string]abbrev {
	m := map[string]abbrev{}
	for line := range strings.Lines(abbreviationText) {
		w := strings.Fields(line)
		if len(w) < 2 || w[0] == "#" {
			continue
		}
		a := abbrev{summer: len(w) > 2}
		if n, rest, _ := strtol(w[1]); rest == "" {
			a.east = int(n)
		} else {
			a.dynamic = true
		}
		m[w[0]] = a
	}
	return m
})

func abbreviation(lower string) (abbrev, bool) {
	a, ok := abbreviations()[cut(lower, tokenLength)]
	return a, ok
}

func cut(s string, n int) string { return s[:min(len(s), n)] }
