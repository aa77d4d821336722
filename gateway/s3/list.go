package s3

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
)

// A coder writes names so that XML can carry them, if the request asks for that.
type coder bool

func (o *op) coder() coder {
	return coder(o.request != nil && string(o.request.QueryArgs().Peek("encoding-type")) == "url")
}

func (c coder) name(s string) *string {
	if c {
		s = strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "%2F", "/"), "+", "%20")
	}
	return &s
}

// maybe is name, nil for "".
func (c coder) maybe(s string) *string {
	if s == "" {
		return nil
	}
	return c.name(s)
}

func (c coder) kind() types.EncodingType {
	if c {
		return types.EncodingTypeUrl
	}
	return ""
}

// A listing is a page of names.
type listing struct {
	objects  []client.Listed
	prefixes []string
	next     *client.ListQuery
}

// list gathers a page: the index may stop in between without a name to show.
func (o *op) list(q client.ListQuery, most int) (l listing, err error) {
	if _, err := o.bucket(q.Bucket); err != nil {
		return l, err
	}
	for next := &q; next != nil && len(l.objects)+len(l.prefixes) < most; {
		next.Limit = most - len(l.objects) - len(l.prefixes)
		page, err := o.ListPage(o, *next)
		if err != nil {
			return l, o.fail("listing objects", err, noSuchBucket(q.Bucket))
		}
		for _, n := range page.Names {
			if n.Folder {
				l.prefixes = append(l.prefixes, n.Key)
			} else {
				l.objects = append(l.objects, n)
			}
		}
		next = page.Next
		l.next = next
	}
	return l, nil
}

// limit is how many names a request wants.
func limit(p *int32) int {
	if p == nil {
		return 1000
	}
	return min(int(*p), 1000)
}

func listedObject(n client.Listed, c coder) s3response.Object {
	s := summaryOf(n.Summary, n.Version)
	out := s3response.Object{Key: c.name(n.Key), ETag: s.quoted(), Size: ptr(int64(n.Size)), LastModified: ptr(n.Modified.UTC()), StorageClass: types.ObjectStorageClassStandard}
	if s.Checksum != "" {
		out.ChecksumAlgorithm, out.ChecksumType = []types.ChecksumAlgorithm{s.Algorithm}, s.Type
	}
	return out
}

func commonPrefixes(all []string, c coder) (out []types.CommonPrefix) {
	for _, p := range all {
		out = append(out, types.CommonPrefix{Prefix: c.name(p)})
	}
	return out
}

// begin is where a listing goes on behind a marker: in versitygw's and S3's words one text, a name or a common prefix.
func begin(bucket, prefix, delimiter, marker string) client.ListQuery {
	q := client.ListQuery{Bucket: bucket, Prefix: prefix, Delimiter: delimiter, After: marker}
	q.AfterFolder = delimiter != "" && len(marker) > len(prefix) && strings.HasPrefix(marker, prefix) && strings.HasSuffix(marker, delimiter)
	return q
}

// ListObjects lists objects in the older way.
func (b *Backend) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (out s3response.ListObjectsResult, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	bucket, prefix, delimiter, marker, most, c := text(in.Bucket), text(in.Prefix), text(in.Delimiter), text(in.Marker), limit(in.MaxKeys), o.coder()
	l, err := o.list(begin(bucket, prefix, delimiter, marker), most)
	if err != nil {
		return out, err
	}
	out = s3response.ListObjectsResult{Name: &bucket, Prefix: c.maybe(prefix), Marker: c.maybe(marker), MaxKeys: ptr(int32(most)), IsTruncated: ptr(l.next != nil), EncodingType: c.kind(),
		CommonPrefixes: commonPrefixes(l.prefixes, c)}
	if delimiter != "" {
		out.Delimiter = c.name(delimiter)
	}
	for _, n := range l.objects {
		out.Contents = append(out.Contents, listedObject(n, c))
	}
	if l.next != nil {
		out.NextMarker = c.name(l.next.After)
	}
	return out, nil
}

// ListObjectsV2 lists objects.
func (b *Backend) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (out s3response.ListObjectsV2Result, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	bucket, prefix, delimiter, most, c := text(in.Bucket), text(in.Prefix), text(in.Delimiter), limit(in.MaxKeys), o.coder()
	token, after := text(in.ContinuationToken), text(in.StartAfter)
	l, err := o.list(begin(bucket, prefix, delimiter, max(token, after)), most)
	if err != nil {
		return out, err
	}
	out = s3response.ListObjectsV2Result{Name: &bucket, Prefix: c.maybe(prefix), MaxKeys: ptr(int32(most)), IsTruncated: ptr(l.next != nil), EncodingType: c.kind(),
		KeyCount: ptr(int32(len(l.objects) + len(l.prefixes))), CommonPrefixes: commonPrefixes(l.prefixes, c)}
	if delimiter != "" {
		out.Delimiter = c.name(delimiter)
	}
	if after != "" {
		out.StartAfter = c.name(after)
	}
	if token != "" {
		out.ContinuationToken = &token
	}
	v, err := o.bucket(bucket)
	if err != nil {
		return out, err
	}
	for _, n := range l.objects {
		x := listedObject(n, c)
		if in.FetchOwner != nil && *in.FetchOwner {
			x.Owner = &types.Owner{ID: ptr(v.Owner.String())}
		}
		out.Contents = append(out.Contents, x)
	}
	if l.next != nil {
		out.NextContinuationToken = ptr(l.next.After)
	}
	return out, nil
}

// ListObjectVersions lists versions and markers, the newest of a key first.
func (b *Backend) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (out s3response.ListVersionsResult, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	bucket, prefix, delimiter, most, c := text(in.Bucket), text(in.Prefix), text(in.Delimiter), limit(in.MaxKeys), o.coder()
	keyMarker, versionMarker := text(in.KeyMarker), text(in.VersionIdMarker)
	q := begin(bucket, prefix, delimiter, keyMarker)
	q.Versions = true
	if versionMarker != "" {
		if q.AfterVersion, err = parseVersion(versionMarker); err != nil {
			return out, err
		}
		if versionMarker == nullVersion { // the index goes on behind a version that it has
			if _, found, err := o.look(bucket, keyMarker, nullVersion); err != nil {
				return out, err
			} else if found != nil {
				q.AfterVersion = &found.Version
			}
		}
	}
	l, err := o.list(q, most)
	if err != nil {
		return out, err
	}
	v, err := o.bucket(bucket)
	if err != nil {
		return out, err
	}
	owner := &types.Owner{ID: ptr(v.Owner.String())}
	out = s3response.ListVersionsResult{Name: &bucket, Prefix: c.name(prefix), KeyMarker: c.name(keyMarker), VersionIdMarker: &versionMarker, MaxKeys: ptr(int32(most)), IsTruncated: ptr(l.next != nil),
		EncodingType: c.kind(), CommonPrefixes: commonPrefixes(l.prefixes, c)}
	if delimiter != "" {
		out.Delimiter = c.name(delimiter)
	}
	last := ""
	for _, n := range l.objects {
		id := ptr(versionText(n.Version, n.Null))
		last = *id
		if n.Marker {
			out.DeleteMarkers = append(out.DeleteMarkers, types.DeleteMarkerEntry{Key: c.name(n.Key), VersionId: id, IsLatest: ptr(n.Latest), LastModified: ptr(n.Modified.UTC()), Owner: owner})
			continue
		}
		x := listedObject(n, c)
		out.Versions = append(out.Versions, s3response.ObjectVersion{Key: x.Key, VersionId: id, IsLatest: ptr(n.Latest), LastModified: x.LastModified, ETag: x.ETag, Size: x.Size,
			ChecksumAlgorithm: x.ChecksumAlgorithm, ChecksumType: x.ChecksumType, StorageClass: types.ObjectVersionStorageClassStandard, Owner: owner})
	}
	if l.next != nil {
		out.NextKeyMarker = c.name(l.next.After)
		if l.next.AfterVersion != nil {
			out.NextVersionIdMarker = &last
		}
	}
	return out, nil
}
