package s3

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/s3/expiry"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

// BackendOptions say how a Backend works. Zero stands for the default.
type BackendOptions struct {
	// Authorities are the members of the group.
	Authorities []group.Member
	// Sessions is how many access keys are at work at once; the one that was longest silent gives its lease back. Default 64.
	Sessions int
	// Lease is how much ozone each sets aside. Default 256 MB.
	Lease mesh.Noz
	// Memory is what all sessions together hold of objects that move. Default: each request is bounded by itself.
	Memory *client.Memory
	// OpTime bounds an operation that moves no object. Default 60 s.
	OpTime time.Duration
}

// A Directory is where a backend looks up access keys, what everybody may know of a bucket, and which buckets its gateway serves.
type Directory interface {
	Keys
	// Bucket returns a bucket; an error of kind NotFound says that there is none.
	Bucket(ctx context.Context, name string) (*client.Bucket, error)
	// Served returns the buckets that are served under access keys sealed to the gateway.
	Served(ctx context.Context) ([]client.ServedBucket, error)
}

// A Backend is the mesh as versitygw asks for it. Each access key works through a client of its own, so that the mesh sees, and
// charges, who asks. Close it.
type Backend struct {
	backend.BackendUnsupported
	keys Directory
	opts BackendOptions
	log  *slog.Logger
	own  *lifecycle.Group
	ctx  context.Context // ends with own
	stop context.CancelFunc

	sections *lru.Cache[[32]byte, []byte] // parts of buckets' configuration, by their hash
	rules    *lru.Cache[[32]byte, expiry.Rules]
	facts    *lru.Cache[string, fact] // of buckets

	mu       sync.Mutex
	sessions *lru.Cache[string, *session]
}

const (
	maxSections = 1024             // parts of buckets' configuration that are kept
	maxRules    = 64               // buckets' lifecycle rules that are kept as they are read
	maxFacts    = 4096             // buckets of which it is kept whose they are
	factTime    = 10 * time.Second // that it is believed
)

// A fact is what everybody may know of a bucket.
type fact struct {
	owner   mesh.Account
	serving string
	until   time.Time
}

// A session is an access key at work.
type session struct {
	id     string // of the access key
	client *client.Client
	users  int
	gone   bool // of the cache; closed when the last user is
}

// NewBackend returns a backend that finds access keys and buckets in keys.
func NewBackend(keys Directory, log *slog.Logger, o BackendOptions) (*Backend, error) {
	if len(o.Authorities) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "s3: a gateway without authorities")
	}
	if o.Sessions == 0 {
		o.Sessions = 64
	}
	if o.OpTime == 0 {
		o.OpTime = time.Minute
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Backend{keys: keys, opts: o, log: log, own: lifecycle.New(ctx), ctx: ctx, stop: stop}
	var err error
	if b.sections, err = lru.New[[32]byte, []byte](maxSections); err != nil {
		return nil, err
	}
	if b.rules, err = lru.New[[32]byte, expiry.Rules](maxRules); err != nil {
		return nil, err
	}
	if b.facts, err = lru.New[string, fact](maxFacts); err != nil {
		return nil, err
	}
	b.sessions, err = lru.NewWithEvict(o.Sessions, func(_ string, s *session) { // called with mu held
		s.gone = true
		b.closeIdle(s)
	})
	return b, err
}

// closeIdle closes a session that nobody uses or will use. Called with mu held.
func (b *Backend) closeIdle(s *session) {
	if !s.gone || s.users > 0 {
		return
	}
	shut := func(context.Context) error {
		if err := s.client.Close(); err != nil {
			b.log.Warn("a session was not closed well; its lease ends by itself", "err", err)
		}
		return nil
	}
	if b.own.Go(shut) != nil {
		_ = shut(b.ctx) // the backend is closing
	}
}

func (b *Backend) String() string { return "Stratos" }

// Shutdown is versitygw's; the backend's maker closes it.
func (b *Backend) Shutdown() {}

// Close ends every session.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.sessions.Purge()
	b.mu.Unlock()
	b.stop()
	return b.own.Close()
}

// NormalizeObjectKey is the key that policies are asked about: a copy's source comes with its version behind it.
func (b *Backend) NormalizeObjectKey(_, key string) string {
	key, _, _ = strings.Cut(key, "?versionId=")
	return key
}

// An op is one request at work: its session, and a context that ends with the backend, not with the request's memory.
type op struct {
	context.Context
	*client.Client
	backend *Backend
	session *session
	cancel  context.CancelFunc
	request *fasthttp.RequestCtx // nil where there is none
	seen    *client.Bucket       // instead
	foreign bool                 // of another account than the bucket's owner
}

// begin finds the client under which a request acts on a bucket, "" when it is about none. The owner's requests act under
// their own access key. Others act under the one by which the owner has the bucket served, because what policy and access
// list allow them is the owner's word, and the owner's to pay; the front has asked both. end it.
func (b *Backend) begin(ctx context.Context, bucket string) (*op, error) {
	request, _ := ctx.(*fasthttp.RequestCtx)
	if request != nil && !signed(ctx) && request.UserValue(string(utils.ContextKeyPublicBucket)) == nil {
		return nil, s3err.GetAPIError(s3err.ErrAccessDenied) // the front did not ask
	}
	return b.act(ctx, bucket)
}

// signed tells whether a request showed an access key.
func signed(ctx context.Context) bool {
	a, ok := ctx.Value("account").(auth.Account)
	return ok && a.Access != ""
}

// act is begin for what the front reads in order to decide what is allowed.
func (b *Backend) act(ctx context.Context, bucket string) (*op, error) {
	o := &op{backend: b}
	o.request, _ = ctx.(*fasthttp.RequestCtx)
	o.Context, o.cancel = context.WithCancel(b.ctx)
	id, account := "", ""
	if a, ok := ctx.Value("account").(auth.Account); ok && a.Access != "" {
		id, account = strings.Clone(a.SessionToken), a.Access
	}
	if bucket != "" && mesh.CheckBucket(bucket) == nil {
		f, err := b.fact(o, strings.Clone(bucket), id != "")
		if err != nil && (id == "" || mesh.KindOf(err) != mesh.NotFound) {
			o.cancel()
			return nil, o.fail("asking whose a bucket is", err, noSuchBucket(bucket))
		}
		if err == nil && f.owner.String() != account {
			if s := b.served(o, bucket, f); s != nil {
				o.session, o.Client, o.foreign = s, s.client, id != ""
				return o, nil
			}
		}
	}
	if id == "" {
		o.cancel()
		return nil, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	s, err := b.session(o, id)
	if err != nil {
		o.cancel()
		return nil, s3Error(b.log, "opening a session", err, meaning{mesh.NotFound: s3err.GetInvalidAccessKeyIdErr(id), mesh.Denied: s3err.GetInvalidAccessKeyIdErr(id)})
	}
	o.session, o.Client = s, s.client
	return o, nil
}

// served returns the session under which a bucket is served, with one user more; nil when it is not, or not by this gateway.
func (b *Backend) served(ctx context.Context, bucket string, f fact) *session {
	if f.serving == "" {
		return nil
	}
	s, err := b.session(ctx, f.serving)
	if err == nil && s.client.Access().Account() == f.owner {
		return s
	}
	if err == nil {
		b.leave(s)
	}
	b.facts.Remove(bucket) // the key was withdrawn, or is not for this gateway
	return nil
}

// fact returns what everybody may know of a bucket. Whose it is may be known from before; where that is not enough, because
// the bucket was not served then, it is asked again.
func (b *Backend) fact(ctx context.Context, bucket string, owned bool) (fact, error) {
	f, ok := b.facts.Get(bucket)
	if ok && time.Now().Before(f.until) && (owned || f.serving != "") {
		return f, nil
	}
	v, err := b.keys.Bucket(ctx, bucket)
	if err != nil {
		return fact{}, err
	}
	f = fact{v.Owner, v.Serving, time.Now().Add(factTime)}
	if f.serving != "" {
		// What is public the log shows under any session; that the key was withdrawn must end it here.
		if _, err := b.keys.Key(ctx, f.serving); err != nil {
			if kind := mesh.KindOf(err); kind != mesh.NotFound && kind != mesh.Denied {
				return fact{}, err
			}
			f.serving = ""
		}
	}
	b.facts.Add(bucket, f)
	return f, nil
}

// session returns the session of an access key, with one user more. leave it.
func (b *Backend) session(ctx context.Context, id string) (*session, error) {
	if s := b.known(id); s != nil {
		return s, nil
	}
	k, err := b.keys.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	return b.open(id, k.Access)
}

// Client returns the client of an access key, which others use too. Call leave when it is not needed any more.
func (b *Backend) Client(ctx context.Context, id string) (c *client.Client, leave func(), err error) {
	s, err := b.session(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return s.client, func() { b.leave(s) }, nil
}

// known is session for one that is at work; nil when it is not.
func (b *Backend) known(id string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sessions.Get(id)
	if !ok {
		return nil
	}
	s.users++
	return s
}

func (b *Backend) leave(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.users--
	b.closeIdle(s)
}

// brief is begin for what moves no object.
func (b *Backend) brief(ctx context.Context, bucket string) (*op, error) {
	return b.bounded(b.begin(ctx, bucket))
}

func (b *Backend) bounded(o *op, err error) (*op, error) {
	if err != nil {
		return nil, err
	}
	var cancel context.CancelFunc
	whole := o.cancel
	o.Context, cancel = context.WithTimeout(o.Context, b.opts.OpTime)
	o.cancel = func() { cancel(); whole() }
	return o, nil
}

func (o *op) end() {
	o.cancel()
	o.backend.leave(o.session)
}

// open makes a session of an access key. Its one user is the caller.
func (b *Backend) open(id string, access *client.Access) (*session, error) {
	c, err := client.New(access, b.opts.Authorities, client.Options{Lease: b.opts.Lease, Memory: b.opts.Memory})
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.sessions.Get(id); ok { // another request was faster
		s.users++
		unused := &session{id: id, client: c, gone: true}
		b.closeIdle(unused)
		return s, nil
	}
	s := &session{id: id, client: c, users: 1}
	b.sessions.Add(id, s)
	return s, nil
}

// bucketMemo is where a request keeps its bucket: every check of one request sees the same.
type bucketMemo string

// bucket returns a bucket as the request saw it first.
func (o *op) bucket(name string) (*client.Bucket, error) {
	if o.request != nil {
		if v, ok := o.request.UserValue(bucketMemo(name)).(*client.Bucket); ok {
			return v, nil
		}
	} else if o.seen != nil && o.seen.Name == name {
		return o.seen, nil
	}
	if v := o.foresee(name); v != nil {
		return v, nil
	}
	v, err := o.Bucket(o, name)
	if err != nil {
		return nil, o.fail("asking for a bucket", err, noSuchBucket(name))
	}
	o.remember(v)
	return v, nil
}

// lookMemo is where a request keeps an object that it will ask for, by bucket, key and version.
type lookMemo [3]string

type looked struct{ object *client.Object } // nil: there is none

// foresee asks for a request's bucket and the object that it names at once, since versitygw asks for the one and then for the other:
// one question to the authorities in the place of two. nil where that is not such a request, or not allowed to its key.
func (o *op) foresee(bucket string) *client.Bucket {
	if o.request == nil {
		return nil
	}
	path := strings.TrimPrefix(string(o.request.Path()), "/")
	key, ok := strings.CutPrefix(path, bucket+"/")
	if !ok && path != bucket {
		key = path // the bucket is in the host's name
	}
	version := string(o.request.QueryArgs().Peek("versionId"))
	p := mesh.Path{Bucket: bucket, Key: key}
	v, err := parseVersion(version)
	if key == "" || err != nil || mesh.CheckKey(key) != nil {
		return nil
	}
	b, found, err := o.Look(o, p, v)
	if err != nil {
		return nil // asking for the bucket alone says why, or is allowed
	}
	o.remember(b)
	o.request.SetUserValue(lookMemo{bucket, key, version}, looked{found})
	return b
}

// foreseen is what foresee found of an object, for the first who asks: what a request has changed since is looked at again.
func (o *op) foreseen(bucket, key, version string) (b *client.Bucket, object *client.Object, ok bool) {
	if o.request == nil {
		return nil, nil, false
	}
	at := lookMemo{bucket, key, version}
	l, ok := o.request.UserValue(at).(looked)
	b, known := o.request.UserValue(bucketMemo(bucket)).(*client.Bucket)
	if !ok || !known {
		return nil, nil, false
	}
	o.request.RemoveUserValue(at)
	return b, l.object, true
}

func (o *op) remember(v *client.Bucket) {
	if o.seen = v; o.request != nil {
		o.request.SetUserValue(bucketMemo(v.Name), v)
	}
}

func (o *op) fail(what string, err error, means ...meaning) error {
	return s3Error(o.backend.log, what, err, means...)
}

func noSuchBucket(name string) meaning {
	return meaning{mesh.NotFound: s3err.GetBucketErr(s3err.ErrNoSuchBucket, name)}
}

// Parts of a bucket's configuration.
const (
	sectionACL       = 1
	sectionPolicy    = 2
	sectionCORS      = 3
	sectionOwnership = 4
	sectionTags      = 5
	sectionWebsite   = 6
	sectionLifecycle = 7
	sectionLock      = 8
)

// section returns a part of a bucket's configuration, nil when it is not set.
func (o *op) section(name string, kind uint32) ([]byte, error) {
	v, err := o.bucket(name)
	if err != nil {
		return nil, err
	}
	return o.sectionOf(v, kind)
}

// sectionOf is section for a bucket that was asked for.
func (o *op) sectionOf(v *client.Bucket, kind uint32) ([]byte, error) {
	hash, ok := v.Sections[kind]
	if !ok {
		return nil, nil
	}
	if body, ok := o.backend.sections.Get(hash); ok {
		return body, nil
	}
	body, err := o.Section(o, v.Name, kind)
	if err == nil && sha256.Sum256(body) != hash {
		err = mesh.Errorf(mesh.Unavailable, "bucket %q was configured meanwhile", v.Name)
	}
	if err != nil {
		return nil, o.fail("asking for a bucket's configuration", err, noSuchBucket(v.Name))
	}
	o.backend.sections.Add(hash, body)
	return body, nil
}

// setSection changes a part of a bucket's configuration; an empty body removes it.
func (b *Backend) setSection(ctx context.Context, name string, kind uint32, body []byte) error {
	o, err := b.brief(ctx, name)
	if err != nil {
		return err
	}
	defer o.end()
	return o.configure("configuring a bucket", strings.Clone(name), client.BucketChange{Sections: map[uint32][]byte{kind: append([]byte(nil), body...)}})
}

// errNotOwner is told to accounts that would configure or remove another's bucket: versitygw takes an access list's WRITE, which S3 gives
// for objects, for the right to do so.
var errNotOwner = s3err.GetAPIError(s3err.ErrAccessDenied)

// configure changes a bucket. Where no key serves it, or none that is good, the key that does so serves it from then on.
func (o *op) configure(what, name string, c client.BucketChange) error {
	if o.foreign {
		return errNotOwner
	}
	c.Serving, c.UnlessServed = o.session.id, true
	err := o.ChangeBucket(o, name, c)
	if err == nil {
		o.backend.facts.Remove(name)
	}
	return o.fail(what, err, noSuchBucket(name))
}

// sectionOr returns a part of a bucket's configuration, or an error when it is not set.
func (b *Backend) sectionOr(ctx context.Context, name string, kind uint32, none error) ([]byte, error) {
	o, err := b.bounded(b.act(ctx, name))
	if err != nil {
		return nil, err
	}
	defer o.end()
	body, err := o.section(strings.Clone(name), kind)
	if err == nil && body == nil {
		err = none
	}
	return body, err
}

// nullVersion is how S3 calls what was written while there was no versioning.
const nullVersion = "null"

// versionText is a version in S3's words: 26 letters and digits.
func versionText(v mesh.VersionID, null bool) string {
	if null {
		return nullVersion
	}
	return ulid.ULID(v).String()
}

// parseVersion reads a version; nil for "".
func parseVersion(s string) (*mesh.VersionID, error) {
	switch s {
	case "":
		return nil, nil
	case nullVersion:
		v := client.NullVersion
		return &v, nil
	}
	id, err := ulid.ParseStrict(s)
	if err != nil {
		return nil, s3err.GetInvalidArgumentErr(s3err.InvalidArgVersionId, s)
	}
	v := mesh.VersionID(id)
	return &v, nil
}

// text copies a string out of the request's memory.
func text(p *string) string {
	if p == nil {
		return ""
	}
	return strings.Clone(*p)
}

func ptr[T any](v T) *T { return &v }

// orNil is a pointer to a text, nil when that is empty.
func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// checkPath checks what names an object.
func checkPath(bucket, key string) (mesh.Path, error) {
	p := mesh.Path{Bucket: bucket, Key: key}
	if len(key) > mesh.MaxKeyLen {
		return p, s3err.GetKeyTooLongErr(int64(len(key)), mesh.MaxKeyLen)
	}
	if mesh.CheckBucket(bucket) != nil {
		return p, s3err.GetBucketErr(s3err.ErrNoSuchBucket, bucket)
	}
	if err := mesh.CheckKey(key); err != nil {
		return p, s3err.APIError{Code: "InvalidURI", Description: sentence(err), HTTPStatusCode: 400}
	}
	return p, nil
}

var _ backend.Backend = (*Backend)(nil)
