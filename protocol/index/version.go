package index

import (
	"crypto/sha256"
	"hash"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of versions, uploads and a bucket's configuration.
const (
	MaxParts    = 10_000
	MaxSummary  = 512       // sealed bytes
	MaxTags     = 8 << 10   // sealed bytes
	MaxSection  = 128 << 10 // bytes of one section
	MaxSections = 16        // kinds
)

// Versioning of a bucket, and what a change of it asks for.
const (
	NeverVersioned = 0 // or: as it is
	Versioned      = 1
	Suspended      = 2
)

// Upload actions.
const (
	BeginUpload = 1
	AbortUpload = 2
)

// Modes of a Lock.
const (
	NoLock     = 0
	Governance = 1 // who may bypass it, may shorten and remove it
	Compliance = 2 // nobody may, until its time
)

// NullVersion names, in questions and deletions, the version that was written while there was no versioning.
var NullVersion mesh.VersionID

// NewPartsRoot begins the content root of a multipart object of that many plaintext bytes: SHA-256 over the size and the
// content roots of its parts, in order.
func NewPartsRoot(size uint64) *PartsRoot {
	h := sha256.New()
	h.Write([]byte("stratos-parts-v1\x00"))
	putUint64(h, size)
	return &PartsRoot{h}
}

// A PartsRoot accumulates the content root of a multipart object.
type PartsRoot struct{ h hash.Hash }

// Add appends the content root of the next part.
func (r *PartsRoot) Add(part []byte) { r.h.Write(part) }

// Sum returns the root of what was added.
func (r *PartsRoot) Sum() []byte { return r.h.Sum(nil) }

func checkID(id []byte, what string) error {
	if len(id) != 0 && len(id) != len(mesh.UploadID{}) {
		return mesh.Errorf(mesh.Invalid, "%s has an id of %d bytes", what, len(id))
	}
	return nil
}

// checkCompletion checks that an entry which completes an upload has parts and nothing besides.
func checkCompletion(e *wirepb.Entry) error {
	if len(e.Parts) > MaxParts || len(e.Upload) != len(mesh.UploadID{}) || e.Pages != 0 || e.FrameBytes != 0 || len(e.Inline)+len(e.Extents)+len(e.Segments) != 0 {
		return mesh.Errorf(mesh.Invalid, "an entry of %d parts is malformed", len(e.Parts))
	}
	size, last := uint64(0), uint32(0)
	for _, p := range e.Parts {
		if p.Number <= last || p.Number > MaxParts || len(p.Version) != len(mesh.VersionID{}) || p.Size > MaxSize {
			return mesh.Errorf(mesh.Invalid, "part %d of an entry is malformed or out of order", p.Number)
		}
		last = p.Number
		size += p.Size
	}
	if size != e.Size {
		return mesh.Errorf(mesh.Invalid, "an entry of %d bytes has parts of %d", e.Size, size)
	}
	return nil
}

// CheckLock checks a lock by itself.
func CheckLock(l *wirepb.Lock) error {
	if l == nil {
		return nil
	}
	if l.Mode > Compliance || (l.Mode == NoLock) != (l.UntilMs == 0) || l.UntilMs < 0 {
		return mesh.Errorf(mesh.Invalid, "a lock of mode %d until %d is malformed", l.Mode, l.UntilMs)
	}
	return nil
}

// CheckUpload checks the beginning or the end of a multipart upload by itself.
func CheckUpload(u *wirepb.Upload) error {
	if err := checkName(u.Bucket, u.Key); err != nil {
		return err
	}
	switch {
	case u.Action != BeginUpload && u.Action != AbortUpload:
		return mesh.Errorf(mesh.Invalid, "the upload action %d does not exist", u.Action)
	case len(u.Upload) != len(mesh.UploadID{}):
		return mesh.Errorf(mesh.Invalid, "an upload's id has %d bytes", len(u.Upload))
	case len(u.SealedMetadata) > MaxMetadata:
		return mesh.Errorf(mesh.Invalid, "an upload's metadata has %d bytes, at most %d", len(u.SealedMetadata), MaxMetadata)
	case len(u.WrappedKey) != 0 && len(u.WrappedKey) != wrappedKey:
		return mesh.Errorf(mesh.Invalid, "an upload's wrapped key has %d bytes, want %d", len(u.WrappedKey), wrappedKey)
	}
	return checkID(u.Id, "an upload")
}

// CheckPart checks a part of a multipart upload by itself, as CheckEntry does an entry.
func CheckPart(p *wirepb.Part, public bool) error {
	e := p.Entry
	switch {
	case len(p.Upload) != len(mesh.UploadID{}):
		return mesh.Errorf(mesh.Invalid, "a part's upload has %d bytes", len(p.Upload))
	case p.Number == 0 || p.Number > MaxParts:
		return mesh.Errorf(mesh.Invalid, "a part numbered %d, want 1 to %d", p.Number, MaxParts)
	case e == nil || e.Condition != Always || len(e.Parts) != 0 || e.Lock != nil:
		return mesh.Errorf(mesh.Invalid, "a part whose entry is malformed")
	}
	return CheckEntry(e, public)
}

// CheckAmendment checks a change of a version by itself.
func CheckAmendment(a *wirepb.Amendment) error {
	if err := checkName(a.Bucket, a.Key); err != nil {
		return err
	}
	if len(a.Version) != len(mesh.VersionID{}) || len(a.SealedTags) > MaxTags || !a.SetTags && !a.SetRetention && !a.SetHold {
		return mesh.Errorf(mesh.Invalid, "a change of a version is malformed")
	}
	return firstError(checkID(a.Id, "a change of a version"), CheckLock(a.Lock))
}

// CheckDeletion checks a deletion by itself.
func CheckDeletion(d *wirepb.Deletion) error {
	if err := checkName(d.Bucket, d.Key); err != nil {
		return err
	}
	if n := len(d.Version); n != 0 && n != len(mesh.VersionID{}) || d.Purge && n == 0 || d.Older && !d.Purge {
		return mesh.Errorf(mesh.Invalid, "a deletion's version has %d bytes", n)
	}
	return checkID(d.Id, "a deletion")
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
