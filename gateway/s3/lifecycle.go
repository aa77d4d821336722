package s3

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/metrics"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/s3/expiry"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// versitygw has routes for a bucket's lifecycle rules that end in NotImplemented, and no place for them in its backends. What
// such a route leaves open is done here.

// lifecycles is a backend that keeps lifecycle rules.
type lifecycles interface {
	PutBucketLifecycle(ctx context.Context, bucket string, document []byte) error
	GetBucketLifecycle(ctx context.Context, bucket string) ([]byte, error) // noLifecycle when there are none
	DeleteBucketLifecycle(ctx context.Context, bucket string) error
}

var noLifecycle = s3err.APIError{Code: "NoSuchLifecycleConfiguration", Description: "The lifecycle configuration does not exist", HTTPStatusCode: http.StatusNotFound}

// lifecycleActions are the requests for lifecycle rules, and the right that each takes.
var lifecycleActions = map[string]auth.Action{
	metrics.ActionPutBucketLifecycleConfiguration: auth.PutLifecycleConfigurationAction,
	metrics.ActionGetBucketLifecycleConfiguration: auth.GetLifecycleConfigurationAction,
	metrics.ActionDeleteBucketLifecycle:           auth.PutLifecycleConfigurationAction,
}

// A leftover is a request for lifecycle rules that versitygw ended with NotImplemented.
type leftover struct {
	bucket string
	right  auth.Action
}

// leftoverOf tells whether versitygw leaves a request to us. NotImplemented itself is the answer of a route without a
// controller, which comes behind every handler of the route: the names are good, the signature is, of header or address,
// with the time and the body's hash, and the bucket is there and its expected owner's.
func leftoverOf(c fiber.Ctx, err error, action string) *leftover {
	right, ok := lifecycleActions[action]
	if !ok || err != error(s3err.GetAPIError(s3err.ErrNotImplemented)) {
		return nil
	}
	return &leftover{c.Params("bucket"), right}
}

// complete answers what versitygw left open, in place of its answer. The handlers of its other routes leave three things to
// the controllers or do them between: whether the request is allowed at all, the body's checksums, and CORS.
func (s *Server) complete(c fiber.Ctx, left *leftover) error {
	be, ok := s.front.Backend.(lifecycles)
	if !ok {
		return nil // NotImplemented it is
	}
	document, err := s.lifecycle(c, be, left)
	c.Response().ResetBody()
	switch {
	case err != nil:
		return answer(c, s3Error(s.log, "lifecycle rules", err).(s3err.S3Error))
	case document != nil:
		return c.Status(http.StatusOK).Send(document)
	case c.Method() == http.MethodDelete:
		c.Status(http.StatusNoContent)
	default:
		c.Status(http.StatusOK)
	}
	c.Response().Header.SetContentType("")
	return nil
}

func (s *Server) lifecycle(c fiber.Ctx, be lifecycles, left *leftover) (document []byte, err error) {
	if err := middlewares.ApplyBucketCORS(s.front, func(fiber.Ctx) (string, error) { return left.bucket, nil }, "")(c); err != nil {
		return nil, err
	}
	// Rules remove what they like: nobody sets them without a name, whatever a policy says, and no access list gives that
	// right, only the bucket's own account and its policy.
	account, ok := utils.ContextKeyAccount.Get(c).(auth.Account)
	if !ok || account.SessionToken == "" || utils.ContextKeyPublicBucket.IsSet(c) {
		return nil, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	if err := auth.VerifyAccess(c, s.front, auth.AccessOptions{Acc: account, Bucket: left.bucket, Actions: []auth.Action{left.right}, Iam: s.front.iam}); err != nil {
		return nil, err
	}
	switch c.Method() {
	case http.MethodGet:
		return be.GetBucketLifecycle(c.RequestCtx(), left.bucket)
	case http.MethodDelete:
		return nil, be.DeleteBucketLifecycle(c.RequestCtx(), left.bucket)
	}
	if err := middlewares.VerifyChecksums(false, true, true)(c); err != nil {
		return nil, err
	}
	_, document, err = expiry.Parse(c.BodyRaw())
	if err != nil {
		return nil, err
	}
	return nil, be.PutBucketLifecycle(c.RequestCtx(), left.bucket, document)
}

// PutBucketLifecycle keeps a configuration that was checked. It is carried out under the key that serves the bucket, which must
// be one that may.
func (b *Backend) PutBucketLifecycle(ctx context.Context, bucket string, document []byte) error {
	o, err := b.brief(ctx, bucket)
	if err != nil {
		return err
	}
	defer o.end()
	v, err := o.bucket(strings.Clone(bucket))
	if err != nil {
		return err
	}
	if v.Serving != "" {
		if k, err := b.keys.Key(o, v.Serving); err == nil && k.Access.Rights().Allow(grant.Delete, v.Name, "", time.Now().UnixMilli()) != nil {
			return s3err.APIError{Code: "AccessDenied", HTTPStatusCode: http.StatusForbidden, Description: "Rules are carried out under the key that serves the bucket, and " + v.Serving +
				" may not remove objects. The owner names another with: stratos serve " + mesh.Scheme + v.Name + " --key NAME"}
		}
	}
	return o.configure("configuring a bucket", v.Name, client.BucketChange{Sections: map[uint32][]byte{sectionLifecycle: slices.Clone(document)}})
}

// GetBucketLifecycle returns it.
func (b *Backend) GetBucketLifecycle(ctx context.Context, bucket string) ([]byte, error) {
	return b.sectionOr(ctx, bucket, sectionLifecycle, noLifecycle)
}

// DeleteBucketLifecycle removes it.
func (b *Backend) DeleteBucketLifecycle(ctx context.Context, bucket string) error {
	return b.setSection(ctx, bucket, sectionLifecycle, nil)
}

var _ lifecycles = (*Backend)(nil)

// showExpiry says in the answer when an object's current version expires by its bucket's rules, and by which. Where these cannot
// be had now, the answer goes without.
func (o *op) showExpiry(b *client.Bucket, found *client.Object) {
	hash, ok := b.Sections[sectionLifecycle]
	if !ok || o.request == nil || !found.Latest {
		return
	}
	tags, err := tagsOf(found)
	if err != nil {
		o.backend.log.Warn("tags cannot be read", "object", found.Path, "err", err)
		return
	}
	rules, ok := o.backend.rules.Get(hash)
	if !ok {
		document, err := o.sectionOf(b, sectionLifecycle)
		if err == nil {
			rules, _, err = expiry.Parse(document)
		}
		if err != nil {
			o.backend.log.Warn("lifecycle rules cannot be shown", "bucket", b.Name, "err", err)
			return
		}
		o.backend.rules.Add(hash, rules)
	}
	if at, id, ok := rules.Expiry(expiry.Version{Key: found.Path.Key, Size: found.Size, Modified: found.Modified, Latest: true}, tags); ok {
		o.request.Response.Header.Set("X-Amz-Expiration", fmt.Sprintf("expiry-date=%q, rule-id=%q", at.Format(http.TimeFormat), url.QueryEscape(id)))
	}
}
