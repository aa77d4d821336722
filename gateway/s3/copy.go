package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// CopyObject gives an object a second name; bytes move only where they must.
func (b *Backend) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (out s3response.CopyObjectOutput, err error) {
	o, err := b.begin(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	fromBucket, fromKey, fromVersion, err := backend.ParseCopySource(text(in.CopySource))
	if err != nil {
		return out, err
	}
	bucket, key := text(in.Bucket), text(in.Key)
	src, err := b.begin(ctx, fromBucket)
	if err != nil {
		return out, err
	}
	defer src.end()
	from, found, err := src.lookObject(fromBucket, fromKey, fromVersion)
	if err != nil {
		return out, err
	}
	if want := text(in.ExpectedSourceBucketOwner); want != "" && want != from.Owner.String() {
		return out, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	s := summaryOf(found.Summary, found.Version)
	if err := backend.EvaluatePreconditions(s.ETag, found.Modified, backend.PreConditions{IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch,
		IfModSince: in.CopySourceIfModifiedSince, IfUnmodeSince: in.CopySourceIfUnmodifiedSince}); err != nil {
		return out, err
	}
	if found.Size > maxCopy {
		return out, s3err.GetCopySourceObjectTooLargeErr(maxCopy)
	}
	replace := in.MetadataDirective == types.MetadataDirectiveReplace
	retag := in.TaggingDirective == types.TaggingDirectiveReplace
	if fromBucket == bucket && fromKey == key && fromVersion == "" && !replace && !retag && in.ChecksumAlgorithm == "" && text(in.WebsiteRedirectLocation) == "" {
		return out, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
	}
	to, _, err := o.look(bucket, key, "")
	if err != nil {
		return out, err
	}
	opts := client.PutOptions{ContentType: found.ContentType, Attributes: map[string]string{}}
	for name, v := range found.Attributes {
		opts.Attributes[name] = v
	}
	delete(opts.Attributes, checksumAt)
	if replace {
		tags, tagged := opts.Attributes[tagsAt]
		opts = headers{in.ContentType, in.ContentEncoding, in.ContentLanguage, in.ContentDisposition, in.CacheControl, in.Expires, in.WebsiteRedirectLocation, nil, in.Metadata}.options()
		if tagged {
			opts.Attributes[tagsAt] = tags
		}
	}
	delete(opts.Attributes, redirectAt) // it is never copied
	if in.WebsiteRedirectLocation != nil {
		opts.Attributes[redirectAt] = text(in.WebsiteRedirectLocation)
	}
	if retag {
		if _, err := backend.ParseObjectTags(backend.GetStringFromPtr(in.Tagging)); err != nil {
			return out, err
		}
		opts.Attributes[tagsAt] = text(in.Tagging)
	} else if found.Tags != nil { // amended since
		tags, err := tagsOf(found)
		if err != nil {
			return out, o.fail("reading tags", err)
		}
		opts.Attributes[tagsAt] = urlTags(tags)
	}
	if opts.Lock, err = o.lock(to, in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus); err != nil {
		return out, err
	}
	// The checksum stays the object's; another one, or that of an object in parts, is computed from its bytes. What is read
	// under another key than it is written is sealed anew.
	rehash := src.session != o.session || in.ChecksumAlgorithm != "" && in.ChecksumAlgorithm != s.Algorithm || found.Parts > 0 || len(found.Summary) == 0
	var made *client.Object
	if rehash {
		made, s, err = o.copyBytes(src, found, mesh.Path{Bucket: bucket, Key: key}, in.ChecksumAlgorithm, s, opts)
	} else {
		opts.Summary = s.encode()
		made, err = o.CopyWith(o, found, mesh.Path{Bucket: bucket, Key: key}, opts)
	}
	if err != nil {
		return out, o.fail("copying an object", err, noSuchBucket(bucket))
	}
	o.showExpiry(to, made)
	c := s.checksum()
	return s3response.CopyObjectOutput{CopySourceVersionId: orNil(shownVersion(from, found.Version, found.Null)), VersionId: orNil(newVersion(to, made.Version)),
		CopyObjectResult: &s3response.CopyObjectResult{ETag: s.quoted(), LastModified: ptr(made.Modified.UTC()), ChecksumType: c.Type, ChecksumCRC32: c.CRC32, ChecksumCRC32C: c.CRC32C,
			ChecksumCRC64NVME: c.CRC64NVME, ChecksumSHA1: c.SHA1, ChecksumSHA256: c.SHA256, ChecksumSHA512: c.SHA512, ChecksumMD5: c.MD5, ChecksumXXHASH64: c.XXHASH64,
			ChecksumXXHASH3: c.XXHASH3, ChecksumXXHASH128: c.XXHASH128}}, nil
}

// maxCopy is S3's bound on what one copy may move.
const maxCopy = 5 << 30

// copyBytes copies an object that src sees by reading and writing it, with a checksum of the whole.
func (o *op) copyBytes(src *op, found *client.Object, to mesh.Path, algorithm types.ChecksumAlgorithm, was summary, opts client.PutOptions) (*client.Object, summary, error) {
	if algorithm == "" && was.Type == types.ChecksumTypeFullObject {
		algorithm = was.Algorithm
	}
	r, err := src.Open(src, found, 0, found.Size)
	if err != nil {
		return nil, was, err
	}
	defer r.Close()
	bytes, err := newIntake(r, int64(found.Size), algorithm, "", false)
	if err != nil {
		return nil, was, err
	}
	var s summary
	opts.Finish = func(p *client.PutOptions) (err error) {
		if s, err = bytes.finish(); err == nil {
			p.Summary = s.encode()
		}
		return err
	}
	made, err := o.Put(o, to, bytes, opts)
	return made, s, err
}
