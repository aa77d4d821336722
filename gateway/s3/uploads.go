package s3

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// maxUploads bounds the open uploads of one bucket that a listing with a delimiter walks over.
const maxUploads = 10_000

// ListMultipartUploads lists the open uploads of a bucket.
func (b *Backend) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (out s3response.ListMultipartUploadsResult, err error) {
	o, err := b.brief(ctx, text(in.Bucket))
	if err != nil {
		return out, err
	}
	defer o.end()
	bucket, prefix, delimiter, marker, idMarker, most, c := text(in.Bucket), text(in.Prefix), text(in.Delimiter), text(in.KeyMarker), text(in.UploadIdMarker), limit(in.MaxUploads), o.coder()
	if _, err := o.bucket(bucket); err != nil {
		return out, err
	}
	out = s3response.ListMultipartUploadsResult{Bucket: bucket, Prefix: *c.name(prefix), Delimiter: *c.name(delimiter), KeyMarker: *c.name(marker), UploadIDMarker: idMarker, MaxUploads: most,
		EncodingType: string(c.kind())}
	var afterID *mesh.UploadID
	if marker != "" && idMarker != "" { // alone it says nothing
		u, err := parseUpload(idMarker)
		if err != nil {
			return out, s3err.GetInvalidArgumentErr(s3err.InvalidArgUploadIdMarker, idMarker)
		}
		afterID = &u
	}
	owner := o.Access().Account().String()
	page, err := listUploads(prefix, delimiter, marker, afterID, most, func(after string, id *mesh.UploadID) ([]*client.Multipart, bool, error) {
		return o.Multiparts(o, mesh.Path{Bucket: bucket, Key: prefix}, after, id, 1000)
	})
	if err != nil {
		return out, o.fail("listing uploads", err, noSuchBucket(bucket))
	}
	for _, m := range page.uploads {
		p := planOf(m)
		out.Uploads = append(out.Uploads, s3response.Upload{Key: *c.name(m.Path.Key), UploadID: uuid.UUID(m.ID).String(), Initiator: s3response.Initiator{ID: owner}, Owner: s3response.Owner{ID: owner},
			StorageClass: types.StorageClassStandard, Initiated: m.Begun.UTC(), ChecksumAlgorithm: p.algorithm, ChecksumType: p.kind})
	}
	for _, folder := range page.folders {
		out.CommonPrefixes = append(out.CommonPrefixes, s3response.CommonPrefix{Prefix: *c.name(folder)})
	}
	if out.IsTruncated = page.more; page.more {
		out.NextKeyMarker = *c.name(page.nextKey)
		if page.nextID != nil {
			out.NextUploadIDMarker = uuid.UUID(*page.nextID).String()
		}
	}
	return out, nil
}

// An uploadsPage is a page of open uploads, and where the next one begins.
type uploadsPage struct {
	uploads []*client.Multipart
	folders []string
	more    bool
	nextKey string
	nextID  *mesh.UploadID // nil behind a folder
}

// listUploads gathers a page of at most most uploads and folders behind a marker: a folder, or a key with an upload of it, from
// what ask tells.
func listUploads(prefix, delimiter, marker string, afterID *mesh.UploadID, most int, ask func(after string, id *mesh.UploadID) ([]*client.Multipart, bool, error)) (page uploadsPage, err error) {
	folderOf := func(key string) string {
		rest, ok := strings.CutPrefix(key, prefix)
		if i := strings.Index(rest, delimiter); ok && delimiter != "" && i >= 0 {
			return key[:len(prefix)+i+len(delimiter)]
		}
		return ""
	}
	shown := map[string]bool{}
	if folder := folderOf(marker); folder != "" && (folder == marker || afterID != nil) { // by the page before
		shown[folder] = true
	}
	after := marker
	for walked := 0; most > 0; {
		all, more, err := ask(after, afterID)
		if err != nil {
			return page, err
		}
		for _, m := range all {
			folder := folderOf(m.Path.Key)
			if shown[folder] {
				continue
			}
			if len(page.uploads)+len(page.folders) == most {
				page.more = true
				return page, nil
			}
			if folder != "" {
				shown[folder] = true
				page.folders = append(page.folders, folder)
				page.nextKey, page.nextID = folder, nil
				continue
			}
			page.uploads = append(page.uploads, m)
			page.nextKey, page.nextID = m.Path.Key, &m.ID
		}
		if walked += len(all); !more || len(all) == 0 {
			return page, nil
		}
		last := all[len(all)-1]
		after, afterID = last.Path.Key, &last.ID
		if walked >= maxUploads { // the next page goes on where this one stopped, be it in a folder
			page.more, page.nextKey, page.nextID = true, after, afterID
			return page, nil
		}
	}
	return page, nil
}
