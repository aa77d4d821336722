package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// memory is a backend of buckets and objects, as much as the front needs to be tested.
type memory struct {
	backend.BackendUnsupported

	mu       sync.Mutex
	owners   map[string]string
	policies map[string]string
	grantees []auth.Grantee // in every bucket's access list
	objects  map[string][]byte
	body     func(key string) io.ReadCloser // of GetObject, in place of an object
	before   func(op, key string)           // called first, when set
	puts     int
	trailer  string            // that the last body had: algorithm and checksum
	rules    map[string][]byte // lifecycle documents
	cors     []byte            // of every bucket, when set
}

func newMemory() *memory {
	return &memory{owners: map[string]string{}, policies: map[string]string{}, objects: map[string][]byte{}, rules: map[string][]byte{}}
}

func (m *memory) hook(op, key string) {
	m.mu.Lock()
	f := m.before
	m.mu.Unlock()
	if f != nil {
		f(op, strings.Clone(key))
	}
}

func (m *memory) String() string { return "memory" }

func (m *memory) GetBucketAcl(_ context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	owner, ok := m.owners[*in.Bucket]
	if !ok {
		return nil, s3err.GetBucketErr(s3err.ErrNoSuchBucket, strings.Clone(*in.Bucket))
	}
	return json.Marshal(auth.ACL{Owner: owner, Grantees: m.grantees})
}

func (m *memory) GetBucketPolicy(_ context.Context, b string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.policies[b]; ok {
		return []byte(p), nil
	}
	return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
}

func (m *memory) GetBucketVersioning(context.Context, string) (s3response.GetBucketVersioningOutput, error) {
	return s3response.GetBucketVersioningOutput{}, nil
}

func (m *memory) GetObjectLockConfiguration(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)
}

func (m *memory) GetBucketCors(context.Context, string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cors != nil {
		return m.cors, nil
	}
	return nil, s3err.GetAPIError(s3err.ErrNoSuchCORSConfiguration)
}

func (m *memory) PutBucketPolicy(_ context.Context, b string, p []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policies[strings.Clone(b)] = string(p)
	return nil
}

func (m *memory) DeleteBucketPolicy(_ context.Context, b string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.policies, b)
	return nil
}

func (m *memory) PutBucketLifecycle(_ context.Context, b string, document []byte) error {
	m.hook("PutBucketLifecycle", b)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules[strings.Clone(b)] = bytes.Clone(document)
	return nil
}

func (m *memory) GetBucketLifecycle(_ context.Context, b string) ([]byte, error) {
	m.hook("GetBucketLifecycle", b)
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.rules[b]; ok {
		return d, nil
	}
	return nil, noLifecycle
}

func (m *memory) DeleteBucketLifecycle(_ context.Context, b string) error {
	m.hook("DeleteBucketLifecycle", b)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rules, b)
	return nil
}

func (m *memory) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, _ []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owners[strings.Clone(*in.Bucket)] = ctx.Value("account").(auth.Account).Access
	return nil
}

func (m *memory) HeadBucket(context.Context, *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	return &s3.HeadBucketOutput{}, nil
}

func (m *memory) ListBuckets(context.Context, s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	return s3response.ListAllMyBucketsResult{}, nil
}

func (m *memory) PutObject(_ context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	m.hook("PutObject", *in.Key)
	b, err := io.ReadAll(in.Body)
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trailer = trailerOf(in.Body)
	m.objects[strings.Clone(*in.Bucket+"/"+*in.Key)] = b
	m.puts++
	return s3response.PutObjectOutput{ETag: `"etag"`}, nil
}

func trailerOf(r io.Reader) string {
	if t, ok := r.(middlewares.ChecksumReader); ok && t.Algorithm() != "" {
		return t.Algorithm() + " " + strings.Clone(t.Checksum())
	}
	return ""
}

func (m *memory) UploadPart(_ context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	if _, err := io.ReadAll(in.Body); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trailer = trailerOf(in.Body)
	tag := `"etag"`
	return &s3.UploadPartOutput{ETag: &tag}, nil
}

func (m *memory) GetObject(_ context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	m.hook("GetObject", *in.Key)
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[*in.Bucket+"/"+*in.Key]
	if !ok {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	n, tag, typ, now := int64(len(b)), `"etag"`, "text/html", time.Unix(1e9, 0)
	out := &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(b)), ContentLength: &n, ETag: &tag, ContentType: &typ, LastModified: &now}
	if m.body != nil {
		out.Body = m.body(strings.Clone(*in.Key))
	}
	return out, nil
}

func (m *memory) GetObjectAcl(_ context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.owners[*in.Bucket]
	return &s3.GetObjectAclOutput{Owner: &types.Owner{ID: &id}, Grants: []types.Grant{{Permission: types.PermissionFullControl, Grantee: &types.Grantee{ID: &id, Type: types.TypeCanonicalUser}}}}, nil
}

func (m *memory) GetObjectRetention(context.Context, string, string, string) ([]byte, error) {
	until := time.Unix(2e9, 0).UTC()
	return json.Marshal(types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeGovernance, RetainUntilDate: &until})
}

func (m *memory) CopyObject(context.Context, s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	return s3response.CopyObjectOutput{CopyObjectResult: &s3response.CopyObjectResult{}}, nil
}

func (m *memory) DeleteObject(_ context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, *in.Bucket+"/"+*in.Key)
	return &s3.DeleteObjectOutput{}, nil
}

func (m *memory) DeleteObjects(_ context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	return s3response.DeleteResult{}, nil
}

func (m *memory) ListObjectsV2(_ context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix := ""
	if in.Prefix != nil {
		prefix = strings.Clone(*in.Prefix)
	}
	var out s3response.ListObjectsV2Result
	for k, b := range m.objects {
		if key, ok := strings.CutPrefix(k, *in.Bucket+"/"); ok && strings.HasPrefix(key, prefix) {
			size := int64(len(b))
			out.Contents = append(out.Contents, s3response.Object{Key: &key, Size: &size, StorageClass: types.ObjectStorageClassStandard})
		}
	}
	slices.SortFunc(out.Contents, func(a, b s3response.Object) int { return strings.Compare(*a.Key, *b.Key) })
	bucket := strings.Clone(*in.Bucket)
	out.Name, out.Prefix = &bucket, &prefix
	return out, nil
}

// set changes the backend between requests.
func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memory) object(path string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[path]
	return string(b), ok
}

func (m *memory) PutBucketVersioning(context.Context, string, types.BucketVersioningStatus) error {
	return nil
}
