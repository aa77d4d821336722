package expiry

import (
	"slices"
	"testing"
	"time"
)

// at reads a time, "2026-01-15 10:30".
func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What rules call for, from S3's own description: https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html.
func TestDue(t *testing.T) {
	made := at(t, "2026-01-15 10:30")
	day := func(n int) time.Time { return at(t, "2026-01-15 00:00").AddDate(0, 0, n) }
	current := Version{Key: "logs/a", Size: 100, Modified: made, Latest: true}
	older := Version{Key: "logs/a", Size: 100, Modified: made.AddDate(-1, 0, 0), Replaced: made}
	marker := Version{Key: "logs/a", Modified: made, Latest: true, Marker: true, Alone: true}
	oldMarker := Version{Key: "logs/a", Modified: made.AddDate(-1, 0, 0), Replaced: made, Marker: true}
	with := func(v Version, f func(*Version)) Version { f(&v); return v }
	never := time.Time{}
	for _, c := range []struct {
		name string
		r    Rule
		v    Version
		from time.Time // when it is due for the first time; zero: never
	}{
		{"three days, rounded up to midnight", Rule{Days: 3}, current, day(4)},
		{"midnight exactly is not rounded", Rule{Days: 3}, with(current, func(v *Version) { v.Modified = day(0) }), day(3)},
		{"a nanosecond past midnight is", Rule{Days: 3}, with(current, func(v *Version) { v.Modified = day(0).Add(1) }), day(4)},
		{"midnight is that of UTC", Rule{Days: 3}, with(current, func(v *Version) { v.Modified = made.In(time.FixedZone("", 9*3600)) }), day(4)},
		{"a disabled rule", Rule{Days: 3, ID: "off"}, current, never},
		{"days do not count for older versions", Rule{Days: 3}, older, never},
		{"a date", Rule{Date: day(7)}, current, day(7)},
		{"a date before the object was made", Rule{Date: day(-7)}, current, day(-7)},
		{"days of older versions", Rule{NoncurrentDays: 3}, older, day(4)},
		{"days of older versions, the current one", Rule{NoncurrentDays: 3}, current, never},
		{"a version counts as replaced after it was made", Rule{NoncurrentDays: 3}, with(older, func(v *Version) { v.Modified = day(5) }), day(8)},
		{"too few newer ones", Rule{NoncurrentDays: 3, NewerKept: 2}, with(older, func(v *Version) { v.Newer = 1 }), never},
		{"enough newer ones", Rule{NoncurrentDays: 3, NewerKept: 2}, with(older, func(v *Version) { v.Newer = 2 }), day(4)},
		{"an older marker", Rule{NoncurrentDays: 3}, oldMarker, day(4)},
		{"a marker that covers nothing", Rule{Markers: true}, marker, made},
		{"a marker that covers something", Rule{Markers: true}, with(marker, func(v *Version) { v.Alone = false }), never},
		{"an older marker is no expired one", Rule{Markers: true}, oldMarker, never},
		{"markers say nothing of objects", Rule{Markers: true}, current, never},
		{"days remove a marker that covers nothing", Rule{Days: 3}, marker, day(4)},
		{"but no other", Rule{Days: 3}, with(marker, func(v *Version) { v.Alone = false }), never},
		{"uploads say nothing of objects", Rule{UploadDays: 3}, current, never},
		{"the prefix", Rule{Days: 3, Prefix: "logs/"}, current, day(4)},
		{"another prefix", Rule{Days: 3, Prefix: "log/"}, current, never},
		{"larger", Rule{Days: 3, Above: new(uint64(99))}, current, day(4)},
		{"not larger", Rule{Days: 3, Above: new(uint64(100))}, current, never},
		{"smaller", Rule{Days: 3, Below: new(uint64(101))}, current, day(4)},
		{"not smaller", Rule{Days: 3, Below: new(uint64(100))}, current, never},
		{"a marker has no size", Rule{NoncurrentDays: 3, Below: new(uint64(100))}, oldMarker, never},
		{"a marker has no tags", Rule{NoncurrentDays: 3, Tags: map[string]string{"a": "b"}}, oldMarker, never},
		{"tags are asked about later", Rule{Days: 3, Tags: map[string]string{"a": "b"}}, current, day(4)},
		{"the longest time there is", Rule{Days: maxDays}, current, day(maxDays + 1)},
	} {
		c.r.Enabled = c.r.ID != "off"
		rs := Rules{c.r}
		if c.from.IsZero() {
			if len(rs.Due(c.v, day(maxDays+10))) > 0 {
				t.Errorf("%s: due", c.name)
			}
			continue
		}
		if len(rs.Due(c.v, c.from)) != 1 {
			t.Errorf("%s: not due at %v", c.name, c.from)
		}
		if len(rs.Due(c.v, c.from.Add(-1))) != 0 {
			t.Errorf("%s: due before %v", c.name, c.from)
		}
	}
}

func TestTagged(t *testing.T) {
	made := at(t, "2026-01-15 10:30")
	v := Version{Key: "k", Modified: made, Latest: true}
	both := Rule{ID: "both", Enabled: true, Days: 1, Tags: map[string]string{"a": "1", "b": ""}}
	plain := Rule{ID: "plain", Enabled: true, Days: 5}
	now := made.AddDate(0, 0, 2)
	if due := (Rules{both, plain}).Due(v, now); len(due) != 1 || !due.ByTags() {
		t.Errorf("due by %v", due)
	}
	if due := (Rules{both, plain}).Due(v, now.AddDate(0, 0, 5)); len(due) != 2 || due.ByTags() {
		t.Errorf("due later by %v", due)
	}
	for _, c := range []struct {
		tags map[string]string
		fits bool
	}{
		{nil, false}, {map[string]string{"a": "1"}, false}, {map[string]string{"a": "2", "b": ""}, false}, {map[string]string{"a": "1", "b": "x"}, false},
		{map[string]string{"a": "1", "b": ""}, true}, {map[string]string{"a": "1", "b": "", "c": "3"}, true},
	} {
		if got := len(Rules{both}.Tagged(c.tags)) == 1; got != c.fits {
			t.Errorf("%v: %v", c.tags, got)
		}
		at, id, ok := Rules{plain, both}.Expiry(v, c.tags)
		want := "plain"
		if c.fits {
			want = "both"
		}
		if !ok || id != want || at != midnight(made, map[string]int{"plain": 5, "both": 1}[want]) {
			t.Errorf("%v: expires at %v by %q, %v", c.tags, at, id, ok)
		}
	}
	if _, _, ok := (Rules{{Enabled: true, Days: 1, Prefix: "x"}, {Days: 1}, {Enabled: true, UploadDays: 1}}).Expiry(v, nil); ok {
		t.Error("it expires without a rule")
	}
}

func TestUploadDue(t *testing.T) {
	begun := at(t, "2026-01-15 10:30")
	rs := Rules{{Enabled: true, Days: 1}, {UploadDays: 1}, {Enabled: true, Prefix: "up/", UploadDays: 2}}
	for _, c := range []struct {
		key, now string
		due      bool
	}{
		{"up/a", "2026-01-17 23:59", false}, {"up/a", "2026-01-18 00:00", true}, {"a", "2027-01-01 00:00", false},
	} {
		if got := rs.UploadDue(c.key, begun, at(t, c.now)); got != c.due {
			t.Errorf("%s at %s: %v", c.key, c.now, got)
		}
	}
}

func TestPrefixes(t *testing.T) {
	rs := Rules{{Enabled: true, Prefix: "b/x", Days: 1}, {Enabled: true, Prefix: "a/c", NoncurrentDays: 1}, {Enabled: true, Prefix: "a", Markers: true}, {Enabled: true, Prefix: "a/b", Date: time.Now()},
		{Prefix: "", Days: 1}, {Enabled: true, Prefix: "u", UploadDays: 1}, {Enabled: true, Prefix: "u/v", UploadDays: 1}}
	if got := rs.VersionPrefixes(); !slices.Equal(got, []string{"a", "b/x"}) {
		t.Errorf("versions under %q", got)
	}
	if got := rs.UploadPrefixes(); !slices.Equal(got, []string{"u"}) {
		t.Errorf("uploads under %q", got)
	}
	rs[4].Enabled = true
	if got := rs.VersionPrefixes(); !slices.Equal(got, []string{""}) {
		t.Errorf("versions under %q", got)
	}
}
