package s3

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// guarded is the backend as versitygw sees it: what its frontend leaves open is closed here, for any backend.
type guarded struct {
	backend.Backend
	iam    *iam
	log    *slog.Logger
	owners *lru.Cache[string, mesh.Account] // of the buckets last seen
}

const attributesHeader = "X-Amz-Object-Attributes"

// maxOwners is how many buckets' owners are kept. Every request asks for its bucket's access list first, so that what
// EvaluatePolicy finds here a moment later is never older than the request.
const maxOwners = 4096

// GetBucketAcl is what versitygw asks when it has checked a request's signature, before it reads the rest of the request.
func (g *guarded) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	if rc, ok := ctx.(*fasthttp.RequestCtx); ok {
		// The JavaScript SDK joins what it wants to know of an object by ", ", which versitygw does not read.
		if h := &rc.Request.Header; len(h.Peek(attributesHeader)) > 0 {
			h.Set(attributesHeader, strings.ReplaceAll(string(h.Peek(attributesHeader)), " ", ""))
		}
		if in.Bucket != nil && rc.IsHead() && aboutBucket(rc, *in.Bucket) {
			g.narrowHead(rc, *in.Bucket)
		}
	}
	b, err := g.Backend.GetBucketAcl(ctx, in)
	if err != nil || in.Bucket == nil {
		return b, err
	}
	var acl auth.ACL
	if err := json.Unmarshal(b, &acl); err == nil {
		if a, err := mesh.ParseAccount(acl.Owner); err == nil {
			g.owners.Add(strings.Clone(*in.Bucket), a)
		}
	}
	return b, nil
}

// narrowHead makes of the question whether a key may list a bucket the one whether it may list what it covers of it: tools ask whether
// a bucket is there before they work in a folder.
func (g *guarded) narrowHead(rc *fasthttp.RequestCtx, bucket string) {
	a, ok := rc.Value("account").(auth.Account)
	if !ok || a.SessionToken == "" {
		return
	}
	k, err := g.iam.lookup(a.SessionToken)
	if err != nil {
		return // and whoever asks next will say so
	}
	if folder, ok := strings.CutPrefix(k.key.Access.Rights().Prefix, bucket+"/"); ok && folder != "" {
		rc.QueryArgs().Set("prefix", folder)
	}
}

// PutBucketVersioning refuses what is not kept of its request.
func (g *guarded) PutBucketVersioning(ctx context.Context, bucket string, status types.BucketVersioningStatus) error {
	if rc, ok := ctx.(*fasthttp.RequestCtx); ok {
		var asked struct{ MfaDelete string }
		if err := xml.Unmarshal(rc.Request.Body(), &asked); err == nil && asked.MfaDelete == "Enabled" {
			return errNotImplemented
		}
	}
	return g.Backend.PutBucketVersioning(ctx, bucket, status)
}

// policyRead marks a request in which versitygw has asked for a policy to see whether it is allowed.
const policyRead = "stratos-policy-read"

// GetBucketPolicy hides a policy from the check whether the bucket's owner may see, replace or delete that policy: one that denies
// its owner everything could never be taken back. What the owner's key allows still counts.
func (g *guarded) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	rc, ok := ctx.(*fasthttp.RequestCtx)
	if a, known := ctx.Value("account").(auth.Account); ok && known && rc.UserValue(policyRead) == nil && rc.QueryArgs().Has("policy") && aboutBucket(rc, bucket) {
		rc.SetUserValue(policyRead, true)
		if owner, err := g.owner(ctx, bucket); err == nil && owner.String() == a.Access {
			return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
		}
	}
	return g.Backend.GetBucketPolicy(ctx, bucket)
}

// aboutBucket tells whether a request is about a bucket itself, by path or by host.
func aboutBucket(rc *fasthttp.RequestCtx, bucket string) bool {
	path := strings.Trim(string(rc.Path()), "/")
	return path == "" || path == bucket
}

// owner tells whose a bucket is.
func (g *guarded) owner(ctx context.Context, bucket string) (mesh.Account, error) {
	if a, ok := g.owners.Get(bucket); ok {
		return a, nil
	}
	b, err := g.Backend.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &bucket})
	if errors.Is(err, s3err.GetAPIError(s3err.ErrNoSuchBucket)) {
		return mesh.Account{}, mesh.Errorf(mesh.NotFound, "there is no bucket %q", bucket)
	}
	if err != nil {
		return mesh.Account{}, err
	}
	var acl auth.ACL
	if err := json.Unmarshal(b, &acl); err != nil {
		return mesh.Account{}, mesh.Errorf(mesh.Internal, "the access list of bucket %q: %w", bucket, err)
	}
	return mesh.ParseAccount(acl.Owner)
}

// PutObject checks what is only known of a form upload once its fields were read: the key's bytes and length, and that
// the access key covers it. It counts the body, because an anonymous upload goes past our own reader.
func (g *guarded) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if in.Bucket == nil || in.Key == nil || !writable(*in.Key) {
		return s3response.PutObjectOutput{}, s3err.GetAPIError(s3err.ErrInvalidURI)
	}
	if n := len(*in.Key); n > mesh.MaxKeyLen {
		return s3response.PutObjectOutput{}, s3err.GetKeyTooLongErr(int64(n), mesh.MaxKeyLen)
	}
	if a, ok := ctx.Value("account").(auth.Account); ok && a.SessionToken != "" {
		k, err := g.iam.lookup(a.SessionToken)
		if err == nil && k.key.Access.Rights().Allow(grant.Write, *in.Bucket, *in.Key, g.iam.now().UnixMilli()) != nil {
			err = s3err.GetAPIError(s3err.ErrAccessDenied)
		}
		if err != nil {
			return s3response.PutObjectOutput{}, s3Error(g.log, "checking a key", err)
		}
	}
	switch file, err := formFileOf(ctx, in); {
	case err != nil:
		return s3response.PutObjectOutput{}, s3Error(g.log, "reading a form", err)
	case file != nil:
		in.Body, in.ContentLength = file, nil // which is the form's
	default:
		in.Body = exactly(in.Body, in.ContentLength)
	}
	return g.Backend.PutObject(ctx, in)
}

func (g *guarded) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	in.Body = exactly(in.Body, in.ContentLength)
	return g.Backend.UploadPart(ctx, in)
}

// GetObject's body is read when no handler is there to recover any more.
func (g *guarded) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	out, err := g.Backend.GetObject(ctx, in)
	if err == nil && out != nil && out.Body != nil {
		out.Body = &calm{ReadCloser: out.Body, log: g.log}
	}
	return out, err
}

// exactly makes of a reader one that gives want bytes and io.EOF, or an error, and the same again when asked again. What
// tells of a checksum behind the bytes still does.
func exactly(r io.Reader, want *int64) io.Reader {
	if r == nil || want == nil || *want < 0 {
		return r
	}
	e := &exact{r: r, left: *want}
	if t, ok := r.(middlewares.ChecksumReader); ok {
		return trailed{e, t}
	}
	return e
}

// trailed is a reader whose bytes have a checksum behind them. Read is exact's.
type trailed struct {
	*exact
	trailer
}

type trailer interface {
	Algorithm() string
	Checksum() string
}

type exact struct {
	r    io.Reader
	left int64
	err  error
}

func (e *exact) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	switch {
	case e.left < 0 || err == io.EOF && e.left > 0:
		e.err = s3err.GetAPIError(s3err.ErrContentLengthMismatch)
		return 0, e.err
	case err == io.EOF && n > 0:
		e.err = err
		return n, nil
	}
	e.err = err
	return n, err
}

// calm makes an error of a panic, with which the connection ends instead of the process.
type calm struct {
	io.ReadCloser
	log *slog.Logger
}

func (c *calm) Read(p []byte) (n int, err error) {
	defer c.recovered(&err)
	return c.ReadCloser.Read(p)
}

func (c *calm) WriteTo(w io.Writer) (n int64, err error) {
	defer c.recovered(&err)
	if wt, ok := c.ReadCloser.(io.WriterTo); ok {
		return wt.WriteTo(w)
	}
	return io.Copy(w, struct{ io.Reader }{c.ReadCloser})
}

func (c *calm) Close() (err error) {
	defer c.recovered(&err)
	return c.ReadCloser.Close()
}

func (c *calm) recovered(err *error) {
	if r := recover(); r != nil {
		c.log.Error("panic while an object was sent", "panic", r, "stack", string(debug.Stack()))
		*err = errPanic
	}
}

var errPanic = mesh.Errorf(mesh.Internal, "the object could not be sent")
