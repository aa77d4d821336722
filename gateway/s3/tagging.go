package s3

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// tagsOf returns an object's tags: those that were set last, or those that it came with.
func tagsOf(found *client.Object) (map[string]string, error) {
	if found.Tags != nil {
		return decodeTags(found.Tags)
	}
	return backend.ParseObjectTags(found.Attributes[tagsAt])
}

func urlTags(tags map[string]string) string {
	v := url.Values{}
	for name, value := range tags {
		v.Set(name, value)
	}
	return v.Encode()
}

// GetObjectTagging returns an object's tags.
func (b *Backend) GetObjectTagging(ctx context.Context, bucket, key, version string) (map[string]string, error) {
	o, err := b.brief(ctx, bucket)
	if err != nil {
		return nil, err
	}
	defer o.end()
	_, found, err := o.lookObject(strings.Clone(bucket), strings.Clone(key), strings.Clone(version))
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(found)
	if tags == nil {
		tags = map[string]string{}
	}
	return tags, o.fail("reading tags", err)
}

// PutObjectTagging changes them.
func (b *Backend) PutObjectTagging(ctx context.Context, bucket, key, version string, tags map[string]string) error {
	o, err := b.brief(ctx, bucket)
	if err != nil {
		return err
	}
	defer o.end()
	_, found, err := o.lookObject(strings.Clone(bucket), strings.Clone(key), strings.Clone(version))
	if err != nil {
		return err
	}
	return o.fail("changing tags", o.SetTags(o, found, encodeTags(tags)), meaning{mesh.NotFound: s3err.GetAPIError(s3err.ErrNoSuchKey)})
}

// DeleteObjectTagging removes them.
func (b *Backend) DeleteObjectTagging(ctx context.Context, bucket, key, version string) error {
	return b.PutObjectTagging(ctx, bucket, key, version, nil)
}

// bypasses tells whether a request asks to go past locks that are governance's, which versitygw passes on with none.
func (o *op) bypasses() bool {
	return o.request != nil && strings.EqualFold(string(o.request.Request.Header.Peek("X-Amz-Bypass-Governance-Retention")), "true")
}

// removes tells whether a request removes objects.
func (o *op) removes() bool {
	return o.request != nil && (string(o.request.Method()) == "DELETE" || string(o.request.Method()) == "POST")
}

// locked finds a version in a bucket with locking.
func (o *op) locked(bucket, key, version string) (*client.Object, error) {
	v, found, err := o.look(strings.Clone(bucket), strings.Clone(key), strings.Clone(version))
	switch {
	case err != nil:
	case found == nil && o.removes(): // versitygw lets a version that is not there be deleted when it hears this
		err = s3err.GetAPIError(s3err.ErrNoSuchKey)
	case found == nil:
		err = absent(strings.Clone(key), strings.Clone(version))
	case found.Marker:
		err = s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	if err == nil && !v.Locking {
		err = s3err.GetAPIError(s3err.ErrMissingObjectLockConfiguration)
	}
	return found, err
}

// PutObjectRetention changes until when a version is locked.
func (b *Backend) PutObjectRetention(ctx context.Context, bucket, key, version string, retention []byte) error {
	o, err := b.brief(ctx, bucket)
	if err != nil {
		return err
	}
	defer o.end()
	found, err := o.locked(bucket, key, version)
	if err != nil {
		return err
	}
	var r s3response.PutObjectRetentionInput
	if err := json.Unmarshal(retention, &r); err != nil {
		return o.fail("reading a retention", err)
	}
	err = o.SetRetention(o, found, lockMode(string(r.Mode)), r.RetainUntilDate.Time, o.bypasses())
	return o.fail("locking a version", err, meaning{mesh.Denied: s3err.GetAPIError(s3err.ErrObjectLocked)})
}

// GetObjectRetention tells until when a version is locked.
func (b *Backend) GetObjectRetention(ctx context.Context, bucket, key, version string) ([]byte, error) {
	o, err := b.brief(ctx, bucket)
	if err != nil {
		return nil, err
	}
	defer o.end()
	found, err := o.locked(bucket, key, version)
	if err != nil {
		return nil, err
	}
	if found.Lock.Mode == client.NoLock {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
	}
	mode, until, _ := lockOf(found)
	return json.Marshal(types.ObjectLockRetention{Mode: types.ObjectLockRetentionMode(mode), RetainUntilDate: ptr(until.Truncate(time.Millisecond))})
}

// PutObjectLegalHold holds a version, or lets it go.
func (b *Backend) PutObjectLegalHold(ctx context.Context, bucket, key, version string, status bool) error {
	o, err := b.brief(ctx, bucket)
	if err != nil {
		return err
	}
	defer o.end()
	found, err := o.locked(bucket, key, version)
	if err != nil {
		return err
	}
	return o.fail("holding a version", o.SetHold(o, found, status))
}

// GetObjectLegalHold tells whether a version is on hold.
func (b *Backend) GetObjectLegalHold(ctx context.Context, bucket, key, version string) (*bool, error) {
	o, err := b.brief(ctx, bucket)
	if err != nil {
		return nil, err
	}
	defer o.end()
	found, err := o.locked(bucket, key, version)
	if err != nil {
		return nil, err
	}
	if found.Lock == (client.Lock{}) {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
	}
	return &found.Lock.Hold, nil
}
