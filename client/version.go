package client

import (
	"context"
	"crypto/rand"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// NullVersion names the version that was written while its bucket had no versioning.
var NullVersion = index.NullVersion

// A Lock keeps a version from being removed: until its time, and while it is on hold.
type Lock struct {
	Mode  LockMode
	Until time.Time
	Hold  bool
}

// LockMode says who may weaken a lock before its time.
type LockMode uint32

// Governance locks give way to who may bypass them, compliance locks to nobody.
const (
	NoLock     LockMode = index.NoLock
	Governance LockMode = index.Governance
	Compliance LockMode = index.Compliance
)

func lockOf(l *wirepb.Lock) Lock {
	if l == nil {
		return Lock{}
	}
	out := Lock{Mode: LockMode(l.Mode), Hold: l.Hold}
	if l.UntilMs != 0 {
		out.Until = time.UnixMilli(l.UntilMs)
	}
	return out
}

func (l Lock) message() *wirepb.Lock {
	if l == (Lock{}) {
		return nil
	}
	m := &wirepb.Lock{Mode: uint32(l.Mode), Hold: l.Hold}
	if !l.Until.IsZero() {
		m.UntilMs = l.Until.UnixMilli()
	}
	return m
}

// Look returns a bucket and an object in it, both at one height: the current version or marker, or the version named. The
// object is nil when there is none.
func (c *Client) Look(ctx context.Context, p mesh.Path, version *mesh.VersionID) (*Bucket, *Object, error) {
	if err := firstError(mesh.CheckBucket(p.Bucket), mesh.CheckKey(p.Key)); err != nil {
		return nil, nil, err
	}
	var v []byte
	if version != nil {
		v = version[:]
	}
	answers, err := c.ask(ctx, bucketQuestion(p.Bucket), objectQuestion(p, v))
	if err != nil {
		return nil, nil, err
	}
	m, err := c.learnBucket(p.Bucket, answers[0])
	if err != nil {
		return nil, nil, err
	}
	b, err := bucketOf(m)
	if err != nil {
		return nil, nil, err
	}
	a := new(wirepb.ObjectAnswer)
	if found, err := group.Decode(answers[1], a); err != nil || !found {
		return b, nil, err
	}
	o, err := c.openObject(p, b.Public, a)
	return b, o, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteOptions say what is deleted.
type DeleteOptions struct {
	OnlyIf *mesh.VersionID // only if this is the current version; else Conflict

	// Purge removes this version and no other, whether it is current, older, or a marker. NullVersion is the one that was
	// written without versioning.
	Purge  *mesh.VersionID
	Older  bool // with Purge: Conflict where that is the current version
	Bypass bool // a governance lock
}

// Delete removes an object; NotFound when there is none.
func (c *Client) Delete(ctx context.Context, p mesh.Path) error {
	_, err := c.DeleteWith(ctx, p, DeleteOptions{})
	return err
}

// DeleteWith removes an object or a version of it. In a bucket with versioning, removing the current version puts a marker on
// top of it, whose version is returned.
func (c *Client) DeleteWith(ctx context.Context, p mesh.Path, o DeleteOptions) (marker mesh.VersionID, err error) {
	if err := mesh.CheckKey(p.Key); err != nil {
		return marker, err
	}
	marker = mesh.NewVersionID()
	m := &wirepb.Deletion{Bucket: p.Bucket, Key: p.Key, AtMs: time.Now().UnixMilli(), Id: marker[:], Bypass: o.Bypass}
	switch {
	case o.Purge != nil:
		m.Version, m.Purge, m.Older = o.Purge[:], true, o.Older
	case o.OnlyIf != nil:
		m.Version = o.OnlyIf[:]
	}
	_, err = c.commit(ctx, wirepb.TxKind_TX_DELETION, sign.Deletion, m)
	return marker, err
}

// amend changes a version without its bytes.
func (c *Client) amend(ctx context.Context, o *Object, change *wirepb.Amendment) error {
	change.Bucket, change.Key, change.Version, change.AtMs, change.Id = o.Path.Bucket, o.Path.Key, o.Version[:], time.Now().UnixMilli(), randomID()
	_, err := c.commit(ctx, wirepb.TxKind_TX_AMENDMENT, sign.Amendment, change)
	return err
}

// SetTags keeps bytes with a version that can be replaced without it, at most 8 KiB. They are sealed like the content.
func (c *Client) SetTags(ctx context.Context, o *Object, tags []byte) error {
	var salt [16]byte
	rand.Read(salt[:]) // never fails
	return c.amend(ctx, o, &wirepb.Amendment{SetTags: true, SealedTags: append(salt[:], o.box(seal.Tags, salt, tags)...)})
}

func (c *Client) openTags(o *Object, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	if len(sealed) < 16 {
		return nil, mesh.Errorf(mesh.Corrupt, "the tags of %s have %d bytes", o.Path, len(sealed))
	}
	b, err := o.unbox(seal.Tags, [16]byte(sealed), sealed[16:])
	if b == nil {
		b = []byte{}
	}
	return b, err
}

// SetRetention changes until when a version is locked, and how. Denied when that weakens a lock which stands.
func (c *Client) SetRetention(ctx context.Context, o *Object, mode LockMode, until time.Time, bypass bool) error {
	return c.amend(ctx, o, &wirepb.Amendment{SetRetention: true, Lock: Lock{Mode: mode, Until: until}.message(), Bypass: bypass})
}

// SetHold holds a version, or lets it go.
func (c *Client) SetHold(ctx context.Context, o *Object, hold bool) error {
	return c.amend(ctx, o, &wirepb.Amendment{SetHold: true, Lock: &wirepb.Lock{Hold: hold}})
}

// Copy gives an object a second name in a bucket of the same account. Bytes move only where the buckets differ in being
// public, or the object is so large that its entry has pages or parts.
func (c *Client) Copy(ctx context.Context, from, to mesh.Path) (*Object, error) {
	o, err := c.Stat(ctx, from)
	if err != nil {
		return nil, err
	}
	return c.CopyWith(ctx, o, to, PutOptions{ContentType: o.ContentType, Mode: o.Mode, Attributes: o.Attributes, Summary: o.Summary})
}

// CopyWith is Copy of an object, or of a version, that was looked at; the options say what is said of the new one.
func (c *Client) CopyWith(ctx context.Context, o *Object, to mesh.Path, with PutOptions) (*Object, error) {
	public, err := c.isPublic(ctx, to.Bucket)
	if err != nil {
		return nil, err
	}
	if public != (o.sealer == nil) || o.entry.Pages > 0 || len(o.entry.Parts) > 0 {
		r, err := c.Open(ctx, o, 0, o.Size)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return c.Put(ctx, to, r, with)
	}
	if with.Finish != nil {
		if err := with.Finish(&with); err != nil {
			return nil, err
		}
	}
	e := proto.Clone(o.entry).(*wirepb.Entry)
	v := mesh.NewVersionID()
	e.Bucket, e.Key, e.Version, e.Segments, e.Upload = to.Bucket, to.Key, v[:], nil, nil
	if !public { // the object's key stays, wrapped anew
		folder, err := c.access.folder(seal.FolderOf(to.Bucket, to.Key))
		if err != nil {
			return nil, err
		}
		e.WrappedKey = seal.Wrap(folder, o.key, v)
	}
	with.apply(e)
	with.describe(e, &Object{key: o.key, sealer: o.sealer}, o.PlainHash)
	if err := c.enterEntry(ctx, e); err != nil {
		return nil, err
	}
	_, made, err := c.Look(ctx, to, &v)
	if err == nil && made == nil {
		err = mesh.Errorf(mesh.Conflict, "%s was replaced meanwhile", to)
	}
	return made, err
}

// apply puts the options' conditions and lock into an entry.
func (o *PutOptions) apply(e *wirepb.Entry) {
	e.Condition, e.ExpectedVersion, e.Lock = index.Always, nil, o.Lock.message()
	switch {
	case o.OnlyIf != nil:
		e.Condition, e.ExpectedVersion = index.Equal, o.OnlyIf[:]
	case o.OnlyIfAbsent:
		e.Condition = index.Absent
	}
}

// describe seals into an entry what the options say of its object.
func (o *PutOptions) describe(e *wirepb.Entry, keys *Object, plain [32]byte) {
	m := &wirepb.Metadata{ContentType: o.ContentType, PlainHash: plain[:], Mode: o.Mode}
	for _, name := range sortedKeys(o.Attributes) {
		m.Attributes = append(m.Attributes, &wirepb.Attribute{Name: name, Value: o.Attributes[name]})
	}
	v := [16]byte(e.Version)
	e.SealedMetadata, e.SealedSummary = keys.box(seal.Metadata, v, wire.Encode(m)), nil
	if len(o.Summary) > 0 {
		e.SealedSummary = keys.box(seal.Summary, v, o.Summary)
	}
}

// outcomeAfter is how long a commit may take: then the log refuses it, and it can be known what became of it.
const outcomeAfter = 20 * time.Second

// enterEntry puts an entry on the log. When it is not known whether that took it, this waits until it no longer can, and
// looks.
func (c *Client) enterEntry(ctx context.Context, e *wirepb.Entry) error {
	now := time.Now()
	e.ModifiedMs, e.Id = now.UnixMilli(), randomID()
	e.NotAfterMs = now.Add(c.groupAhead(ctx) + outcomeAfter).UnixMilli()
	_, err := c.commit(ctx, wirepb.TxKind_TX_ENTRY, sign.Entry, e)
	switch mesh.KindOf(err) {
	case mesh.Unavailable, mesh.Internal:
		if err == nil || !c.isOver(ctx, e.NotAfterMs) {
			return err
		}
	case mesh.Conflict: // perhaps with itself, submitted twice
	default:
		return err
	}
	if err == nil {
		return nil
	}
	answers, askErr := c.ask(ctx, objectQuestion(mesh.Path{Bucket: e.Bucket, Key: e.Key}, e.Version))
	a := new(wirepb.ObjectAnswer)
	if found, decodeErr := orFound(answers, askErr, a); decodeErr == nil && found {
		return nil
	}
	return err
}

func orFound(answers [][]byte, err error, into proto.Message) (bool, error) {
	if err != nil {
		return false, err
	}
	return group.Decode(answers[0], into)
}

// isOver waits until the log's time has passed ms, as far as ctx allows.
func (c *Client) isOver(ctx context.Context, ms int64) bool {
	for {
		answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Group{Group: true}})
		g := new(wirepb.GroupAnswer)
		if found, err := orFound(answers, err, g); err == nil && found && g.TimeMs > ms {
			return true
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return false
		}
	}
}

// groupAhead is how far the group's time was ahead of this machine's clock when it was looked at last.
func (c *Client) groupAhead(ctx context.Context) time.Duration {
	if _, _, err := c.registry(ctx); err != nil {
		return 0 // what follows fails by itself, or needs no registry
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}
