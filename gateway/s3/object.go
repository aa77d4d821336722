package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// look returns a bucket and an object or version in it; the object is nil when there is none, and may be a marker.
func (o *op) look(bucket, key, version string) (*client.Bucket, *client.Object, error) {
	p, err := checkPath(bucket, key)
	if err != nil {
		return nil, nil, err
	}
	v, err := parseVersion(version)
	if err != nil {
		return nil, nil, err
	}
	if b, found, ok := o.foreseen(bucket, key, version); ok {
		return b, found, nil
	}
	b, found, err := o.Look(o, p, v)
	if err != nil {
		return nil, nil, o.fail("looking for an object", err, noSuchBucket(bucket))
	}
	return b, found, nil
}

// absent is what S3 says where there is no such object or version.
func absent(key, version string) error {
	if version != "" {
		return s3err.GetNoSuchVersionErr(key, version)
	}
	return s3err.GetAPIError(s3err.ErrNoSuchKey)
}

// lookObject is look for what must be there and no marker.
func (o *op) lookObject(bucket, key, version string) (*client.Bucket, *client.Object, error) {
	b, found, err := o.look(bucket, key, version)
	switch {
	case err != nil:
		return nil, nil, err
	case found == nil:
		return nil, nil, absent(key, version)
	case found.Marker && version == "":
		return nil, nil, s3err.GetAPIError(s3err.ErrNoSuchKey)
	case found.Marker:
		return nil, nil, s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	return b, found, nil
}

// shownVersion is a version as answers name it: not at all where there never was versioning.
func shownVersion(b *client.Bucket, v mesh.VersionID, null bool) string {
	if b.Versioning == client.NeverVersioned {
		return ""
	}
	return versionText(v, null)
}

// newVersion is how an answer names what it wrote: not at all but where there is versioning.
func newVersion(b *client.Bucket, v mesh.VersionID) string {
	if b.Versioning != client.Versioned {
		return ""
	}
	return versionText(v, false)
}

// conditions turns a request's conditions on what it replaces into those of the log, by what is there now.
func conditions(found *client.Object, ifMatch, ifNoneMatch *string, into *client.PutOptions) error {
	if ifMatch == nil && ifNoneMatch == nil {
		return nil
	}
	exists, etag := found != nil && !found.Marker, ""
	if exists {
		etag = summaryOf(found.Summary, found.Version).ETag
	}
	if err := backend.EvaluateObjectPutPreconditions(etag, ifMatch, ifNoneMatch, exists); err != nil {
		return err
	}
	if into.OnlyIfAbsent = ifNoneMatch != nil; ifMatch != nil {
		into.OnlyIf = &found.Version
	}
	return nil
}

// conflicted is what a conflict on the log means for a conditional write.
func conflicted(o client.PutOptions) meaning {
	switch {
	case o.OnlyIfAbsent:
		return meaning{mesh.Conflict: s3err.GetPreconditionFailedErr(s3err.ConditionIfNoneMatch)}
	case o.OnlyIf != nil:
		return meaning{mesh.Conflict: s3err.GetPreconditionFailedErr(s3err.ConditionIfMatch)}
	}
	return nil
}

// lock is how a new version is locked: as the request says, or as the bucket does.
func (o *op) lock(b *client.Bucket, mode types.ObjectLockMode, until *time.Time, hold types.ObjectLockLegalHoldStatus) (l client.Lock, err error) {
	l.Hold = hold == types.ObjectLockLegalHoldStatusOn
	explicit := mode != "" && until != nil
	if !b.Locking {
		if explicit || hold != "" {
			return l, s3err.GetAPIError(s3err.ErrMissingObjectLockConfigurationNoSpaces)
		}
		return l, nil
	}
	if explicit {
		l.Mode, l.Until = lockMode(string(mode)), *until
		return l, nil
	}
	raw, err := o.section(b.Name, sectionLock)
	if err != nil || raw == nil {
		return l, err
	}
	config, err := auth.ParseBucketLockConfigurationOutput(raw)
	if err != nil || config.Rule == nil || config.Rule.DefaultRetention == nil {
		return l, err
	}
	d := config.Rule.DefaultRetention
	l.Mode, l.Until = lockMode(string(d.Mode)), time.Now()
	if d.Days != nil {
		l.Until = l.Until.AddDate(0, 0, int(*d.Days))
	}
	if d.Years != nil {
		l.Until = l.Until.AddDate(int(*d.Years), 0, 0)
	}
	return l, nil
}

func lockMode(s string) client.LockMode {
	if s == string(types.ObjectLockModeCompliance) {
		return client.Compliance
	}
	return client.Governance
}

// PutObject writes an object.
func (b *Backend) PutObject(ctx context.Context, in s3response.PutObjectInput) (out s3response.PutObjectOutput, err error) {
	o, err := b.begin(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	bucket, key := text(in.Bucket), text(in.Key)
	if _, err := backend.ParseObjectTags(backend.GetStringFromPtr(in.Tagging)); err != nil {
		return out, err
	}
	v, found, err := o.look(bucket, key, "")
	if err != nil {
		return out, err
	}
	h := headers{in.ContentType, in.ContentEncoding, in.ContentLanguage, in.ContentDisposition, in.CacheControl, in.Expires, in.WebsiteRedirectLocation, in.Tagging, in.Metadata}
	opts := h.options()
	if err := conditions(found, in.IfMatch, in.IfNoneMatch, &opts); err != nil {
		return out, err
	}
	if opts.Lock, err = o.lock(v, in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus); err != nil {
		return out, err
	}
	algorithm, value := first(named{types.ChecksumAlgorithmCrc32, in.ChecksumCRC32}, named{types.ChecksumAlgorithmCrc32c, in.ChecksumCRC32C},
		named{types.ChecksumAlgorithmSha1, in.ChecksumSHA1}, named{types.ChecksumAlgorithmSha256, in.ChecksumSHA256}, named{types.ChecksumAlgorithmCrc64nvme, in.ChecksumCRC64NVME},
		named{"SHA512", in.ChecksumSHA512}, named{"MD5", in.ChecksumMD5}, named{"XXHASH64", in.ChecksumXXHASH64}, named{"XXHASH3", in.ChecksumXXHASH3}, named{"XXHASH128", in.ChecksumXXHASH128})
	if algorithm == "" {
		algorithm = in.ChecksumAlgorithm
	}
	want := int64(-1)
	if in.ContentLength != nil {
		want = *in.ContentLength
	}
	bytes, err := newIntake(in.Body, want, algorithm, value, false)
	if err != nil {
		return out, o.fail("reading an object", err)
	}
	var s summary
	opts.Finish = func(p *client.PutOptions) (err error) {
		if s, err = bytes.finish(); err == nil {
			p.Summary = s.encode()
		}
		return err
	}
	made, err := o.Put(o, mesh.Path{Bucket: bucket, Key: key}, bytes, opts)
	if err != nil {
		return out, o.fail("writing an object", errors.Join(sticky(bytes), err), noSuchBucket(bucket), conflicted(opts))
	}
	o.showExpiry(v, made)
	sum := s.checksum()
	return s3response.PutObjectOutput{ETag: *s.quoted(), VersionID: newVersion(v, made.Version), Size: ptr(int64(made.Size)),
		ChecksumType: sum.Type, ChecksumCRC32: sum.CRC32, ChecksumCRC32C: sum.CRC32C, ChecksumCRC64NVME: sum.CRC64NVME, ChecksumSHA1: sum.SHA1, ChecksumSHA256: sum.SHA256,
		ChecksumSHA512: sum.SHA512, ChecksumMD5: sum.MD5, ChecksumXXHASH64: sum.XXHASH64, ChecksumXXHASH3: sum.XXHASH3, ChecksumXXHASH128: sum.XXHASH128}, nil
}

// sticky is what went wrong with a request's bytes, if anything: it counts before what that led to.
func sticky(b *intake) error {
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// A selection is what of an object is asked for.
type selection struct {
	offset, length uint64
	contentRange   *string
	parts          *int32
	partial        bool
}

// choose works out a range or a part.
func choose(found *client.Object, key string, ranges *string, part *int32) (s selection, err error) {
	s.length = found.Size
	if part != nil {
		sizes := found.PartSizes()
		if len(sizes) == 0 {
			if *part != 1 {
				return s, s3err.GetInvalidPartNumberRangeErr(1, *part)
			}
			s.partial = true
		} else if int(*part) > len(sizes) || *part < 1 {
			return s, s3err.GetInvalidPartNumberRangeErr(int32(len(sizes)), *part)
		}
		if len(sizes) > 0 {
			for _, p := range sizes[:*part-1] {
				s.offset += p.Size
			}
			s.length, s.parts, s.partial = sizes[*part-1].Size, ptr(int32(len(sizes))), true
		}
	} else if ranges != nil && *ranges != "" {
		from, length, ok, err := backend.ParseObjectRange(int64(found.Size), *ranges)
		if err != nil {
			return s, err
		}
		if !ok {
			return s, nil
		}
		s.offset, s.length, s.partial = uint64(from), uint64(length), true
	}
	if s.partial && s.length > 0 {
		s.contentRange = ptr(fmt.Sprintf("bytes %d-%d/%d", s.offset, s.offset+s.length-1, found.Size))
	}
	return s, nil
}

// lockOf is how an object is locked in S3's words.
func lockOf(found *client.Object) (mode types.ObjectLockMode, until *time.Time, hold types.ObjectLockLegalHoldStatus) {
	switch found.Lock.Mode {
	case client.Governance:
		mode = types.ObjectLockModeGovernance
	case client.Compliance:
		mode = types.ObjectLockModeCompliance
	}
	if mode != "" {
		until = ptr(found.Lock.Until.UTC())
	}
	if found.Lock.Hold {
		hold = types.ObjectLockLegalHoldStatusOn
	}
	return mode, until, hold
}

// HeadObject tells what an object is.
func (b *Backend) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return nil, err
	}
	defer o.end()
	key, version := text(in.Key), text(in.VersionId)
	v, found, err := o.look(text(in.Bucket), key, version)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, absent(key, version)
	}
	if found.Marker {
		out := &s3.HeadObjectOutput{DeleteMarker: ptr(true), LastModified: ptr(found.Modified.UTC()), VersionId: orNil(shownVersion(v, found.Version, found.Null))}
		if version != "" {
			return out, s3err.GetAPIError(s3err.ErrMethodNotAllowed)
		}
		return out, s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	s := summaryOf(found.Summary, found.Version)
	if err := backend.EvaluatePreconditions(s.ETag, found.Modified, backend.PreConditions{IfMatch: in.IfMatch, IfNoneMatch: in.IfNoneMatch, IfModSince: in.IfModifiedSince, IfUnmodeSince: in.IfUnmodifiedSince}); err != nil {
		return nil, err
	}
	sel, err := choose(found, key, in.Range, in.PartNumber)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(found)
	if err != nil {
		return nil, o.fail("reading tags", err)
	}
	mode, until, hold := lockOf(found)
	out := &s3.HeadObjectOutput{AcceptRanges: ptr("bytes"), ContentLength: ptr(int64(sel.length)), ContentRange: sel.contentRange, PartsCount: sel.parts, ContentType: ptr(found.ContentType),
		ETag: s.quoted(), LastModified: ptr(found.Modified.UTC()), Metadata: userOf(found.Attributes), VersionId: orNil(shownVersion(v, found.Version, found.Null)),
		ContentEncoding: attribute(found, encodingAt), ContentLanguage: attribute(found, languageAt), ContentDisposition: attribute(found, dispositAt), CacheControl: attribute(found, cacheAt),
		ExpiresString: attribute(found, expiresAt), WebsiteRedirectLocation: attribute(found, redirectAt), ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
		ObjectLockLegalHoldStatus: hold, StorageClass: types.StorageClassStandard}
	o.showExpiry(v, found)
	if n := len(tags); n > 0 {
		out.TagCount = ptr(int32(n))
	}
	if in.ChecksumMode == types.ChecksumModeEnabled && sel.length == found.Size {
		c := s.checksum()
		out.ChecksumType, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256 = c.Type, c.CRC32, c.CRC32C, c.CRC64NVME, c.SHA1, c.SHA256
		out.ChecksumSHA512, out.ChecksumMD5, out.ChecksumXXHASH64, out.ChecksumXXHASH3, out.ChecksumXXHASH128 = c.SHA512, c.MD5, c.XXHASH64, c.XXHASH3, c.XXHASH128
	}
	return out, nil
}

// GetObject gives an object's bytes.
func (b *Backend) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	o, err := b.begin(ctx, text(in.Bucket))
	if err != nil {
		return nil, err
	}
	streaming := false
	defer func() {
		if !streaming {
			o.end()
		}
	}()
	key, version := text(in.Key), text(in.VersionId)
	v, found, err := o.look(text(in.Bucket), key, version)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, absent(key, version)
	}
	if found.Marker {
		out := &s3.GetObjectOutput{DeleteMarker: ptr(true), LastModified: ptr(found.Modified.UTC()), VersionId: orNil(shownVersion(v, found.Version, found.Null))}
		if version != "" {
			return out, s3err.GetAPIError(s3err.ErrMethodNotAllowed)
		}
		return out, s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	s := summaryOf(found.Summary, found.Version)
	if err := backend.EvaluatePreconditions(s.ETag, found.Modified, backend.PreConditions{IfMatch: in.IfMatch, IfNoneMatch: in.IfNoneMatch, IfModSince: in.IfModifiedSince, IfUnmodeSince: in.IfUnmodifiedSince}); err != nil {
		return nil, err
	}
	sel, err := choose(found, key, in.Range, in.PartNumber)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(found)
	if err != nil {
		return nil, o.fail("reading tags", err)
	}
	r, err := o.Open(o, found, sel.offset, sel.length)
	if err != nil {
		return nil, o.fail("reading an object", err)
	}
	if _, err := r.Read(nil); err != nil && err != io.EOF { // waits for the first bytes: what fails before them has a status
		return nil, o.fail("reading an object", errors.Join(err, r.Close()))
	}
	mode, until, hold := lockOf(found)
	out := &s3.GetObjectOutput{AcceptRanges: ptr("bytes"), ContentLength: ptr(int64(sel.length)), ContentRange: sel.contentRange, PartsCount: sel.parts, ContentType: ptr(found.ContentType),
		ETag: s.quoted(), LastModified: ptr(found.Modified.UTC()), Metadata: userOf(found.Attributes), VersionId: orNil(shownVersion(v, found.Version, found.Null)),
		ContentEncoding: attribute(found, encodingAt), ContentLanguage: attribute(found, languageAt), ContentDisposition: attribute(found, dispositAt), CacheControl: attribute(found, cacheAt),
		ExpiresString: attribute(found, expiresAt), WebsiteRedirectLocation: attribute(found, redirectAt), ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
		ObjectLockLegalHoldStatus: hold, StorageClass: types.StorageClassStandard, Body: &output{r, o}}
	o.showExpiry(v, found)
	if n := len(tags); n > 0 {
		out.TagCount = ptr(int32(n))
	}
	if in.ChecksumMode == types.ChecksumModeEnabled && sel.length == found.Size {
		c := s.checksum()
		out.ChecksumType, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256 = c.Type, c.CRC32, c.CRC32C, c.CRC64NVME, c.SHA1, c.SHA256
		out.ChecksumSHA512, out.ChecksumMD5, out.ChecksumXXHASH64, out.ChecksumXXHASH3, out.ChecksumXXHASH128 = c.SHA512, c.MD5, c.XXHASH64, c.XXHASH3, c.XXHASH128
	}
	streaming = true
	return out, nil
}

// An output is an object's bytes on their way out; its request ends with it.
type output struct {
	io.ReadCloser
	op *op
}

// WriteTo spares a copy where the reader does.
func (r *output) WriteTo(w io.Writer) (int64, error) {
	if t, ok := r.ReadCloser.(io.WriterTo); ok {
		return t.WriteTo(w)
	}
	return io.Copy(w, struct{ io.Reader }{r.ReadCloser})
}

func (r *output) Close() error {
	err := r.ReadCloser.Close()
	if r.op != nil {
		r.op.end()
		r.op = nil
	}
	return err
}

// GetObjectAcl says that an object is its bucket's owner's.
func (b *Backend) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return nil, err
	}
	defer o.end()
	v, _, err := o.lookObject(text(in.Bucket), text(in.Key), text(in.VersionId))
	if err != nil {
		return nil, err
	}
	id := v.Owner.String()
	return &s3.GetObjectAclOutput{Owner: &types.Owner{ID: &id}, Grants: []types.Grant{{Permission: types.PermissionFullControl, Grantee: &types.Grantee{ID: &id, Type: types.TypeCanonicalUser}}}}, nil
}

// GetObjectAttributes tells of an object what is asked for.
func (b *Backend) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (out s3response.GetObjectAttributesResponse, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	key, version := text(in.Key), text(in.VersionId)
	v, found, err := o.look(text(in.Bucket), key, version)
	if err != nil {
		return out, err
	}
	if found == nil {
		return out, absent(key, version)
	}
	out.LastModified, out.VersionId = ptr(found.Modified.UTC()), orNil(shownVersion(v, found.Version, found.Null))
	if found.Marker {
		out.DeleteMarker = ptr(true)
		return out, s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	s := summaryOf(found.Summary, found.Version)
	c := s.checksum()
	out.ETag, out.ObjectSize, out.StorageClass = ptr(s.ETag), ptr(int64(found.Size)), types.StorageClassStandard
	if s.Checksum != "" {
		out.Checksum = &types.Checksum{ChecksumType: c.Type, ChecksumCRC32: c.CRC32, ChecksumCRC32C: c.CRC32C, ChecksumCRC64NVME: c.CRC64NVME, ChecksumSHA1: c.SHA1, ChecksumSHA256: c.SHA256,
			ChecksumSHA512: c.SHA512, ChecksumMD5: c.MD5, ChecksumXXHASH64: c.XXHASH64, ChecksumXXHASH3: c.XXHASH3, ChecksumXXHASH128: c.XXHASH128}
	}
	if found.Parts == 0 {
		return out, nil
	}
	most, after := 1000, 0
	if in.MaxParts != nil {
		most = min(int(*in.MaxParts), 1000)
	}
	if in.PartNumberMarker != nil {
		fmt.Sscan(*in.PartNumberMarker, &after) // versitygw checked that it is a number
	}
	parts := &s3response.ObjectParts{PartNumberMarker: after, MaxParts: most}
	if most > 0 {
		all, more, err := o.PartsOf(o, found, after, most)
		if err != nil {
			return out, o.fail("listing parts", err)
		}
		parts.IsTruncated = more
		for _, p := range all {
			c := summaryOf(p.Summary, p.Version).checksum()
			parts.Parts = append(parts.Parts, types.ObjectPart{PartNumber: ptr(int32(p.Number)), Size: ptr(int64(p.Size)), ChecksumCRC32: c.CRC32, ChecksumCRC32C: c.CRC32C,
				ChecksumCRC64NVME: c.CRC64NVME, ChecksumSHA1: c.SHA1, ChecksumSHA256: c.SHA256})
			parts.NextPartNumberMarker = p.Number
		}
	}
	out.ObjectParts = parts
	return out, nil
}
