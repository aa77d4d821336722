package s3

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
	"golang.org/x/sync/singleflight"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// Keys is where access keys are looked up. An error of kind NotFound or Denied says that there is no such key for this
// gateway; any other that it cannot be told now. Key is called from several goroutines.
type Keys interface {
	Key(ctx context.Context, id string) (*Key, error)
}

// A Key is what an access key stands for. It is not changed once it was returned.
type Key struct {
	ID     string // the public part, in every request
	Secret string // the other, which signs
	Access *client.Access
}

const (
	maxKeyID = 128 // of S3's own: "minimum length 16, maximum length 128"
	scopes   = 8   // days and regions of a key for which the derived key is kept
)

// An iam answers versitygw's questions of who a request is from and what its key allows. The account of a request is
// the owner of its key: access lists and policies name Stratos accounts (st1...), and all keys of an account are one
// there. The key travels as the account's SessionToken, to the policy question and to the backend.
type iam struct {
	ctx   context.Context // ends with the server
	keys  Keys
	owner func(ctx context.Context, bucket string) (mesh.Account, error)
	log   *slog.Logger
	opts  Options
	now   func() time.Time

	known  *lru.Cache[string, *knownKey]
	asking singleflight.Group
}

// A knownKey is an answer of Keys. key is nil for "there is none".
type knownKey struct {
	key     *Key
	until   time.Time
	derived *lru.Cache[string, []byte] // by date and region
}

var (
	_ auth.IAMService         = (*iam)(nil)
	_ auth.SigningKeyProvider = (*iam)(nil)
	_ auth.PolicyEvaluator    = (*iam)(nil)
	_ auth.PrincipalResolver  = (*iam)(nil)
)

// newIAM makes an iam; owner tells whose a bucket is.
func newIAM(ctx context.Context, keys Keys, owner func(ctx context.Context, bucket string) (mesh.Account, error), log *slog.Logger, o Options) (*iam, error) {
	known, err := lru.New[string, *knownKey](o.Keys)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "s3: %w", err)
	}
	return &iam{ctx: ctx, keys: keys, owner: owner, log: log, opts: o, now: time.Now, known: known}, nil
}

// lookup returns a key that exists and is within its time; else auth.ErrNoSuchUser itself, or an error of S3's.
func (s *iam) lookup(id string) (*knownKey, error) {
	if id == "" || len(id) > maxKeyID {
		return nil, auth.ErrNoSuchUser
	}
	k, ok := s.known.Get(id)
	if !ok || !s.now().Before(k.until) {
		id = strings.Clone(id) // it lies in the request's memory
		v, err, _ := s.asking.Do(id, func() (any, error) { return s.ask(id) })
		if err != nil {
			return nil, err
		}
		k = v.(*knownKey)
	}
	if k.key == nil || k.key.Access.Rights().Alive(s.now().UnixMilli()) != nil {
		return nil, auth.ErrNoSuchUser
	}
	return k, nil
}

func (s *iam) ask(id string) (*knownKey, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.KeyWait)
	defer cancel()
	key, err := s.keys.Key(ctx, id)
	k := &knownKey{until: s.now().Add(s.opts.UnknownKeyTime)}
	if err == nil {
		k.key, k.until = key, s.now().Add(s.opts.KeyTime)
		if k.derived, err = lru.New[string, []byte](scopes); err != nil {
			return nil, s3Error(s.log, "remembering a key", err)
		}
	} else if kind := mesh.KindOf(err); kind != mesh.NotFound && kind != mesh.Denied {
		return nil, s3Error(s.log, "asking for access key "+id, err)
	}
	s.known.Add(id, k)
	return k, nil
}

// DeriveSigningKey makes of a key's secret what signed a request of a day in a region. A session token is none of ours.
func (s *iam) DeriveSigningKey(access, sessionToken, date, region, service string) ([]byte, auth.Account, error) {
	if sessionToken != "" {
		return nil, auth.Account{}, auth.ErrInvalidSessionToken
	}
	k, err := s.lookup(access)
	if err != nil {
		return nil, auth.Account{}, err
	}
	scope := date + "/" + region + "/" + service
	signing, ok := k.derived.Get(scope)
	if !ok {
		signing = []byte("AWS4" + k.key.Secret)
		for _, part := range []string{date, region, service, "aws4_request"} {
			h := hmac.New(sha256.New, signing)
			h.Write([]byte(part))
			signing = h.Sum(nil)
		}
		k.derived.Add(scope, signing)
	}
	return signing, auth.Account{Access: k.key.Access.Account().String(), Role: auth.RoleUser, SessionToken: k.key.ID}, nil
}

// EvaluatePolicy decides what a key may do. Its account may do everything with its own buckets, and nothing by itself
// with others, where the bucket's policy or access list has the word. Whatever these allow, the key's grant narrows, as
// the policy of a session does at AWS.
func (s *iam) EvaluatePolicy(access, keyID string, actions []auth.Action, resources []string, condition map[string][]string) (e auth.PolicyEvaluation, err error) {
	k, err := s.lookup(keyID)
	if err == auth.ErrNoSuchUser { // it was there when the signature was checked
		return e, s3err.GetInvalidAccessKeyIdErr(keyID)
	}
	if err != nil {
		return e, err
	}
	account := k.key.Access.Account()
	if account.String() != access {
		return e, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	prefix := ""
	if p := condition["s3:prefix"]; len(p) > 0 {
		prefix = p[0]
	}
	owned := map[string]bool{}
	for _, r := range resources {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(r, auth.ResourceArnPrefix), "/")
		if _, ok := owned[bucket]; ok || !slices.ContainsFunc(actions, ofExisting) {
			continue
		}
		owner, err := s.owner(s.ctx, bucket)
		if err != nil && mesh.KindOf(err) != mesh.NotFound {
			return e, s3Error(s.log, "asking whose bucket "+bucket+" is", err)
		}
		owned[bucket] = err == nil && owner == account
	}
	rights, now := k.key.Access.Rights(), s.now().UnixMilli()
	fill(&e.Decisions, resources, actions, func(r string, a auth.Action) bool {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(r, auth.ResourceArnPrefix), "/")
		return owned[bucket] || !ofExisting(a)
	})
	e.HasSessionPolicy = true
	fill(&e.SessionDecisions, resources, actions, func(r string, a auth.Action) bool { return allows(rights, a, r, prefix, now) })
	return e, nil
}

// ofExisting tells whether an action is one on a bucket that somebody owns.
func ofExisting(a auth.Action) bool {
	return a != auth.CreateBucketAction && a != auth.ListAllMyBucketsAction
}

// versitygw's decisions are of a type that it does not export: 0 no match, 1 allowed, 2 denied.
func fill[D ~int](dst *[][]D, resources []string, actions []auth.Action, allowed func(string, auth.Action) bool) {
	for _, r := range resources {
		row := make([]D, len(actions))
		for i, a := range actions {
			if allowed(r, a) {
				row[i] = 1
			}
		}
		*dst = append(*dst, row)
	}
}

// ResolvePrincipals returns the names that are no account. Any account may be named, whether it was seen or not.
func (s *iam) ResolvePrincipals(names []string) ([]string, error) {
	missing := []string{}
	for _, n := range names {
		if a, err := mesh.ParseAccount(n); err != nil || a.String() != n { // it is compared as text later
			missing = append(missing, n)
		}
	}
	return missing, nil
}

// ResolveAccounts does the same for access lists.
func (s *iam) ResolveAccounts(names []string) ([]string, error) { return s.ResolvePrincipals(names) }

// GetUserAccount is not asked where there is DeriveSigningKey.
func (s *iam) GetUserAccount(string) (auth.Account, error) { return auth.Account{}, auth.ErrNoSuchUser }

// Keys are made and revoked on the log, not through the gateway.

func (s *iam) CreateAccount(auth.Account) error                  { return errNoAdmin() }
func (s *iam) UpdateUserAccount(string, auth.MutableProps) error { return errNoAdmin() }
func (s *iam) DeleteUserAccount(string) error                    { return errNoAdmin() }
func (s *iam) ListUserAccounts() ([]auth.Account, error)         { return nil, errNoAdmin() }
func (s *iam) Shutdown() error                                   { return nil }
func errNoAdmin() error                                          { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }
