package http

import (
	nethttp "net/http"
	"path"
	"strings"

	apps "github.com/stratosmesh/stratos/gateway/app"
	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
)

// app answers for an application: by a function whose route fits, else by its pages.
func (s *Server) app(w *answer, r *nethttp.Request, v s3.Visit, at place, who s3.Visitor, manifest []byte, sum [32]byte) error {
	if !at.own { // its pages name paths of their own origin, and its scripts run
		if r.Method != nethttp.MethodGet && r.Method != nethttp.MethodHead {
			return mesh.WithHint(mesh.Errorf(mesh.NotFound, "an application answers at its own host"), "ask %s", s.own(r, at.bucket))
		}
		redirect(w, nethttp.StatusFound, s.own(r, at.bucket)+"/"+escape(at.key))
		return nil
	}
	x, err := s.opts.Apps.App(at.bucket, manifest, sum)
	if err != nil {
		return err
	}
	all, c := v.Served()
	route, allowed := x.Match(r)
	if route != nil {
		return route.Serve(w, r, &apps.Visitor{Client: c, From: guard.ClientOf(who.Address).String(), Secure: who.Secure})
	}
	if !x.Manifest.Site || allowed != "" {
		if allowed != "" {
			w.Header().Set("Allow", allowed)
			return errMethod
		}
		return mesh.Errorf(mesh.NotFound, "there is nothing here")
	}
	if err := onlyReads(w, r, "GET, HEAD"); err != nil {
		return err
	}
	return s.sitePage(w, r, all, app.SiteFolder(x.Manifest.Version), at.key)
}

// sitePage answers with a page of an application: an object, the index of a folder, or 404.html.
func (s *Server) sitePage(w *answer, r *nethttp.Request, v s3.Visit, folder, key string) error {
	if key == "" || strings.HasSuffix(key, "/") {
		key += "index.html"
	}
	f, err := s.find(v, folder+key)
	if err == nil {
		return s.object(w, r, v, f)
	}
	if mesh.KindOf(err) != mesh.NotFound {
		return err
	}
	if path.Base(key) != "index.html" {
		if _, err := s.find(v, folder+key+"/index.html"); err == nil {
			redirect(w, nethttp.StatusFound, "/"+escape(key)+"/")
			return nil
		}
	}
	if f, missing := s.find(v, folder+"404.html"); missing == nil {
		return s.whole(w, r, v, f, nethttp.StatusNotFound)
	}
	return err
}

// own is the origin that a bucket has for itself.
func (s *Server) own(r *nethttp.Request, bucket string) string {
	scheme, domain, port := "http://", s.opts.Domain, ""
	if guard.Secure(r) {
		scheme = "https://"
	}
	if domain == "" {
		domain = "localhost"
	}
	if i := strings.LastIndexByte(r.Host, ':'); i >= 0 && !strings.HasSuffix(r.Host, "]") {
		port = r.Host[i:]
	}
	return scheme + bucket + "." + domain + port
}
