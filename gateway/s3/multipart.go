package s3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// What a multipart upload keeps besides for its completion, in the attributes of its beginning.
const (
	lockModeAt  = "lock-mode"
	lockUntilAt = "lock-until"
	lockHoldAt  = "lock-hold"
)

// A plan is what a multipart upload began with, besides what is said of the object.
type plan struct {
	algorithm types.ChecksumAlgorithm // "" when none was named
	kind      types.ChecksumType
}

func planOf(m *client.Multipart) plan {
	a, k, _ := strings.Cut(m.Attributes[checksumAt], " ")
	return plan{types.ChecksumAlgorithm(a), types.ChecksumType(k)}
}

// noUpload is what S3 says of an upload that is not open.
func noUpload(id string) meaning { return meaning{mesh.NotFound: s3err.GetNoSuchUploadErr(id)} }

func parseUpload(id string) (mesh.UploadID, error) {
	u, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return mesh.UploadID{}, s3err.GetNoSuchUploadErr(id)
	}
	return mesh.UploadID(u), nil
}

// CreateMultipartUpload begins an upload in parts.
func (b *Backend) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (out s3response.InitiateMultipartUploadResult, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	p, err := checkPath(text(in.Bucket), text(in.Key))
	if err != nil {
		return out, err
	}
	if _, err := backend.ParseObjectTags(backend.GetStringFromPtr(in.Tagging)); err != nil {
		return out, err
	}
	v, err := o.bucket(p.Bucket)
	if err != nil {
		return out, err
	}
	opts := headers{in.ContentType, in.ContentEncoding, in.ContentLanguage, in.ContentDisposition, in.CacheControl, in.Expires, in.WebsiteRedirectLocation, in.Tagging, in.Metadata}.options()
	if in.ChecksumAlgorithm != "" || in.ChecksumType != "" {
		opts.Attributes[checksumAt] = string(in.ChecksumAlgorithm) + " " + string(in.ChecksumType)
	}
	if _, err := o.lock(v, in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus); err != nil {
		return out, err
	}
	if in.ObjectLockMode != "" && in.ObjectLockRetainUntilDate != nil {
		opts.Attributes[lockModeAt], opts.Attributes[lockUntilAt] = string(in.ObjectLockMode), in.ObjectLockRetainUntilDate.UTC().Format(time.RFC3339Nano)
	}
	if in.ObjectLockLegalHoldStatus != "" {
		opts.Attributes[lockHoldAt] = string(in.ObjectLockLegalHoldStatus)
	}
	m, err := o.BeginMultipart(o, p, opts)
	if err != nil {
		return out, o.fail("beginning an upload", err, noSuchBucket(p.Bucket))
	}
	return s3response.InitiateMultipartUploadResult{Bucket: p.Bucket, Key: p.Key, UploadId: uuid.UUID(m.ID).String()}, nil
}

// multipart finds an open upload.
func (o *op) multipart(bucket, key, id string, after, most int) (m *client.Multipart, parts []client.Part, more bool, err error) {
	p, err := checkPath(bucket, key)
	if err != nil {
		return nil, nil, false, err
	}
	if _, err := o.bucket(bucket); err != nil {
		return nil, nil, false, err
	}
	u, err := parseUpload(id)
	if err != nil {
		return nil, nil, false, err
	}
	m, parts, more, err = o.Multipart(o, p, u, after, most)
	return m, parts, more, o.fail("looking for an upload", err, noUpload(id))
}

// intakeOfPart prepares to read a part with the checksum that its upload wants.
func intakeOfPart(p plan, r interface{ Read([]byte) (int, error) }, want int64, algorithm types.ChecksumAlgorithm, value string) (*intake, error) {
	if algorithm == "" && p.kind != "" && p.kind != types.ChecksumTypeComposite {
		algorithm = p.algorithm
	}
	bytes, err := newIntake(r, want, algorithm, value, true)
	if err != nil {
		return nil, err
	}
	switch {
	case !bytes.given && p.kind == types.ChecksumTypeComposite:
		return nil, s3err.GetChecksumTypeMismatchErr(p.algorithm, "null")
	case bytes.given && p.kind != "" && bytes.algorithm != p.algorithm:
		return nil, s3err.GetChecksumTypeMismatchErr(p.algorithm, bytes.algorithm)
	}
	return bytes, nil
}

// putPart writes a part and returns what it is.
func (o *op) putPart(m *client.Multipart, number int, bytes *intake) (s summary, part *client.Part, err error) {
	part, err = o.PutPart(o, m, number, bytes, client.PutOptions{Finish: func(p *client.PutOptions) (err error) {
		if s, err = bytes.finish(); err == nil {
			p.Summary = s.encode()
		}
		return err
	}})
	return s, part, err
}

// UploadPart writes a part.
func (b *Backend) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	o, err := b.begin(ctx, text(in.Bucket))
	if err != nil {
		return nil, err
	}
	defer o.end()
	id := text(in.UploadId)
	m, _, _, err := o.multipart(text(in.Bucket), text(in.Key), id, 0, 1)
	if err != nil {
		return nil, err
	}
	algorithm, value := first(named{types.ChecksumAlgorithmCrc32, in.ChecksumCRC32}, named{types.ChecksumAlgorithmCrc32c, in.ChecksumCRC32C},
		named{types.ChecksumAlgorithmSha1, in.ChecksumSHA1}, named{types.ChecksumAlgorithmSha256, in.ChecksumSHA256}, named{types.ChecksumAlgorithmCrc64nvme, in.ChecksumCRC64NVME},
		named{"SHA512", in.ChecksumSHA512}, named{"MD5", in.ChecksumMD5}, named{"XXHASH64", in.ChecksumXXHASH64}, named{"XXHASH3", in.ChecksumXXHASH3}, named{"XXHASH128", in.ChecksumXXHASH128})
	want := int64(-1)
	if in.ContentLength != nil {
		want = *in.ContentLength
	}
	bytes, err := intakeOfPart(planOf(m), in.Body, want, algorithm, value)
	if err != nil {
		return nil, o.fail("reading a part", err)
	}
	s, _, err := o.putPart(m, int(*in.PartNumber), bytes)
	if err != nil {
		return nil, o.fail("writing a part", errors.Join(sticky(bytes), err), noUpload(id))
	}
	out := &s3.UploadPartOutput{ETag: s.quoted()}
	if bytes.given || planOf(m).kind != "" {
		c := s.checksum()
		out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256 = c.CRC32, c.CRC32C, c.CRC64NVME, c.SHA1, c.SHA256
		out.ChecksumSHA512, out.ChecksumMD5, out.ChecksumXXHASH64, out.ChecksumXXHASH3, out.ChecksumXXHASH128 = c.SHA512, c.MD5, c.XXHASH64, c.XXHASH3, c.XXHASH128
	}
	return out, nil
}

// UploadPartCopy writes a part from what another object holds.
func (b *Backend) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (out s3response.CopyPartResult, err error) {
	o, err := b.begin(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	id := text(in.UploadId)
	m, _, _, err := o.multipart(text(in.Bucket), text(in.Key), id, 0, 1)
	if err != nil {
		return out, err
	}
	fromBucket, fromKey, fromVersion, err := backend.ParseCopySource(text(in.CopySource))
	if err != nil {
		return out, err
	}
	src, err := b.begin(ctx, fromBucket)
	if err != nil {
		return out, err
	}
	defer src.end()
	from, found, err := src.lookObject(fromBucket, fromKey, fromVersion)
	if err != nil {
		return out, err
	}
	if err := backend.EvaluatePreconditions(summaryOf(found.Summary, found.Version).ETag, found.Modified, backend.PreConditions{IfMatch: in.CopySourceIfMatch,
		IfNoneMatch: in.CopySourceIfNoneMatch, IfModSince: in.CopySourceIfModifiedSince, IfUnmodeSince: in.CopySourceIfUnmodifiedSince}); err != nil {
		return out, err
	}
	if want := text(in.ExpectedSourceBucketOwner); want != "" && want != from.Owner.String() {
		return out, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	offset, length, err := backend.ParseCopySourceRange(int64(found.Size), text(in.CopySourceRange))
	if err != nil {
		return out, err
	}
	length = min(length, int64(found.Size)-offset) // a range without an end is counted one too long
	if length > maxCopy {
		return out, s3err.GetCopySourceObjectTooLargeErr(maxCopy)
	}
	r, err := src.Open(src, found, uint64(offset), uint64(length))
	if err != nil {
		return out, o.fail("reading an object", err)
	}
	defer r.Close()
	p := planOf(m)
	bytes, err := newIntake(r, length, p.algorithm, "", true)
	if err != nil {
		return out, o.fail("reading an object", err)
	}
	s, part, err := o.putPart(m, int(*in.PartNumber), bytes)
	if err != nil {
		return out, o.fail("writing a part", err, noUpload(id))
	}
	out = s3response.CopyPartResult{ETag: s.quoted(), LastModified: part.Modified.UTC(), CopySourceVersionId: shownVersion(from, found.Version, found.Null)}
	if p.kind != "" {
		c := s.checksum()
		out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256 = c.CRC32, c.CRC32C, c.CRC64NVME, c.SHA1, c.SHA256
		out.ChecksumSHA512, out.ChecksumMD5, out.ChecksumXXHASH64, out.ChecksumXXHASH3, out.ChecksumXXHASH128 = c.SHA512, c.MD5, c.XXHASH64, c.XXHASH3, c.XXHASH128
	}
	return out, nil
}

// ListParts lists the parts of an open upload.
func (b *Backend) ListParts(ctx context.Context, in *s3.ListPartsInput) (out s3response.ListPartsResult, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	bucket, key, id, most, after := text(in.Bucket), text(in.Key), text(in.UploadId), limit(in.MaxParts), 0
	if in.PartNumberMarker != nil && *in.PartNumberMarker != "" {
		if after, err = strconv.Atoi(*in.PartNumberMarker); err != nil || after < 0 {
			return out, s3err.GetInvalidArgumentErr(s3err.InvalidArgPartNumber, *in.PartNumberMarker)
		}
	}
	m, parts, more, err := o.multipart(bucket, key, id, after, max(most, 1))
	if err != nil {
		return out, err
	}
	if most == 0 {
		parts, more = nil, false
	}
	p, owner := planOf(m), o.Access().Account().String()
	out = s3response.ListPartsResult{Bucket: bucket, Key: key, UploadID: id, ChecksumAlgorithm: p.algorithm, ChecksumType: p.kind, Initiator: s3response.Initiator{ID: owner}, Owner: s3response.Owner{ID: owner},
		StorageClass: types.StorageClassStandard, PartNumberMarker: after, MaxParts: most, IsTruncated: more}
	if p.kind == "" {
		out.ChecksumAlgorithm, out.ChecksumType = "null", "null"
	}
	for _, x := range parts {
		s := summaryOf(x.Summary, x.Version)
		l := s3response.Part{PartNumber: x.Number, LastModified: x.Modified.UTC(), ETag: *s.quoted(), Size: int64(x.Size)}
		if p.kind != "" {
			c := s.checksum()
			l.ChecksumCRC32, l.ChecksumCRC32C, l.ChecksumCRC64NVME, l.ChecksumSHA1, l.ChecksumSHA256 = c.CRC32, c.CRC32C, c.CRC64NVME, c.SHA1, c.SHA256
			l.ChecksumSHA512, l.ChecksumMD5, l.ChecksumXXHASH64, l.ChecksumXXHASH3, l.ChecksumXXHASH128 = c.SHA512, c.MD5, c.XXHASH64, c.XXHASH3, c.XXHASH128
		}
		out.Parts = append(out.Parts, l)
		out.NextPartNumberMarker = x.Number
	}
	return out, nil
}

// AbortMultipartUpload drops an upload with its parts.
func (b *Backend) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return err
	}
	defer o.end()
	id := text(in.UploadId)
	m, _, _, err := o.multipart(text(in.Bucket), text(in.Key), id, 0, 1)
	if err != nil {
		return err
	}
	if in.IfMatchInitiatedTime != nil && in.IfMatchInitiatedTime.Unix() != m.Begun.Unix() {
		return s3err.GetPreconditionFailedErr(s3err.ConditionIfMatchInitiatedTime)
	}
	return o.fail("aborting an upload", o.AbortMultipart(o, m.Path, m.ID), noUpload(id))
}

// minPart is the least that a part may have, but for the last.
const minPart = 5 << 20

// CompleteMultipartUpload makes an object of an upload's parts.
func (b *Backend) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (out s3response.CompleteMultipartUploadResult, version string, err error) {
	o, err := b.begin(ctx, text(in.Bucket))
	if err != nil {
		return out, "", err
	}
	defer o.end()
	bucket, key, id := text(in.Bucket), text(in.Key), text(in.UploadId)
	if in.MultipartUpload == nil || len(in.MultipartUpload.Parts) == 0 {
		return out, "", s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	v, found, err := o.look(bucket, key, "")
	if err != nil {
		return out, "", err
	}
	etag, err := backend.ComputeMultipartETagFromPartETags(in.MultipartUpload.Parts)
	if err != nil {
		return out, "", err
	}
	m, parts, more, err := o.multipart(bucket, key, id, 0, 1000)
	if err != nil {
		return o.completedBefore(bucket, key, id, etag, err)
	}
	for more {
		var next []client.Part
		if _, next, more, err = o.multipart(bucket, key, id, parts[len(parts)-1].Number, 1000); err != nil {
			return out, "", err
		}
		parts = append(parts, next...)
	}
	p := planOf(m)
	opts := client.PutOptions{ContentType: m.ContentType, Attributes: m.Attributes}
	if err := conditions(found, in.IfMatch, in.IfNoneMatch, &opts); err != nil {
		return out, "", err
	}
	if in.ChecksumType != "" && in.ChecksumType != p.kind {
		kind := p.kind
		if kind == "" {
			kind = "null"
		}
		return out, "", s3err.GetChecksumTypeMismatchOnMpErr(kind)
	}
	named, s, size, err := assemble(id, p, parts, in.MultipartUpload.Parts)
	if err != nil {
		return out, "", err
	}
	if in.MpuObjectSize != nil && *in.MpuObjectSize != size {
		return out, "", s3err.GetIncorrectMpObjectSizeErr(size, *in.MpuObjectSize)
	}
	if value := wantedChecksum(in, s.Algorithm); value != "" && p.kind != "" && value != s.Checksum && value != strings.Split(s.Checksum, "-")[0] {
		return out, "", s3err.GetChecksumBadDigestErr(s.Algorithm)
	}
	s.ETag = strings.Trim(etag, `"`)
	opts.Summary = s.encode()
	until, _ := time.Parse(time.RFC3339Nano, opts.Attributes[lockUntilAt])
	if opts.Lock, err = o.lock(v, types.ObjectLockMode(opts.Attributes[lockModeAt]), orNilTime(until), types.ObjectLockLegalHoldStatus(opts.Attributes[lockHoldAt])); err != nil {
		return out, "", err
	}
	for _, name := range []string{checksumAt, lockModeAt, lockUntilAt, lockHoldAt} {
		delete(opts.Attributes, name)
	}
	made, err := o.CompleteMultipart(o, m, named, opts)
	if mesh.KindOf(err) == mesh.NotFound && err != nil {
		return o.completedBefore(bucket, key, id, etag, s3err.GetNoSuchUploadErr(id))
	}
	if err != nil {
		return out, "", o.fail("completing an upload", err, noUpload(id), conflicted(opts))
	}
	return o.completed(bucket, key, v, made, s)
}

func orNilTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// completedBefore answers a completion of an upload that is not open any more: when the object that is there was made of it, an
// earlier answer was lost or another request was faster. Else the error stands.
func (o *op) completedBefore(bucket, key, id, etag string, otherwise error) (s3response.CompleteMultipartUploadResult, string, error) {
	v, found, err := o.look(bucket, key, "")
	u, parseErr := parseUpload(id)
	if err != nil || parseErr != nil || found == nil || found.Marker || found.Parts == 0 || found.Upload() != u {
		return s3response.CompleteMultipartUploadResult{}, "", otherwise
	}
	s := summaryOf(found.Summary, found.Version)
	if `"`+s.ETag+`"` != etag {
		return s3response.CompleteMultipartUploadResult{}, "", otherwise
	}
	return o.completed(bucket, key, v, found, s)
}

func (o *op) completed(bucket, key string, v *client.Bucket, made *client.Object, s summary) (out s3response.CompleteMultipartUploadResult, version string, err error) {
	o.showExpiry(v, made)
	c := s.checksum()
	out = s3response.CompleteMultipartUploadResult{Bucket: &bucket, Key: &key, ETag: s.quoted(), ChecksumCRC32: c.CRC32, ChecksumCRC32C: c.CRC32C, ChecksumCRC64NVME: c.CRC64NVME,
		ChecksumSHA1: c.SHA1, ChecksumSHA256: c.SHA256, ChecksumSHA512: c.SHA512, ChecksumMD5: c.MD5, ChecksumXXHASH64: c.XXHASH64, ChecksumXXHASH3: c.XXHASH3, ChecksumXXHASH128: c.XXHASH128}
	if c.Type != "" {
		out.ChecksumType = &c.Type
	}
	return out, newVersion(v, made.Version), nil
}

// assemble finds the parts that a completion names, checks them, and works out the checksum of the whole.
func assemble(id string, p plan, have []client.Part, want []types.CompletedPart) (named []client.Part, s summary, size int64, err error) {
	byNumber := make(map[int]client.Part, len(have))
	for _, x := range have {
		byNumber[x.Number] = x
	}
	s.Algorithm, s.Type = p.algorithm, p.kind
	if p.kind == "" {
		s.Algorithm, s.Type = types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	}
	var composite *utils.CompositeChecksumReader
	if s.Type == types.ChecksumTypeComposite {
		if composite, err = utils.NewCompositeChecksumReader(utils.HashType(strings.ToLower(string(s.Algorithm)))); err != nil {
			return nil, s, 0, err
		}
	}
	last := int32(0)
	for i, w := range want {
		switch {
		case w.PartNumber == nil || w.ETag == nil:
			return nil, s, 0, s3err.GetAPIError(s3err.ErrMalformedXML)
		case *w.PartNumber < 1:
			return nil, s, 0, s3err.GetInvalidArgumentErr(s3err.InvalidArgCompleteMpPartNumber, fmt.Sprint(*w.PartNumber))
		case *w.PartNumber <= last:
			return nil, s, 0, s3err.GetAPIError(s3err.ErrInvalidPartOrder)
		}
		last = *w.PartNumber
		x, ok := byNumber[int(last)]
		ps := summaryOf(x.Summary, x.Version)
		if !ok || !backend.AreEtagsSame(ps.ETag, strings.Trim(*w.ETag, `"`)) {
			return nil, s, 0, s3err.GetInvalidPartErr(id, last, *w.ETag)
		}
		if i < len(want)-1 && x.Size < minPart {
			return nil, s, 0, s3err.GetEntityTooSmallErr(int64(x.Size), minPart)
		}
		if err := checkPartSum(id, p, w, ps); err != nil {
			return nil, s, 0, err
		}
		sum := ps.Checksum
		if p.kind == "" && ps.CRC64 != "" {
			sum = ps.CRC64
		}
		switch {
		case composite != nil:
			err = composite.Process(sum)
		case i == 0:
			s.Checksum = sum
		default:
			s.Checksum, err = utils.AddCRCChecksum(s.Algorithm, s.Checksum, sum, int64(x.Size))
		}
		if err != nil {
			return nil, s, 0, s3err.GetInvalidPartErr(id, last, *w.ETag)
		}
		size += int64(x.Size)
		named = append(named, x)
	}
	if composite != nil {
		s.Checksum = composite.Sum() + "-" + strconv.Itoa(len(want))
	}
	return named, s, size, nil
}

// checkPartSum checks what a completion says of a part's checksum.
func checkPartSum(id string, p plan, w types.CompletedPart, is summary) error {
	algorithm, value, all := checksumOfPart(w)
	switch {
	case all != "":
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgChecksumPart, all)
	case p.kind == "" && algorithm == "":
		return nil
	case p.kind == "":
		return s3err.GetInvalidPartErr(id, *w.PartNumber, *w.ETag)
	case algorithm == "":
		return s3err.APIError{Code: "InvalidRequest", HTTPStatusCode: 400, Description: fmt.Sprintf("The upload was created using a %v checksum. The complete request must include the checksum for each part. It was missing for part %v in the request.",
			strings.ToLower(string(p.algorithm)), *w.PartNumber)}
	case !utils.IsValidChecksum(value, algorithm):
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgChecksumPart, value)
	case algorithm != p.algorithm:
		return s3err.APIError{Code: "BadDigest", HTTPStatusCode: 400, Description: fmt.Sprintf("The %v you specified for part %v did not match what we received.", strings.ToLower(string(algorithm)), *w.PartNumber)}
	case value != is.Checksum:
		return s3err.GetInvalidPartErr(id, *w.PartNumber, *w.ETag)
	}
	return nil
}

// checksumOfPart returns what a completion says of a part's checksum; all is what it says when that is more than one.
func checksumOfPart(w types.CompletedPart) (algorithm types.ChecksumAlgorithm, value, all string) {
	given := slices.DeleteFunc([]named{{types.ChecksumAlgorithmCrc32, w.ChecksumCRC32}, {types.ChecksumAlgorithmCrc32c, w.ChecksumCRC32C}, {types.ChecksumAlgorithmSha1, w.ChecksumSHA1},
		{types.ChecksumAlgorithmSha256, w.ChecksumSHA256}, {types.ChecksumAlgorithmCrc64nvme, w.ChecksumCRC64NVME}, {"SHA512", w.ChecksumSHA512}, {"MD5", w.ChecksumMD5},
		{"XXHASH64", w.ChecksumXXHASH64}, {"XXHASH3", w.ChecksumXXHASH3}, {"XXHASH128", w.ChecksumXXHASH128}}, func(n named) bool { return n.value == nil })
	if len(given) > 1 {
		for _, n := range given {
			all += string(n.algorithm) + ":" + *n.value + ";"
		}
	}
	algorithm, value = first(given...)
	return algorithm, value, all
}

// wantedChecksum is what a completion says the whole has.
func wantedChecksum(in *s3.CompleteMultipartUploadInput, algorithm types.ChecksumAlgorithm) string {
	a, v := first(named{types.ChecksumAlgorithmCrc32, in.ChecksumCRC32}, named{types.ChecksumAlgorithmCrc32c, in.ChecksumCRC32C}, named{types.ChecksumAlgorithmSha1, in.ChecksumSHA1},
		named{types.ChecksumAlgorithmSha256, in.ChecksumSHA256}, named{types.ChecksumAlgorithmCrc64nvme, in.ChecksumCRC64NVME}, named{"SHA512", in.ChecksumSHA512}, named{"MD5", in.ChecksumMD5}, named{"XXHASH64", in.ChecksumXXHASH64}, named{"XXHASH3", in.ChecksumXXHASH3}, named{"XXHASH128", in.ChecksumXXHASH128})
	if a != "" && a != algorithm {
		return "another"
	}
	return v
}
