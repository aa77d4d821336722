package sim_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/meta/state"
)

// An accessKey is what `stratos keys create --format json` prints.
type accessKey struct {
	ID       string `json:"access_key_id"`
	Secret   string `json:"secret_access_key"`
	Endpoint string
}

func newAccessKey(t *testing.T, args ...string) (k accessKey) {
	t.Helper()
	name := fmt.Sprintf("k%d", time.Now().UnixNano())
	if err := json.Unmarshal([]byte(mustCLI(t, append([]string{"keys", "create", name, "--format", "json"}, args...)...)), &k); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k accessKey) client(endpoint string) *s3.Client {
	return s3.New(s3.Options{BaseEndpoint: &endpoint, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(k.ID, k.Secret, "")})
}

func s3Code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func s3Bucket(t *testing.T, c *s3.Client, name string) {
	t.Helper()
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
}

func s3Put(ctx context.Context, c *s3.Client, bucket, key string, b []byte, change ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(b)}
	for _, f := range change {
		f(in)
	}
	return c.PutObject(ctx, in)
}

func s3Get(ctx context.Context, c *s3.Client, bucket, key string, change ...func(*s3.GetObjectInput)) ([]byte, *s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	for _, f := range change {
		f(in)
	}
	out, err := c.GetObject(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	return b, out, err
}

// secondGateway is another gateway in front of the same mesh, made with the commands of the help in a home of its own.
func secondGateway(t *testing.T, key *accessKey) string {
	t.Helper()
	return gatewayIn(t, filepath.Join(t.TempDir(), "gateway"), key)
}

// gatewayIn is a gateway in a new home, made with more arguments, and an access key that it and the others know.
func gatewayIn(t *testing.T, dir string, key *accessKey, args ...string) string {
	t.Helper()
	at := free(t, 3)
	mustCLI(t, append([]string{"gateway", "init", dir, "--name", t.Name(), "--s3", at[0], "--status", at[1], "--http", at[2], "--postgres", "", "--databases", ""}, args...)...)
	*key = newAccessKey(t)
	runOutside(t, "gateway", "run", "--home", dir)
	endpoint := "http://" + at[0]
	until(t, "the second gateway", func() (bool, error) {
		_, err := key.client(endpoint).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		return err == nil, err
	})
	return endpoint
}

// What an application does in a day: objects with metadata, ranges, conditions, versions, parts, listings, deletions; and what the
// command line writes is what S3 reads.
func TestS3(t *testing.T) {
	ctx, r, k := t.Context(), random(t), newAccessKey(t)
	c := k.client(k.Endpoint)
	s3Bucket(t, c, "s3-day")
	for _, size := range []int{0, 1, 4096, 4097, 200_000, 5 << 20} {
		b, key := content(r, size), fmt.Sprint("sizes/", size)
		put, err := s3Put(ctx, c, "s3-day", key, b, func(in *s3.PutObjectInput) {
			in.Metadata, in.ContentType, in.CacheControl = map[string]string{"who": "me"}, aws.String("text/x"), aws.String("max-age=5")
		})
		if err != nil {
			t.Fatal(err)
		}
		got, out, err := s3Get(ctx, c, "s3-day", key)
		if err != nil || !bytes.Equal(got, b) || *out.ETag != *put.ETag || out.Metadata["who"] != "me" || *out.ContentType != "text/x" || *out.CacheControl != "max-age=5" {
			t.Fatalf("%d bytes: %d came back, %+v, %v", size, len(got), out, err)
		}
		if size > 1000 {
			got, out, err = s3Get(ctx, c, "s3-day", key, func(in *s3.GetObjectInput) { in.Range = aws.String("bytes=100-999") })
			if err != nil || !bytes.Equal(got, b[100:1000]) || *out.ContentRange != fmt.Sprintf("bytes 100-999/%d", size) {
				t.Errorf("a range of %d bytes: %d came back, %v", size, len(got), err)
			}
		}
	}
	if got := mustCLI(t, "cp", "stratos://s3-day/sizes/4097", "-"); len(got) != 4097 {
		t.Errorf("the command line reads %d bytes of 4097", len(got))
	}

	// Conditions.
	if _, err := s3Put(ctx, c, "s3-day", "lock", nil, func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }); err != nil {
		t.Fatal(err)
	}
	if _, err := s3Put(ctx, c, "s3-day", "lock", nil, func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }); s3Code(err) != "PreconditionFailed" {
		t.Errorf("a lock was taken twice: %v", err)
	}
	if _, err := s3Put(ctx, c, "s3-day", "lock", []byte("x"), func(in *s3.PutObjectInput) { in.IfMatch = aws.String(`"00"`) }); s3Code(err) != "PreconditionFailed" {
		t.Errorf("another ETag matched: %v", err)
	}
	if _, err := s3Put(ctx, c, "s3-day", "bad", []byte("x"), func(in *s3.PutObjectInput) { in.ContentMD5 = aws.String("AAAAAAAAAAAAAAAAAAAAAA==") }); s3Code(err) != "BadDigest" {
		t.Errorf("bytes of another MD5 were taken: %v", err)
	}
	if _, _, err := s3Get(ctx, c, "s3-day", "bad"); s3Code(err) != "NoSuchKey" {
		t.Errorf("a refused object can be read: %v", err)
	}

	// Versions.
	on := &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}
	if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String("s3-day"), VersioningConfiguration: on}); err != nil {
		t.Fatal(err)
	}
	first, err := s3Put(ctx, c, "s3-day", "v", []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s3Put(ctx, c, "s3-day", "v", []byte("second")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("s3-day"), Key: aws.String("v")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s3Get(ctx, c, "s3-day", "v"); s3Code(err) != "NoSuchKey" {
		t.Errorf("a deleted object reads: %v", err)
	}
	if got, _, err := s3Get(ctx, c, "s3-day", "v", func(in *s3.GetObjectInput) { in.VersionId = first.VersionId }); err != nil || string(got) != "first" {
		t.Errorf("the first version is %q, %v", got, err)
	}
	versions, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String("s3-day"), Prefix: aws.String("v")})
	if err != nil || len(versions.Versions) != 2 || len(versions.DeleteMarkers) != 1 || !*versions.DeleteMarkers[0].IsLatest {
		t.Errorf("versions: %+v, %v", versions, err)
	}

	// A governance lock gives way to a key that may go past it, when it asks to.
	locking := aws.String("s3-locks")
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: locking, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	held, err := s3Put(ctx, c, *locking, "held", nil, func(in *s3.PutObjectInput) {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockModeGovernance, aws.Time(time.Now().Add(time.Hour))
	})
	if err != nil {
		t.Fatal(err)
	}
	bypassing := newAccessKey(t, "--bypass-locks").client(k.Endpoint)
	purge := &s3.DeleteObjectInput{Bucket: locking, Key: aws.String("held"), VersionId: held.VersionId}
	if _, err := bypassing.DeleteObject(ctx, purge); s3Code(err) != "AccessDenied" {
		t.Errorf("a locked version is purged: %v", err)
	}
	purge.BypassGovernanceRetention = aws.Bool(true)
	if _, err := c.DeleteObject(ctx, purge); s3Code(err) != "AccessDenied" {
		t.Errorf("a locked version is purged by a key that may not: %v", err)
	}
	if _, err := bypassing.DeleteObject(ctx, purge); err != nil {
		t.Errorf("a key that may go past the lock: %v", err)
	}

	// Parts, in any order, through the index of another bucket too.
	parts := [][]byte{content(r, 5<<20), content(r, 6<<20), content(r, 1000)}
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("s3-day"), Key: aws.String("film")})
	if err != nil {
		t.Fatal(err)
	}
	done := make([]types.CompletedPart, 3)
	for _, i := range []int{2, 0, 1} {
		out, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(parts[i])})
		if err != nil {
			t.Fatal(err)
		}
		done[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}
	}
	if _, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}}); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Join(parts, nil)
	if got, _, err := s3Get(ctx, c, "s3-day", "film"); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("an object in parts: %d bytes, %v", len(got), err)
	}
	if got, _, err := s3Get(ctx, c, "s3-day", "film", func(in *s3.GetObjectInput) { in.Range = aws.String("bytes=5242870-5242890") }); err != nil || !bytes.Equal(got, whole[5242870:5242891]) {
		t.Errorf("a range over two parts: %d bytes, %v", len(got), err)
	}
	if got := mustCLI(t, "cp", "stratos://s3-day/film", "-"); got != string(whole) {
		t.Errorf("the command line reads %d bytes of an object in parts", len(got))
	}
	if _, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("s3-day"), Key: aws.String("copy"), CopySource: aws.String("s3-day/film")}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := s3Get(ctx, c, "s3-day", "copy"); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("a copy: %d bytes, %v", len(got), err)
	}

	// A key for one folder sees nothing beside it.
	narrow := newAccessKey(t, "--prefix", "s3-day/sizes/", "--read-only").client(k.Endpoint)
	if _, _, err := s3Get(ctx, narrow, "s3-day", "sizes/1"); err != nil {
		t.Errorf("a key for sizes/: %v", err)
	}
	if _, _, err := s3Get(ctx, narrow, "s3-day", "film"); s3Code(err) != "AccessDenied" {
		t.Errorf("a key for sizes/ reads film: %v", err)
	}
	if _, err := s3Put(ctx, narrow, "s3-day", "sizes/new", nil); s3Code(err) != "AccessDenied" {
		t.Errorf("a key for reading writes: %v", err)
	}
	if _, err := (accessKey{k.ID, "wrong", k.Endpoint}).client(k.Endpoint).ListBuckets(ctx, &s3.ListBucketsInput{}); s3Code(err) != "SignatureDoesNotMatch" {
		t.Errorf("a wrong secret: %v", err)
	}
}

// A gateway is killed in the middle of a multipart upload, with two nodes down: nothing acknowledged is lost, and the client goes
// on through another.
func TestGatewayKilled(t *testing.T) {
	ctx, r := t.Context(), random(t)
	var k accessKey
	other := secondGateway(t, &k)
	a, b := k.client(k.Endpoint), k.client(other)
	s3Bucket(t, a, "s3-killed")
	before := content(r, 3<<20)
	if _, err := s3Put(ctx, a, "s3-killed", "before", before); err != nil {
		t.Fatal(err)
	}
	up, err := a.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("s3-killed"), Key: aws.String("film")})
	if err != nil {
		t.Fatal(err)
	}
	parts := [][]byte{content(r, 5<<20), content(r, 5<<20), content(r, 5<<20)}
	put := func(c *s3.Client, i int) (*s3.UploadPartOutput, error) {
		return c.UploadPart(ctx, &s3.UploadPartInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(parts[i])})
	}
	if _, err := put(a, 0); err != nil {
		t.Fatal(err)
	}
	shared.down(t, "node-2", "node-5")
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = put(a, 1) }) // it may be cut off
	shared.down(t, "gateway-0")
	wg.Wait()
	if got, _, err := s3Get(ctx, b, "s3-killed", "before"); err != nil || !bytes.Equal(got, before) {
		t.Errorf("through the other gateway: %d bytes, %v", len(got), err)
	}
	have, err := b.ListParts(ctx, &s3.ListPartsInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId})
	if err != nil || len(have.Parts) == 0 || *have.Parts[0].PartNumber != 1 {
		t.Fatalf("parts through the other gateway: %+v, %v", have, err)
	}
	var done []types.CompletedPart
	for i := range parts {
		etag := ""
		for _, p := range have.Parts {
			if int(*p.PartNumber) == i+1 {
				etag = *p.ETag
			}
		}
		if etag == "" {
			out, err := put(b, i)
			if err != nil {
				t.Fatal(err)
			}
			etag = *out.ETag
		}
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: &etag})
	}
	if _, err := b.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := s3Get(ctx, b, "s3-killed", "film"); err != nil || !bytes.Equal(got, bytes.Join(parts, nil)) {
		t.Errorf("a film: %d bytes, %v", len(got), err)
	}
}

// What a client did to one key, and what it saw.
type registerInput struct {
	kind  string // get, put, create, replace, delete
	value string
	old   string // replace: the value whose ETag must match
	key   string
}

type registerOutput struct {
	value   string // get
	ok      bool   // of a condition
	unknown bool   // it is not known whether it happened
}

// register is one key: a value, or "" when there is none.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, o := range history {
			k := o.Input.(registerInput).key
			by[k] = append(by[k], o)
		}
		var all [][]porcupine.Operation
		for _, h := range by {
			all = append(all, h)
		}
		return all
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(string), input.(registerInput), output.(registerOutput)
		switch in.kind {
		case "get":
			return out.value == s, s
		case "list":
			return out.value == md5Of(s), s
		case "put":
			return true, in.value
		case "delete":
			return true, ""
		case "create":
			if out.ok != (s == "") {
				return false, s
			}
		case "replace":
			if out.ok != (s == in.old) {
				return false, s
			}
		}
		if out.ok {
			return true, in.value
		}
		return true, s
	},
}

// md5Of is what a listing shows of a value; "" for none.
func md5Of(value string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf("\"%x\"", md5.Sum([]byte(value)))
}

// Eight clients, half of them at each of two gateways, write, read, list, create and replace by condition, and delete; every
// history is linearizable for each key.
func TestTwoGateways(t *testing.T) {
	ctx, r := t.Context(), random(t)
	var k accessKey
	other := secondGateway(t, &k)
	s3Bucket(t, k.client(k.Endpoint), "s3-two")
	const keys = 4
	length := 6 * time.Second
	if long() {
		length = time.Minute
	}
	end := time.Now().Add(length)
	began := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	for id := range 8 {
		c, own := k.client([]string{k.Endpoint, other}[id%2]), rand.New(rand.NewPCG(r.Uint64(), 1))
		wg.Go(func() {
			etag, seen := map[string]string{}, map[string]string{} // of what was read last
			for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
				in := registerInput{kind: []string{"get", "get", "put", "create", "replace", "delete", "list"}[own.IntN(7)], key: fmt.Sprint("key", own.IntN(keys)), value: fmt.Sprint(id, ".", n)}
				if in.old = seen[in.key]; in.kind == "replace" && in.old == "" {
					in.kind = "get"
				}
				var out registerOutput
				var err error
				call, listed := time.Since(began), map[string]string{}
				switch in.kind {
				case "list":
					var l *s3.ListObjectsV2Output
					if l, err = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("s3-two")}); err == nil {
						for _, o := range l.Contents {
							listed[*o.Key] = *o.ETag
						}
					}
				case "get":
					var b []byte
					var o *s3.GetObjectOutput
					if b, o, err = s3Get(ctx, c, "s3-two", in.key); err == nil {
						out.value, seen[in.key], etag[in.key] = string(b), string(b), *o.ETag
					} else if s3Code(err) == "NoSuchKey" {
						err, seen[in.key] = nil, ""
					}
				case "put":
					_, err = s3Put(ctx, c, "s3-two", in.key, []byte(in.value))
				case "delete":
					_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("s3-two"), Key: &in.key})
				default:
					_, err = s3Put(ctx, c, "s3-two", in.key, []byte(in.value), func(p *s3.PutObjectInput) {
						if in.kind == "create" {
							p.IfNoneMatch = aws.String("*")
						} else {
							p.IfMatch = aws.String(etag[in.key])
						}
					})
					out.ok = err == nil
					if code := s3Code(err); err != nil && (code == "PreconditionFailed" || code == "NoSuchKey") {
						err = nil
					}
				}
				if err != nil {
					t.Errorf("%s of %s: %v", in.kind, in.key, err)
					return
				}
				back := int64(time.Since(began))
				mu.Lock()
				if in.kind == "list" { // reads every key, whether it shows it or not
					for k := range keys {
						key := fmt.Sprint("key", k)
						history = append(history, porcupine.Operation{ClientId: id, Input: registerInput{kind: "list", key: key}, Call: int64(call), Output: registerOutput{value: listed[key]}, Return: back})
					}
				} else {
					history = append(history, porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Output: out, Return: back})
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if result := porcupine.CheckOperationsTimeout(register, history, time.Minute); result != porcupine.Ok {
		t.Errorf("%d operations are %v", len(history), result)
	}
	t.Logf("%d operations", len(history))
}

// objects is held by those of the tests side by side that write objects, or count the network's.
var objects sync.Mutex

// Aborted uploads, replaced and deleted objects leave nothing that nodes have to keep.
func TestS3Garbage(t *testing.T) {
	t.Parallel() // with others that wait and disturb nobody, when the rest has run
	objects.Lock()
	defer objects.Unlock()
	ctx, r, k := t.Context(), random(t), newAccessKey(t)
	c, watch := k.client(k.Endpoint), shared.client(t, "alice", 0, client.Options{})
	s3Bucket(t, c, "s3-garbage")
	group := func() client.GroupInfo {
		g, err := watch.Group(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	settled := func() (n uint64) { // the segments, when all that was replaced so far has left
		last := group().Epoch + state.LeaveEpochs + 1
		until(t, "what was replaced has left", func() (bool, error) {
			g := group()
			n = g.Segments
			return g.Epoch > last, nil
		})
		return n
	}
	before := settled()
	for range 3 {
		if _, err := s3Put(ctx, c, "s3-garbage", "same", content(r, 300_000)); err != nil {
			t.Fatal(err)
		}
	}
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("s3-garbage"), Key: aws.String("aborted")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(content(r, 5<<20))}); err != nil {
		t.Fatal(err)
	}
	if during := group().Segments; during < before+4 {
		t.Fatalf("%d segments, %d before: nothing was written", during, before)
	}
	if _, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("s3-garbage"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("same")}}}}); err != nil {
		t.Fatal(err)
	}
	if after := settled(); after != before {
		t.Errorf("%d segments, %d before", after, before)
	}
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("s3-garbage")}); err != nil {
		t.Error(err)
	}
}
