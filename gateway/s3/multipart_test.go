package s3

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3err"
)

// A completion says of each part what the upload began with, once.
func TestPartSums(t *testing.T) {
	const crc, other, sha = "NSRBwg==", "AAAAAA==", "Kq5sNclPz7QV2+lfQIuc6R7oRu0="
	crc32 := plan{types.ChecksumAlgorithmCrc32, types.ChecksumTypeComposite}
	for _, c := range []struct {
		name string
		p    plan
		w    types.CompletedPart
		want s3err.S3Error
	}{
		{"none for none", plan{}, types.CompletedPart{}, nil},
		{"the one", crc32, types.CompletedPart{ChecksumCRC32: ptr(crc)}, nil},
		{"none", crc32, types.CompletedPart{}, s3err.APIError{Code: "InvalidRequest"}},
		{"another value", crc32, types.CompletedPart{ChecksumCRC32: ptr(other)}, s3err.APIError{Code: "InvalidPart"}},
		{"another algorithm", crc32, types.CompletedPart{ChecksumSHA1: ptr(sha)}, s3err.APIError{Code: "BadDigest"}},
		{"no checksum", crc32, types.CompletedPart{ChecksumCRC32: ptr("x")}, s3err.GetInvalidArgumentErr(s3err.InvalidArgChecksumPart, "x")},
		{"two", crc32, types.CompletedPart{ChecksumCRC32: ptr(crc), ChecksumSHA1: ptr(sha)}, s3err.GetInvalidArgumentErr(s3err.InvalidArgChecksumPart, "CRC32:"+crc+";SHA1:"+sha+";")},
		{"two for none", plan{}, types.CompletedPart{ChecksumCRC32: ptr(crc), ChecksumSHA1: ptr(sha)}, s3err.GetInvalidArgumentErr(s3err.InvalidArgChecksumPart, "CRC32:"+crc+";SHA1:"+sha+";")},
	} {
		c.w.PartNumber, c.w.ETag = ptr(int32(1)), ptr("e")
		err := checkPartSum("u", c.p, c.w, summary{Algorithm: c.p.algorithm, Type: c.p.kind, Checksum: crc})
		var got s3err.S3Error
		if errors.As(err, &got) != (c.want != nil) || c.want != nil && got.BaseError().Code != c.want.BaseError().Code {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
