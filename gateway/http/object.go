package http

import (
	"io"
	nethttp "net/http"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
)

// object sends an object, or the parts of it that the request asks for.
func (s *Server) object(w *answer, r *nethttp.Request, v s3.Visit, f *s3.Found) error {
	c := &content{visit: v, found: f, upTo: rangeEnd(r.Header.Get("Range"), f.Size)}
	defer c.close()
	describe(w, f)
	w.holds = true
	nethttp.ServeContent(w, r, "", f.Modified, c)
	return c.outcome(w)
}

// whole sends an object with a status of its own, as error pages are.
func (s *Server) whole(w *answer, r *nethttp.Request, v s3.Visit, f *s3.Found, status int) error {
	c := &content{visit: v, found: f, upTo: f.Size}
	defer c.close()
	describe(w, f)
	w.Header().Del("ETag")
	w.Header().Set("Content-Length", strconv.FormatUint(f.Size, 10))
	w.holds = true
	w.WriteHeader(status)
	if r.Method != nethttp.MethodHead {
		_, _ = io.Copy(w, c)
	}
	return c.outcome(w)
}

func describe(w *answer, f *s3.Found) {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", typeOf(f))
	}
	if h.Get("Content-Security-Policy") == sandbox && strings.HasPrefix(h.Get("Content-Type"), "application/pdf") {
		h.Del("Content-Security-Policy") // browsers show no PDF in a sandbox, and run none as a page
	}
	h.Set("ETag", f.ETag)
	for name, value := range f.Headers {
		if h.Get(name) == "" {
			h.Set(name, value)
		}
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache") // it may be kept, and is asked for again by its ETag
	}
}

func typeOf(f *s3.Found) string {
	if f.ContentType == "" {
		return "application/octet-stream"
	}
	return f.ContentType
}

// content is an object as net/http's ServeContent reads one. It opens no more than the request wants.
type content struct {
	visit s3.Visit
	found *s3.Found
	at    uint64
	upTo  uint64 // as far as it is likely to be read
	r     io.ReadCloser
	err   error // why reading failed
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += int64(c.at)
	case io.SeekEnd:
		offset += int64(c.found.Size)
	}
	if offset < 0 || uint64(offset) > c.found.Size {
		return 0, mesh.Errorf(mesh.Invalid, "there is no byte %d", offset)
	}
	if uint64(offset) != c.at {
		c.close()
		c.at = uint64(offset)
	}
	return offset, nil
}

func (c *content) Read(p []byte) (int, error) {
	for c.err == nil {
		if c.at >= c.found.Size {
			return 0, io.EOF
		}
		if c.r == nil {
			if c.upTo <= c.at {
				c.upTo = c.found.Size
			}
			if c.r, c.err = c.visit.Open(c.found, c.at, c.upTo-c.at); c.err != nil {
				c.r = nil
				break
			}
		}
		n, err := c.r.Read(p)
		c.at += uint64(n)
		if err == io.EOF {
			c.close()
			if c.at < c.upTo {
				err = io.ErrUnexpectedEOF
			} else {
				err = nil
			}
		}
		c.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, c.err
}

func (c *content) close() {
	if c.r != nil {
		c.r.Close()
		c.r = nil
	}
}

// outcome is nil, an error that can still be answered, or an end to the connection: nobody shall take half an object for whole.
func (c *content) outcome(w *answer) error {
	switch {
	case c.err == nil:
		w.release()
		return nil
	case w.status == 0:
		w.holds = false
		return c.err
	}
	panic(nethttp.ErrAbortHandler)
}

// rangeEnd is where the single range that a header asks for ends; size where it is none, or not a simple one.
func rangeEnd(header string, size uint64) uint64 {
	spec, ok := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	last, err := strconv.ParseUint(strings.TrimSpace(to), 10, 63)
	if !ok || !dash || strings.TrimSpace(from) == "" || err != nil || last >= size {
		return size
	}
	return last + 1
}
