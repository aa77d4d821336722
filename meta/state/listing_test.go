package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func (w *world) list(u user, q *wirepb.Listing) *wirepb.ListingAnswer {
	w.t.Helper()
	a := new(wirepb.ListingAnswer)
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Listing{Listing: q}}, a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// modelled is the listing as it is defined: every key with the prefix, those with a delimiter after it rolled up into one
// name, in order.
func modelled(keys []string, prefix, delimiter string) (all []string) {
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, "/"); delimiter != "" && i >= 0 {
			k = prefix + rest[:i+1]
			if slices.Contains(all, "D "+k) {
				continue
			}
			k = "D " + k
		} else {
			k = "O " + k
		}
		all = append(all, k)
	}
	return all
}

func names(a *wirepb.ListingAnswer) (all []string) {
	for _, o := range a.Objects {
		all = append(all, "O "+o.Key)
	}
	for _, p := range a.Prefixes {
		all = append(all, "D "+p)
	}
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return all
}

// Page by page, each beginning after the last name of the one before, a listing gives every name once.
func TestListingAgainstModel(t *testing.T) {
	w, _, u := newShop(t, 3)
	round := 0
	name := rapid.OneOf(rapid.StringMatching(`[ab/0é]{1,5}`), rapid.StringMatching(`(a|b|)/[ab/]?`))
	rapid.Check(t, func(rt *rapid.T) {
		round++
		bucket := fmt.Sprint("bucket-", round)
		w.ok(u.bucket(bucket, 1, false))
		var keys []string
		for range rapid.IntRange(0, 12).Draw(rt, "writes") {
			k := name.Draw(rt, "key")
			i, found := slices.BinarySearch(keys, k)
			if found && rapid.Bool().Draw(rt, "delete") {
				w.ok(u.delete(bucket, k))
				keys = slices.Delete(keys, i, i+1)
			} else if !found {
				w.ok(u.put(u.inline(bucket, k, "x")))
				keys = slices.Insert(keys, i, k)
			}
		}
		prefix := rapid.OneOf(rapid.SampledFrom([]string{"", "a/", "/", "b/"}), name, rapid.SampledFrom(append([]string{"a"}, keys...))).Draw(rt, "prefix")
		delimiter := rapid.SampledFrom([]string{"", "/"}).Draw(rt, "delimiter")
		limit := rapid.IntRange(1, 5).Draw(rt, "limit")
		want := modelled(keys, prefix, delimiter)
		var got []string
		after, folder := "", false
		for {
			a := w.list(u, &wirepb.Listing{Bucket: bucket, Prefix: prefix, Delimiter: delimiter, After: after, AfterPrefix: folder, Limit: uint32(limit)})
			page := names(a)
			if len(page) > limit || a.Truncated && len(page) == 0 {
				rt.Fatalf("a page of %d, truncated %v", len(page), a.Truncated)
			}
			got = append(got, page...)
			if a.Truncated != (len(got) < len(want)) {
				rt.Fatalf("of %q with prefix %q: truncated %v after %q, want %q", keys, prefix, a.Truncated, got, want)
			}
			if !a.Truncated {
				break
			}
			after, folder = page[len(page)-1][2:], page[len(page)-1][0] == 'D'
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("of %q with prefix %q, delimiter %q, %d a page: got %q, want %q", keys, prefix, delimiter, limit, got, want)
		}
		if !strings.ContainsRune(prefix, '/') { // after any name, there or not
			from := name.Draw(rt, "after")
			a := w.list(u, &wirepb.Listing{Bucket: bucket, Prefix: prefix, After: from, Limit: 1000})
			rest := modelled(keys[upper(keys, from):], prefix, "")
			if !slices.Equal(names(a), rest) {
				rt.Fatalf("after %q: got %q, want %q", from, names(a), rest)
			}
		}
	})
	w.check()
}

func upper(keys []string, k string) int {
	i, found := slices.BinarySearch(keys, k)
	if found {
		i++
	}
	return i
}

func TestListingRefusals(t *testing.T) {
	w, ann, u := newShop(t, 3)
	in := w.chain(ann, "in", func(l *wirepb.Link) { l.Prefix, l.Operations = "photos/in/", uint32(grant.List) })
	w.ok(in.open())
	b := w.session(w.person("bob", oz), "bob")
	ask := func(u user, q *wirepb.Listing) error {
		q.Bucket = "photos"
		return w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Listing{Listing: q}}, nil)
	}
	for _, c := range []struct {
		u    user
		q    *wirepb.Listing
		kind mesh.Kind
		ok   bool
	}{
		{u, &wirepb.Listing{Limit: 1000}, 0, true},
		{u, &wirepb.Listing{}, mesh.Invalid, false},
		{u, &wirepb.Listing{Limit: 1001}, mesh.Invalid, false},
		{u, &wirepb.Listing{Limit: 1, Delimiter: "-"}, 0, true},
		{u, &wirepb.Listing{Limit: 1, Delimiter: strings.Repeat("-", 65)}, mesh.Invalid, false},
		{u, &wirepb.Listing{Limit: 1, AfterVersion: []byte{1}}, mesh.Invalid, false},
		{u, &wirepb.Listing{Limit: 1, Prefix: strings.Repeat("x", 1025)}, mesh.Invalid, false},
		{in, &wirepb.Listing{Limit: 1, Prefix: "in/"}, 0, true},
		{in, &wirepb.Listing{Limit: 1, Prefix: "in"}, mesh.Denied, false},
		{in, &wirepb.Listing{Limit: 1}, mesh.Denied, false},
		{b, &wirepb.Listing{Limit: 1}, mesh.Denied, false},
	} {
		if err := ask(c.u, c.q); (err == nil) != c.ok || !c.ok && mesh.KindOf(err) != c.kind {
			t.Errorf("%v: %v", c.q, err)
		}
	}
}

// What is not public is answered to those who may see it, and to nobody else.
func TestWhoMayRead(t *testing.T) {
	w, ann, u := newShop(t, 3)
	w.ok(u.bucket("public", 1, true))
	e := u.inline("public", "a", "x")
	e.WrappedKey, e.Inline = nil, []byte("x")
	e.ContentRoot = index.NewContentRoot(1, 0, e.Inline).Sum()
	w.ok(u.put(e))
	w.ok(u.put(u.inline("photos", "a", "x")))
	b := w.session(w.person("bob", oz), "bob")
	writer := w.chain(ann, "writer", func(l *wirepb.Link) { l.Operations = uint32(grant.Write) })
	w.ok(writer.open())
	nobody := mesh.PublicKeyOf(newKey("nobody"))
	object := func(bucket string) *wirepb.Question {
		return &wirepb.Question{Question: &wirepb.Question_Object{Object: &wirepb.ObjectName{Bucket: bucket, Key: "a"}}}
	}
	for _, c := range []struct {
		who    string
		asker  mesh.PublicKey
		bucket string
		ok     bool
	}{
		{"owner", u.pub(), "photos", true}, {"another", b.pub(), "photos", false}, {"a writer", writer.pub(), "photos", false}, {"nobody", nobody, "photos", false},
		{"owner", u.pub(), "public", true}, {"another", b.pub(), "public", true}, {"nobody", nobody, "public", true},
	} {
		if err := w.ask(c.asker, object(c.bucket), nil); (err == nil) != c.ok || err != nil && mesh.KindOf(err) != mesh.Denied {
			t.Errorf("%s reads from %s: %v", c.who, c.bucket, err)
		}
	}
	for i, q := range []*wirepb.Question{{}, {Question: &wirepb.Question_Object{}}, {Question: &wirepb.Question_Segment{Segment: []byte{1}}}, {Question: &wirepb.Question_Page{}}, {Question: &wirepb.Question_Listing{}}, {Question: &wirepb.Question_KeepList{KeepList: &wirepb.KeepListPage{Node: []byte{1}, Limit: 1}}}} {
		if err := w.ask(u.pub(), q, nil); err == nil || mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("question %d: %v", i, err)
		}
	}
	for i, q := range []*wirepb.Question{{Question: &wirepb.Question_Account{Account: []byte{1}}}, {Question: &wirepb.Question_Node{Node: []byte{1}}}, {Question: &wirepb.Question_Lease{Lease: nil}}, {Question: &wirepb.Question_Upload{Upload: []byte{1}}}} {
		if err := w.ask(u.pub(), q, nil); err != nil {
			t.Errorf("question %d about nothing: %v", i, err)
		}
	}
	w.pass(1001 * time.Hour)
	if err := w.ask(u.pub(), object("photos"), nil); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("an expired session reads: %v", err)
	}
}
