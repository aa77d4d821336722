package http

import (
	nethttp "net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/versity/versitygw/s3response"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
)

// site answers for a bucket: an object, a folder's index or page, or what the bucket's website configuration says.
func (s *Server) site(w *answer, r *nethttp.Request, v s3.Visit, at place) error {
	var config *s3response.WebsiteConfiguration
	if at.own {
		var err error
		if config, err = v.Website(); err != nil {
			return err
		}
	}
	if config == nil {
		return s.path(w, r, v, at, "index.html", true)
	}
	if all := config.RedirectAllRequestsTo; all != nil {
		redirect(w, nethttp.StatusMovedPermanently, location(r, all.Protocol, all.HostName, at.key))
		return nil
	}
	if rule := config.MatchPrefetchRoutingRule(at.key); rule != nil {
		byRule(w, r, rule, at.key)
		return nil
	}
	index := ""
	if config.IndexDocument != nil {
		index = config.IndexDocument.Suffix
	}
	err := s.path(w, r, v, at, index, false)
	if err == nil || w.status != 0 {
		return err
	}
	status := statusOf(err)
	if status >= 500 {
		return err
	}
	if rule := config.MatchPostErrorRoutingRule(at.key, status); rule != nil {
		byRule(w, r, rule, at.key)
		return nil
	}
	if doc := config.ErrorDocument; doc != nil && v.MayRead(doc.Key) {
		if f, missing := v.Object(doc.Key, ""); missing == nil {
			return s.whole(w, r, v, f, status)
		}
	}
	return err
}

// path answers with the object at a place, the index of the folder there, or its page if pages are wanted.
func (s *Server) path(w *answer, r *nethttp.Request, v s3.Visit, at place, index string, pages bool) error {
	folder := at.key == "" || strings.HasSuffix(at.key, "/")
	if !folder {
		f, err := s.find(v, at.key)
		switch {
		case err == nil && at.own && f.Redirect != "":
			redirect(w, nethttp.StatusMovedPermanently, f.Redirect)
			return nil
		case err == nil:
			return s.object(w, r, v, f)
		case mesh.KindOf(err) != mesh.NotFound:
			return err
		}
		if s.isFolder(v, at.key+"/", index, pages) {
			to := at.root + escape(at.key) + "/"
			if r.URL.RawQuery != "" {
				to += "?" + r.URL.RawQuery
			}
			redirect(w, nethttp.StatusFound, to)
			return nil
		}
		return err
	}
	if index != "" {
		f, err := s.find(v, at.key+index)
		if err == nil {
			return s.object(w, r, v, f)
		}
		if kind := mesh.KindOf(err); kind != mesh.NotFound && !(pages && kind == mesh.Denied) {
			return err
		}
	}
	if pages && v.MayList(at.key) {
		return s.folder(w, r, v, folderOf{key: at.key, root: at.root, title: at.bucket + "/" + at.key})
	}
	if !v.MayRead(at.key) {
		return mesh.Errorf(mesh.Denied, "this is not for everybody")
	}
	return mesh.Errorf(mesh.NotFound, "there is nothing here")
}

// find returns an object that may be read.
func (s *Server) find(v s3.Visit, key string) (*s3.Found, error) {
	if err := mesh.CheckKey(key); err != nil {
		return nil, mesh.Errorf(mesh.NotFound, "there is nothing here")
	}
	if !v.MayRead(key) {
		return nil, mesh.Errorf(mesh.Denied, "this is not for everybody")
	}
	return v.Object(key, "")
}

// isFolder tells whether there is an index, or a page, for a folder.
func (s *Server) isFolder(v s3.Visit, key, index string, pages bool) bool {
	if index != "" {
		if _, err := s.find(v, key+index); err == nil {
			return true
		}
	}
	if !pages || !v.MayList(key) {
		return false
	}
	names, _, err := v.List(key, "")
	return err == nil && len(names) > 0
}

func byRule(w *answer, r *nethttp.Request, rule *s3response.RoutingRule, key string) {
	to := rule.Redirect
	if to == nil {
		to = &s3response.Redirect{}
	}
	switch {
	case to.ReplaceKeyWith != "":
		key = to.ReplaceKeyWith
	case to.ReplaceKeyPrefixWith != "" && rule.Condition != nil && rule.Condition.KeyPrefixEquals != "":
		key = to.ReplaceKeyPrefixWith + strings.TrimPrefix(key, rule.Condition.KeyPrefixEquals)
	}
	status := nethttp.StatusMovedPermanently
	if n, err := strconv.Atoi(to.HttpRedirectCode); err == nil {
		status = n
	}
	redirect(w, status, location(r, to.Protocol, to.HostName, key))
}

// location is where a key lies, on this host where none is named.
func location(r *nethttp.Request, protocol, host, key string) string {
	if host == "" {
		host = r.Host
	}
	if protocol == "" {
		if protocol = "http"; guard.Secure(r) {
			protocol = "https"
		}
	}
	return (&url.URL{Scheme: protocol, Host: host, Path: "/" + key, RawQuery: r.URL.RawQuery}).String()
}
