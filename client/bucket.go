package client

import (
	"context"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Versioning of a bucket.
type Versioning uint32

// A bucket never had versioning, has it, or had it: then what is written replaces only what was written without.
const (
	NeverVersioned Versioning = index.NeverVersioned
	Versioned      Versioning = index.Versioned
	Suspended      Versioning = index.Suspended
)

// A Bucket is a bucket as every write that was acknowledged before has left it.
type Bucket struct {
	Name       string
	Owner      mesh.Account
	Public     bool
	Created    time.Time
	Objects    uint64
	Bytes      uint64 // of the content of current versions
	Versions   uint64 // older ones, and markers
	Versioning Versioning
	Locking    bool
	Sections   map[uint32][32]byte // SHA-256 of each part of its configuration, by kind; see Client.Section
	Serving    string              // access key under which gateways serve those who show none of the owner's; "" none
}

func bucketOf(b *wirepb.BucketAnswer) (*Bucket, error) {
	owner, err := mesh.FromBytes[mesh.Account](b.Owner)
	if err != nil {
		return nil, err
	}
	out := &Bucket{b.Name, owner, b.Public, time.UnixMilli(b.CreatedMs), b.Objects, b.Bytes, b.Versions, Versioning(b.Versioning), b.Locking, map[uint32][32]byte{}, b.Serving}
	for _, s := range b.Sections {
		if out.Sections[s.Kind], err = mesh.FromBytes[[32]byte](s.Body); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Bucket returns a bucket; NotFound when there is none.
func (c *Client) Bucket(ctx context.Context, name string) (*Bucket, error) {
	if err := mesh.CheckBucket(name); err != nil {
		return nil, err
	}
	answers, err := c.ask(ctx, bucketQuestion(name))
	if err != nil {
		return nil, err
	}
	b, err := c.learnBucket(name, answers[0])
	if err != nil {
		return nil, err
	}
	return bucketOf(b)
}

// Section returns a part of a bucket's configuration, nil when it is not set.
func (c *Client) Section(ctx context.Context, bucket string, kind uint32) ([]byte, error) {
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Section{Section: &wirepb.SectionName{Bucket: bucket, Kind: kind}}})
	if err != nil {
		return nil, err
	}
	s := new(wirepb.Section)
	_, err = group.Decode(answers[0], s)
	return s.Body, err
}

// A BucketChange is what to change of a bucket. What is not set stays.
type BucketChange struct {
	Versioning Versioning        // NeverVersioned: as it is
	Locking    bool              // from now on, and for good
	Sections   map[uint32][]byte // by kind, 1 to 16; an empty one is removed
	Serving    string            // an access key of the account's; see Bucket

	UnlessServed bool // Serving counts only where no key serves the bucket, or one that was withdrawn or has expired
}

func (b BucketChange) message(name string, action uint32) *wirepb.Bucket {
	m := &wirepb.Bucket{Name: name, Action: action, AtMs: time.Now().UnixMilli(), Id: randomID(), Versioning: uint32(b.Versioning), Locking: b.Locking, Serving: b.Serving, UnlessServed: b.UnlessServed}
	for kind := uint32(1); kind <= index.MaxSections; kind++ {
		if body, ok := b.Sections[kind]; ok {
			m.Sections = append(m.Sections, &wirepb.Section{Kind: kind, Body: body})
		}
	}
	return m
}

// MakeBucket creates a bucket. Objects of a public one are not encrypted and anybody may read them.
func (c *Client) MakeBucket(ctx context.Context, name string, public bool) error {
	return c.MakeBucketWith(ctx, name, public, BucketChange{})
}

// MakeBucketWith creates a bucket that is configured from the beginning.
func (c *Client) MakeBucketWith(ctx context.Context, name string, public bool, with BucketChange) error {
	if err := mesh.CheckBucket(name); err != nil {
		return err
	}
	m := with.message(name, index.CreateBucket)
	m.Public = public
	_, err := c.commit(ctx, wirepb.TxKind_TX_BUCKET, sign.Bucket, m)
	return err
}

// ChangeBucket changes a bucket's configuration.
func (c *Client) ChangeBucket(ctx context.Context, name string, change BucketChange) error {
	if err := mesh.CheckBucket(name); err != nil {
		return err
	}
	_, err := c.commit(ctx, wirepb.TxKind_TX_BUCKET, sign.Bucket, change.message(name, index.ChangeBucket))
	return err
}

// RemoveBucket deletes an empty bucket.
func (c *Client) RemoveBucket(ctx context.Context, name string) error {
	if err := mesh.CheckBucket(name); err != nil {
		return err
	}
	c.forgetBucket(name)
	_, err := c.commit(ctx, wirepb.TxKind_TX_BUCKET, sign.Bucket, BucketChange{}.message(name, index.DeleteBucket))
	return err
}

// Buckets lists the account's buckets that the access covers, by name.
func (c *Client) Buckets(ctx context.Context) ([]Bucket, error) {
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Buckets{Buckets: true}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.BucketsAnswer)
	if _, err := group.Decode(answers[0], a); err != nil {
		return nil, err
	}
	var all []Bucket
	for _, m := range a.Buckets {
		b, err := bucketOf(m)
		if err != nil {
			return nil, err
		}
		all = append(all, *b)
	}
	return all, nil
}

// knownBucket returns what was learnt of a bucket, nil when that is nothing. Its counts are old.
func (c *Client) knownBucket(name string) *wirepb.BucketAnswer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buckets[name]
}

// learnBucket reads the answer to a question for a bucket, and keeps it.
func (c *Client) learnBucket(name string, answer []byte) (*wirepb.BucketAnswer, error) {
	b := new(wirepb.BucketAnswer)
	if found, err := group.Decode(answer, b); err != nil || !found {
		return nil, orElse(err, noBucket(name))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buckets[name] = b
	return b, nil
}

func (c *Client) forgetBucket(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.buckets, name)
}

// isPublic tells whether a bucket of this account is public; buckets do not change that.
func (c *Client) isPublic(ctx context.Context, name string) (bool, error) {
	b := c.knownBucket(name)
	if b == nil {
		answers, err := c.ask(ctx, bucketQuestion(name))
		if err != nil {
			return false, err
		}
		if b, err = c.learnBucket(name, answers[0]); err != nil {
			return false, err
		}
	}
	if mesh.Account(b.Owner) != c.access.Account() {
		return false, mesh.Errorf(mesh.Denied, "bucket %q belongs to another account", name)
	}
	return b.Public, nil
}
