package datetime_test

import (
	"testing"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
)

func TestZones(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "america/new_york", "UTC", "Asia/Kolkata", "Australia/Sydney", "Etc/GMT+5", "FOO-3"} {
		if _, err := datetime.LoadZone(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "nowhere", "Europe", "Europe/", "../x", "EST5EDT,M3.2.0,M11.1.0"} {
		if z, err := datetime.LoadZone(name); err == nil {
			t.Errorf("%q is %v", name, z)
		}
	}
	ny, err := datetime.LoadZone("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	// A time that does not exist is read by what was valid before, one that is there twice as the later.
	for in, want := range map[string]string{
		"2024-03-10 02:30:00": "2024-03-10 03:30:00-04", "2024-11-03 01:30:00": "2024-11-03 01:30:00-05",
		"2024-07-01 12:00:00": "2024-07-01 12:00:00-04", "2100-07-01 12:00:00": "2100-07-01 12:00:00-04",
	} {
		ts, err := datetime.ParseTimestampTZ(datetime.Env{Zone: ny}, in)
		if got := datetime.FormatTimestampTZ(ts, ny); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", in, got, err, want)
		}
	}
}

func TestNow(t *testing.T) {
	now, err := datetime.ParseTimestamp(datetime.Env{}, "2024-02-29 23:30:00")
	if err != nil {
		t.Fatal(err)
	}
	berlin, _ := datetime.LoadZone("Europe/Berlin")
	for zone, want := range map[*datetime.Zone][2]string{nil: {"2024-02-29", "2024-03-01"}, berlin: {"2024-03-01", "2024-03-02"}} {
		env := datetime.Env{Now: now, Zone: zone}
		today, _ := datetime.ParseDate(env, "today")
		tomorrow, _ := datetime.ParseDate(env, "tomorrow")
		if a, b := datetime.FormatDate(today), datetime.FormatDate(tomorrow); a != want[0] || b != want[1] {
			t.Errorf("today is %s, tomorrow %s, want %v", a, b, want)
		}
	}
}

func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{"2024-02-29 12:34:56.789+02", "J2451545", "Jan 1, 4713 BC", "20240101T235959", "infinity", "epoch", "1/2/03 4 pm", "2024.060 UTC", "now"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ts, err := datetime.ParseTimestampTZ(datetime.Env{}, s); err == nil {
			text := datetime.FormatTimestampTZ(ts, nil)
			if again, err := datetime.ParseTimestampTZ(datetime.Env{}, text); err != nil || again != ts {
				t.Fatalf("%q is %q, which is %d instead of %d (%v)", s, text, again, ts, err)
			}
		}
		if d, err := datetime.ParseDate(datetime.Env{}, s); err == nil {
			text := datetime.FormatDate(d)
			if again, err := datetime.ParseDate(datetime.Env{}, text); err != nil || again != d {
				t.Fatalf("%q is %q, which is %d instead of %d (%v)", s, text, again, d, err)
			}
		}
		if c, err := datetime.ParseTime(datetime.Env{}, s); err == nil {
			text := datetime.FormatTime(c)
			if again, err := datetime.ParseTime(datetime.Env{}, text); err != nil || again != c {
				t.Fatalf("%q is %q, which is %d instead of %d (%v)", s, text, again, c, err)
			}
		}
	})
}

func FuzzInterval(f *testing.F) {
	for _, s := range []string{"1 year 2 mons -3 days 04:05:06.789", "P1Y2M3DT4H5M6.5S", "@ 1 week ago", "1-2 3 4:05", "1.5 months", "PT-1H", "P0001-02-03T04:05:06", "-1.5 hours"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := datetime.ParseInterval(s, -1)
		if err != nil {
			return
		}
		if w, err := datetime.ParseInterval(v.String(), -1); err != nil || w != v {
			t.Fatalf("%q is %q, which is %v (%v)", s, v, w, err)
		}
		if v.Compare(v) != 0 {
			t.Fatal("not equal to itself")
		}
	})
}
