package http

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// A shelf is a bucket in memory. hidden keys exist and are not for everybody.
type shelf struct {
	objects map[string]*s3.Found
	bodies  map[string]string
	hidden  []string // beginnings
	listed  bool
	website *s3response.WebsiteConfiguration
	cors    *auth.CORSConfiguration
	fail    error // of Object
	cut     bool  // bodies break off in the middle
	gone    error // why bodies do not even begin
	stuck   bool  // nobody answers
	app     []byte
}

func newShelf() *shelf {
	return &shelf{objects: map[string]*s3.Found{}, bodies: map[string]string{}, listed: true}
}

func (b *shelf) put(key, kind, body string) *s3.Found {
	f := &s3.Found{Object: &client.Object{Path: mesh.Path{Bucket: "films", Key: key}, Size: uint64(len(body)), ContentType: kind, Modified: time.Unix(1_700_000_000, 0)},
		ETag: fmt.Sprintf("%q", fmt.Sprintf("e%d", len(key)+len(body))), Headers: map[string]string{}}
	b.objects[key], b.bodies[key] = f, body
	return f
}

// A store is a Store and Links in memory.
type store struct {
	buckets map[string]*shelf
	keys    map[string]*client.AccessKey
	open    atomic.Int64 // visits
	read    atomic.Int64 // bytes asked of objects
}

func (s *store) Visit(ctx context.Context, bucket string, _ s3.Visitor) (s3.Visit, error) {
	b, ok := s.buckets[bucket]
	if !ok {
		return nil, mesh.Errorf(mesh.NotFound, "no bucket %q", bucket)
	}
	if b.stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.open.Add(1)
	return &memVisit{s: s, b: b, bucket: bucket}, nil
}

func (s *store) Share(_ context.Context, _ string, a *client.Access) (s3.Visit, error) {
	bucket, _, _ := strings.Cut(a.Rights().Prefix, "/")
	s.open.Add(1)
	r := a.Rights()
	return &memVisit{s: s, b: s.buckets[bucket], bucket: bucket, rights: &r}, nil
}

func (s *store) Open(_ context.Context, name string) (*client.AccessKey, error) {
	if k, ok := s.keys[name]; ok {
		return k, nil
	}
	return nil, mesh.Errorf(mesh.NotFound, "no key %q", name)
}

type memVisit struct {
	s      *store
	b      *shelf
	bucket string
	rights *grant.Rights // of a share
	all    bool          // the key that serves it visits
}

func (v *memVisit) MayRead(key string) bool {
	if v.rights != nil {
		return v.rights.Allow(grant.Read, v.bucket, key, time.Now().UnixMilli()) == nil
	}
	return v.all || !slices.ContainsFunc(v.b.hidden, func(p string) bool { return strings.HasPrefix(key, p) })
}

func (v *memVisit) MayList(prefix string) bool {
	if v.rights != nil {
		return v.rights.Allow(grant.List, v.bucket, prefix, time.Now().UnixMilli()) == nil
	}
	return v.b.listed
}

func (v *memVisit) Website() (*s3response.WebsiteConfiguration, error) { return v.b.website, nil }
func (v *memVisit) CORS() (*auth.CORSConfiguration, error)             { return v.b.cors, nil }
func (v *memVisit) Close()                                             { v.s.open.Add(-1) }

func (v *memVisit) Section(uint32) ([]byte, [32]byte, error) {
	return v.b.app, sha256.Sum256(v.b.app), nil
}

func (v *memVisit) Served() (s3.Visit, *client.Client) {
	served := *v
	served.all = true
	return &served, nil
}

func (v *memVisit) Object(key, _ string) (*s3.Found, error) {
	if v.b.fail != nil {
		return nil, v.b.fail
	}
	if f, ok := v.b.objects[key]; ok {
		return f, nil
	}
	return nil, mesh.Errorf(mesh.NotFound, "no object %q", key)
}

func (v *memVisit) Open(f *s3.Found, offset, length uint64) (io.ReadCloser, error) {
	body := v.b.bodies[f.Path.Key][offset : offset+length]
	v.s.read.Add(int64(len(body)))
	if v.b.gone != nil {
		return io.NopCloser(broken{v.b.gone}), nil
	}
	if v.b.cut {
		return io.NopCloser(io.MultiReader(strings.NewReader(body[:len(body)/2]), broken{mesh.Errorf(mesh.Unavailable, "the nodes are gone")})), nil
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

func (v *memVisit) List(prefix, after string) (names []client.Listed, next string, err error) {
	seen := map[string]bool{}
	for key, f := range v.b.objects {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		n := client.Listed{Key: key, Size: f.Size, Modified: f.Modified}
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			n = client.Listed{Key: prefix + rest[:i+1], Folder: true}
		}
		if n.Key > after && !seen[n.Key] {
			seen[n.Key] = true
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b client.Listed) int { return strings.Compare(a.Key, b.Key) })
	if len(names) > 3 {
		names, next = names[:3], names[2].Key
	}
	return names, next, nil
}
