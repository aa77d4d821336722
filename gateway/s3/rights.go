package s3

import (
	"strings"

	"github.com/versity/versitygw/auth"

	"github.com/stratosmesh/stratos/protocol/grant"
)

// needs is the right that an action takes, and of what.
var needs = map[auth.Action]struct {
	op   grant.Operations
	what extent
}{
	auth.GetObjectAction: {grant.Read, ofKey}, auth.GetObjectVersionAction: {grant.Read, ofKey},
	auth.GetObjectAttributesAction: {grant.Read, ofKey}, auth.GetObjectVersionAttributesAction: {grant.Read, ofKey},
	auth.GetObjectTaggingAction: {grant.Read, ofKey}, auth.GetObjectVersionTaggingAction: {grant.Read, ofKey},
	auth.GetObjectAclAction: {grant.Read, ofKey}, auth.GetObjectLegalHoldAction: {grant.Read, ofKey}, auth.GetObjectRetentionAction: {grant.Read, ofKey},

	auth.PutObjectAction: {grant.Write, ofKeyOrForm}, auth.PutObjectAclAction: {grant.Write, ofKey},
	auth.PutObjectTaggingAction: {grant.Write, ofKey}, auth.PutObjectVersionTaggingAction: {grant.Write, ofKey},
	auth.DeleteObjectTaggingAction: {grant.Write, ofKey}, auth.DeleteObjectVersionTaggingAction: {grant.Write, ofKey},
	auth.PutObjectLegalHoldAction: {grant.Write, ofKey}, auth.PutObjectRetentionAction: {grant.Write, ofKey}, auth.RestoreObjectAction: {grant.Write, ofKey},
	auth.AbortMultipartUploadAction: {grant.Write, ofKey}, auth.ListMultipartUploadPartsAction: {grant.Write, ofKey},

	auth.DeleteObjectAction: {grant.Delete, ofKey}, auth.DeleteObjectVersionAction: {grant.Delete, ofKey},
	auth.BypassGovernanceRetentionAction: {grant.Bypass, ofKey},

	auth.ListBucketAction: {grant.List, ofPrefix}, auth.ListBucketVersionsAction: {grant.List, ofPrefix}, auth.ListBucketMultipartUploadsAction: {grant.List, ofPrefix},
	auth.ListAllMyBucketsAction: {grant.List, ofAll},

	// What every tool asks before anything else, and what is no secret before those who may do anything in the bucket.
	auth.GetBucketLocationAction: {0, ofPart}, auth.GetBucketVersioningAction: {0, ofPart}, auth.GetBucketObjectLockConfigurationAction: {0, ofPart},

	auth.GetBucketAclAction: {grant.Read, ofBucket}, auth.GetBucketPolicyAction: {grant.Read, ofBucket}, auth.GetBucketPolicyStatusAction: {grant.Read, ofBucket},
	auth.GetBucketTaggingAction: {grant.Read, ofBucket}, auth.GetBucketCorsAction: {grant.Read, ofBucket}, auth.GetBucketWebsiteAction: {grant.Read, ofBucket},
	auth.GetBucketOwnershipControlsAction: {grant.Read, ofBucket}, auth.GetLifecycleConfigurationAction: {grant.Read, ofBucket},
	auth.GetEncryptionConfigurationAction: {grant.Read, ofBucket}, auth.GetBucketPublicAccessBlockAction: {grant.Read, ofBucket},
	auth.GetBucketLoggingAction: {grant.Read, ofBucket}, auth.GetBucketRequestPaymentAction: {grant.Read, ofBucket}, auth.GetBucketNotificationAction: {grant.Read, ofBucket},
	auth.GetReplicationConfigurationAction: {grant.Read, ofBucket}, auth.GetAccelerateConfigurationAction: {grant.Read, ofBucket},
	auth.GetAnalyticsConfigurationAction: {grant.Read, ofBucket}, auth.GetIntelligentTieringConfigurationAction: {grant.Read, ofBucket},
	auth.GetInventoryConfigurationAction: {grant.Read, ofBucket}, auth.GetMetricsConfigurationAction: {grant.Read, ofBucket},

	auth.CreateBucketAction: {grant.Buckets, ofBucket}, auth.DeleteBucketAction: {grant.Buckets, ofBucket},
	auth.PutBucketAclAction: {grant.Buckets, ofBucket}, auth.PutBucketPolicyAction: {grant.Buckets, ofBucket}, auth.DeleteBucketPolicyAction: {grant.Buckets, ofBucket},
	auth.PutBucketVersioningAction: {grant.Buckets, ofBucket}, auth.PutBucketTaggingAction: {grant.Buckets, ofBucket}, auth.PutBucketCorsAction: {grant.Buckets, ofBucket},
	auth.PutBucketObjectLockConfigurationAction: {grant.Buckets, ofBucket}, auth.PutBucketOwnershipControlsAction: {grant.Buckets, ofBucket},
	auth.PutBucketWebsiteAction: {grant.Buckets, ofBucket}, auth.DeleteBucketWebsiteAction: {grant.Buckets, ofBucket},
	auth.PutLifecycleConfigurationAction:  {grant.Buckets | grant.Delete, ofBucket}, // what rules remove, another key may come to serve
	auth.PutEncryptionConfigurationAction: {grant.Buckets, ofBucket},
	auth.PutBucketPublicAccessBlockAction: {grant.Buckets, ofBucket}, auth.PutBucketLoggingAction: {grant.Buckets, ofBucket},
	auth.PutBucketRequestPaymentAction: {grant.Buckets, ofBucket}, auth.PutBucketNotificationAction: {grant.Buckets, ofBucket},
	auth.PutReplicationConfigurationAction: {grant.Buckets, ofBucket}, auth.PutAccelerateConfigurationAction: {grant.Buckets, ofBucket},
	auth.PutAnalyticsConfigurationAction: {grant.Buckets, ofBucket}, auth.PutIntelligentTieringConfigurationAction: {grant.Buckets, ofBucket},
	auth.PutInventoryConfigurationAction: {grant.Buckets, ofBucket}, auth.PutMetricsConfigurationAction: {grant.Buckets, ofBucket},
}

type extent uint8

const (
	ofKey       extent = iota // the object named
	ofKeyOrForm               // or, in a form upload, some object: its key is only known later, see guarded.PutObject
	ofPrefix                  // what begins with the prefix asked for
	ofPart                    // anything in the bucket
	ofBucket                  // all of the bucket
	ofAll                     // nothing in particular; the answer holds what the key may see
)

// allows tells whether rights cover an action. An action without a place in needs is covered by nothing.
func allows(r grant.Rights, a auth.Action, resource, prefix string, nowMs int64) bool {
	n, ok := needs[a]
	if !ok {
		return false
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(resource, auth.ResourceArnPrefix), "/")
	part := r.Operations&n.op == n.op && (r.Prefix == "" || strings.HasPrefix(r.Prefix, bucket+"/"))
	switch n.what {
	case ofAll:
		return r.Operations&n.op == n.op && r.Alive(nowMs) == nil
	case ofPart:
		return part && r.Alive(nowMs) == nil
	case ofKeyOrForm:
		if key == "" {
			return part && r.Alive(nowMs) == nil
		}
	case ofKey:
		if key == "" {
			return false
		}
	case ofPrefix:
		key = prefix
	case ofBucket:
		key = ""
	}
	return r.Allow(n.op, bucket, key, nowMs) == nil
}
