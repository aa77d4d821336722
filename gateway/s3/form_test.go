package s3

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// signedForm is a browser's upload to photos, signed by ALICE, with what stands behind the file's content in its place.
func signedForm(conditions, content, behind string, fields ...[2]string) string {
	r := request{key: "ALICE"}
	r.defaults()
	policy := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"expiration":%q,"conditions":[{"bucket":"photos"},["starts-with","$key",""],{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":%q},{"x-amz-date":%q}%s]}`,
		time.Now().Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000Z"), r.key+"/"+r.scope(), r.at.Format("20060102T150405Z"), conditions))
	body := ""
	for _, f := range append([][2]string{{"key", "form"}, {"policy", policy}, {"x-amz-algorithm", "AWS4-HMAC-SHA256"}, {"x-amz-credential", r.key + "/" + r.scope()},
		{"x-amz-date", r.at.Format("20060102T150405Z")}, {"x-amz-signature", hex.EncodeToString(mac(r.signing(), policy))}}, fields...) {
		body += "--B\r\nContent-Disposition: form-data; name=\"" + f[0] + "\"\r\n\r\n" + f[1] + "\r\n"
	}
	body += "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + content + behind
	return fmt.Sprintf("POST /photos HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// What a form uploads is its file, whatever stands behind it, and only from a form that is whole.
func TestFormFile(t *testing.T) {
	w := newWorld(t, Options{})
	const (
		end    = "\r\n--B--\r\n"
		button = "\r\n--B\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload"
	)
	long := strings.Repeat("0123456789\r\n--", 20_000)
	for _, c := range []struct {
		name, conditions, content, behind string
		status                            int
		code                              string
	}{
		{"nothing behind", "", "content", end, 204, ""},
		{"a button behind", "", "content", button + end, 204, ""},
		{"a button behind nothing", "", "", button + end, 204, ""},
		{"a button behind much", "", long, button + end, 204, ""},
		{"another file behind", "", "content", "\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"g\"\r\n\r\nother" + end, 204, ""},
		{"more behind the end", "", "content", end + strings.Repeat("x", 100), 204, ""},
		{"another boundary in the file", "", "con\r\n--Bx\r\n--B-\r\ntent", button + end, 204, ""},
		{"no end", "", strings.Repeat("x", 100), "", 400, "MalformedPOSTRequest"},
		{"no end behind the button", "", "content", button, 400, "MalformedPOSTRequest"},
		{"short enough", `,["content-length-range",1,200]`, "content", button + end, 204, ""},
		{"too short", `,["content-length-range",8,200]`, "content", end, 400, "EntityTooSmall"},
		{"too short, with a button behind", `,["content-length-range",8,200]`, "content", button + end, 400, "EntityTooSmall"},
		{"too short, with more behind the end", `,["content-length-range",8,200]`, "content", end + "xxxx", 400, "EntityTooSmall"},
		{"too long", `,["content-length-range",1,6]`, "content", end, 400, "EntityTooLarge"},
	} {
		w.be.set(func() { delete(w.be.objects, "photos/form") })
		w.expect(c.name, w.raw(signedForm(c.conditions, c.content, c.behind), true), c.status, c.code)
		if got, stored := w.be.object("photos/form"); stored != (c.status == 204) || stored && got != c.content {
			t.Errorf("%s: stored %v, %d bytes, %.20q", c.name, stored, len(got), got)
		}
	}
}

// The file's end is found however the bytes come and are taken.
func TestFormFileInAnyPieces(t *testing.T) {
	const file, end = "a\r\n--B\r\r\n--Bb\r\n--B-", "\r\n--B\r\n"
	failed := errors.New("failed")
	for name, read := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader} {
		for _, behind := range []string{"", end, end + "x", end + end, end + "x\r\n--B\r\ny"} {
			for size := 1; size < 12; size++ {
				length := int64(-1)
				f := &formFile{r: read(strings.NewReader(file + behind)), end: []byte(end), allowed: func(n int64) error { length = n; return nil }}
				got, err := io.ReadAll(iotest.OneByteReader(io.MultiReader(io.LimitReader(f, int64(size)), f)))
				if err != nil || string(got) != file || length != int64(len(file)) {
					t.Fatalf("%s, %d first, %q behind: %q of %d, %v", name, size, behind, got, length, err)
				}
			}
			f := &formFile{r: io.MultiReader(read(strings.NewReader(file+behind)), iotest.ErrReader(failed)), end: []byte(end)}
			if _, err := io.ReadAll(f); err != failed {
				t.Fatalf("%s, %q behind: a form that fails: %v", name, behind, err)
			}
			if _, err := f.Read(make([]byte, 1)); err != failed {
				t.Fatalf("%s: read again: %v", name, err)
			}
		}
	}
}
