package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

func newTestIAM(t *testing.T, keys Keys, owner mesh.Account) (*iam, *time.Time) {
	t.Helper()
	o, err := Options{Keys: 3}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newIAM(t.Context(), keys, func(_ context.Context, bucket string) (mesh.Account, error) {
		if bucket == "absent" {
			return mesh.Account{}, mesh.Errorf(mesh.NotFound, "no bucket")
		}
		return owner, nil
	}, slog.New(slog.DiscardHandler), o)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.now = func() time.Time { return now }
	return s, &now
}

func TestKeysAreRememberedForATime(t *testing.T) {
	b := &book{keys: map[string]*Key{}}
	a := access(t, 1)
	b.add("A", a)
	s, now := newTestIAM(t, b, a.Account())
	ask := func(id string) error {
		_, acc, err := s.DeriveSigningKey(id, "", "20260101", "us-east-1", "s3")
		if err == nil && (acc.Access != a.Account().String() || acc.Role != auth.RoleUser || acc.SessionToken != id || acc.Secret != "") {
			t.Errorf("account %+v", acc)
		}
		return err
	}
	for _, c := range []struct {
		name  string
		do    func()
		id    string
		err   error
		asked int // in all
	}{
		{"a key", nil, "A", nil, 1},
		{"again", nil, "A", nil, 1},
		{"unknown", nil, "X", auth.ErrNoSuchUser, 2},
		{"unknown, again", nil, "X", auth.ErrNoSuchUser, 2},
		{"unknown, 5 s later", func() { *now = now.Add(5 * time.Second) }, "X", auth.ErrNoSuchUser, 3},
		{"revoked, within the minute", func() { b.revoke("A") }, "A", nil, 3},
		{"revoked, after it", func() { *now = now.Add(55 * time.Second) }, "A", auth.ErrNoSuchUser, 4},
		{"empty", nil, "", auth.ErrNoSuchUser, 4},
		{"denied", func() { b.err = mesh.Errorf(mesh.Denied, "not for you") }, "D", auth.ErrNoSuchUser, 5},
		{"nobody can tell", func() { b.err = mesh.Errorf(mesh.Unavailable, "no quorum") }, "U", errUnavailable, 6},
		{"nobody can tell, again", nil, "U", errUnavailable, 7},
		{"now somebody can", func() { b.err = nil; b.add("U", a) }, "U", nil, 8},
	} {
		if c.do != nil {
			c.do()
		}
		if err := ask(c.id); err != c.err { // versitygw compares so
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if b.asked != c.asked {
			t.Errorf("%s: asked %d times, want %d", c.name, b.asked, c.asked)
		}
	}
	for i := range 10 {
		_ = ask(fmt.Sprint("flood", i))
	}
	if s.known.Len() > 3 {
		t.Errorf("%d keys are remembered", s.known.Len())
	}
	if _, _, err := s.DeriveSigningKey("U", "token", "20260101", "us-east-1", "s3"); err != auth.ErrInvalidSessionToken {
		t.Errorf("a session token: %v", err)
	}
}

// The example of Amazon's documentation.
func TestSigningKey(t *testing.T) {
	b := &book{keys: map[string]*Key{"A": {ID: "A", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Access: access(t, 1)}}}
	s, _ := newTestIAM(t, b, mesh.Account{})
	for range 2 { // made, and remembered
		k, _, err := s.DeriveSigningKey("A", "", "20150830", "us-east-1", "iam")
		if got := fmt.Sprintf("%x", k); err != nil || got != "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9" {
			t.Errorf("%s, %v", got, err)
		}
	}
	for i := range 100 {
		_, _, _ = s.DeriveSigningKey("A", "", fmt.Sprint(i), "us-east-1", "s3")
	}
	if k, _ := s.known.Get("A"); k.derived.Len() != scopes {
		t.Errorf("%d derived keys are remembered", k.derived.Len())
	}
}

func TestExpiredKey(t *testing.T) {
	a := access(t, 1)
	b := &book{keys: map[string]*Key{}}
	b.add("A", share(t, a, client.Terms{Expires: time.Now().Add(30 * time.Second)}))
	s, now := newTestIAM(t, b, a.Account())
	if _, err := s.lookup("A"); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(31 * time.Second) // while the answer is still remembered
	if _, err := s.lookup("A"); err != auth.ErrNoSuchUser {
		t.Errorf("an expired key: %v", err)
	}
}

func TestEvaluatePolicy(t *testing.T) {
	a, other := access(t, 1), access(t, 2)
	b := &book{keys: map[string]*Key{}}
	b.add("A", share(t, a, client.Terms{Prefix: "bucket/p/", Operations: grant.Read | grant.Delete}))
	for _, c := range []struct {
		owner             mesh.Account
		bucket            string
		identity, session [][]int
	}{
		{a.Account(), "bucket", [][]int{{1, 1}, {1, 1}}, [][]int{{1, 0}, {0, 0}}},
		{other.Account(), "bucket", [][]int{{0, 0}, {0, 0}}, [][]int{{1, 0}, {0, 0}}},
		{a.Account(), "absent", [][]int{{0, 0}, {0, 0}}, [][]int{{0, 0}, {0, 0}}},
	} {
		s, _ := newTestIAM(t, b, c.owner)
		e, err := s.EvaluatePolicy(a.Account().String(), "A", []auth.Action{auth.GetObjectAction, auth.PutObjectAction},
			[]string{"arn:aws:s3:::" + c.bucket + "/p/k", "arn:aws:s3:::" + c.bucket + "/q"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(e.Decisions, e.SessionDecisions, e.HasSessionPolicy), fmt.Sprint(c.identity, c.session, true); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
	s, _ := newTestIAM(t, b, a.Account())
	if _, err := s.EvaluatePolicy(other.Account().String(), "A", nil, nil, nil); err != s3err.GetAPIError(s3err.ErrAccessDenied) {
		t.Errorf("a key of another account: %v", err)
	}
	if _, err := s.EvaluatePolicy("", "GONE", nil, nil, nil); !errors.As(err, new(s3err.InvalidAccessKeyIdError)) {
		t.Errorf("a key that is gone: %v", err)
	}
	s.owner = func(context.Context, string) (mesh.Account, error) {
		return mesh.Account{}, mesh.Errorf(mesh.Unavailable, "later")
	}
	if _, err := s.EvaluatePolicy(a.Account().String(), "A", []auth.Action{auth.GetObjectAction}, []string{"arn:aws:s3:::bucket/p/k"}, nil); err != errUnavailable {
		t.Errorf("an owner that nobody can tell: %v", err)
	}
}

// Every action that versitygw knows has a place, and what has none is not allowed.
func TestActions(t *testing.T) {
	r := grant.Rights{Operations: grant.All, ExpiresMs: 1}
	for a := range needs {
		if !allows(r, a, "arn:aws:s3:::b/k", "", 0) {
			t.Errorf("all rights do not allow %s", a)
		}
		if r := (grant.Rights{Operations: grant.All, ExpiresMs: 1}); allows(r, a, "arn:aws:s3:::b/k", "", 1) {
			t.Errorf("expired rights allow %s", a)
		}
		if r := (grant.Rights{Operations: grant.All, Prefix: "other/", ExpiresMs: 1}); allows(r, a, "arn:aws:s3:::b/k", "", 0) && a != auth.ListAllMyBucketsAction {
			t.Errorf("rights in another bucket allow %s", a)
		}
		if r := (grant.Rights{Operations: grant.Delegate, ExpiresMs: 1}); allows(r, a, "arn:aws:s3:::b/k", "", 0) && needs[a].op != 0 {
			t.Errorf("no rights allow %s", a)
		}
	}
	for _, a := range []auth.Action{"s3:NoSuchAction", auth.AllActions} {
		if allows(r, a, "arn:aws:s3:::b/k", "", 0) {
			t.Errorf("%s is allowed", a)
		}
	}
	if f, ok := reflect.TypeFor[auth.PolicyEvaluation]().FieldByName("Decisions"); !ok || f.Type.Elem().Elem().Kind() != reflect.Int {
		t.Error("versitygw's decisions are no ints any more: see fill")
	}
}

func TestErrors(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	bucket := s3err.GetBucketErr(s3err.ErrNoSuchBucket, "b")
	for _, c := range []struct {
		err    error
		means  []meaning
		status int
		code   string
	}{
		{mesh.Errorf(mesh.NotFound, "x"), nil, 404, "NoSuchKey"},
		{mesh.Errorf(mesh.NotFound, "x"), []meaning{{mesh.NotFound: bucket}}, 404, "NoSuchBucket"},
		{mesh.Errorf(mesh.NotFound, "x"), []meaning{{mesh.Conflict: bucket}, {mesh.NotFound: bucket}}, 404, "NoSuchBucket"},
		{fmt.Errorf("reading: %w", mesh.Errorf(mesh.Denied, "x")), nil, 403, "AccessDenied"},
		{mesh.Errorf(mesh.Invalid, "x"), nil, 400, "InvalidRequest"},
		{mesh.Errorf(mesh.Conflict, "x"), nil, 409, "OperationAborted"},
		{mesh.Errorf(mesh.Unavailable, "x"), nil, 503, "ServiceUnavailable"},
		{mesh.Errorf(mesh.Exhausted, "x"), nil, 403, "QuotaExceeded"},
		{mesh.Errorf(mesh.Corrupt, "x"), nil, 500, "InternalError"},
		{errors.New("x"), nil, 500, "InternalError"},
		{context.DeadlineExceeded, nil, 503, "ServiceUnavailable"},
		{fmt.Errorf("x: %w", bucket), nil, 404, "NoSuchBucket"},
	} {
		got, ok := s3Error(log, "op", c.err, c.means...).(s3err.S3Error)
		if !ok || got.StatusCode() != c.status || got.BaseError().Code != c.code {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	if err := s3Error(log, "op", nil); err != nil {
		t.Error(err)
	}
	e := s3Error(log, "op", mesh.WithHint(mesh.Errorf(mesh.Exhausted, "no ozone"), "buy some")).(s3err.APIError)
	if e.Description != "no ozone; buy some" {
		t.Errorf("the user is told %q", e.Description)
	}
}
