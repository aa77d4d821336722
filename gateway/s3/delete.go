package s3

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// DeleteObject removes an object or a version.
func (b *Backend) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return nil, err
	}
	defer o.end()
	var cond *backend.ObjectDeletePreconditions
	if in.IfMatch != nil || in.IfMatchLastModifiedTime != nil || in.IfMatchSize != nil {
		cond = &backend.ObjectDeletePreconditions{IfMatch: in.IfMatch, IfMatchLastModTime: in.IfMatchLastModifiedTime, IfMatchSize: in.IfMatchSize}
	}
	return o.remove(text(in.Bucket), text(in.Key), text(in.VersionId), cond)
}

func (o *op) remove(bucket, key, version string, cond *backend.ObjectDeletePreconditions) (*s3.DeleteObjectOutput, error) {
	p, err := checkPath(bucket, key)
	if err != nil {
		return nil, err
	}
	v, err := parseVersion(version)
	if err != nil {
		return nil, err
	}
	var b *client.Bucket
	opts := client.DeleteOptions{Purge: v, Bypass: o.bypasses()}
	var found *client.Object
	if cond != nil || v != nil {
		if b, found, err = o.look(bucket, key, version); err != nil {
			return nil, err
		}
	} else if b, err = o.bucket(bucket); err != nil {
		return nil, err
	}
	if cond != nil && found != nil && !found.Marker {
		if err := backend.EvaluateObjectDeletePreconditions(summaryOf(found.Summary, found.Version).ETag, found.Modified, int64(found.Size), *cond); err != nil {
			return nil, err
		}
		if v == nil {
			opts.OnlyIf = &found.Version
		}
	}
	marker, err := o.DeleteWith(o, p, opts)
	switch kind := mesh.KindOf(err); {
	case err == nil:
	case kind == mesh.NotFound:
		return &s3.DeleteObjectOutput{VersionId: orNil(version)}, nil // nothing there is what was wanted
	case kind == mesh.Denied && found != nil && found.Lock != (client.Lock{}):
		return nil, s3err.GetAPIError(s3err.ErrObjectLocked)
	default:
		return nil, o.fail("removing an object", err, noSuchBucket(bucket), meaning{mesh.Conflict: s3err.GetPreconditionFailedErr(s3err.ConditionIfMatch)})
	}
	out := &s3.DeleteObjectOutput{}
	switch {
	case v != nil:
		out.VersionId, out.DeleteMarker = ptr(version), ptr(found != nil && found.Marker)
	case b.Versioning != client.NeverVersioned:
		out.DeleteMarker, out.VersionId = ptr(true), ptr(versionText(marker, b.Versioning == client.Suspended))
	}
	return out, nil
}

// maxDeletes is how many objects one request removes at most.
const maxDeletes = 1000

// DeleteObjects removes many objects, each by itself.
func (b *Backend) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (out s3response.DeleteResult, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	if in.Delete == nil || len(in.Delete.Objects) > maxDeletes {
		return out, s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	bucket := text(in.Bucket)
	if _, err := o.bucket(bucket); err != nil {
		return out, err
	}
	quiet := o.request != nil && strings.Contains(string(o.request.Request.Body()), "<Quiet>true</Quiet>") // versitygw does not pass it on
	type outcome struct {
		done *s3.DeleteObjectOutput
		err  error
	}
	results := make([]outcome, len(in.Delete.Objects))
	each(len(results), 16, func(i int) {
		x := in.Delete.Objects[i]
		if x.Key == nil {
			results[i].err = s3err.GetAPIError(s3err.ErrMalformedXML)
			return
		}
		results[i].done, results[i].err = o.remove(bucket, text(x.Key), text(x.VersionId), nil)
	})
	for i, r := range results {
		x := in.Delete.Objects[i]
		key, version := ptr(text(x.Key)), orNil(text(x.VersionId))
		if r.err != nil {
			out.Error = append(out.Error, s3err.ObjectDeleteError(key, version, r.err))
			continue
		}
		if quiet {
			continue
		}
		d := types.DeletedObject{Key: key, VersionId: version, DeleteMarker: r.done.DeleteMarker}
		if r.done.DeleteMarker != nil && *r.done.DeleteMarker {
			d.DeleteMarkerVersionId = r.done.VersionId
		}
		out.Deleted = append(out.Deleted, d)
	}
	return out, nil
}

// each calls f for 0 to n-1, a bounded number at a time.
func each(n, most int, f func(i int)) {
	slots, done := make(chan struct{}, most), make(chan struct{}, n)
	for i := range n {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; done <- struct{}{} }()
			f(i)
		}()
	}
	for range n {
		<-done
	}
}
