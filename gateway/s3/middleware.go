package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/mesh"
)

// A record is what is noted of a request while it is served.
type record struct {
	begin  time.Time
	action string // S3's name for it; "" until versitygw says
	left   *leftover
}

const recordKey = "stratos-record"

func recordOf(c fiber.Ctx) *record {
	r, _ := c.Locals(recordKey).(*record)
	return r
}

// handle is the first handler of a request, and the last.
func (s *Server) handle(c fiber.Ctx) (err error) {
	r := &record{begin: time.Now()}
	c.Locals(recordKey, r)
	guard.Enter(c.RequestCtx().Conn(), guard.InBody)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while a request was served", "request", utils.RequestID(c), "panic", p, "stack", string(debug.Stack()))
			err = answer(c, s3err.GetAPIError(s3err.ErrInternalError))
		}
		s.finish(c, r)
	}()
	if c.Request().Header.ContentLength() == transferChunked {
		c.Response().Header.SetConnectionClose() // what of the body is not read would be taken for the next request
	}
	if refused := s.refuse(c); refused != nil {
		return answer(c, refused)
	}
	if err := c.Next(); err != nil { // versitygw answers by itself; fiber's own errors would go to the terminal
		s.log.Error("a request failed", "request", utils.RequestID(c), "err", err)
		return answer(c, s3err.GetAPIError(s3err.ErrInternalError))
	}
	if r.left != nil {
		return s.complete(c, r.left)
	}
	respell(c)
	return nil
}

// refuse tells what speaks against a request before it is known whose it is.
func (s *Server) refuse(c fiber.Ctx) s3err.S3Error {
	if !s.clients.Admit(guard.ClientOf(c.RequestCtx().RemoteAddr())) {
		return s3err.GetAPIError(s3err.ErrSlowDown)
	}
	uri := c.Request().URI()
	path, err := url.PathUnescape(string(uri.PathOriginal()))
	if err != nil || !writable(path) || !escaped(uri.QueryString()) {
		return s3err.GetAPIError(s3err.ErrInvalidURI)
	}
	source := c.Get("X-Amz-Copy-Source")
	if from, err := url.QueryUnescape(source); err != nil || !writable(from) {
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgCopySourceEncoding, strings.Clone(source))
	}
	_, key := s.target(string(uri.Host()), path)
	q := uri.QueryArgs()
	if key != "" && q.Has("torrent") {
		return errNotImplemented
	}
	for name, value := range c.Request().Header.All() {
		header := strings.ToLower(string(name))
		if encrypts(header, string(value)) {
			return s3err.GetNotImplementedErr(header, "")
		}
		if key != "" && !q.Has("acl") {
			if err := unkept(header, string(value)); err != nil {
				return err
			}
		}
	}
	if len(key) > mesh.MaxKeyLen {
		return s3err.GetKeyTooLongErr(int64(len(key)), mesh.MaxKeyLen)
	}
	length := c.Request().Header.ContentLength()
	kind, limit := s.expects(c, key, source)
	if length == transferChunked {
		if kind != object || !endsItself(c) {
			return s3err.GetAPIError(s3err.ErrMissingContentLength)
		}
		length = 0
	}
	switch {
	case kind == buffered && length > limit:
		return s3err.GetMaxMessageLengthExceeded(int64(limit))
	case kind == object && c.Request().BodyStream() != nil:
		b := &body{r: c.Request().BodyStream(), left: length}
		if p := c.Get("X-Amz-Content-Sha256"); strings.HasPrefix(p, "STREAMING-AWS4-") {
			b.frames = &frames{trailer: strings.HasSuffix(p, "-TRAILER")}
		}
		utils.ContextKeyBodyReader.Set(c, io.Reader(b))
	}
	return nil
}

// transferChunked is fasthttp's length of a body with Transfer-Encoding: chunked. S3 takes one whose own chunks say where it
// ends and how long the object is, and needs a length of any other.
const transferChunked = -1

// endsItself tells whether a signed request's body comes in chunks of S3's own.
func endsItself(c fiber.Ctx) bool {
	return c.Get("Authorization") != "" && strings.HasPrefix(c.Get("X-Amz-Content-Sha256"), "STREAMING-") && c.Get("X-Amz-Decoded-Content-Length") != ""
}

// writable tells whether a path can be a key.
func writable(path string) bool {
	return utf8.ValidString(path) && !strings.Contains(path, "\x00")
}

// escaped tells whether every percent sign of a query is followed by two hexadecimal digits.
func escaped(query []byte) bool {
	for {
		i := bytes.IndexByte(query, '%')
		if i < 0 {
			return true
		}
		if len(query) < i+3 || !isHex(query[i+1:i+3]) {
			return false
		}
		query = query[i+3:]
	}
}

// encrypts tells whether a header asks for an encryption that we do not have and must not claim to. Everything is
// encrypted anyway, so that AES256 is true.
func encrypts(header, value string) bool {
	const sse = "x-amz-server-side-encryption"
	return strings.HasPrefix(header, sse+"-customer-") || strings.HasPrefix(header, "x-amz-copy-source-server-side-encryption-customer-") ||
		header == sse && value != "AES256"
}

// unkept tells what speaks against a header or a form's field of an upload that asks for what an object cannot have here: an
// access list of its own, or a storage class.
func unkept(name, value string) s3err.S3Error {
	switch name {
	case "x-amz-acl", "acl":
		switch value {
		case "", "private", "bucket-owner-read", "bucket-owner-full-control": // as it is anyway
			return nil
		}
		return s3err.GetAPIError(s3err.ErrAclNotSupported)
	case "x-amz-grant-read", "x-amz-grant-read-acp", "x-amz-grant-write", "x-amz-grant-write-acp", "x-amz-grant-full-control":
		return s3err.GetAPIError(s3err.ErrAclNotSupported)
	case "x-amz-storage-class":
		if value != "" && value != "STANDARD" {
			return errStorageClass
		}
	}
	return nil
}

var errStorageClass = s3err.APIError{Code: "InvalidStorageClass", Description: "There is one storage class: STANDARD", HTTPStatusCode: http.StatusBadRequest}

// target splits a decoded path into bucket and key as versitygw's router will.
func (s *Server) target(host, path string) (bucket, key string) {
	path = strings.TrimPrefix(path, "/")
	if s.opts.Domain != "" {
		if bucket, _, ok := strings.Cut(host, "."+s.opts.Domain); ok && bucket != "" {
			return bucket, path
		}
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

type bodyKind uint8

const (
	buffered bodyKind = iota // versitygw reads it into memory before it asks whether the request is allowed
	object                   // an object or a part: streamed
	form                     // a form upload: streamed, by versitygw's own parser
)

// documents are what a PUT on an object may be besides its content.
var documents = []string{"acl", "tagging", "retention", "legal-hold"}

// expects tells how a request's body is read, and the most that it may have when it is kept in memory.
func (s *Server) expects(c fiber.Ctx, key, source string) (bodyKind, int) {
	q := c.Request().URI().QueryArgs()
	switch {
	case c.Method() == http.MethodPut && strings.Trim(key, "/") != "" && source == "":
		for _, d := range documents {
			if q.Has(d) {
				return buffered, s.opts.ConfigBytes
			}
		}
		return object, 0
	case c.Method() == http.MethodPost && key == "" && !q.Has("delete") && c.Get("X-Amz-Content-Sha256") == "":
		return form, 0
	case c.Method() == http.MethodPost && (q.Has("delete") || q.Has("uploadId")):
		return buffered, s.opts.ListBytes
	}
	return buffered, s.opts.ConfigBytes
}

// answer writes an error of S3's.
func answer(c fiber.Ctx, e s3err.S3Error) error {
	id, host := utils.EnsureRequestIDs(c)
	c.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	return c.Status(e.StatusCode()).Send(e.XMLBody(id, host))
}

// finish completes the answer and notes it.
func (s *Server) finish(c fiber.Ctx, r *record) {
	h := &c.Response().Header
	// An object's type is its uploader's choice, and by path style all buckets share one origin: no browser shall run
	// one's script with the rights of another's pages, nor take a text for a script.
	h.Set("Content-Security-Policy", "sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	status := c.Response().StatusCode()
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if c.Method() == http.MethodPut && status == http.StatusOK && c.Get("X-Amz-Server-Side-Encryption") != "" {
		h.Set("X-Amz-Server-Side-Encryption", "AES256")
	}
	dropSecondIDs(h)
	s.meter.request(r.action, status, time.Since(r.begin))
	s.logged(c, r, status)
}

// failed answers what fasthttp could not read as a request, in place of fiber's handler, which runs the whole chain for it.
func (s *Server) failed(c *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var timeout interface{ Timeout() bool }
	var e s3err.S3Error = s3err.GetAPIError(s3err.ErrCannotParseHTTPRequest)
	switch {
	case errors.As(err, &small):
		e = s3err.GetRequestHeaderSectionTooLargeErr(s.opts.HeaderBytes)
	case errors.As(err, &timeout) && timeout.Timeout():
		e = errRequestTimeout
	case errors.Is(err, io.ErrUnexpectedEOF): // fasthttp reads the first 8 KiB of a body by itself
		e = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	c.Response.Reset()
	c.SetStatusCode(e.StatusCode())
	c.SetContentType(fiber.MIMEApplicationXML)
	c.SetBody(e.XMLBody(utils.NewS3RequestID(), ""))
	s.meter.request("", e.StatusCode(), 0)
}
