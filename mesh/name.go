package mesh

import (
	"strings"
	"unicode/utf8"
)

// Limits that hold everywhere in the network. What is past one is refused with kind Invalid or Exhausted.
const (
	MaxBucketLen   = 63
	MaxDatabaseLen = 63
	MaxKeyLen      = 1024

	InlineMax    = 4 << 10  // bytes of an object that lies in its index entry
	FrameBytes   = 64 << 10 // plaintext bytes of an encrypted frame
	SegmentBytes = 16 << 20 // plaintext bytes of a segment
	StepBytes    = 1 << 20  // bytes that a receipt runs ahead
	MaxSlice     = 32 << 20 // bytes of a slice, above any piece of a segment
)

// A Path names an object, or a prefix of objects: stratos://bucket/key. The key is kept byte for byte.
type Path struct{ Bucket, Key string }

// Scheme begins every path in its text form.
const Scheme = "stratos://"

func (p Path) String() string { return Scheme + p.Bucket + "/" + p.Key }

// IsPath tells whether s claims to be a path of the network rather than of the local disk.
func IsPath(s string) bool { return strings.HasPrefix(s, Scheme) }

// ParsePath reads stratos://bucket or stratos://bucket/key.
func ParsePath(s string) (Path, error) {
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok {
		return Path{}, Errorf(Invalid, "%q is not a path of the network; it looks like %sbucket/key", clip(s), Scheme)
	}
	bucket, key, _ := strings.Cut(rest, "/")
	p := Path{bucket, key}
	if err := CheckBucket(bucket); err != nil {
		return Path{}, err
	}
	if key != "" {
		if err := CheckKey(key); err != nil {
			return Path{}, err
		}
	}
	return p, nil
}

// CheckBucket tells whether s can name a bucket: 3 to 63 small letters, digits, dots and hyphens, as S3 has it, each
// label beginning and ending with a letter or digit, and not shaped like an IPv4 address.
func CheckBucket(s string) error {
	if len(s) < 3 || len(s) > MaxBucketLen {
		return Errorf(Invalid, "bucket %q has %d characters, want 3 to %d", clip(s), len(s), MaxBucketLen)
	}
	numeric := 0
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return Errorf(Invalid, "bucket %q: each part between dots begins and ends with a letter or digit", clip(s))
		}
		digits := true
		for i := range len(label) {
			c := label[i]
			if c < '0' || c > '9' {
				digits = false
			}
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return Errorf(Invalid, "bucket %q: only small letters, digits, dots and hyphens", clip(s))
			}
		}
		if digits {
			numeric++
		}
	}
	if len(labels) == 4 && numeric == 4 {
		return Errorf(Invalid, "bucket %q looks like an IP address", clip(s))
	}
	return nil
}

// CheckKey tells whether s can name an object: 1 to 1024 bytes of UTF-8 without NUL.
func CheckKey(s string) error {
	switch {
	case s == "":
		return Errorf(Invalid, "the key is empty")
	case len(s) > MaxKeyLen:
		return Errorf(Invalid, "key %q has %d bytes, at most %d", clip(s), len(s), MaxKeyLen)
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return Errorf(Invalid, "key %q is not UTF-8 without NUL", clip(s))
	}
	return nil
}

// CheckDatabase tells whether s can name a database: 1 to 63 small letters, digits, underscores and hyphens, of which the first is
// a letter.
func CheckDatabase(s string) error {
	if s == "" || len(s) > MaxDatabaseLen {
		return Errorf(Invalid, "database %q has %d characters, want 1 to %d", clip(s), len(s), MaxDatabaseLen)
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '-') {
			return Errorf(Invalid, "database %q: only small letters, digits, underscores and hyphens, a letter first", clip(s))
		}
	}
	return nil
}
