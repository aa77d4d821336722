package s3

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
)

// A summary is what S3 says of an object besides size and time, and shows in listings.
type summary struct {
	ETag      string                  `json:"e"` // without quotes
	Algorithm types.ChecksumAlgorithm `json:"a,omitempty"`
	Type      types.ChecksumType      `json:"t,omitempty"`
	Checksum  string                  `json:"c,omitempty"`
	CRC64     string                  `json:"n,omitempty"` // of a part with another checksum, for that of the whole
}

func (s summary) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("s3: " + err.Error()) // texts always encode
	}
	return b
}

// summaryOf reads an object's summary. One that was not written through S3 has an ETag by its version, with a dash, so that
// nobody takes it for an MD5.
func summaryOf(raw []byte, version [16]byte) (s summary) {
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil || s.ETag == "" {
		s = summary{ETag: hex.EncodeToString(version[:]) + "-1"}
	}
	return s
}

func (s summary) quoted() *string { return ptr(`"` + s.ETag + `"`) }

// checksum is the summary's checksum in versitygw's words.
func (s summary) checksum() (c s3response.Checksum) {
	if s.Checksum == "" {
		return c
	}
	c.Algorithm, c.Type = s.Algorithm, s.Type
	v := ptr(s.Checksum)
	switch s.Algorithm {
	case types.ChecksumAlgorithmCrc32:
		c.CRC32 = v
	case types.ChecksumAlgorithmCrc32c:
		c.CRC32C = v
	case types.ChecksumAlgorithmSha1:
		c.SHA1 = v
	case types.ChecksumAlgorithmSha256:
		c.SHA256 = v
	case types.ChecksumAlgorithmCrc64nvme:
		c.CRC64NVME = v
	case types.ChecksumAlgorithm("SHA512"):
		c.SHA512 = v
	case types.ChecksumAlgorithm("MD5"):
		c.MD5 = v
	case types.ChecksumAlgorithm("XXHASH64"):
		c.XXHASH64 = v
	case types.ChecksumAlgorithm("XXHASH3"):
		c.XXHASH3 = v
	case types.ChecksumAlgorithm("XXHASH128"):
		c.XXHASH128 = v
	}
	return c
}

// named is a checksum that a request sends, by its algorithm; nil when it does not.
type named struct {
	algorithm types.ChecksumAlgorithm
	value     *string
}

// first returns the checksum that a request sends, if any.
func first(all ...named) (types.ChecksumAlgorithm, string) {
	for _, n := range all {
		if n.value != nil {
			return n.algorithm, *n.value
		}
	}
	return "", ""
}

// An intake is an object's bytes on their way in: counted, hashed, and checked against what the request says of them. An error
// that was seen once stays, since what versitygw checks at the end it tells only once.
type intake struct {
	from  io.Reader
	r     io.Reader
	md5   hash.Hash
	crc   hash.Hash         // CRC64NVME: the default, and what a part needs besides; nil where it is neither
	sum   *utils.HashReader // of another algorithm; nil where the checksum comes behind the bytes
	trail middlewares.ChecksumReader

	algorithm types.ChecksumAlgorithm
	given     bool // by the request; else the default
	n         int64
	value     string // of CRC64NVME, as the request gives it; "" if it does not
	want      int64  // -1: not known
	err       error
}

// newIntake prepares to read a body of so many bytes. algorithm and value are those of the request's headers.
func newIntake(from io.Reader, want int64, algorithm types.ChecksumAlgorithm, value string, part bool) (*intake, error) {
	b := &intake{from: from, md5: md5.New(), algorithm: algorithm, given: algorithm != "", want: want}
	if b.from == nil {
		b.from = strings.NewReader("")
	}
	b.r = io.TeeReader(counter{b}, b.md5)
	if t, ok := from.(middlewares.ChecksumReader); ok && t.Algorithm() != "" {
		b.trail, b.algorithm, b.given = t, types.ChecksumAlgorithm(strings.ToUpper(t.Algorithm())), true
	}
	if b.algorithm == "" {
		b.algorithm = types.ChecksumAlgorithmCrc64nvme
	}
	nvme := b.algorithm == types.ChecksumAlgorithmCrc64nvme
	if nvme && b.trail == nil || part && !nvme { // not versitygw's, which takes as long as MD5
		b.crc = crc64nvme.New()
		b.r = io.TeeReader(b.r, b.crc)
	}
	if b.trail != nil {
		return b, nil
	}
	if nvme {
		b.value = strings.Clone(value)
		return b, nil
	}
	var err error
	b.sum, err = utils.NewHashReader(b.r, strings.Clone(value), utils.HashType(strings.ToLower(string(b.algorithm))))
	b.r = b.sum
	return b, err
}

// counter reads what comes from the request.
type counter struct{ b *intake }

func (c counter) Read(p []byte) (int, error) {
	n, err := c.b.from.Read(p)
	c.b.n += int64(n)
	return n, err
}

func (b *intake) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if err != nil {
		b.err = err
	}
	return n, err
}

// finish tells, when all was read, what the bytes are, or why they are not to be kept.
func (b *intake) finish() (summary, error) {
	if b.err != nil && b.err != io.EOF {
		return summary{}, b.err
	}
	if b.want >= 0 && b.n != b.want {
		return summary{}, s3err.GetAPIError(s3err.ErrContentLengthMismatch)
	}
	if b.trail != nil && b.trail.Checksum() == "" {
		return summary{}, s3err.GetAPIError(s3err.ErrMalformedTrailer)
	}
	s := summary{ETag: hex.EncodeToString(b.md5.Sum(nil)), Algorithm: b.algorithm, Type: types.ChecksumTypeFullObject}
	switch {
	case b.trail != nil:
		s.Checksum = strings.Clone(b.trail.Checksum())
	case b.sum != nil:
		s.Checksum = b.sum.Sum()
	default:
		s.Checksum = utils.Base64SumString(b.crc.Sum(nil))
		if b.value != "" && b.value != s.Checksum {
			return summary{}, s3err.GetChecksumBadDigestErr(b.algorithm)
		}
	}
	if b.crc != nil && b.algorithm != types.ChecksumAlgorithmCrc64nvme {
		s.CRC64 = utils.Base64SumString(b.crc.Sum(nil))
	}
	return s, nil
}

// What is said of an object lies in its attributes: headers under their name, the user's under "x-amz-meta-" and theirs, tags
// that came with it as they came.
const (
	userPrefix  = "x-amz-meta-"
	tagsAt      = "x-amz-tagging"
	redirectAt  = "x-amz-website-redirect-location"
	encodingAt  = "content-encoding"
	languageAt  = "content-language"
	dispositAt  = "content-disposition"
	cacheAt     = "cache-control"
	expiresAt   = "expires"
	checksumAt  = "checksum" // of a multipart upload: algorithm and type
	defaultType = "binary/octet-stream"
)

// headers are those of a request that say what an object is.
type headers struct {
	contentType, encoding, language, disposition, cache, expires, redirect, tags *string
	user                                                                         map[string]string
}

func (h headers) attributes() map[string]string {
	all := map[string]string{}
	for name, v := range map[string]*string{encodingAt: h.encoding, languageAt: h.language, dispositAt: h.disposition, cacheAt: h.cache, expiresAt: h.expires, redirectAt: h.redirect, tagsAt: h.tags} {
		if v != nil && *v != "" {
			all[name] = strings.Clone(*v)
		}
	}
	for name, v := range h.user {
		all[userPrefix+strings.ToLower(name)] = strings.Clone(v)
	}
	return all
}

// options are those of a Put of an object with these headers.
func (h headers) options() client.PutOptions {
	t := text(h.contentType)
	if t == "" {
		t = defaultType
	}
	return client.PutOptions{ContentType: t, Attributes: h.attributes()}
}

// userOf returns what a user said of an object.
func userOf(attributes map[string]string) map[string]string {
	all := map[string]string{}
	for name, v := range attributes {
		if n, ok := strings.CutPrefix(name, userPrefix); ok {
			all[n] = v
		}
	}
	return all
}

func attribute(o *client.Object, name string) *string { return orNil(o.Attributes[name]) }

// encodeTags writes tags in one way.
func encodeTags(tags map[string]string) []byte {
	names := make([]string, 0, len(tags))
	for n := range tags {
		names = append(names, n)
	}
	sort.Strings(names)
	pairs := make([][2]string, len(names))
	for i, n := range names {
		pairs[i] = [2]string{n, tags[n]}
	}
	b, err := json.Marshal(pairs)
	if err != nil {
		panic("s3: " + err.Error())
	}
	return b
}

func decodeTags(b []byte) (map[string]string, error) {
	var pairs [][2]string
	if err := json.Unmarshal(b, &pairs); err != nil {
		return nil, fmt.Errorf("tags: %w", err)
	}
	tags := map[string]string{}
	for _, p := range pairs {
		tags[p[0]] = p[1]
	}
	return tags, nil
}
