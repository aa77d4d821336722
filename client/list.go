package client

import (
	"context"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Listed is a name in a listing: an object, a version, or a folder when Folder is set.
type Listed struct {
	Key      string // of the object, or the common prefix of a folder
	Folder   bool
	Size     uint64
	Modified time.Time
	Version  mesh.VersionID
	Null     bool
	Latest   bool
	Marker   bool
	Summary  []byte // see PutOptions; nil when this access does not open it
}

// A ListQuery asks for a page of names that begin with Prefix.
type ListQuery struct {
	Bucket, Prefix string
	Delimiter      string // what lies below a further one is told as one folder
	After          string // begin behind this key, or in it with AfterVersion, or behind all that begins with it with AfterFolder
	AfterFolder    bool
	AfterVersion   *mesh.VersionID
	Versions       bool // all versions and markers, the newest of a key first
	Limit          int  // at most 1000
}

// A ListPage is a page of a listing, in order. When there is more, Next asks for it.
type ListPage struct {
	Names []Listed
	Next  *ListQuery
}

// ListPage returns a page of a listing.
func (c *Client) ListPage(ctx context.Context, q ListQuery) (*ListPage, error) {
	m := &wirepb.Listing{Bucket: q.Bucket, Prefix: q.Prefix, After: q.After, AfterPrefix: q.AfterFolder, Delimiter: q.Delimiter, Limit: uint32(q.Limit), Versions: q.Versions}
	if q.AfterVersion != nil {
		m.AfterVersion = q.AfterVersion[:]
	}
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Listing{Listing: m}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.ListingAnswer)
	if _, err := group.Decode(answers[0], a); err != nil {
		return nil, err
	}
	page := &ListPage{Names: make([]Listed, 0, len(a.Objects)+len(a.Prefixes))}
	objects, folders := a.Objects, a.Prefixes
	last := ""
	for len(objects)+len(folders) > 0 { // merge, both are sorted
		var l Listed
		if len(folders) == 0 || len(objects) > 0 && objects[0].Key < folders[0] {
			if l, err = c.listed(q.Bucket, objects[0]); err != nil {
				return nil, err
			}
			objects = objects[1:]
		} else {
			l = Listed{Key: folders[0], Folder: true}
			folders = folders[1:]
		}
		if l.Key < last || l.Key == last && !q.Versions && last != "" || !strings.HasPrefix(l.Key, q.Prefix) {
			return nil, mesh.Errorf(mesh.Corrupt, "a listing of %s%s goes backwards", mesh.Scheme, q.Bucket)
		}
		last = l.Key
		page.Names = append(page.Names, l)
	}
	if !a.Truncated {
		return page, nil
	}
	next := q
	next.AfterFolder, next.AfterVersion = false, nil
	switch n := len(page.Names); {
	case a.Next > max(last, q.After):
		next.After = a.Next
	case n == 0:
		return nil, mesh.Errorf(mesh.Corrupt, "a listing of %s%s stands still", mesh.Scheme, q.Bucket)
	default:
		l := page.Names[n-1]
		next.After, next.AfterFolder = l.Key, l.Folder
		if q.Versions && !l.Folder {
			next.AfterVersion = &l.Version
		}
	}
	page.Next = &next
	return page, nil
}

func (c *Client) listed(bucket string, o *wirepb.ListedObject) (Listed, error) {
	v, err := mesh.FromBytes[mesh.VersionID](o.Version)
	if err != nil {
		return Listed{}, err
	}
	l := Listed{Key: o.Key, Size: o.Size, Modified: time.UnixMilli(o.ModifiedMs), Version: v, Null: o.Null, Latest: o.Latest, Marker: o.Marker, Summary: o.SealedSummary}
	if len(o.SealedSummary) == 0 || len(o.WrappedKey) == 0 {
		return l, nil
	}
	l.Summary = nil
	folder, err := c.access.folder(seal.FolderOf(bucket, o.Key))
	if err != nil {
		return l, nil // names may be listed where contents may not be read
	}
	k, err := seal.Unwrap(folder, o.WrappedKey, v)
	if err != nil {
		return l, err
	}
	l.Summary, err = seal.OpenBox(k, seal.Summary, v, o.SealedSummary)
	return l, err
}

// List calls f with the objects whose keys begin with p.Key, by key. With a delimiter, what lies below a further one is
// told as one folder. It stops when f returns an error, and returns that.
func (c *Client) List(ctx context.Context, p mesh.Path, delimiter string, f func(Listed) error) error {
	for q := (&ListQuery{Bucket: p.Bucket, Prefix: p.Key, Delimiter: delimiter, Limit: 1000}); q != nil; {
		page, err := c.ListPage(ctx, *q)
		if err != nil {
			return err
		}
		for _, l := range page.Names {
			if err := f(l); err != nil {
				return err
			}
		}
		q = page.Next
	}
	return nil
}
