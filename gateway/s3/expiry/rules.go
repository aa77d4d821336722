// Package expiry is the lifecycle of a bucket as S3 has it: it reads the rules that an owner writes, refuses those that cannot
// be, writes them as they were read, and tells what they call for at a time.
//
// It is pure: gateway/s3, which calls it, keeps the rules and carries them out.
package expiry

import (
	"slices"
	"strings"
	"time"
)

// A Rule says what becomes of the objects that it is about. Numbers of days are positive; zero stands for "not said".
type Rule struct {
	ID      string
	Enabled bool

	Prefix       string
	Tags         map[string]string // all of them must be the object's
	Above, Below *uint64           // bytes: only larger, only smaller objects

	Days    int       // after which a current version expires
	Date    time.Time // from which on it does; zero: none
	Markers bool      // a delete marker that covers nothing goes at once

	NoncurrentDays int // after which a version that was replaced goes
	NewerKept      int // unless so few newer replaced versions are kept

	UploadDays int // after which an upload that was not completed goes
}

// Rules are those of one bucket, in the owner's order.
type Rules []Rule

// A Version is a version of an object, or a delete marker, with what the ones beside it say.
type Version struct {
	Key      string
	Size     uint64
	Modified time.Time
	Marker   bool
	Latest   bool // nothing is newer

	Alone    bool      // there is no other version of the key
	Replaced time.Time // when the next newer one was made; unless Latest
	Newer    int       // replaced versions that are newer, markers not counted: keeping too much is the safer mistake
}

// midnight is when what happened at t is so many days old: rounded up to midnight UTC, as S3 does.
func midnight(t time.Time, days int) time.Time {
	t = t.UTC().AddDate(0, 0, days)
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	if day.Before(t) {
		day = day.AddDate(0, 0, 1)
	}
	return day
}

// about tells whether a rule is about a version, as far as its tags do not decide. A marker has neither size nor tags.
func (r *Rule) about(v Version) bool {
	switch {
	case !r.Enabled || !strings.HasPrefix(v.Key, r.Prefix):
		return false
	case v.Marker:
		return r.Above == nil && r.Below == nil && len(r.Tags) == 0
	}
	return (r.Above == nil || v.Size > *r.Above) && (r.Below == nil || v.Size < *r.Below)
}

// at is when a rule that is about a version calls for its removal; not ok: never.
func (r *Rule) at(v Version) (t time.Time, ok bool) {
	switch {
	case !v.Latest:
		if r.NoncurrentDays == 0 || v.Newer < r.NewerKept {
			return t, false
		}
		t = v.Replaced
		if t.Before(v.Modified) { // clocks of two gateways
			t = v.Modified
		}
		return midnight(t, r.NoncurrentDays), true
	case v.Marker && !v.Alone:
		return t, false
	case v.Marker && r.Markers:
		return v.Modified, true
	case r.Days > 0:
		return midnight(v.Modified, r.Days), true
	}
	return r.Date, !r.Date.IsZero()
}

// Due returns the rules that call for a version's removal at a time: that of a current version by whatever its bucket's
// versioning makes of a deletion, that of any other for good. Where all of them ask for tags, Tagged decides.
func (rs Rules) Due(v Version, now time.Time) (due Rules) {
	for i := range rs {
		if !rs[i].about(v) {
			continue
		}
		if t, ok := rs[i].at(v); ok && !now.Before(t) {
			due = append(due, rs[i])
		}
	}
	return due
}

// ByTags tells whether none of the rules is without tags, so that it takes the object's to know whether one is about it.
func (rs Rules) ByTags() bool {
	return !slices.ContainsFunc(rs, func(r Rule) bool { return len(r.Tags) == 0 })
}

// Tagged returns the rules that are about an object with these tags.
func (rs Rules) Tagged(tags map[string]string) (all Rules) {
	for _, r := range rs {
		fits := true
		for name, value := range r.Tags {
			has, ok := tags[name]
			fits = fits && ok && has == value
		}
		if fits {
			all = append(all, r)
		}
	}
	return all
}

// UploadDue tells whether an upload that began then is to be aborted at a time.
func (rs Rules) UploadDue(key string, begun, now time.Time) bool {
	return slices.ContainsFunc(rs, func(r Rule) bool {
		return r.Enabled && r.UploadDays > 0 && strings.HasPrefix(key, r.Prefix) && !now.Before(midnight(begun, r.UploadDays))
	})
}

// Expiry is when a current version expires first, and by which rule; not ok: never.
func (rs Rules) Expiry(v Version, tags map[string]string) (at time.Time, id string, ok bool) {
	for _, r := range rs.Tagged(tags) {
		if !r.about(v) {
			continue
		}
		if t, will := r.at(v); will && (!ok || t.Before(at)) {
			at, id, ok = t, r.ID, true
		}
	}
	return at, id, ok
}

// VersionPrefixes are those under which versions can ever be due, UploadPrefixes those of uploads. None is within another.
func (rs Rules) VersionPrefixes() []string {
	return rs.prefixes(func(r Rule) bool { return r.Days > 0 || !r.Date.IsZero() || r.Markers || r.NoncurrentDays > 0 })
}

// UploadPrefixes: see VersionPrefixes.
func (rs Rules) UploadPrefixes() []string {
	return rs.prefixes(func(r Rule) bool { return r.UploadDays > 0 })
}

func (rs Rules) prefixes(of func(Rule) bool) (outer []string) {
	var all []string
	for _, r := range rs {
		if r.Enabled && of(r) {
			all = append(all, r.Prefix)
		}
	}
	slices.Sort(all) // what begins with a prefix follows it at once
	for _, p := range all {
		if n := len(outer); n == 0 || !strings.HasPrefix(p, outer[n-1]) {
			outer = append(outer, p)
		}
	}
	return outer
}
