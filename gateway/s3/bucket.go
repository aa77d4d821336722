package s3

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
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

// ListBuckets lists the account's buckets that the key covers.
func (b *Backend) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (out s3response.ListAllMyBucketsResult, err error) {
	o, err := b.brief(ctx, "")
	if err != nil {
		return out, err
	}
	defer o.end()
	all, err := o.Buckets(o)
	if err != nil {
		return out, o.fail("listing buckets", err)
	}
	out.Owner.ID, out.Prefix = strings.Clone(in.Owner), strings.Clone(in.Prefix)
	for _, v := range all {
		if !strings.HasPrefix(v.Name, in.Prefix) || v.Name <= in.ContinuationToken {
			continue
		}
		if in.MaxBuckets > 0 && len(out.Buckets.Bucket) == int(in.MaxBuckets) {
			out.ContinuationToken = out.Buckets.Bucket[len(out.Buckets.Bucket)-1].Name
			break
		}
		out.Buckets.Bucket = append(out.Buckets.Bucket, s3response.ListAllMyBucketsEntry{Name: v.Name, CreationDate: v.Created.UTC()})
	}
	return out, nil
}

// HeadBucket tells whether a bucket is there.
func (b *Backend) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return nil, err
	}
	defer o.end()
	_, err = o.bucket(text(in.Bucket))
	return &s3.HeadBucketOutput{}, err
}

// CreateBucket makes a bucket with its access list, ownership, tags and locking at once.
func (b *Backend) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	o, err := b.brief(ctx, "")
	if err != nil {
		return err
	}
	defer o.end()
	name := text(in.Bucket)
	with := client.BucketChange{Serving: o.session.id, Sections: map[uint32][]byte{sectionACL: slices.Clone(acl)}}
	if in.ObjectOwnership != "" {
		with.Sections[sectionOwnership] = []byte(in.ObjectOwnership)
	}
	if in.CreateBucketConfiguration != nil && len(in.CreateBucketConfiguration.Tags) > 0 {
		tags, err := backend.ParseCreateBucketTags(in.CreateBucketConfiguration.Tags)
		if err != nil {
			return err
		}
		with.Sections[sectionTags] = encodeTags(tags)
	}
	if in.ObjectLockEnabledForBucket != nil && *in.ObjectLockEnabledForBucket {
		config, err := json.Marshal(auth.BucketLockConfig{Enabled: true, CreatedAt: ptr(time.Now().UTC())})
		if err != nil {
			return o.fail("making a bucket", err)
		}
		with.Locking, with.Versioning, with.Sections[sectionLock] = true, client.Versioned, config
	}
	err = o.MakeBucketWith(o, name, false, with)
	b.facts.Remove(name)
	if mesh.KindOf(err) == mesh.Conflict && err != nil {
		if v, err := o.Bucket(o, name); err == nil && v.Owner == o.Access().Account() {
			return s3err.GetBucketErr(s3err.ErrBucketAlreadyOwnedByYou, name)
		}
		return s3err.GetBucketErr(s3err.ErrBucketAlreadyExists, name)
	}
	return o.fail("making a bucket", err)
}

// DeleteBucket removes an empty bucket.
func (b *Backend) DeleteBucket(ctx context.Context, name string) error {
	o, err := b.brief(ctx, name)
	if err != nil {
		return err
	}
	defer o.end()
	if o.foreign {
		return errNotOwner
	}
	name = strings.Clone(name)
	err = o.RemoveBucket(o, name)
	notEmpty := s3err.GetBucketErr(s3err.ErrBucketNotEmpty, name)
	if mesh.KindOf(err) == mesh.Conflict && err != nil {
		if v, err := o.Bucket(o, name); err == nil && v.Versions > 0 {
			notEmpty = s3err.GetBucketErr(s3err.ErrVersionedBucketNotEmpty, name)
		}
	}
	return o.fail("removing a bucket", err, noSuchBucket(name), meaning{mesh.Conflict: notEmpty})
}

// GetBucketAcl is a bucket's access list. One that was not made through S3 belongs to its owner alone, and a public one may be
// read by everybody.
func (b *Backend) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	o, err := b.bounded(b.act(ctx, text(in.Bucket)))
	if err != nil {
		return nil, err
	}
	defer o.end()
	name := text(in.Bucket)
	if mesh.CheckBucket(name) != nil {
		return nil, s3err.GetBucketErr(s3err.ErrNoSuchBucket, name)
	}
	return o.acl(name)
}

func (o *op) acl(name string) ([]byte, error) {
	acl, err := o.section(name, sectionACL)
	if err != nil || acl != nil {
		return acl, err
	}
	v, err := o.bucket(name)
	if err != nil {
		return nil, err
	}
	owner := v.Owner.String()
	list := auth.ACL{Owner: owner, Grantees: []auth.Grantee{{Permission: auth.PermissionFullControl, Access: owner, Type: types.TypeCanonicalUser}}}
	if v.Public {
		list.Grantees = append(list.Grantees, auth.Grantee{Permission: auth.PermissionRead, Access: "all-users", Type: types.TypeGroup})
	}
	return json.Marshal(list)
}

// PutBucketAcl changes a bucket's access list.
func (b *Backend) PutBucketAcl(ctx context.Context, name string, data []byte) error {
	return b.setSection(ctx, name, sectionACL, data)
}

// PutBucketVersioning switches versioning on, or suspends it.
func (b *Backend) PutBucketVersioning(ctx context.Context, name string, status types.BucketVersioningStatus) error {
	o, err := b.brief(ctx, name)
	if err != nil {
		return err
	}
	defer o.end()
	v, err := o.bucket(strings.Clone(name))
	if err != nil {
		return err
	}
	change := client.BucketChange{Versioning: client.Versioned}
	if status == types.BucketVersioningStatusSuspended {
		if v.Locking {
			return s3err.GetAPIError(s3err.ErrSuspendedVersioningNotAllowed)
		}
		change.Versioning = client.Suspended
	}
	return o.configure("switching versioning", v.Name, change)
}

// GetBucketVersioning tells whether a bucket has versioning.
func (b *Backend) GetBucketVersioning(ctx context.Context, name string) (out s3response.GetBucketVersioningOutput, err error) {
	o, err := b.brief(ctx, name)
	if err != nil {
		return out, err
	}
	defer o.end()
	v, err := o.bucket(strings.Clone(name))
	if err != nil {
		return out, err
	}
	switch v.Versioning {
	case client.Versioned:
		out.Status = ptr(types.BucketVersioningStatusEnabled)
	case client.Suspended:
		out.Status = ptr(types.BucketVersioningStatusSuspended)
	}
	return out, nil
}

// PutBucketPolicy keeps a policy that versitygw has checked.
func (b *Backend) PutBucketPolicy(ctx context.Context, name string, policy []byte) error {
	return b.setSection(ctx, name, sectionPolicy, policy)
}

// GetBucketPolicy returns it.
func (b *Backend) GetBucketPolicy(ctx context.Context, name string) ([]byte, error) {
	return b.sectionOr(ctx, name, sectionPolicy, s3err.GetBucketErr(s3err.ErrNoSuchBucketPolicy, name))
}

// DeleteBucketPolicy removes it.
func (b *Backend) DeleteBucketPolicy(ctx context.Context, name string) error {
	return b.setSection(ctx, name, sectionPolicy, nil)
}

// PutBucketOwnershipControls says who owns what others write.
func (b *Backend) PutBucketOwnershipControls(ctx context.Context, name string, ownership types.ObjectOwnership) error {
	return b.setSection(ctx, name, sectionOwnership, []byte(ownership))
}

// GetBucketOwnershipControls returns it.
func (b *Backend) GetBucketOwnershipControls(ctx context.Context, name string) (types.ObjectOwnership, error) {
	v, err := b.sectionOr(ctx, name, sectionOwnership, s3err.GetBucketErr(s3err.ErrOwnershipControlsNotFound, name))
	return types.ObjectOwnership(v), err
}

// DeleteBucketOwnershipControls removes it.
func (b *Backend) DeleteBucketOwnershipControls(ctx context.Context, name string) error {
	return b.setSection(ctx, name, sectionOwnership, nil)
}

// PutBucketCors says which pages may call.
func (b *Backend) PutBucketCors(ctx context.Context, name string, cors []byte) error {
	return b.setSection(ctx, name, sectionCORS, cors)
}

// GetBucketCors returns it.
func (b *Backend) GetBucketCors(ctx context.Context, name string) ([]byte, error) {
	return b.sectionOr(ctx, name, sectionCORS, s3err.GetBucketErr(s3err.ErrNoSuchCORSConfiguration, name))
}

// DeleteBucketCors removes it.
func (b *Backend) DeleteBucketCors(ctx context.Context, name string) error {
	return b.setSection(ctx, name, sectionCORS, nil)
}

// PutBucketWebsite says how the bucket is a site.
func (b *Backend) PutBucketWebsite(ctx context.Context, name string, website []byte) error {
	return b.setSection(ctx, name, sectionWebsite, website)
}

// GetBucketWebsite returns it.
func (b *Backend) GetBucketWebsite(ctx context.Context, name string) ([]byte, error) {
	return b.sectionOr(ctx, name, sectionWebsite, s3err.GetBucketErr(s3err.ErrNoSuchWebsiteConfiguration, name))
}

// DeleteBucketWebsite removes it.
func (b *Backend) DeleteBucketWebsite(ctx context.Context, name string) error {
	return b.setSection(ctx, name, sectionWebsite, nil)
}

// GetBucketTagging returns a bucket's tags.
func (b *Backend) GetBucketTagging(ctx context.Context, name string) (map[string]string, error) {
	v, err := b.sectionOr(ctx, name, sectionTags, s3err.GetBucketErr(s3err.ErrBucketTaggingNotFound, name))
	if err != nil {
		return nil, err
	}
	tags, err := decodeTags(v)
	return tags, s3Error(b.log, "reading a bucket's tags", err)
}

// PutBucketTagging changes them.
func (b *Backend) PutBucketTagging(ctx context.Context, name string, tags map[string]string) error {
	return b.setSection(ctx, name, sectionTags, encodeTags(tags))
}

// DeleteBucketTagging removes them.
func (b *Backend) DeleteBucketTagging(ctx context.Context, name string) error {
	return b.setSection(ctx, name, sectionTags, nil)
}

// PutObjectLockConfiguration switches locking on, for good, and says how new versions are locked.
func (b *Backend) PutObjectLockConfiguration(ctx context.Context, name string, config []byte) error {
	o, err := b.brief(ctx, name)
	if err != nil {
		return err
	}
	defer o.end()
	v, err := o.bucket(strings.Clone(name))
	if err != nil {
		return err
	}
	if v.Versioning != client.Versioned {
		return s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotAllowed)
	}
	change := client.BucketChange{Locking: true, Sections: map[uint32][]byte{sectionLock: slices.Clone(config)}}
	return o.configure("configuring locks", v.Name, change)
}

// GetObjectLockConfiguration returns how new versions are locked.
func (b *Backend) GetObjectLockConfiguration(ctx context.Context, name string) ([]byte, error) {
	return b.sectionOr(ctx, name, sectionLock, s3err.GetBucketErr(s3err.ErrObjectLockConfigurationNotFound, name))
}
