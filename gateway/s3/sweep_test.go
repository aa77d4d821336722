package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/s3/expiry"
	"github.com/stratosmesh/stratos/mesh"
)

// A shelf is a bucket in memory, with its owner's client. It keeps the log's rules of deletions.
type shelf struct {
	owner     mesh.Account
	versioned bool
	rules     string // insides of Rule elements; "" none
	page      int    // versions or uploads a page

	mu      sync.Mutex
	keys    map[string][]*client.Object // the newest first
	uploads []*client.Multipart
	calls   []string
	before  func(call string) error // called first, when set, with mu held
	most    int                     // removals at once, so far
	now     int
}

var hour0 = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// put adds a version, or a marker when size is negative, made so many days after hour0. It returns the version for changes.
func (s *shelf) put(key string, day, size int, change ...func(*client.Object)) *client.Object {
	for _, o := range s.keys[key] {
		o.Latest = false
	}
	o := &client.Object{Path: mesh.Path{Bucket: "b", Key: key}, Modified: hour0.AddDate(0, 0, day), Version: mesh.NewVersionID(), Latest: true, Marker: size < 0, Size: uint64(max(size, 0))}
	for _, f := range change {
		f(o)
	}
	if s.keys == nil {
		s.keys = map[string][]*client.Object{}
	}
	s.keys[key] = append([]*client.Object{o}, s.keys[key]...)
	return o
}

func (s *shelf) begin(call string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	call = strings.TrimSpace(call + " " + fmt.Sprint(args...))
	s.calls = append(s.calls, call)
	if s.before != nil {
		return s.before(call)
	}
	return nil
}

func (s *shelf) document() string {
	if s.rules == "" {
		return ""
	}
	return "<LifecycleConfiguration>" + s.rules + "</LifecycleConfiguration>"
}

func (s *shelf) Bucket(_ context.Context, name string) (*client.Bucket, error) {
	if err := s.begin("Bucket"); err != nil {
		return nil, err
	}
	b := &client.Bucket{Name: name, Owner: s.owner, Sections: map[uint32][32]byte{}}
	if d := s.document(); d != "" {
		b.Sections[sectionLifecycle] = sha256.Sum256([]byte(d))
	}
	return b, nil
}

func (s *shelf) Section(context.Context, string, uint32) ([]byte, error) {
	return []byte(s.document()), s.begin("Section")
}

func (s *shelf) ListPage(_ context.Context, q client.ListQuery) (*client.ListPage, error) {
	if err := s.begin("ListPage", q.Prefix); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := new(client.ListPage)
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if !strings.HasPrefix(key, q.Prefix) || key < q.After || key == q.After && q.AfterVersion == nil {
			continue
		}
		skipping := key == q.After
		for _, o := range s.keys[key] {
			if skipping {
				skipping = o.Version != *q.AfterVersion
				continue
			}
			if len(page.Names) == s.page {
				next, last := q, page.Names[s.page-1]
				next.After, next.AfterVersion = last.Key, &last.Version
				page.Next = &next
				return page, nil
			}
			page.Names = append(page.Names, client.Listed{Key: key, Size: o.Size, Modified: o.Modified, Version: o.Version, Latest: o.Latest, Marker: o.Marker})
		}
	}
	return page, nil
}

func (s *shelf) Look(_ context.Context, p mesh.Path, v *mesh.VersionID) (*client.Bucket, *client.Object, error) {
	if err := s.begin("Look", p.Key); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.keys[p.Key] {
		if o.Version == *v {
			found := *o
			return &client.Bucket{}, &found, nil
		}
	}
	return &client.Bucket{}, nil, nil
}

func (s *shelf) DeleteWith(_ context.Context, p mesh.Path, o client.DeleteOptions) (marker mesh.VersionID, err error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.now--; s.mu.Unlock() }()
	time.Sleep(time.Second) // a block, in the bubble's time
	if err := s.begin("Delete", p.Key); err != nil {
		return marker, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.keys[p.Key]
	if o.Purge == nil {
		switch {
		case o.OnlyIf == nil:
			panic("a deletion without a condition")
		case len(all) == 0:
			return marker, mesh.Errorf(mesh.NotFound, "no object")
		case all[0].Marker || all[0].Version != *o.OnlyIf:
			return marker, mesh.Errorf(mesh.Conflict, "it has changed meanwhile")
		case s.versioned:
			s.put(p.Key, 0, -1)
		default:
			delete(s.keys, p.Key)
		}
		return marker, nil
	}
	i := slices.IndexFunc(all, func(x *client.Object) bool { return x.Version == *o.Purge })
	if i < 0 {
		return marker, mesh.Errorf(mesh.NotFound, "no such version")
	}
	if all[i].Lock != (client.Lock{}) {
		return marker, mesh.Errorf(mesh.Denied, "locked")
	}
	if s.keys[p.Key] = slices.Delete(slices.Clone(all), i, i+1); len(all) == 1 {
		delete(s.keys, p.Key)
	} else {
		s.keys[p.Key][0].Latest = true
	}
	return marker, nil
}

func (s *shelf) Multiparts(_ context.Context, p mesh.Path, after string, id *mesh.UploadID, _ int) ([]*client.Multipart, bool, error) {
	if err := s.begin("Multiparts", p.Key); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*client.Multipart
	for _, m := range s.uploads { // sorted by key
		if strings.HasPrefix(m.Path.Key, p.Key) && (id == nil || m.Path.Key > after) {
			all = append(all, m)
		}
	}
	return all[:min(len(all), s.page)], len(all) > s.page, nil
}

func (s *shelf) AbortMultipart(_ context.Context, p mesh.Path, id mesh.UploadID) error {
	if err := s.begin("Abort", p.Key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.uploads)
	if s.uploads = slices.DeleteFunc(s.uploads, func(m *client.Multipart) bool { return m.ID == id }); len(s.uploads) == n {
		return mesh.Errorf(mesh.NotFound, "no upload")
	}
	return nil
}

// left tells what is on the shelf: each key with its versions, the newest first, by the day that they were made; m for markers.
func (s *shelf) left() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		line := key
		for _, o := range s.keys[key] {
			day := fmt.Sprint(" ", int(o.Modified.Sub(hour0).Hours()/24))
			if o.Marker {
				day = " m"
			}
			line += day
		}
		all = append(all, line)
	}
	for _, m := range s.uploads {
		all = append(all, "upload "+m.Path.Key)
	}
	return strings.Join(all, ", ")
}

// asked counts calls that begin so.
func (s *shelf) asked(call string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if strings.HasPrefix(c, call) {
			n++
		}
	}
	return n
}

// A street is a sweeper with the buckets that it sweeps, by name, so many days after hour0.
type street struct {
	*Sweeper
	log      bytes.Buffer
	registry *prometheus.Registry
	open     int // tenancies
}

func newStreet(t *testing.T, day int, shelves map[string]*shelf) *street {
	t.Helper()
	w := &street{registry: prometheus.NewRegistry()}
	served := func(context.Context) (all []client.ServedBucket, err error) {
		for _, name := range slices.Sorted(maps.Keys(shelves)) {
			all = append(all, client.ServedBucket{Name: name, AccessKey: name, Sections: []uint32{1, sectionLifecycle}})
		}
		return append(all, client.ServedBucket{Name: "without rules", AccessKey: "nobody", Sections: []uint32{1}}), nil
	}
	open := func(_ context.Context, key string) (*tenancy, error) {
		s, ok := shelves[key]
		if !ok || s == nil {
			return nil, mesh.Errorf(mesh.NotFound, "there is no access key %s", key)
		}
		w.open++
		return &tenancy{s, mesh.Account{1}, func() { w.open-- }}, nil
	}
	var err error
	w.Sweeper, err = newSweeper(served, open, time.Minute, slog.New(slog.NewTextHandler(&lockedWriter{w: &w.log}, nil)),
		SweepOptions{Registry: w.registry, Now: func() time.Time { return hour0.AddDate(0, 0, day) }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *street) sweep(t *testing.T) Tally {
	t.Helper()
	tally, err := w.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if w.open != 0 {
		t.Errorf("%d sessions are not left", w.open)
	}
	return tally
}

func rule(filter, action string) string {
	return "<Rule><Status>Enabled</Status><Filter>" + filter + "</Filter>" + action + "</Rule>"
}

const (
	threeDays = "<Expiration><Days>3</Days></Expiration>"
	twoOld    = "<NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>"
	oldOnes   = "<NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays></NoncurrentVersionExpiration>"
	markers   = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
	uploads   = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
)

// Everything that rules can remove, with pages of every length; a second sweep finds nothing more to do.
func TestSweep(t *testing.T) {
	for page := 1; page <= 12; page++ {
		synctest.Test(t, func(t *testing.T) {
			plain := &shelf{owner: mesh.Account{1}, page: page, rules: rule("<Prefix>a/</Prefix>", threeDays) + rule("<Prefix>a/b/</Prefix>", uploads)}
			plain.put("a/new", 9, 1)
			plain.put("a/old", 1, 1)
			plain.put("a/older", 0, 1)
			plain.put("b/old", 1, 1)
			for _, key := range []string{"a/b/1", "a/b/2", "a/b/3", "a/c"} {
				plain.uploads = append(plain.uploads, &client.Multipart{Path: mesh.Path{Bucket: "b", Key: key}, ID: mesh.NewUploadID(), Begun: hour0})
			}
			versioned := &shelf{owner: mesh.Account{1}, page: page, versioned: true, rules: rule("", twoOld) + rule("<Prefix>x</Prefix>", threeDays) + rule("<Prefix>m</Prefix>", markers)}
			for day := range 6 {
				versioned.put("k", day, 1)
			}
			versioned.put("k", 6, -1)
			versioned.put("m1", 9, -1)
			versioned.put("m2", 8, 1)
			versioned.put("m2", 9, -1)
			versioned.put("n", 1, -1)
			versioned.put("x1", 1, 1)
			versioned.put("x2", 1, -1) // due by days

			w := newStreet(t, 10, map[string]*shelf{"plain": plain, "versioned": versioned})
			if got, want := w.sweep(t), (Tally{Objects: 3, Versions: 4, Markers: 2, Uploads: 3}); got != want {
				t.Errorf("pages of %d: %+v, want %+v", page, got, want)
			}
			if got, want := plain.left(), "a/new 9, b/old 1, upload a/c"; got != want {
				t.Errorf("pages of %d: left %s, want %s", page, got, want)
			}
			if got, want := versioned.left(), "k m 5 4, m2 m 8, n m, x1 m 1"; got != want {
				t.Errorf("pages of %d: left %s, want %s", page, got, want)
			}
			if got := w.sweep(t); got != (Tally{}) {
				t.Errorf("pages of %d: the second sweep did %+v", page, got)
			}
			if plain.asked("Look") > 0 || w.log.Len() > 0 {
				t.Errorf("%d objects were looked at; log: %s", plain.asked("Look"), &w.log)
			}
		})
	}
}

// What somebody does between the listing and the removal counts.
func TestSweepRaces(t *testing.T) {
	for _, c := range []struct {
		name, when string // the call before which it happens
		rules      string
		put, do    func(*shelf)
		left       string
		want       Tally
	}{
		{"overwritten", "Delete k", rule("", threeDays), func(s *shelf) { s.put("k", 0, 1) }, func(s *shelf) { s.put("k", 9, 1) }, "k 9 0", Tally{}},
		{"overwritten, with tags", "Look k", rule("<Tag><Key>a</Key><Value>b</Value></Tag>", threeDays), func(s *shelf) { s.put("k", 0, 1, tagged("a", "b")) }, func(s *shelf) { s.put("k", 9, 1) }, "k 9 0", Tally{}},
		{"removed", "Delete k", rule("", threeDays), func(s *shelf) { s.put("k", 0, 1) }, func(s *shelf) { delete(s.keys, "k") }, "", Tally{}},
		{"a marker was put on it", "Delete k", rule("", threeDays), func(s *shelf) { s.put("k", 0, 1) }, func(s *shelf) { s.put("k", 9, -1) }, "k m 0", Tally{}},
		{"a marker was removed", "Look k", rule("", oldOnes), func(s *shelf) { s.put("k", 0, 1); s.put("k", 1, -1) }, func(s *shelf) { s.keys["k"] = s.keys["k"][1:]; s.keys["k"][0].Latest = true }, "k 0", Tally{}},
		{"written above an expired marker", "Look k", rule("", markers), func(s *shelf) { s.put("k", 0, -1) }, func(s *shelf) { s.put("k", 9, 1) }, "k 9 m", Tally{}},
		{"an older version was removed", "Delete k", rule("", oldOnes), func(s *shelf) { s.put("k", 0, 1); s.put("k", 1, 1) }, func(s *shelf) { s.keys["k"] = s.keys["k"][:1] }, "k 1", Tally{}},
		{"an upload was completed", "Abort k", rule("", uploads), func(s *shelf) {
			s.uploads = []*client.Multipart{{Path: mesh.Path{Bucket: "b", Key: "k"}, Begun: hour0}}
		}, func(s *shelf) { s.uploads = nil; s.put("k", 9, 1) }, "k 9", Tally{}},
		{"the rules were changed", "ListPage", rule("", threeDays), func(s *shelf) { s.put("j", 0, 1); s.put("k", 0, 1); s.put("l", 0, 1) }, func(s *shelf) { s.rules = rule("<Prefix>nothing</Prefix>", threeDays) }, "k 0, l 0", Tally{Objects: 1}},
		{"the rules were removed", "ListPage", rule("", threeDays), func(s *shelf) { s.put("j", 0, 1); s.put("k", 0, 1); s.put("l", 0, 1) }, func(s *shelf) { s.rules = "" }, "k 0, l 0", Tally{Objects: 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{owner: mesh.Account{1}, page: 2, rules: c.rules}
			c.put(s)
			once := false
			s.before = func(call string) error {
				if strings.HasPrefix(call, c.when) && !once {
					once = true
					c.do(s)
				}
				return nil
			}
			w := newStreet(t, 10, map[string]*shelf{"b": s})
			if got := w.sweep(t); got != c.want || s.left() != c.left || !once {
				t.Errorf("%s: %+v, left %q, want %q", c.name, got, s.left(), c.left)
			}
			if w.log.Len() > 0 {
				t.Errorf("%s: %s", c.name, &w.log)
			}
		})
	}
}

func tagged(name, value string) func(*client.Object) {
	return func(o *client.Object) { o.Tags = encodeTags(map[string]string{name: value}) }
}

// Only objects that pass every other condition are asked for their tags.
func TestSweepTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{owner: mesh.Account{1}, page: 100, rules: rule("<And><Prefix>a</Prefix><ObjectSizeGreaterThan>10</ObjectSizeGreaterThan><Tag><Key>keep</Key><Value>no</Value></Tag></And>", threeDays)}
		s.put("a1", 0, 11, tagged("keep", "no"))
		s.put("a2", 0, 11, tagged("keep", "yes"))
		s.put("a3", 0, 11)
		s.put("a4", 0, 11, func(o *client.Object) { o.Attributes = map[string]string{tagsAt: "keep=no"} }) // tags that it came with
		s.put("a5", 0, 10, tagged("keep", "no"))
		s.put("a6", 9, 11, tagged("keep", "no"))
		s.put("b", 0, 11, tagged("keep", "no"))
		w := newStreet(t, 10, map[string]*shelf{"b": s})
		if got, want := w.sweep(t), (Tally{Objects: 2}); got != want || s.left() != "a2 0, a3 0, a5 0, a6 9, b 0" {
			t.Errorf("%+v, left %s", got, s.left())
		}
		if n := s.asked("Look"); n != 4 {
			t.Errorf("%d objects were asked for their tags, want 4", n)
		}
	})
}

func TestSweepLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{owner: mesh.Account{1}, page: 100, versioned: true, rules: rule("", oldOnes)}
		lock := func(l client.Lock) func(*client.Object) { return func(o *client.Object) { o.Lock = l } }
		s.put("held", 0, 1, lock(client.Lock{Hold: true}))
		s.put("locked", 0, 1, lock(client.Lock{Mode: client.Governance, Until: hour0.AddDate(1, 0, 0)}))
		s.put("over", 0, 1, lock(client.Lock{Mode: client.Compliance, Until: hour0.AddDate(0, 0, 5)})) // to us; the shelf refuses
		s.put("free", 0, 1)
		for key := range maps.Clone(s.keys) {
			s.put(key, 1, 1)
		}
		w := newStreet(t, 10, map[string]*shelf{"b": s})
		if got, want := w.sweep(t), (Tally{Versions: 1, Locked: 3}); got != want || s.left() != "free 1, held 1 0, locked 1 0, over 1 0" {
			t.Errorf("%+v, left %s", got, s.left())
		}
		if n := s.asked("Delete"); n != 2 {
			t.Errorf("%d removals were tried, want 2", n)
		}
		if w.log.Len() > 0 {
			t.Errorf("log: %s", &w.log)
		}
	})
}

// A bucket that fails is said once and does not stop the others; a removal that fails does not stop its bucket, but many do.
func TestSweepFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fill := func(n int, refuse string) *shelf {
			s := &shelf{owner: mesh.Account{1}, page: 1000, rules: rule("", threeDays)}
			for i := range n {
				s.put(fmt.Sprintf("k%03d", i), 0, 1)
			}
			s.before = func(call string) error {
				if refuse != "" && strings.HasPrefix(call, refuse) {
					return mesh.Errorf(mesh.Denied, "not you")
				}
				return nil
			}
			return s
		}
		shelves := map[string]*shelf{"a-listing": fill(5, "ListPage"), "b-one": fill(5, "Delete k002"), "c-all": fill(100, "Delete"), "d-foreign": fill(5, ""), "e-unsound": fill(5, ""), "f-withdrawn": nil, "z-good": fill(100, "")}
		shelves["d-foreign"].owner = mesh.Account{2}
		shelves["e-unsound"].rules = "<Rule/>"
		w := newStreet(t, 10, shelves)
		got := w.sweep(t)
		if left := shelves["b-one"].left(); left != "k002 0" {
			t.Errorf("one removal failed: left %s", left)
		}
		if n := shelves["c-all"].asked("Delete"); n < sweepFailures || n >= sweepFailures+sweepRemovals {
			t.Errorf("all removals failed: %d were tried", n)
		}
		if left := shelves["d-foreign"].left(); strings.Count(left, "k") != 5 {
			t.Errorf("the bucket of another account: left %s", left)
		}
		if left := shelves["z-good"].left(); left != "" {
			t.Errorf("the good bucket: left %s", left)
		}
		if most := shelves["z-good"].most; most != sweepRemovals {
			t.Errorf("%d removals at once, want %d", most, sweepRemovals)
		}
		if got.Objects != 104 || got.Failures < 1+1+sweepFailures+1+1+1 {
			t.Errorf("%+v", got)
		}
		for name := range shelves {
			if n := strings.Count(w.log.String(), "bucket="+name); n != 1 && name != "z-good" || n > 0 && name == "z-good" {
				t.Errorf("%s is in the log %d times:\n%s", name, n, &w.log)
			}
		}
		metrics, err := w.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]float64{}
		for _, f := range metrics {
			for _, m := range f.Metric {
				sums[f.GetName()] += m.GetCounter().GetValue()
			}
		}
		if sums["stratos_s3_lifecycle_removed_total"] != 104 || sums["stratos_s3_lifecycle_failures_total"] != float64(got.Failures) {
			t.Errorf("metrics %v", sums)
		}
	})
}

// Run sweeps at every interval, and ends at once, in the middle of a bucket too, without a word.
func TestSweeperRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{owner: mesh.Account{1}, page: 1000, rules: rule("", threeDays)}
		w := newStreet(t, 10, map[string]*shelf{"b": s})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(5*time.Hour + time.Minute)
		synctest.Wait()
		if n := s.asked("ListPage"); n != 5 && n != 6 {
			t.Errorf("%d sweeps in five hours", n)
		}
		for i := range 1000 {
			s.mu.Lock()
			s.put(fmt.Sprintf("k%03d", i), 0, 1)
			s.mu.Unlock()
		}
		for s.asked("Delete") < 10 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.asked("Delete"); n > 10+3*sweepRemovals || w.open != 0 || w.log.Len() > 0 {
			t.Errorf("%d removals were tried, %d sessions are open, log %s", n, w.open, &w.log)
		}
	})
	if _, err := newSweeper(nil, nil, 0, nil, SweepOptions{Every: -1}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a negative interval: %v", err)
	}
}

// What a history cannot know it does not tell.
func TestHistory(t *testing.T) {
	var h history
	var all []expiry.Version
	at := func(n int) time.Time { return hour0.AddDate(0, 0, n) }
	add := func(v *version) {
		if v != nil {
			all = append(all, v.Version)
		}
	}
	for _, l := range []client.Listed{
		{Key: "a", Modified: at(9), Latest: true},
		{Key: "b", Modified: at(8)}, // what replaced it is not there
		{Key: "b", Modified: at(7)},
		{Key: "c", Modified: at(9), Latest: true, Marker: true},
		{Key: "c", Modified: at(8)},
		{Key: "c", Modified: at(7), Marker: true},
		{Key: "c", Modified: at(6)},
		{Key: "d", Modified: at(5), Latest: true, Marker: true},
	} {
		add(h.next(l))
	}
	add(h.end())
	add(h.end())
	want := []expiry.Version{
		{Key: "a", Modified: at(9), Latest: true, Alone: true},
		{Key: "c", Modified: at(9), Latest: true, Marker: true},
		{Key: "c", Modified: at(8), Replaced: at(9)},
		{Key: "c", Modified: at(7), Marker: true, Replaced: at(8), Newer: 1},
		{Key: "c", Modified: at(6), Replaced: at(7), Newer: 1},
		{Key: "d", Modified: at(5), Latest: true, Marker: true, Alone: true},
	}
	if !slices.Equal(all, want) {
		t.Errorf("%+v\nwant\n%+v", all, want)
	}
}
