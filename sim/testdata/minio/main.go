// Command minio is what a program does with minio-go, against the endpoint of the environment, once with checksums before the
// bytes and once behind them. A module of its own, so that ours does not need minio-go. Called by TestTools.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/tags"
)

const part = 5 << 20

func main() {
	at, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	must(err)
	dir, err := os.MkdirTemp("", "minio")
	must(err)
	defer os.RemoveAll(dir)
	for _, trailing := range []bool{false, true} {
		c, err := minio.New(at.Host, &minio.Options{Creds: credentials.NewEnvAWS(), Secure: at.Scheme == "https", Region: "us-east-1", TrailingHeaders: trailing})
		must(err)
		w := &work{Client: c, ctx: context.Background(), dir: dir, bucket: fmt.Sprint("tool-minio-", trailing)}
		must(c.MakeBucket(w.ctx, w.bucket, minio.MakeBucketOptions{}))
		w.objects()
		w.copies()
		w.lists()
		w.presigned()
		w.uploads()
		w.versions()
		stayed := w.remove(minio.RemoveObjectsOptions{})
		check(len(stayed) == 0, stayed)
		must(c.RemoveBucket(w.ctx, w.bucket))
		w.bucket += "-locks"
		w.locks()
	}
}

type work struct {
	*minio.Client
	ctx         context.Context
	dir, bucket string
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(ok bool, what ...any) {
	if !ok {
		panic(fmt.Sprint(what...))
	}
}

// code is what S3 calls an error.
func code(err error) string { return minio.ToErrorResponse(err).Code }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

func (w *work) put(key string, b []byte, size int64, o minio.PutObjectOptions) minio.UploadInfo {
	// Not a bytes.Reader, which minio-go would seek in.
	info, err := w.PutObject(w.ctx, w.bucket, key, io.MultiReader(bytes.NewReader(b)), size, o)
	must(err)
	check(info.Size == int64(len(b)), key, " has ", info.Size, " bytes")
	return info
}

func (w *work) get(key string, o minio.GetObjectOptions) []byte {
	r, err := w.GetObject(w.ctx, w.bucket, key, o)
	must(err)
	defer r.Close()
	b, err := io.ReadAll(r)
	must(err)
	return b
}

func (w *work) is(key string, want []byte) {
	check(bytes.Equal(w.get(key, minio.GetObjectOptions{Checksum: true}), want), key, " is another")
}

// objects are put in each way, and read whole and in pieces.
func (w *work) objects() {
	small, large := random(1000), random(2*part+12345)
	w.put("small", small, int64(len(small)), minio.PutObjectOptions{ContentType: "text/x", UserMetadata: map[string]string{"K": "v ü"}, UserTags: map[string]string{"a": "1"}})
	w.is("small", small)
	w.put("empty", nil, 0, minio.PutObjectOptions{})
	w.is("empty", nil)
	w.put("stream", large, -1, minio.PutObjectOptions{PartSize: part})
	w.is("stream", large)
	w.put("parallel", large, -1, minio.PutObjectOptions{PartSize: part, NumThreads: 3, ConcurrentStreamParts: true})
	w.is("parallel", large)
	path := filepath.Join(w.dir, "file")
	must(os.WriteFile(path, large, 0o600))
	_, err := w.FPutObject(w.ctx, w.bucket, "a b+ü%&/file", path, minio.PutObjectOptions{PartSize: part})
	must(err)
	must(w.FGetObject(w.ctx, w.bucket, "a b+ü%&/file", path+".back", minio.GetObjectOptions{}))
	back, err := os.ReadFile(path + ".back")
	must(err)
	check(bytes.Equal(back, large), "a file came back as another")

	s, err := w.StatObject(w.ctx, w.bucket, "small", minio.StatObjectOptions{})
	must(err)
	check(s.Size == 1000 && s.ContentType == "text/x" && s.UserMetadata["K"] == "v ü" && s.UserTagCount == 1, "it is ", s)
	_, err = w.StatObject(w.ctx, w.bucket, "none", minio.StatObjectOptions{})
	check(code(err) == "NoSuchKey", err)
	var o minio.GetObjectOptions
	must(o.SetRange(part-10, part+9))
	check(bytes.Equal(w.get("stream", o), large[part-10:part+10]), "a range is another")
	r, err := w.GetObject(w.ctx, w.bucket, "stream", minio.GetObjectOptions{})
	must(err)
	_, err = r.Seek(-100, io.SeekEnd)
	must(err)
	tail, err := io.ReadAll(r)
	must(err)
	middle := make([]byte, 1000)
	_, err = r.ReadAt(middle, 2*part-500)
	must(err)
	must(r.Close())
	check(bytes.Equal(tail, large[len(large)-100:]) && bytes.Equal(middle, large[2*part-500:2*part+500]), "a seek leads elsewhere")
	for _, sum := range []minio.ChecksumType{minio.ChecksumCRC32, minio.ChecksumCRC32C, minio.ChecksumSHA1, minio.ChecksumSHA256, minio.ChecksumCRC64NVME} {
		if w.trails() {
			info := w.put(sum.String(), large, -1, minio.PutObjectOptions{PartSize: part, Checksum: sum})
			w.is(sum.String(), large)
			check(info.ChecksumCRC32+info.ChecksumCRC32C+info.ChecksumSHA1+info.ChecksumSHA256+info.ChecksumCRC64NVME != "", "no checksum of ", sum)
		}
	}

	var match minio.PutObjectOptions
	match.SetMatchETagExcept("*")
	_, err = w.PutObject(w.ctx, w.bucket, "small", strings.NewReader("x"), 1, match)
	check(code(err) == "PreconditionFailed", err)
	t, err := tags.NewTags(map[string]string{"b": "2", "c": "3 x"}, true)
	must(err)
	must(w.PutObjectTagging(w.ctx, w.bucket, "small", t, minio.PutObjectTaggingOptions{}))
	got, err := w.GetObjectTagging(w.ctx, w.bucket, "small", minio.GetObjectTaggingOptions{})
	must(err)
	check(maps.Equal(got.ToMap(), t.ToMap()), "tags are ", got)
	must(w.RemoveObjectTagging(w.ctx, w.bucket, "small", minio.RemoveObjectTaggingOptions{}))
}

// trails tells whether checksums may come behind the bytes.
func (w *work) trails() bool { return strings.HasSuffix(w.bucket, "true") }

func (w *work) copies() {
	_, err := w.CopyObject(w.ctx, minio.CopyDestOptions{Bucket: w.bucket, Object: "copy"}, minio.CopySrcOptions{Bucket: w.bucket, Object: "a b+ü%&/file"})
	must(err)
	large := w.get("stream", minio.GetObjectOptions{})
	w.is("copy", large)
	_, err = w.CopyObject(w.ctx, minio.CopyDestOptions{Bucket: w.bucket, Object: "small", ReplaceMetadata: true, UserMetadata: map[string]string{"New": "1"}}, minio.CopySrcOptions{Bucket: w.bucket, Object: "small"})
	must(err)
	s, err := w.StatObject(w.ctx, w.bucket, "small", minio.StatObjectOptions{})
	must(err)
	check(s.UserMetadata["New"] == "1" && s.UserMetadata["K"] == "", "it says ", s.UserMetadata)
	_, err = w.ComposeObject(w.ctx, minio.CopyDestOptions{Bucket: w.bucket, Object: "composed"}, minio.CopySrcOptions{Bucket: w.bucket, Object: "stream"},
		minio.CopySrcOptions{Bucket: w.bucket, Object: "copy", MatchRange: true, Start: 7, End: part + 6}, minio.CopySrcOptions{Bucket: w.bucket, Object: "small"})
	must(err)
	w.is("composed", slices.Concat(large, large[7:part+7], w.get("small", minio.GetObjectOptions{})))
}

func (w *work) list(o minio.ListObjectsOptions) (keys []string) {
	for x := range w.ListObjects(w.ctx, w.bucket, o) {
		must(x.Err)
		keys = append(keys, x.Key)
	}
	return keys
}

func (w *work) lists() {
	var want []string
	for i := range 30 {
		key := fmt.Sprintf("list/%d/%02d <&>", i%3, i)
		w.put(key, []byte(key), int64(len(key)), minio.PutObjectOptions{})
		want = append(want, key)
	}
	slices.Sort(want)
	for _, v1 := range []bool{false, true} {
		for _, most := range []int{0, 7} {
			got := w.list(minio.ListObjectsOptions{Prefix: "list/", Recursive: true, MaxKeys: most, UseV1: v1})
			check(slices.Equal(got, want), "listed ", got)
			got = w.list(minio.ListObjectsOptions{Prefix: "list/", MaxKeys: most, UseV1: v1})
			check(slices.Equal(got, []string{"list/0/", "list/1/", "list/2/"}), "listed ", got)
		}
	}
	got := w.list(minio.ListObjectsOptions{Prefix: "list/", Recursive: true, StartAfter: want[9]})
	check(slices.Equal(got, want[10:]), "listed ", got)
}

func (w *work) do(method string, at *url.URL, kind string, body io.Reader) (int, []byte) {
	r, err := http.NewRequest(method, at.String(), body)
	must(err)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	a, err := http.DefaultClient.Do(r)
	must(err)
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	must(err)
	return a.StatusCode, b
}

func (w *work) presigned() {
	at, err := w.PresignedPutObject(w.ctx, w.bucket, "signed", time.Minute)
	must(err)
	status, b := w.do("PUT", at, "", strings.NewReader("signed content"))
	check(status == 200, status, string(b))
	at, err = w.PresignedGetObject(w.ctx, w.bucket, "signed", time.Minute, url.Values{"response-content-disposition": {"attachment"}})
	must(err)
	status, b = w.do("GET", at, "", nil)
	check(status == 200 && string(b) == "signed content", status, string(b))
	at.Path = strings.Replace(at.Path, "signed", "small", 1)
	status, _ = w.do("GET", at, "", nil)
	check(status == 403, "another object under that signature: ", status)

	p := minio.NewPostPolicy()
	must(p.SetBucket(w.bucket))
	must(p.SetKeyStartsWith("form"))
	must(p.SetExpires(time.Now().Add(time.Minute)))
	must(p.SetContentLengthRange(1, 1000))
	at, fields, err := w.PresignedPostPolicy(w.ctx, p)
	must(err)
	fields["key"] = "form/1"
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range fields {
		must(form.WriteField(name, value))
	}
	file, err := form.CreateFormFile("file", "f")
	must(err)
	_, err = file.Write([]byte("form content"))
	must(err)
	must(form.WriteField("submit", "Upload")) // as a button's
	must(form.Close())
	status, b = w.do("POST", at, form.FormDataContentType(), &body)
	check(status == 204, status, string(b))
	w.is("form/1", []byte("form content"))
}

func (w *work) uploads() {
	core := minio.Core{Client: w.Client}
	for i := range 5 {
		id, err := core.NewMultipartUpload(w.ctx, w.bucket, fmt.Sprint("left/", i%2), minio.PutObjectOptions{})
		must(err)
		_, err = core.PutObjectPart(w.ctx, w.bucket, fmt.Sprint("left/", i%2), id, 1, strings.NewReader("x"), 1, minio.PutObjectPartOptions{})
		must(err)
	}
	left := func() (n int) {
		for x := range w.ListIncompleteUploads(w.ctx, w.bucket, "left/", true) {
			must(x.Err)
			n++
		}
		return n
	}
	check(left() == 5, left(), " uploads are open")
	must(w.RemoveIncompleteUpload(w.ctx, w.bucket, "left/0"))
	check(left() == 2, left(), " uploads are open")
	must(w.RemoveIncompleteUpload(w.ctx, w.bucket, "left/1"))
	check(left() == 0, left(), " uploads are open")
}

func (w *work) versions() {
	must(w.EnableVersioning(w.ctx, w.bucket))
	one := w.put("versioned", []byte("1"), 1, minio.PutObjectOptions{})
	two := w.put("versioned", []byte("22"), 2, minio.PutObjectOptions{})
	must(w.RemoveObject(w.ctx, w.bucket, "versioned", minio.RemoveObjectOptions{}))
	_, err := w.StatObject(w.ctx, w.bucket, "versioned", minio.StatObjectOptions{})
	check(code(err) == "NoSuchKey", err)
	var all []minio.ObjectInfo
	for x := range w.ListObjects(w.ctx, w.bucket, minio.ListObjectsOptions{Prefix: "versioned", WithVersions: true}) {
		must(x.Err)
		all = append(all, x)
	}
	check(len(all) == 3 && all[0].IsDeleteMarker && all[0].IsLatest && all[1].VersionID == two.VersionID && all[2].VersionID == one.VersionID, "versions ", all)
	check(string(w.get("versioned", minio.GetObjectOptions{VersionID: one.VersionID})) == "1", "the first version is another")
	must(w.RemoveObject(w.ctx, w.bucket, "versioned", minio.RemoveObjectOptions{VersionID: all[0].VersionID}))
	w.is("versioned", []byte("22"))
}

// remove removes every version that there is, and tells what stayed.
func (w *work) remove(o minio.RemoveObjectsOptions) (stayed []minio.RemoveObjectError) {
	for e := range w.RemoveObjects(w.ctx, w.bucket, w.ListObjects(w.ctx, w.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}), o) {
		stayed = append(stayed, e)
	}
	return stayed
}

func (w *work) locks() {
	must(w.MakeBucket(w.ctx, w.bucket, minio.MakeBucketOptions{ObjectLocking: true}))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	w.put("locked", []byte("x"), 1, minio.PutObjectOptions{Mode: minio.Governance, RetainUntilDate: until})
	mode, when, err := w.GetObjectRetention(w.ctx, w.bucket, "locked", "")
	must(err)
	check(*mode == minio.Governance && when.Equal(until), "it is locked by ", *mode, " until ", when)
	_, _, err = w.GetObjectRetention(w.ctx, w.bucket, "locked", "01G65Z755AFWAKHE12NY0CQ9FH")
	check(code(err) == "NoSuchVersion", err)
	on, off := minio.LegalHoldEnabled, minio.LegalHoldDisabled
	must(w.PutObjectLegalHold(w.ctx, w.bucket, "locked", minio.PutObjectLegalHoldOptions{Status: &on}))
	for _, bypass := range []bool{false, true} {
		stayed := w.remove(minio.RemoveObjectsOptions{GovernanceBypass: bypass})
		check(len(stayed) == 1 && stayed[0].ObjectName == "locked", "what is on hold went: ", stayed)
	}
	must(w.PutObjectLegalHold(w.ctx, w.bucket, "locked", minio.PutObjectLegalHoldOptions{Status: &off}))
	check(len(w.remove(minio.RemoveObjectsOptions{})) == 1, "what is locked went")
	stayed := w.remove(minio.RemoveObjectsOptions{GovernanceBypass: true})
	check(len(stayed) == 0, "governance was not passed: ", stayed)
	must(w.RemoveBucket(w.ctx, w.bucket))
}
