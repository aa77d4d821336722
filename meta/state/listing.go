package state

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxDelimiter bounds a listing's delimiter.
const maxDelimiter = 64

// A lister walks over the names of a bucket in order.
type lister struct {
	r      *Reader
	q      *wirepb.Listing
	answer *wirepb.ListingAnswer
	walked int
}

func (r *Reader) listing(q *wirepb.Listing) (proto.Message, error) {
	if q.Limit == 0 || q.Limit > MaxListing || len(q.Delimiter) > maxDelimiter || len(q.Prefix) > mesh.MaxKeyLen || len(q.After) > mesh.MaxKeyLen+maxDelimiter ||
		len(q.AfterVersion) != 0 && len(q.AfterVersion) != len(mesh.VersionID{}) {
		return nil, mesh.Errorf(mesh.Invalid, "a listing of %d names, at most %d, with a delimiter of %d bytes, at most %d", q.Limit, MaxListing, len(q.Delimiter), maxDelimiter)
	}
	l := &lister{r: r, q: q, answer: new(wirepb.ListingAnswer)}
	from, inclusive := q.Prefix, true
	if q.After >= q.Prefix && q.After != "" {
		from, inclusive = q.After, len(q.AfterVersion) != 0
	}
	if q.AfterPrefix && strings.HasPrefix(q.After, q.Prefix) {
		var more bool
		if from, more = afterName(q.After); !more {
			return l.answer, nil
		}
		inclusive = true
	}
	for {
		name, ok := l.next(from, inclusive)
		if !ok || !strings.HasPrefix(name, q.Prefix) {
			return l.answer, r.fault
		}
		if l.full() {
			l.answer.Truncated = true
			return l.answer, r.fault
		}
		if l.walked >= maxListed {
			l.answer.Truncated, l.answer.Next = true, from
			return l.answer, r.fault
		}
		if folder, ok := l.folder(name); ok {
			l.answer.Prefixes = append(l.answer.Prefixes, folder)
			if from, ok = afterName(folder); !ok {
				return l.answer, r.fault
			}
			inclusive = true
			continue
		}
		if done, err := l.list(name); err != nil || done {
			return l.answer, err
		}
		from, inclusive = name, false
	}
}

func (l *lister) full() bool { return len(l.answer.Objects)+len(l.answer.Prefixes) >= int(l.q.Limit) }

// folder returns the common prefix that a name is listed under, if any.
func (l *lister) folder(name string) (string, bool) {
	if l.q.Delimiter == "" {
		return "", false
	}
	i := strings.Index(name[len(l.q.Prefix):], l.q.Delimiter)
	if i < 0 {
		return "", false
	}
	return name[:len(l.q.Prefix)+i+len(l.q.Delimiter)], true
}

// afterName returns the first text past everything that begins with prefix.
func afterName(prefix string) (string, bool) {
	end := after([]byte(prefix))
	return string(end), end != nil
}

// next returns the first name from a text on, or past it: of a current version or, when versions are listed, of any.
func (l *lister) next(from string, inclusive bool) (name string, ok bool) {
	l.walked++
	base := objectKeyOf(l.q.Bucket, "")
	at := objectKeyOf(l.q.Bucket, from)
	if !inclusive {
		at = append(at, 0)
	}
	l.r.scan(at, after(base), func(k, _ []byte) bool { name, ok = string(k[len(base):]), true; return false })
	if !l.q.Versions {
		return name, ok
	}
	base = key(historyKey, []byte(l.q.Bucket), []byte{0})
	at = append(append([]byte(nil), base...), from...)
	if !inclusive {
		at = append(at, 1) // past the 0 that ends the name
	}
	l.r.scan(at, after(base), func(k, _ []byte) bool {
		older := string(k[len(base) : len(k)-historyPlace-1])
		if !ok || older < name {
			name, ok = older, true
		}
		return false
	})
	return name, ok
}

// list lists what there is of a name. It tells whether the listing ends with it.
func (l *lister) list(name string) (done bool, err error) {
	cur, err := objectAt(l.r, objectKeyOf(l.q.Bucket, name))
	if err != nil {
		return false, err
	}
	skipping := l.q.Versions && len(l.q.AfterVersion) != 0 && name == l.q.After
	add := func(d *dated, latest bool) bool {
		if skipping {
			skipping = string(d.version()) != string(l.q.AfterVersion)
			return true
		}
		if l.full() {
			l.answer.Truncated = true
			return false
		}
		l.answer.Objects = append(l.answer.Objects, listedOf(name, d, latest))
		return true
	}
	if cur != nil {
		add(cur, true)
	}
	if !l.q.Versions {
		return false, nil
	}
	first := cur == nil
	l.r.scanPrefix(historyPrefix(l.q.Bucket, name), func(k, v []byte) bool {
		o := new(statepb.Object)
		if !l.r.decode(k, v, o) {
			return false
		}
		var d *dated
		if d, err = openObject(o); err != nil {
			return false
		}
		l.walked++
		more := add(d, first)
		first = false
		return more
	})
	return l.answer.Truncated, err
}

func listedOf(name string, d *dated, latest bool) *wirepb.ListedObject {
	if d.Marker {
		return &wirepb.ListedObject{Key: name, ModifiedMs: d.deletion.AtMs, Version: d.deletion.Id, Null: d.Null, Marker: true, Latest: latest}
	}
	e := d.entry
	return &wirepb.ListedObject{Key: name, Size: e.Size, ModifiedMs: e.ModifiedMs, Version: e.Version, WrappedKey: e.WrappedKey, SealedSummary: e.SealedSummary, Null: d.Null, Latest: latest}
}

func (r *Reader) keepList(q *wirepb.KeepListPage) (proto.Message, error) {
	if len(q.Node) != len(mesh.NodeID{}) || q.Limit == 0 || q.Limit > MaxKeepList || len(q.After) != 0 && len(q.After) != len(mesh.SliceID{}) {
		return nil, mesh.Errorf(mesh.Invalid, "a keep-list's question is malformed")
	}
	prefix := key(keepKey, q.Node)
	from := prefix
	if len(q.After) != 0 {
		from = after(key(keepKey, q.Node, q.After))
	}
	a := new(wirepb.KeepListAnswer)
	if from == nil {
		return a, nil
	}
	last := ""
	r.scan(from, after(prefix), func(k, _ []byte) bool {
		slice := string(k[len(prefix) : len(prefix)+len(mesh.SliceID{})])
		if slice == last {
			return true
		}
		if a.Truncated = len(a.Slices) == int(q.Limit); a.Truncated {
			return false
		}
		last = slice
		a.Slices = append(a.Slices, []byte(slice))
		return true
	})
	return a, nil
}
