package state

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// check recounts everything that the machine counts: no ozone appears or vanishes, no reference dangles, and each
// number that it keeps is the number of what is there.
func (w *world) check() {
	w.t.Helper()
	v := &view{db: w.db}
	leased := map[string]uint64{}
	v.scanPrefix(key(leaseKey), func(k, b []byte) bool {
		l := new(statepb.Lease)
		v.decode(k, b, l)
		if l.Claimed > l.Amount {
			w.t.Fatalf("lease %x: %d claimed of %d", k[1:], l.Claimed, l.Amount)
		}
		leased[string(l.Account)] += l.Amount - l.Claimed
		var claims uint64
		v.scanPrefix(key(claimKey, k[1:]), func(k, b []byte) bool {
			c := new(statepb.Counter)
			v.decode(k, b, c)
			claims += c.Value
			return true
		})
		if claims != l.Claimed && claims != 0 {
			w.t.Fatalf("lease %x: nodes claimed %d, the lease says %d", k[1:], claims, l.Claimed)
		}
		return true
	})
	v.scanPrefix(key(databaseKey), func(k, b []byte) bool {
		d := new(statepb.Database)
		v.decode(k, b, d)
		if d.Counted > d.Allowance || d.Due+d.Paid > d.Counted || d.State == database.Dropped && v.there(key(dryKey, d.Owner, k[1:])) {
			w.t.Fatalf("database %x: %v", k[1:], d)
		}
		leased[string(d.Owner)] += d.Allowance - d.Counted + d.Due
		return true
	})
	v.scanPrefix(key(dryKey), func(k, _ []byte) bool {
		if d := new(statepb.Database); !v.get(key(databaseKey, k[21:]), d) || string(d.Owner) != string(k[1:21]) || d.Allowance-min(d.Allowance, d.Used) >= database.AllowanceNoz {
			w.t.Fatalf("database %x waits for ozone: %v", k[21:], d)
		}
		return true
	})
	w.checkJobs(v, leased)
	var debited, counted uint64
	v.scanPrefix(key(accountKey), func(k, b []byte) bool {
		a := new(statepb.Account)
		v.decode(k, b, a)
		id := string(k[1:])
		if a.Leased != leased[id] {
			w.t.Fatalf("account %x: %d leased, its leases hold %d", id, a.Leased, leased[id])
		}
		if a.Debited+a.Leased > a.Credited || available(a)+a.Leased+a.Debited != a.Credited {
			w.t.Fatalf("account %x: credited %d, available %d, leased %d, debited %d", id, a.Credited, available(a), a.Leased, a.Debited)
		}
		debited += a.Debited
		delete(leased, id)
		return true
	})
	if len(leased) != 0 {
		w.t.Fatalf("leases of accounts that do not exist: %v", leased)
	}
	for _, kind := range []byte{ledgerKey, feeKey} {
		v.scanPrefix(key(kind), func(k, b []byte) bool {
			c := new(statepb.Counter)
			v.decode(k, b, c)
			counted += c.Value
			return true
		})
	}
	v.scanPrefix(key(reportKey), func(k, b []byte) bool {
		r := new(statepb.Report)
		v.decode(k, b, r)
		h, err := report.DecodeHeader(r.Header)
		if err != nil {
			w.t.Fatal(err)
		}
		counted += uint64(h.Fees)
		for t := report.Table(0); t < report.Tables; t++ {
			if t.IsDebits() {
				counted += uint64(h.Tables[t].Noz)
			}
		}
		return true
	})
	if debited != counted {
		w.t.Fatalf("%d debited, ledgers and reports say %d", debited, counted)
	}
	w.checkIndex(v)
	if v.fault != nil {
		w.t.Fatal(v.fault)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (v *view) there(k []byte) bool { _, ok := v.bytes(k); return ok }

func (w *world) checkIndex(v *view) {
	w.t.Helper()
	references := map[string]uint64{}
	refer := func(extents []*wirepb.Extent) {
		for _, x := range extents {
			references[string(x.Segment)]++
		}
	}
	objects, sizes, versions, nulls, uploads, total := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]int{}, map[string]uint64{}, uint64(0)
	whole := func(e *wirepb.Entry) {
		for n := range e.Pages {
			if _, ok := v.bytes(key(pageKey, e.Upload, be32(n))); !ok {
				w.t.Fatalf("%s/%s lacks page %d", e.Bucket, e.Key, n)
			}
		}
		for _, r := range e.Parts {
			if p, err := partAt(v, e.Upload, r.Number); p == nil || err != nil || string(p.Entry.Version) != string(r.Version) {
				w.t.Fatalf("%s/%s lacks part %d", e.Bucket, e.Key, r.Number)
			}
		}
	}
	open := func(k, b []byte) *dated {
		o := new(statepb.Object)
		v.decode(k, b, o)
		d, err := openObject(o)
		if err != nil {
			w.t.Fatal(err)
		}
		return d
	}
	v.scanPrefix(key(objectKey), func(k, b []byte) bool {
		d := open(k, b)
		e := d.entry
		if d.Marker || string(k) != string(objectKeyOf(e.Bucket, e.Key)) {
			w.t.Fatalf("%s/%s lies at %q", e.GetBucket(), e.GetKey(), k)
		}
		refer(e.Extents)
		whole(e)
		objects[e.Bucket]++
		sizes[e.Bucket] += e.Size
		total++
		if d.Null {
			nulls[e.Bucket+"/"+e.Key]++
		}
		return true
	})
	places := map[string]bool{} // in the history, by the keys that find them
	v.scanPrefix(key(historyKey), func(k, b []byte) bool {
		d := open(k, b)
		bucket, name := "", ""
		if d.Marker {
			bucket, name = d.deletion.Bucket, d.deletion.Key
		} else {
			bucket, name = d.entry.Bucket, d.entry.Key
			refer(d.entry.Extents)
			whole(d.entry)
		}
		if string(k) != string(historyKeyOf(bucket, name, d.Object)) {
			w.t.Fatalf("an older version of %s/%s lies at %q", bucket, name, k)
		}
		versions[bucket]++
		at := string(k[len(k)-historyPlace:])
		places[string(versionKeyOf(bucket, name, d.version()))+at] = true
		if d.Null {
			nulls[bucket+"/"+name]++
			places[string(versionKeyOf(bucket, name, index.NullVersion[:]))+at] = true
		}
		if o := new(statepb.Object); v.get(objectKeyOf(bucket, name), o) && (o.Height < d.Height || o.Height == d.Height && o.Position < d.Position) {
			w.t.Fatalf("%s/%s has a current version that is older than another", bucket, name)
		}
		return true
	})
	for name, n := range nulls {
		if n > 1 {
			w.t.Fatalf("%s has %d null versions", name, n)
		}
	}
	v.scanPrefix(key(versionKey), func(k, b []byte) bool {
		if !places[string(k)+string(b)] {
			w.t.Fatalf("%q finds nothing", k)
		}
		delete(places, string(k)+string(b))
		return true
	})
	if len(places) != 0 {
		w.t.Fatalf("%d older versions cannot be found", len(places))
	}
	leaving := map[string]bool{}
	v.scanPrefix(key(leavingKey), func(k, b []byte) bool {
		refer(open(k, b).entry.Extents)
		leaving[string(k[1:])] = true
		return true
	})
	v.scanPrefix(key(leaveTimeKey), func(k, _ []byte) bool {
		if !leaving[string(k[9:])] {
			w.t.Fatalf("%q leaves and is not there", k)
		}
		delete(leaving, string(k[9:]))
		return true
	})
	if len(leaving) != 0 {
		w.t.Fatalf("%d versions never leave", len(leaving))
	}
	v.scanPrefix(key(partKey), func(k, b []byte) bool {
		r, p := new(statepb.Part), new(wirepb.Part)
		v.decode(k, b, r)
		if err := wire.Decode(r.Part.Body, MaxTx, p); err != nil {
			w.t.Fatal(err)
		}
		refer(p.Entry.Extents)
		return true
	})
	v.scanPrefix(key(uploadListed), func(k, _ []byte) bool {
		u := new(statepb.Upload)
		if !v.get(key(uploadKey, k[len(k)-16:]), u) || u.Begun == nil || string(uploadListKey(u, k[len(k)-16:])) != string(k) {
			w.t.Fatalf("%q lists no open upload", k)
		}
		if b := new(statepb.Bucket); v.get(key(bucketKey, []byte(u.Bucket)), b) && u.Height >= b.CreatedHeight {
			uploads[u.Bucket]++
		}
		return true
	})
	v.scanPrefix(key(pageKey), func(k, b []byte) bool {
		r, p := new(statepb.Page), new(wirepb.Page)
		v.decode(k, b, r)
		if err := wire.Decode(r.Page.Body, MaxTx, p); err != nil {
			w.t.Fatal(err)
		}
		refer(p.Extents)
		return true
	})
	segments, reduced, keep := uint64(0), uint64(0), map[string]bool{}
	v.scanPrefix(key(segmentKey), func(k, b []byte) bool {
		s := new(statepb.Segment)
		v.decode(k, b, s)
		id := string(k[1:])
		if s.References != references[id] || s.References == 0 {
			w.t.Fatalf("segment %x: %d references, objects and pages make %d", id, s.References, references[id])
		}
		delete(references, id)
		segments++
		_, marked := v.bytes(key(reducedKey, k[1:]))
		if marked != lacksPieces(s.Segment) {
			w.t.Fatalf("segment %x lacks pieces: %v, marked: %v", id, !marked, marked)
		}
		if marked {
			reduced++
		}
		for _, p := range s.Segment.Pieces {
			keep[string(key(keepKey, p.Node, p.Slice, k[1:]))] = true
		}
		return true
	})
	if len(references) != 0 {
		w.t.Fatalf("references to %d segments that do not exist", len(references))
	}
	v.scanPrefix(key(keepKey), func(k, _ []byte) bool {
		if !keep[string(k)] {
			w.t.Fatalf("%x is kept for nothing", k)
		}
		delete(keep, string(k))
		return true
	})
	if len(keep) != 0 {
		w.t.Fatalf("%d pieces are on no keep-list", len(keep))
	}
	v.scanPrefix(key(bucketKey), func(k, b []byte) bool {
		r, name := new(statepb.Bucket), string(k[1:])
		v.decode(k, b, r)
		if r.Objects != objects[name] || r.Bytes != sizes[name] {
			w.t.Fatalf("bucket %s: %d objects of %d bytes, counted %d of %d", name, r.Objects, r.Bytes, objects[name], sizes[name])
		}
		if r.Versions != versions[name] || r.Uploads != uploads[name] {
			w.t.Fatalf("bucket %s: %d older versions and %d uploads, counted %d and %d", name, r.Versions, r.Uploads, versions[name], uploads[name])
		}
		delete(objects, name)
		delete(versions, name)
		for _, c := range r.Sections {
			body, _ := v.bytes(sectionKeyOf(name, c.Kind))
			if h := sha256.Sum256(body); len(body) == 0 || string(h[:]) != string(c.Body) {
				w.t.Fatalf("bucket %s: section %d is not what its hash says", name, c.Kind)
			}
		}
		return true
	})
	if len(versions) != 0 {
		w.t.Fatalf("versions in buckets that do not exist: %v", versions)
	}
	if len(objects) != 0 {
		w.t.Fatalf("objects in buckets that do not exist: %v", objects)
	}
	if t := w.m.tip; t.Objects != total || t.Segments != segments || t.Reduced != reduced {
		w.t.Fatalf("the tip says %d objects, %d segments, %d reduced; counted %d, %d, %d", t.Objects, t.Segments, t.Reduced, total, segments, reduced)
	}
}
