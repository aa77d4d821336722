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

// LoadZone finds a zone by its IANA name, in any case. POSIX descriptions (EST5EDT,M3.2.0,...) are not known.
func LoadZone(name string) (*Zone, error) {
	l := strings.ToLower(name)
	if l == "utc" || l == "gmt" {
		return &Zone{Name: strings.ToUpper(name)}, nil
	}
	f := zoneFiles()[l]
	if f == nil || strings.HasSuffix(l, "/") {
		return nil, errZone(name)
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
	s, _ := floorDiv(t-UnixEpoch, Second)
	return time.Unix(s, 0)
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
