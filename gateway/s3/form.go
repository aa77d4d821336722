package s3

import (
	"bytes"
	"context"
	"io"
	"mime"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3response"
)

// formFileOf returns the file of a browser's upload by a form, nil when a request is none. versitygw takes all from there to
// the end of the form for the file; S3 ignores the fields behind it, such as the button that was pressed, and so do we.
func formFileOf(ctx context.Context, in s3response.PutObjectInput) (io.Reader, error) {
	request, ok := ctx.(*fasthttp.RequestCtx)
	if !ok {
		return nil, nil
	}
	form, ok := request.Value(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult)
	if !ok {
		return nil, nil
	}
	for name, value := range form.Fields {
		if err := unkept(strings.ToLower(name), value); err != nil {
			return nil, err
		}
	}
	_, params, err := mime.ParseMediaType(string(request.Request.Header.ContentType()))
	if err != nil {
		return nil, err // versitygw has read it already
	}
	f := &formFile{r: form.FileRdr, end: []byte("\r\n--" + strings.TrimSpace(params["boundary"]) + "\r\n")}
	if signed, ok := form.Fields["policy"]; ok {
		policy, err := auth.ParsePOSTPolicyBase64(signed)
		if err != nil {
			return nil, err
		}
		// It was asked about the form's length, which other fields and what comes behind the form make longer.
		f.allowed = func(length int64) error {
			return policy.Evaluate(auth.PostPolicyEvalInput{Bucket: *in.Bucket, Key: *in.Key, ContentLength: length, Fields: form.Fields})
		}
	}
	return f, nil
}

// A formFile is the file of a form: the bytes up to the next boundary. It reads the form to its end before it says that the
// file is complete, so that nothing of a form that was cut is kept.
type formFile struct {
	r       io.Reader
	end     []byte                   // what divides the file from the field behind it
	allowed func(length int64) error // nil: any
	space   []byte
	buf     []byte // read and not yet given out; lies in space
	whole   bool   // r has ended
	length  int64  // given out
	err     error  // sticky
}

func (f *formFile) Read(p []byte) (int, error) {
	for f.err == nil && len(p) > 0 {
		ready := len(f.buf) - len(f.end) + 1 // in what is behind it, the end may begin
		if f.whole {
			ready = len(f.buf)
		}
		if i := bytes.Index(f.buf, f.end); i >= 0 {
			ready = i
			if i == 0 {
				_, err := io.Copy(io.Discard, f.r)
				f.close(err)
				break
			}
		}
		if ready > 0 {
			n := copy(p, f.buf[:ready])
			f.buf, f.length = f.buf[n:], f.length+int64(n)
			return n, nil
		}
		if f.whole {
			f.close(nil)
			break
		}
		f.fill()
	}
	return 0, f.err
}

// fill reads on behind what is not yet given out, which is less than the end.
func (f *formFile) fill() {
	if f.space == nil {
		f.space = make([]byte, len(f.end)+32<<10)
	}
	kept := copy(f.space, f.buf)
	n, err := f.r.Read(f.space[kept:])
	f.buf = f.space[:kept+n]
	if err == io.EOF {
		f.whole = true
	} else {
		f.err = err
	}
}

// close ends the file: by an error of the form, or of the policy that its length offends, or well.
func (f *formFile) close(err error) {
	if f.err = err; err == nil && f.allowed != nil {
		f.err = f.allowed(f.length)
	}
	if f.err == nil {
		f.err = io.EOF
	}
}
