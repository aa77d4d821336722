package s3

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
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

// Page by page every upload and folder is listed once, also when a folder holds more uploads than one listing walks over.
func TestListUploads(t *testing.T) {
	var all []*client.Multipart
	add := func(key string, times int) {
		for i := range times {
			all = append(all, &client.Multipart{Path: mesh.Path{Key: key}, ID: mesh.UploadID{byte(i >> 8), byte(i), 1}})
		}
	}
	add("a", 2)
	for i := range 5 {
		add(fmt.Sprintf("big/%d", i), maxUploads/2)
	}
	add("big0", 1)
	add("small/x", 2)
	add("z", 3)
	compare := func(m *client.Multipart, key string, id *mesh.UploadID) int {
		if c := strings.Compare(m.Path.Key, key); c != 0 || id == nil {
			return c
		}
		return slices.Compare(m.ID[:], id[:])
	}
	for _, most := range []int{1, 2, 3, 1000} {
		var got []string
		marker, id, pages := "", (*mesh.UploadID)(nil), 0
		for ; pages < 100; pages++ {
			page, err := listUploads("", "/", marker, id, most, func(after string, id *mesh.UploadID) ([]*client.Multipart, bool, error) {
				i, _ := slices.BinarySearchFunc(all, 0, func(m *client.Multipart, _ int) int {
					if compare(m, after, id) <= 0 {
						return -1
					}
					return 1
				})
				end := min(len(all), i+1000)
				return all[i:end], end < len(all), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(page.uploads) + len(page.folders); n > most {
				t.Fatalf("a page of %d has %d", most, n)
			}
			for _, m := range page.uploads {
				got = append(got, fmt.Sprint(m.Path.Key, m.ID[1]))
			}
			got = append(got, page.folders...)
			if !page.more {
				break
			}
			marker, id = page.nextKey, page.nextID
		}
		slices.Sort(got)
		if want := []string{"a0", "a1", "big/", "big00", "small/", "z0", "z1", "z2"}; !slices.Equal(got, want) {
			t.Errorf("%d at a time, in %d pages: %q, want %q", most, pages, got, want)
		}
	}
}
