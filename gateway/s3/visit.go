package s3

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// A Visit is one request for pages of a bucket, by somebody who shows no access key: to what the bucket's owner lets everybody
// see, or to what a share opens. Its errors are of the mesh's kinds. It is used by one goroutine. Close it.
type Visit interface {
	// MayRead tells whether an object may be read.
	MayRead(key string) bool
	// MayList tells whether what begins with a prefix may be listed.
	MayList(prefix string) bool
	// Website is how the bucket is a site; nil when it is not configured.
	Website() (*s3response.WebsiteConfiguration, error)
	// CORS says which pages of other origins may ask; nil when it is not configured.
	CORS() (*auth.CORSConfiguration, error)
	// Object finds an object, or its version. NotFound when there is none.
	Object(key, version string) (*Found, error)
	// Open reads a part of an object that was found.
	Open(f *Found, offset, length uint64) (io.ReadCloser, error)
	// List returns a page of at most 1000 of a folder's objects and sub-folders, behind a name, and where to go on; "" at the end.
	List(prefix, after string) ([]client.Listed, string, error)
	// Section is a part of the bucket's configuration, with its SHA-256, which tells whether it is one that is known; nil when it is not set.
	Section(kind uint32) (body []byte, sum [32]byte, err error)
	// Served is a visit by the key that serves the bucket, to all that it may see, and its client. It ends with this one.
	Served() (Visit, *client.Client)
	Close()
}

// A Found is an object as a browser is told of it.
type Found struct {
	*client.Object
	ETag     string            // quoted
	Headers  map[string]string // that its writer gave: Cache-Control, Content-Disposition, Content-Encoding, Content-Language, Expires
	Redirect string            // where the website sends who asks for it; "" nowhere
}

// A Visitor is what policies ask of who visits.
type Visitor struct {
	Address            net.Addr
	Secure             bool // came by TLS
	UserAgent, Referer string
}

// Visit begins a visit of a bucket by somebody. NotFound when there is no bucket, or none that this gateway serves to those
// who show no key.
func (b *Backend) Visit(ctx context.Context, bucket string, who Visitor) (Visit, error) {
	if err := mesh.CheckBucket(bucket); err != nil {
		return nil, mesh.Errorf(mesh.NotFound, "there is no bucket %q", bucket)
	}
	f, err := b.fact(ctx, bucket, false)
	if err != nil {
		return nil, err
	}
	s := b.served(ctx, bucket, f)
	if s == nil {
		return nil, mesh.Errorf(mesh.NotFound, "there is no bucket %q for everybody", bucket)
	}
	v := &visit{op: b.visitOp(ctx, s), bucket: bucket, who: who}
	if err := v.learn(); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Share begins a visit of what an access key for links opens.
func (b *Backend) Share(ctx context.Context, name string, access *client.Access) (Visit, error) {
	name = "share " + name // no program's
	s := b.known(name)
	if s == nil {
		var err error
		if s, err = b.open(name, access); err != nil {
			return nil, err
		}
	}
	bucket, _, _ := strings.Cut(access.Rights().Prefix, "/")
	return &sharedVisit{visit{op: b.visitOp(ctx, s), bucket: bucket}}, nil
}

func (b *Backend) visitOp(ctx context.Context, s *session) *op {
	o := &op{backend: b, session: s, Client: s.client}
	whole, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.ctx, cancel)
	o.Context, o.cancel = whole, func() { stop(); cancel() }
	return o
}

type visit struct {
	*op
	bucket string
	who    Visitor
	said   said
}

// said is what a bucket's owner says of others, as versitygw asks for it.
type said struct {
	backend.BackendUnsupported
	policy, acl []byte
}

func (s said) GetBucketPolicy(context.Context, string) ([]byte, error) {
	if s.policy == nil {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
	}
	return s.policy, nil
}

func (s said) GetBucketAcl(context.Context, *s3.GetBucketAclInput) ([]byte, error) { return s.acl, nil }

func (v *visit) learn() (err error) {
	if v.said.policy, err = v.section(v.bucket, sectionPolicy); err != nil {
		return plainError(err)
	}
	v.said.acl, err = v.acl(v.bucket)
	return plainError(err)
}

func (v *visit) Close() { v.end() }

func (v *visit) MayRead(key string) bool { return v.may(auth.GetObjectAction, key, "") }

func (v *visit) MayList(prefix string) bool { return v.may(auth.ListBucketAction, "", prefix) }

// policies is what versitygw's question of public access wants a request of.
var policies = fiber.New()

// may asks versitygw what policy and access list give to everybody.
func (v *visit) may(a auth.Action, key, prefix string) bool {
	rc := new(fasthttp.RequestCtx)
	var from net.Conn = peer{addr: v.who.Address}
	if v.who.Secure {
		from = securePeer{peer{addr: v.who.Address}}
	}
	rc.Init2(from, nil, false)
	rc.Request.Header.SetUserAgent(v.who.UserAgent)
	rc.Request.Header.SetReferer(v.who.Referer)
	rc.QueryArgs().Set("prefix", prefix)
	c := policies.AcquireCtx(rc)
	defer policies.ReleaseCtx(c)
	return auth.VerifyPublicAccess(c, v.said, a, auth.PermissionRead, v.bucket, key) == nil
}

// A peer is who a request came from.
type peer struct {
	net.Conn
	addr net.Addr
}

func (p peer) RemoteAddr() net.Addr { return p.addr }

// A securePeer came by TLS, which versitygw asks of the connection.
type securePeer struct{ peer }

func (securePeer) Handshake() error                     { return nil }
func (securePeer) ConnectionState() tls.ConnectionState { return tls.ConnectionState{} }

func (v *visit) Website() (*s3response.WebsiteConfiguration, error) {
	raw, err := v.section(v.bucket, sectionWebsite)
	if err != nil || raw == nil {
		return nil, plainError(err)
	}
	return s3response.ParseWebsiteConfigOutput(raw)
}

func (v *visit) CORS() (*auth.CORSConfiguration, error) {
	raw, err := v.section(v.bucket, sectionCORS)
	if err != nil || raw == nil {
		return nil, plainError(err)
	}
	return auth.ParseCORSOutput(raw)
}

func (v *visit) Section(kind uint32) (body []byte, sum [32]byte, err error) {
	if body, err = v.section(v.bucket, kind); err != nil || body == nil {
		return nil, sum, plainError(err)
	}
	return body, sha256.Sum256(body), nil
}

func (v *visit) Served() (Visit, *client.Client) {
	return &sharedVisit{visit{op: v.op, bucket: v.bucket}}, v.Client
}

func (v *visit) Object(key, version string) (*Found, error) {
	_, found, err := v.lookObject(v.bucket, key, version)
	if err != nil {
		return nil, plainError(err)
	}
	f := &Found{Object: found, ETag: *summaryOf(found.Summary, found.Version).quoted(), Headers: map[string]string{}, Redirect: found.Attributes[redirectAt]}
	for name, at := range map[string]string{"Cache-Control": cacheAt, "Content-Disposition": dispositAt, "Content-Encoding": encodingAt, "Content-Language": languageAt, "Expires": expiresAt} {
		if text := found.Attributes[at]; text != "" {
			f.Headers[name] = text
		}
	}
	return f, nil
}

func (v *visit) Open(f *Found, offset, length uint64) (io.ReadCloser, error) {
	return v.op.Open(v.op, f.Object, offset, length)
}

func (v *visit) List(prefix, after string) (names []client.Listed, next string, err error) {
	for q := begin(v.bucket, prefix, "/", after); ; {
		q.Limit = 1000
		page, err := v.ListPage(v.op, q)
		if err != nil {
			return nil, "", err
		}
		if page.Next == nil {
			return page.Names, "", nil
		}
		if len(page.Names) > 0 {
			return page.Names, page.Names[len(page.Names)-1].Key, nil
		}
		q = *page.Next
	}
}

// A sharedVisit may do what its grant allows; policies have no say, because the grant is the owner's.
type sharedVisit struct{ visit }

func (v *sharedVisit) allows(op grant.Operations, key string) bool {
	return v.Access().Rights().Allow(op, v.bucket, key, time.Now().UnixMilli()) == nil
}

func (v *sharedVisit) MayRead(key string) bool    { return v.allows(grant.Read, key) }
func (v *sharedVisit) MayList(prefix string) bool { return v.allows(grant.List, prefix) }

// plainError makes of an error in S3's words one of the mesh's kinds.
func plainError(err error) error {
	var own s3err.S3Error
	if !errors.As(err, &own) {
		return err
	}
	kind := mesh.Internal
	switch own.StatusCode() {
	case http.StatusNotFound, http.StatusMethodNotAllowed: // a marker
		kind = mesh.NotFound
	case http.StatusForbidden:
		kind = mesh.Denied
	case http.StatusBadRequest:
		kind = mesh.Invalid
	case http.StatusServiceUnavailable:
		kind = mesh.Unavailable
	}
	return mesh.Errorf(kind, "%w", err)
}
