package http

import (
	"context"
	"net"
	nethttp "net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/versity/versitygw/auth"

	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
)

// sharePath is where shares lie. No bucket's name is that short.
const sharePath = "/s/"

// A place is what an address names.
type place struct {
	bucket, key string
	own         bool   // the bucket has this origin for itself: its scripts may run
	root        string // path of the bucket's root, with a slash at both ends
}

// placeOf reads an address: bucket "" is the domain itself.
func (s *Server) placeOf(host, path string) place {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	key := strings.TrimPrefix(path, "/")
	domain := s.opts.Domain
	for _, below := range []string{domain, "localhost"} {
		if bucket, ok := strings.CutSuffix(host, "."+below); ok && below != "" {
			return place{bucket, key, true, "/"}
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); domain != "" && host != domain && host != "localhost" && err != nil {
		return place{host, key, true, "/"}
	}
	bucket, key, _ := strings.Cut(key, "/")
	return place{bucket, key, false, "/" + bucket + "/"}
}

// sandbox is the policy of what must not run in an origin that it does not have for itself.
const sandbox = "sandbox allow-downloads"

// serve answers a request, or returns why not.
func (s *Server) serve(w *answer, r *nethttp.Request, who s3.Visitor) error {
	path := r.URL.Path
	if !utf8.ValidString(path) || strings.Contains(path, "\x00") || !strings.HasPrefix(path, "/") {
		return mesh.Errorf(mesh.Invalid, "the path cannot be that of an object")
	}
	at := s.placeOf(r.Host, path)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w.late = time.AfterFunc(s.opts.RequestTime, cancel)
	defer w.late.Stop()
	if !at.own && strings.HasPrefix(path, sharePath) {
		return s.share(ctx, w, r, path[len(sharePath):], who)
	}
	if at.bucket == "" {
		if err := onlyReads(w, r, "GET, HEAD, OPTIONS"); err != nil {
			return err
		}
		return s.page(w, r, nethttp.StatusOK, "hello", pageData{Title: "Stratos"})
	}
	v, err := s.store.Visit(ctx, at.bucket, who)
	if err != nil {
		return err
	}
	defer v.Close()
	if s.opts.Apps != nil {
		if body, sum, err := v.Section(app.Section); err != nil {
			return err
		} else if body != nil {
			return s.app(w, r.WithContext(ctx), v, at, who, body, sum)
		}
	}
	if err := onlyReads(w, r, "GET, HEAD, OPTIONS"); err != nil {
		return err
	}
	if done, err := s.cors(w, r, v); done || err != nil {
		return err
	}
	if !at.own && path == "/"+at.bucket {
		redirect(w, nethttp.StatusFound, at.root)
		return nil
	}
	if !at.own {
		// All buckets share this origin: no script of one may act as another.
		w.Header().Set("Content-Security-Policy", sandbox)
	}
	return s.site(w, r, v, at)
}

// onlyReads refuses methods that change something.
func onlyReads(w *answer, r *nethttp.Request, allowed string) error {
	switch r.Method {
	case nethttp.MethodGet, nethttp.MethodHead, nethttp.MethodOptions:
		return nil
	}
	w.Header().Set("Allow", allowed)
	return errMethod
}

// cors says which pages of other origins may read the answer, and answers their browsers' questions about that.
func (s *Server) cors(w *answer, r *nethttp.Request, v s3.Visit) (done bool, err error) {
	origin, preflight := r.Header.Get("Origin"), r.Method == nethttp.MethodOptions
	if origin == "" && !preflight {
		return false, nil
	}
	h, config := w.Header(), (*auth.CORSConfiguration)(nil)
	if config, err = v.CORS(); err != nil {
		return false, err
	}
	method := r.Method
	if preflight {
		method = r.Header.Get("Access-Control-Request-Method")
	}
	h.Add("Vary", "Origin")
	allowed := &auth.CORSAllowanceConfig{Origin: "*", Methods: "GET, HEAD", AllowHeaders: "Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range", ExposedHeaders: "ETag, Content-Range, Accept-Ranges, Content-Length"}
	if config != nil {
		headers, err := auth.ParseCORSHeaders(r.Header.Get("Access-Control-Request-Headers"))
		if err != nil {
			return false, mesh.Errorf(mesh.Invalid, "the headers that the page wants to send: %w", err)
		}
		if allowed, err = config.IsAllowed(origin, auth.CORSHTTPMethod(method), headers, ""); err != nil {
			if preflight {
				return false, mesh.Errorf(mesh.Denied, "pages of %s may not ask that of the bucket", origin)
			}
			return false, nil // the browser keeps the answer from the page
		}
	}
	h.Set("Access-Control-Allow-Origin", allowed.Origin)
	if allowed.AllowCredentials == "true" {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if allowed.ExposedHeaders != "" {
		h.Set("Access-Control-Expose-Headers", allowed.ExposedHeaders)
	}
	if !preflight {
		return false, nil
	}
	h.Set("Access-Control-Allow-Methods", allowed.Methods)
	h.Set("Access-Control-Allow-Headers", allowed.AllowHeaders)
	age := int32(600)
	if allowed.MaxAge != nil {
		age = *allowed.MaxAge
	}
	h.Set("Access-Control-Max-Age", strconv.Itoa(int(age)))
	w.WriteHeader(nethttp.StatusNoContent)
	return true, nil
}

// escape writes a key as a path behind a slash. One of its own at the beginning would make a host of what follows.
func escape(key string) string {
	p := (&url.URL{Path: "/" + key}).EscapedPath()[1:]
	if strings.HasPrefix(p, "/") {
		p = "%2F" + p[1:]
	}
	return p
}

func redirect(w *answer, status int, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
}
