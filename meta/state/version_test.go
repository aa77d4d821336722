package state

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func (u user) change(bucket string, f func(*wirepb.Bucket)) []byte {
	b := &wirepb.Bucket{Name: bucket, Action: index.ChangeBucket, AtMs: u.w.now, Id: u.w.id()}
	f(b)
	return tx(wirepb.TxKind_TX_BUCKET, u.key, b)
}

func (u user) remove(bucket, name string) []byte {
	return tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: bucket, Key: name, AtMs: u.w.now, Id: u.w.id()})
}

func (u user) purge(bucket, name string, version []byte, bypass bool) []byte {
	return tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: bucket, Key: name, AtMs: u.w.now, Id: u.w.id(), Version: version, Purge: true, Bypass: bypass})
}

func (u user) amend(bucket, name string, version []byte, f func(*wirepb.Amendment)) []byte {
	a := &wirepb.Amendment{Bucket: bucket, Key: name, Version: version, AtMs: u.w.now, Id: u.w.id()}
	f(a)
	return tx(wirepb.TxKind_TX_AMENDMENT, u.key, a)
}

func (u user) upload(label, bucket, name string, action uint32) []byte {
	return tx(wirepb.TxKind_TX_UPLOAD, u.key, &wirepb.Upload{Upload: bytesOf(label, 16), Action: action, Bucket: bucket, Key: name, AtMs: u.w.now, Id: u.w.id(), WrappedKey: make([]byte, 60)})
}

func (u user) part(label string, number uint32, e *wirepb.Entry) []byte {
	e.Id = u.w.id()
	return tx(wirepb.TxKind_TX_PART, u.key, &wirepb.Part{Upload: bytesOf(label, 16), Number: number, Entry: e})
}

// complete makes an entry of every part that an upload has.
func (u user) complete(label, bucket, name string) []byte { return u.put(u.whole(label, bucket, name)) }

func (u user) whole(label, bucket, name string) *wirepb.Entry {
	e := &wirepb.Entry{Bucket: bucket, Key: name, Version: u.w.id(), ModifiedMs: u.w.now, Upload: bytesOf(label, 16), WrappedKey: make([]byte, 60)}
	v := view{db: u.w.m.db}
	var roots [][]byte
	v.scanPrefix(key(partKey, e.Upload), func(_, b []byte) bool {
		r, p := new(statepb.Part), new(wirepb.Part)
		v.decode(nil, b, r)
		if err := wire.Decode(r.Part.Body, MaxTx, p); err != nil {
			u.w.t.Fatal(err)
		}
		e.Parts = append(e.Parts, &wirepb.PartRef{Number: p.Number, Version: p.Entry.Version, Size: p.Entry.Size})
		e.Size += p.Entry.Size
		roots = append(roots, p.Entry.ContentRoot)
		return true
	})
	root := index.NewPartsRoot(e.Size)
	for _, r := range roots {
		root.Add(r)
	}
	e.ContentRoot = root.Sum()
	return e
}

// id is 16 bytes that were never used.
func (w *world) id() []byte {
	w.ids++
	return bytesOf(fmt.Sprint("id ", w.ids), 16)
}

func (w *world) objectAt(u user, bucket, name string, version []byte) *wirepb.ObjectAnswer {
	w.t.Helper()
	a := new(wirepb.ObjectAnswer)
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Object{Object: &wirepb.ObjectName{Bucket: bucket, Key: name, Version: version}}}, a); err != nil {
		w.t.Fatal(err)
	}
	if a.Entry == nil {
		return nil
	}
	return a
}

func (w *world) bucketOf(u user, bucket string) *wirepb.BucketAnswer {
	w.t.Helper()
	a := new(wirepb.BucketAnswer)
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Bucket{Bucket: bucket}}, a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// A modelled bucket is what S3 says of versions, written down as lists.
type model struct {
	versioning uint32
	objects    map[string][]modelVersion // newest first
}

type modelVersion struct {
	id           string
	null, marker bool
}

func (m *model) top(name string, v modelVersion) {
	all := m.objects[name]
	switch m.versioning {
	case index.NeverVersioned:
		all = nil
	case index.Suspended:
		all = slices.DeleteFunc(slices.Clone(all), func(v modelVersion) bool { return v.null })
	}
	m.objects[name] = slices.Insert(slices.Clone(all), 0, v)
}

// Writes, deletions and purges under every sequence of versioning leave the versions that S3's rules say, in order.
func TestVersionsAgainstModel(t *testing.T) {
	w, _, u := newShop(t, 3)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		bucket := fmt.Sprint("bucket-", round)
		w.ok(u.bucket(bucket, index.CreateBucket, false))
		m := &model{objects: map[string][]modelVersion{}}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			name := rapid.SampledFrom([]string{"a", "a/b", "b"}).Draw(rt, "name")
			all := m.objects[name]
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				m.versioning = uint32(rapid.IntRange(1, 2).Draw(rt, "versioning"))
				w.ok(u.change(bucket, func(b *wirepb.Bucket) { b.Versioning = m.versioning }))
			case 1, 2:
				e := u.inline(bucket, name, "x")
				e.Version = w.id()
				w.ok(u.put(e))
				m.top(name, modelVersion{string(e.Version), m.versioning != index.Versioned, false})
			case 3:
				if len(all) == 0 {
					w.refused(mesh.NotFound, u.remove(bucket, name))
					continue
				}
				d := u.remove(bucket, name)
				w.ok(d)
				if m.versioning == index.NeverVersioned {
					delete(m.objects, name)
				} else {
					m.top(name, modelVersion{string(bytesOf(fmt.Sprint("id ", w.ids), 16)), m.versioning == index.Suspended, true})
				}
			default:
				if len(all) == 0 {
					w.refused(mesh.NotFound, u.purge(bucket, name, w.id(), false))
					continue
				}
				i := rapid.IntRange(0, len(all)-1).Draw(rt, "which")
				id := all[i].id
				if all[i].null && rapid.Bool().Draw(rt, "by null") {
					id = string(index.NullVersion[:])
				}
				w.ok(u.purge(bucket, name, []byte(id), false))
				m.objects[name] = slices.Delete(slices.Clone(all), i, i+1)
			}
			w.agrees(u, bucket, m)
		}
		w.check()
	})
	w.leave()
}

// agrees compares a bucket with the model: by listing, page by page, and by version.
func (w *world) agrees(u user, bucket string, m *model) {
	w.t.Helper()
	var want, got []string
	current, older := uint64(0), uint64(0)
	for _, name := range []string{"a", "a/b", "b"} {
		for i, v := range m.objects[name] {
			want = append(want, fmt.Sprintf("%s %x null %v marker %v latest %v", name, v.id, v.null, v.marker, i == 0))
			if i == 0 && !v.marker {
				current++
			} else {
				older++
			}
			a := w.objectAt(u, bucket, name, []byte(v.id))
			if a == nil || a.Marker != v.marker || a.Null != v.null || a.Latest != (i == 0) {
				w.t.Fatalf("version %x of %s: %v", v.id, name, a)
			}
		}
		a := w.objectAt(u, bucket, name, nil)
		if all := m.objects[name]; (a == nil) != (len(all) == 0) || a != nil && a.Marker != all[0].marker {
			w.t.Fatalf("the current version of %s: %v", name, a)
		}
	}
	q := &wirepb.Listing{Bucket: bucket, Versions: true, Limit: 2}
	for {
		a := w.list(u, q)
		for _, o := range a.Objects {
			got = append(got, fmt.Sprintf("%s %x null %v marker %v latest %v", o.Key, o.Version, o.Null, o.Marker, o.Latest))
			q.After, q.AfterVersion = o.Key, o.Version
		}
		if !a.Truncated {
			break
		}
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("versions\n%q, want\n%q", got, want)
	}
	if b := w.bucketOf(u, bucket); b.Objects != current || b.Versions != older {
		w.t.Fatalf("%d objects and %d older versions, want %d and %d", b.Objects, b.Versions, current, older)
	}
}

// A locked version is removed by nobody before its time, but by who may bypass governance; a hold holds until it is lifted.
func TestLocks(t *testing.T) {
	w, ann, u := newShop(t, 3)
	w.refused(mesh.Conflict, u.change("photos", func(b *wirepb.Bucket) { b.Locking = true }))
	e := u.inline("photos", "early", "x")
	e.Lock = &wirepb.Lock{Mode: index.Governance, UntilMs: w.now + 1000_000}
	w.refused(mesh.Conflict, u.put(e))
	w.ok(u.change("photos", func(b *wirepb.Bucket) { b.Locking, b.Versioning = true, index.Versioned }))
	w.refused(mesh.Conflict, u.change("photos", func(b *wirepb.Bucket) { b.Versioning = index.Suspended }))
	plain := w.chain(ann, "plain", func(l *wirepb.Link) { l.Operations = uint32(grant.All &^ grant.Bypass) })
	w.ok(plain.open())

	hour := time.Hour.Milliseconds()
	locked := func(name string, l *wirepb.Lock) []byte {
		e := u.inline("photos", name, "x")
		e.Version, e.Lock = w.id(), l
		w.ok(u.put(e))
		return e.Version
	}
	retain := func(who user, name string, v []byte, mode uint32, until int64, bypass bool) []byte {
		return who.amend("photos", name, v, func(a *wirepb.Amendment) {
			a.SetRetention, a.Lock, a.Bypass = true, &wirepb.Lock{Mode: mode, UntilMs: until}, bypass
		})
	}
	gov := locked("gov", &wirepb.Lock{Mode: index.Governance, UntilMs: w.now + hour})
	com := locked("com", &wirepb.Lock{Mode: index.Compliance, UntilMs: w.now + hour})
	held := locked("held", &wirepb.Lock{Hold: true})

	w.ok(u.remove("photos", "gov")) // a marker hides it and removes nothing
	for _, c := range []struct {
		who    user
		name   string
		v      []byte
		bypass bool
	}{{u, "gov", gov, false}, {plain, "gov", gov, true}, {u, "com", com, true}, {u, "held", held, true}} {
		w.refused(mesh.Denied, c.who.purge("photos", c.name, c.v, c.bypass))
	}
	w.refused(mesh.Denied, retain(u, "com", com, index.Compliance, w.now+hour/2, true))
	w.refused(mesh.Denied, retain(u, "com", com, index.Governance, w.now+2*hour, true))
	w.refused(mesh.Denied, retain(u, "gov", gov, index.NoLock, 0, false))
	w.refused(mesh.Denied, retain(plain, "gov", gov, index.NoLock, 0, true))
	w.ok(retain(u, "com", com, index.Compliance, w.now+2*hour, false)) // longer is always allowed
	w.ok(retain(u, "gov", gov, index.Compliance, w.now+hour, false))   // and stricter
	w.refused(mesh.Denied, u.purge("photos", "gov", gov, true))
	w.pass(90 * time.Minute)
	w.ok(u.purge("photos", "gov", gov, false))
	w.refused(mesh.Denied, u.purge("photos", "com", com, true))
	w.refused(mesh.Denied, u.purge("photos", "held", held, false))
	w.ok(u.amend("photos", "held", held, func(a *wirepb.Amendment) { a.SetHold, a.Lock = true, &wirepb.Lock{} }))
	w.ok(u.purge("photos", "held", held, false))
	w.check()
}

// Parts come in any order and from any session of the account; the entry names what it is made of; what it does not name is
// let go, and what was replaced too.
func TestMultipart(t *testing.T) {
	w, ann, u := newShop(t, 3)
	b := w.session(w.person("bob", oz), "bob")
	second := w.chain(ann, "second", nil)
	w.ok(second.open())
	w.refused(mesh.NotFound, u.part("up", 1, u.inline("photos", "film", "x")))
	w.ok(u.upload("up", "photos", "film", index.BeginUpload))
	w.refused(mesh.Conflict, u.upload("up", "photos", "film", index.BeginUpload))
	w.refused(mesh.Denied, b.part("up", 1, b.inline("photos", "film", "x")))
	w.refused(mesh.NotFound, u.part("up", 1, u.inline("photos", "other", "x")))
	w.refused(mesh.Invalid, u.part("up", 0, u.inline("photos", "film", "x")))
	w.ok(u.part("up", 7, u.object("photos", "film", u.segment("seven", 5000))))
	w.ok(second.part("up", 2, second.object("photos", "film", second.segment("two", 5000))))
	w.ok(u.part("up", 9, u.object("photos", "film", u.segment("nine", 5000))))
	stale := u.whole("up", "photos", "film")
	w.ok(u.part("up", 2, u.inline("photos", "film", "two again")))
	w.check()
	if g := w.group(); g.Segments != 2 { // the replaced one is gone
		t.Errorf("%d segments", g.Segments)
	}
	w.refused(mesh.Conflict, u.put(stale)) // it names a part that was replaced
	e := u.whole("up", "photos", "film")
	e.Parts, e.Size = e.Parts[:2], e.Parts[0].Size+e.Parts[1].Size // without 9
	w.refused(mesh.Invalid, u.put(e))                              // its root is another
	root := index.NewPartsRoot(e.Size)
	for _, r := range e.Parts {
		p, err := partAt(&view{db: w.m.db}, e.Upload, r.Number)
		if err != nil {
			t.Fatal(err)
		}
		root.Add(p.Entry.ContentRoot)
	}
	e.ContentRoot = root.Sum()
	backwards := slices.Clone(e.Parts)
	slices.Reverse(backwards)
	e.Parts, backwards = backwards, e.Parts
	w.refused(mesh.Invalid, u.put(e))
	e.Parts = backwards
	w.ok(u.put(e))
	w.check()
	if g, n := w.group(), w.bucketOf(u, "photos"); g.Segments != 1 || n.Objects != 1 || n.Bytes != e.Size {
		t.Errorf("%d segments, %v", g.Segments, n)
	}
	w.refused(mesh.NotFound, u.complete("up", "photos", "film"))
	w.refused(mesh.Conflict, u.upload("up", "photos", "film", index.BeginUpload)) // its parts lie under that id
	parts := new(wirepb.PartsAnswer)
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Parts{Parts: &wirepb.PartsPage{Bucket: "photos", Key: "film", Version: e.Version, Limit: 10}}}, parts); err != nil || len(parts.Parts) != 2 || parts.Parts[0].Number != 2 || len(parts.Parts[1].Segments) != 1 {
		t.Errorf("parts: %v, %v", parts, err)
	}
	w.ok(u.delete("photos", "film"))
	w.leave()
	if w.count(partKey) != 0 || w.group().Segments != 0 {
		t.Error("parts of a removed object stay")
	}
}

// An upload that is aborted, or forgotten for a week, leaves nothing; nor does one whose bucket was removed.
func TestMultipartEnds(t *testing.T) {
	w, _, u := newShop(t, 3)
	begin := func(label, bucket string) {
		w.ok(u.upload(label, bucket, "film", index.BeginUpload))
		w.ok(u.part(label, 1, u.object(bucket, "film", u.segment(label, 5000))))
	}
	begin("aborted", "photos")
	begin("forgotten", "photos")
	listed := func() int {
		a := new(wirepb.UploadsAnswer)
		if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Uploads{Uploads: &wirepb.UploadsPage{Bucket: "photos", Limit: 10}}}, a); err != nil {
			t.Fatal(err)
		}
		return len(a.Uploads)
	}
	if listed() != 2 {
		t.Errorf("%d uploads are open", listed())
	}
	w.refused(mesh.NotFound, u.upload("aborted", "photos", "other", index.AbortUpload))
	w.ok(u.upload("aborted", "photos", "film", index.AbortUpload))
	w.refused(mesh.NotFound, u.part("aborted", 2, u.inline("photos", "film", "x")))
	w.block()
	w.check()
	if g := w.group(); listed() != 1 || g.Segments != 1 {
		t.Errorf("%d uploads, %d segments after an abort", listed(), g.Segments)
	}
	w.pass(6 * 24 * time.Hour)
	w.ok(u.open())
	w.ok(u.part("forgotten", 2, u.inline("photos", "film", "it lives")))
	w.pass(6 * 24 * time.Hour)
	if listed() != 1 {
		t.Error("an upload that got a part six days ago is gone")
	}
	w.pass(2 * 24 * time.Hour)
	w.block()
	w.check()
	if g := w.group(); listed() != 0 || g.Segments != 0 || w.count(partKey) != 0 {
		t.Errorf("%d uploads, %d segments after a week", listed(), g.Segments)
	}
	w.ok(u.open())
	begin("orphan", "photos")
	w.ok(u.bucket("photos", index.DeleteBucket, false))
	w.ok(u.bucket("photos", index.CreateBucket, false))
	if listed() != 0 {
		t.Error("a new bucket has uploads of an old one of its name")
	}
	w.refused(mesh.NotFound, u.part("orphan", 2, u.inline("photos", "film", "x")))
	w.check()
}

// What is replaced can still be read by its version until it has left.
func TestLeaving(t *testing.T) {
	w, _, u := newShop(t, 3)
	s := u.segment("first", 5000)
	e := u.object("photos", "a", s)
	w.ok(u.put(e))
	w.ok(u.put(u.inline("photos", "a", "second")))
	plan := &wirepb.ReadPlan{Bucket: "photos", Key: "a", Segment: extentOf(s, 0, 1).Segment}
	refers := func() bool {
		r := w.m.Reader()
		defer r.Close()
		ok, err := r.Refers(plan)
		if err != nil && mesh.KindOf(err) != mesh.NotFound {
			t.Fatal(err)
		}
		return ok
	}
	if refers() {
		t.Error("the current version refers to what the one before did")
	}
	plan.Version = e.Version
	if a := w.objectAt(u, "photos", "a", e.Version); !refers() || a == nil || a.Latest {
		t.Error("a replaced version cannot be read")
	}
	w.leave()
	if refers() || w.objectAt(u, "photos", "a", e.Version) != nil {
		t.Error("a version that left can be read")
	}
}

// A purge of what is older does not touch what became the current version meanwhile.
func TestPurgeOlder(t *testing.T) {
	w, _, u := newShop(t, 3)
	w.ok(u.change("photos", func(b *wirepb.Bucket) { b.Versioning = index.Versioned }))
	older := func(version []byte) []byte {
		return tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: "photos", Key: "a", AtMs: w.now, Id: w.id(), Version: version, Purge: true, Older: true})
	}
	one, two := u.inline("photos", "a", "1"), u.inline("photos", "a", "2")
	w.ok(u.put(one))
	w.refused(mesh.Conflict, older(one.Version))
	marker := w.id()
	w.ok(tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: "photos", Key: "a", AtMs: w.now, Id: marker}))
	w.ok(u.purge("photos", "a", marker, false)) // undeleted
	w.refused(mesh.Conflict, older(one.Version))
	w.ok(u.put(two))
	w.ok(older(one.Version))
	w.refused(mesh.Conflict, older(two.Version))
	w.refused(mesh.Invalid, tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: "photos", Key: "a", AtMs: w.now, Id: w.id(), Older: true}))
	w.check()
}

// A message that says when it is over is refused from then on, so that its writer knows what became of it.
func TestNotAfter(t *testing.T) {
	w, _, u := newShop(t, 3)
	e := u.inline("photos", "a", "x")
	e.NotAfterMs = w.now + 5000
	late := u.inline("photos", "b", "x")
	late.NotAfterMs = w.now + 5000
	w.ok(u.put(e))
	w.now += 10_000
	w.refused(mesh.Conflict, u.put(late))
}

// A bucket's sections are kept, replaced and removed one by one, and are told to its owner.
func TestSections(t *testing.T) {
	w, _, u := newShop(t, 3)
	b := w.session(w.person("bob", oz), "bob")
	section := func(who user, kind uint32) (string, error) {
		c := new(wirepb.Section)
		err := w.ask(who.pub(), &wirepb.Question{Question: &wirepb.Question_Section{Section: &wirepb.SectionName{Bucket: "photos", Kind: kind}}}, c)
		return string(c.Body), err
	}
	set := func(kind uint32, body string) []byte {
		return u.change("photos", func(b *wirepb.Bucket) { b.Sections = []*wirepb.Section{{Kind: kind, Body: []byte(body)}} })
	}
	w.ok(set(2, "policy"))
	w.ok(set(1, "acl"))
	w.ok(set(2, "another"))
	for kind, want := range map[uint32]string{1: "acl", 2: "another", 3: ""} {
		if got, err := section(u, kind); got != want || err != nil {
			t.Errorf("section %d is %q, %v", kind, got, err)
		}
	}
	if n := len(w.bucketOf(u, "photos").Sections); n != 2 {
		t.Errorf("%d sections", n)
	}
	if _, err := section(b, 1); mesh.KindOf(err) != mesh.Denied || err == nil {
		t.Errorf("bob reads ann's configuration: %v", err)
	}
	w.ok(set(1, ""))
	w.check()
	if got, _ := section(u, 1); got != "" {
		t.Errorf("a removed section is %q", got)
	}
	w.ok(u.bucket("photos", index.DeleteBucket, false))
	if w.count(sectionKey) != 0 {
		t.Error("sections of a removed bucket stay")
	}
}
