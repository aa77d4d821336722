package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stratosmesh/stratos/client"
	gateway "github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// A ring is the keyring of a gateway as its backend asks it.
type ring struct{ *client.Keyring }

func (r ring) Key(ctx context.Context, id string) (*gateway.Key, error) {
	k, err := r.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	return &gateway.Key{ID: k.Name, Secret: k.Secret, Access: k.Access}, nil
}

// futureSweeper sweeps for the gateway in a home, by a clock that is ahead.
func futureSweeper(t *testing.T, dir string, ahead time.Duration) *gateway.Sweeper {
	t.Helper()
	_, p, _ := shared.home(t)
	key, err := keyfile.Read(filepath.Join(dir, "gateway.pem"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := client.NewKeyring(sign.Domain{Network: p.Network}, key, members(p))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	be, err := gateway.NewBackend(ring{keys}, log, gateway.BackendOptions{Authorities: members(p)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := be.Close(); err != nil {
			t.Error(err)
		}
		if err := keys.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := gateway.NewSweeper(be, log, gateway.SweepOptions{Now: func() time.Time { return time.Now().Add(ahead) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func setRules(t *testing.T, c *s3.Client, bucket string, rules ...types.LifecycleRule) {
	t.Helper()
	for i := range rules {
		rules[i].ID, rules[i].Status = aws.String(fmt.Sprint("rule ", i)), types.ExpirationStatusEnabled
	}
	if _, err := c.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{Bucket: &bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules}}); err != nil {
		t.Fatal(err)
	}
}

// kept tells what versions a bucket has: each key with its versions, the newest first, by their size; m for markers.
func kept(t *testing.T, c *s3.Client, bucket string) string {
	t.Helper()
	out, err := c.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	type one struct {
		key, what string
		latest    bool
		made      time.Time
	}
	var all []one
	for _, v := range out.Versions {
		all = append(all, one{*v.Key, fmt.Sprint(*v.Size), *v.IsLatest, *v.LastModified})
	}
	for _, m := range out.DeleteMarkers {
		all = append(all, one{*m.Key, "m", *m.IsLatest, *m.LastModified})
	}
	slices.SortStableFunc(all, func(a, b one) int {
		if a.key != b.key {
			return strings.Compare(a.key, b.key)
		}
		return b.made.Compare(a.made)
	})
	var text []string
	for i, v := range all {
		if v.latest != (i == 0 || all[i-1].key != v.key) {
			t.Errorf("%s %s is the latest: %v", v.key, v.what, v.latest)
		}
		text = append(text, v.key+":"+v.what)
	}
	return strings.Join(text, " ")
}

// Objects expire by a date that is past, through a gateway that looks every second; through the other one they are written.
func TestExpiry(t *testing.T) {
	ctx := t.Context()
	var k accessKey
	gatewayIn(t, filepath.Join(t.TempDir(), "gateway"), &k, "--lifecycle-every", "1s")
	c := k.client(k.Endpoint)
	past := &types.LifecycleExpiration{Date: aws.Time(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))}
	prefix := func(p string) *types.LifecycleRuleFilter { return &types.LifecycleRuleFilter{Prefix: &p} }
	tag := &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{Prefix: aws.String("tags/"), Tags: []types.Tag{{Key: aws.String("keep"), Value: aws.String("no")}}}}
	for _, b := range []string{"s3-expiry", "s3-expiry-versions"} {
		s3Bucket(t, c, b)
	}
	if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String("s3-expiry-versions"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"old/1", "old/2", "stays", "tags/no", "tags/yes"} {
		for _, b := range []string{"s3-expiry", "s3-expiry-versions"} {
			if _, err := s3Put(ctx, c, b, key, []byte("x"), func(in *s3.PutObjectInput) { in.Tagging = aws.String("keep=" + filepath.Base(key)) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, b := range []string{"s3-expiry", "s3-expiry-versions"} {
		setRules(t, c, b, types.LifecycleRule{Filter: prefix("old/"), Expiration: past}, types.LifecycleRule{Filter: tag, Expiration: past},
			types.LifecycleRule{Filter: prefix("later/"), Expiration: &types.LifecycleExpiration{Days: aws.Int32(3)}})
	}
	for b, want := range map[string]string{"s3-expiry": "stays:1 tags/yes:1", "s3-expiry-versions": "old/1:m old/1:1 old/2:m old/2:1 stays:1 tags/no:m tags/no:1 tags/yes:1"} {
		until(t, "the end of what is due in "+b, func() (bool, error) {
			got := kept(t, c, b)
			return got == want, fmt.Errorf("there is %s, want %s", got, want)
		})
	}

	// What expires later says so.
	put, err := s3Put(ctx, c, "s3-expiry", "later/k", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := s3Get(ctx, c, "s3-expiry", "later/k")
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("s3-expiry"), Key: aws.String("later/k")})
	if err != nil {
		t.Fatal(err)
	}
	day := got.LastModified.UTC().Truncate(24*time.Hour).AddDate(0, 0, 4)
	want := fmt.Sprintf(`expiry-date="%s", rule-id="rule+2"`, day.Format("Mon, 02 Jan 2006 00:00:00 GMT"))
	copied, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("s3-expiry"), Key: aws.String("later/copy"), CopySource: aws.String("s3-expiry/stays")})
	if err != nil {
		t.Fatal(err)
	}
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("s3-expiry"), Key: aws.String("later/parts")})
	if err != nil {
		t.Fatal(err)
	}
	part, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	done, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}}})
	if err != nil {
		t.Fatal(err)
	}
	for what, e := range map[string]*string{"a copy": copied.Expiration, "an upload in parts": done.Expiration, "PUT": put.Expiration, "GET": got.Expiration, "HEAD": head.Expiration} {
		if aws.ToString(e) != want {
			t.Errorf("%s: expires %s, want %s", what, aws.ToString(e), want)
		}
	}
	if _, out, err := s3Get(ctx, c, "s3-expiry", "stays"); err != nil || out.Expiration != nil {
		t.Errorf("what stays expires %s, %v", aws.ToString(out.Expiration), err)
	}
}

// Two days later, older versions, the marker above them and an upload are gone, and locked versions are not.
func TestExpiryOfVersions(t *testing.T) {
	ctx := t.Context()
	var k accessKey
	dir := filepath.Join(t.TempDir(), "gateway")
	gatewayIn(t, dir, &k)
	c, bucket := k.client(k.Endpoint), "s3-expiry-history"
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"k", "k", "k", "gone", "hold", "hold", "until", "until"} {
		if _, err := s3Put(ctx, c, bucket, key, make([]byte, i), func(in *s3.PutObjectInput) {
			switch i { // the older versions
			case 4:
				in.ObjectLockLegalHoldStatus = types.ObjectLockLegalHoldStatusOn
			case 6: // in two days it is over, but the log's clock counts
				in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockModeGovernance, aws.Time(time.Now().Add(time.Hour))
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("gone")}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"film", "other/film"} {
		up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: &bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader([]byte("part"))}); err != nil {
			t.Fatal(err)
		}
	}
	setRules(t, c, bucket,
		types.LifecycleRule{Filter: &types.LifecycleRuleFilter{}, NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)}, Expiration: &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)}},
		types.LifecycleRule{Filter: &types.LifecycleRuleFilter{Prefix: aws.String("film")}, AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)}})
	all := "gone:m gone:3 hold:5 hold:4 k:2 k:1 k:0 until:7 until:6"
	sweep := func(ahead time.Duration, want gateway.Tally, left string) {
		t.Helper()
		tally, err := futureSweeper(t, dir, ahead).Sweep(ctx)
		if got := kept(t, c, bucket); err != nil || tally != want || got != left {
			t.Errorf("%v ahead: %+v, %v, left %s; want %+v, %s", ahead, tally, err, got, want, left)
		}
	}
	sweep(0, gateway.Tally{}, all)
	const two = 48 * time.Hour
	sweep(two, gateway.Tally{Versions: 3, Uploads: 1, Locked: 2}, "gone:m hold:5 hold:4 k:2 until:7 until:6")
	sweep(two, gateway.Tally{Markers: 1, Locked: 2}, "hold:5 hold:4 k:2 until:7 until:6") // nothing is below it any more
	sweep(two, gateway.Tally{Locked: 2}, "hold:5 hold:4 k:2 until:7 until:6")
	open, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil || len(open.Uploads) != 1 || *open.Uploads[0].Key != "other/film" {
		t.Errorf("uploads: %d, %v", len(open.Uploads), err)
	}
	if got, _, err := s3Get(ctx, c, bucket, "k"); err != nil || len(got) != 2 {
		t.Errorf("the current version: %d bytes, %v", len(got), err)
	}
	// Without rules everything stays.
	setRules(t, c, bucket, types.LifecycleRule{Filter: &types.LifecycleRuleFilter{}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)}})
	if _, err := c.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	sweep(two, gateway.Tally{}, "hold:5 hold:4 k:2 until:7 until:6")
}
