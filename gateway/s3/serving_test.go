package s3

import (
	"context"
	"log/slog"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

// A directory is a Directory in memory.
type directory struct {
	book
	buckets map[string]*client.Bucket
	asked   int
}

func (d *directory) Bucket(_ context.Context, name string) (*client.Bucket, error) {
	d.asked++
	if b, ok := d.buckets[name]; ok {
		return b, nil
	}
	return nil, mesh.Errorf(mesh.NotFound, "there is no bucket %q", name)
}

func (d *directory) Served(context.Context) ([]client.ServedBucket, error) { return nil, nil }

// Under whose key a request acts: the owner's own, another's by the key that serves the bucket, nobody's only where the front has
// found that everybody may.
func TestUnderWhoseKey(t *testing.T) {
	alice, bob := access(t, 1), access(t, 2)
	d := &directory{book: book{keys: map[string]*Key{}}, buckets: map[string]*client.Bucket{
		"served": {Name: "served", Owner: alice.Account(), Serving: "ALICE2"}, "own": {Name: "own", Owner: alice.Account()},
		"stolen": {Name: "stolen", Owner: alice.Account(), Serving: "BOB"}, "withdrawn": {Name: "withdrawn", Owner: alice.Account(), Serving: "GONE"},
	}}
	d.add("ALICE", alice)
	d.add("ALICE2", alice)
	d.add("BOB", bob)
	b, err := NewBackend(d, slog.New(slog.DiscardHandler), BackendOptions{Authorities: []group.Member{{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	request := func(id string, public bool) context.Context {
		rc := new(fasthttp.RequestCtx)
		if id != "" {
			rc.SetUserValue("account", auth.Account{Access: d.keys[id].Access.Account().String(), SessionToken: id})
		}
		if public {
			rc.SetUserValue(string(utils.ContextKeyPublicBucket), true)
		}
		return rc
	}
	denied := s3err.GetAPIError(s3err.ErrAccessDenied)
	for _, c := range []struct {
		id     string
		public bool
		bucket string
		under  string // "" denied
	}{
		{"ALICE", false, "served", "ALICE"}, {"ALICE", false, "own", "ALICE"}, {"ALICE", false, "", "ALICE"}, {"ALICE", false, "nowhere", "ALICE"}, {"ALICE", false, "stolen", "ALICE"},
		{"BOB", false, "served", "ALICE2"}, {"BOB", false, "own", "BOB"}, {"BOB", false, "stolen", "BOB"}, {"BOB", false, "withdrawn", "BOB"},
		{"", true, "served", "ALICE2"}, {"", false, "served", ""}, {"", true, "own", ""}, {"", true, "stolen", ""}, {"", true, "withdrawn", ""}, {"", false, "", ""},
	} {
		o, err := b.begin(request(c.id, c.public), c.bucket)
		switch {
		case err != nil:
			if c.under != "" || err != denied {
				t.Errorf("%q, public %v, on %q: %v", c.id, c.public, c.bucket, err)
			}
			continue
		case o.session.id != c.under:
			t.Errorf("%q, public %v, on %q acts under %s, want %s", c.id, c.public, c.bucket, o.session.id, c.under)
		}
		if c.id != "" && c.id != c.under {
			if err := o.configure("configuring", c.bucket, client.BucketChange{}); err != errNotOwner {
				t.Errorf("%q configures %q: %v", c.id, c.bucket, err)
			}
			if err := b.DeleteBucket(request(c.id, c.public), c.bucket); err != errNotOwner {
				t.Errorf("%q removes %q: %v", c.id, c.bucket, err)
			}
		}
		o.end()
	}
	// What the front reads in order to decide, it may read before.
	if o, err := b.act(request("", false), "served"); err != nil || o.session.id != "ALICE2" {
		t.Errorf("the front cannot ask: %v", err)
	} else {
		o.end()
	}
	// The key is withdrawn: nobody is served any more, once what was believed is old.
	d.revoke("ALICE2")
	b.facts.Purge()
	if _, err := b.begin(request("", true), "served"); err != denied {
		t.Errorf("a withdrawn key serves: %v", err)
	}
	if _, err := b.Visit(t.Context(), "served", Visitor{}); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("a withdrawn key serves pages: %v", err)
	}
	// Whose a bucket is, is asked once in a while.
	before := d.asked
	for range 5 {
		if o, err := b.begin(request("ALICE", false), "own"); err == nil {
			o.end()
		}
	}
	if d.asked > before+1 {
		t.Errorf("asked %d times whose a bucket is", d.asked-before)
	}
	b.mu.Lock()
	for _, s := range b.sessions.Values() {
		if s.users != 0 {
			t.Errorf("session %s has %d users left", s.id, s.users)
		}
	}
	b.mu.Unlock()
}
