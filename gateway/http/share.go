package http

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"mime"
	"net"
	nethttp "net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
)

const (
	cookieName  = "stratos-share"
	cookieTime  = 12 * time.Hour
	maxForm     = 4 << 10   // bytes of a form with a password
	maxText     = 256 << 10 // bytes of a text that is shown
	maxUnlocked = 1024      // shares whose password was typed, kept open
	tries       = 5         // passwords at once, before TryEvery
)

// locks are the shares with passwords.
type locks struct {
	key      [32]byte                           // signs cookies while this process lives
	open     *lru.Cache[string, *client.Access] // by name, once somebody typed the password
	slots    chan struct{}
	byClient *guard.Clients
	byShare  *guard.Rates[string]
}

func newLocks(o Options) (*locks, error) {
	l := &locks{slots: make(chan struct{}, o.Unlocks)}
	rand.Read(l.key[:])
	var err1, err2, err3 error
	l.open, err1 = lru.New[string, *client.Access](maxUnlocked)
	rate := 1 / o.TryEvery.Seconds()
	l.byClient, err2 = guard.NewRates[netip.Addr](rate, tries, o.Clients)
	l.byShare, err3 = guard.NewRates[string](rate, tries, o.Clients)
	return l, errors.Join(err1, err2, err3)
}

// share answers for a path below a share: TOKEN/REST, the token being the access key's name and secret.
func (s *Server) share(ctx context.Context, w *answer, r *nethttp.Request, rest string, who s3.Visitor) error {
	h := w.Header()
	h.Set("Cache-Control", "private, no-cache")
	h.Set("X-Robots-Tag", "noindex")
	token, rest, slash := strings.Cut(rest, "/")
	name, secret, ok := strings.Cut(token, "-")
	nothing := mesh.Errorf(mesh.NotFound, "there is no such share")
	if !ok || name == "" || secret == "" || len(token) > 256 {
		return nothing
	}
	key, err := s.links.Open(ctx, name)
	switch kind := mesh.KindOf(err); {
	case err != nil && (kind == mesh.NotFound || kind == mesh.Denied || kind == mesh.Invalid):
		return nothing
	case err != nil:
		return err
	case !key.Share || subtle.ConstantTimeCompare([]byte(secret), []byte(key.Secret)) != 1:
		return nothing
	}
	root := sharePath + token + "/"
	if !slash {
		redirect(w, nethttp.StatusFound, root)
		return nil
	}
	access := key.Access
	if access == nil {
		if access, err = s.unlock(w, r, key, root, who.Address); access == nil {
			return err
		}
	}
	if r.Method != nethttp.MethodGet && r.Method != nethttp.MethodHead {
		h.Set("Allow", "GET, HEAD")
		return errMethod
	}
	v, err := s.store.Share(ctx, name, access)
	if err != nil {
		return err
	}
	defer v.Close()
	return s.shared(w, r, v, access, root, rest)
}

// shared answers for what lies below a share. The share's prefix names a folder, an object, or the beginning of several.
func (s *Server) shared(w *answer, r *nethttp.Request, v s3.Visit, access *client.Access, root, rest string) error {
	_, prefix, _ := strings.Cut(access.Rights().Prefix, "/")
	base := prefix[:strings.LastIndexByte(prefix, '/')+1]
	key := base + rest
	if rest == "" {
		if key = prefix; prefix != base {
			if _, err := s.find(v, prefix); err == nil {
				redirect(w, nethttp.StatusFound, root+escape(strings.TrimPrefix(prefix, base)))
				return nil
			}
		}
	}
	if rest == "" || strings.HasSuffix(rest, "/") {
		if !v.MayList(key) {
			return mesh.Errorf(mesh.NotFound, "that is not shared")
		}
		title := path.Base(key)
		if key == "" {
			title = strings.TrimSuffix(access.Rights().Prefix, "/")
		}
		return s.folder(w, r, v, folderOf{key: key, base: base, root: root, title: title})
	}
	f, err := s.find(v, key)
	if err != nil {
		if mesh.KindOf(err) == mesh.Denied {
			err = mesh.Errorf(mesh.NotFound, "that is not shared")
		}
		return err
	}
	t, k := previewOf(f)
	q := r.URL.Query()
	if q.Has("raw") || q.Has("download") {
		h := w.Header()
		if h.Set("Content-Type", t); strings.HasPrefix(t, "text/") {
			h.Set("Content-Type", t+"; charset=utf-8")
		}
		h.Set("Cache-Control", "private, no-cache")
		disposition := "inline"
		if q.Has("download") {
			disposition = "attachment"
		}
		h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": path.Base(key)}))
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'")
		if k == document { // browsers show no PDF in a sandbox, and run none as a page
			h.Set("Content-Security-Policy", "frame-ancestors 'self'")
		}
		return s.object(w, r, v, f)
	}
	data := &file{link: link{path.Base(key), "?"}, Size: f.Size, Modified: f.Modified, Type: t, Kind: k}
	if k == text {
		if data.Text, data.Cut, err = beginning(v, f); err != nil {
			return err
		}
	}
	crumbs := []link{{"…", root}}
	if dir := rest[:strings.LastIndexByte(rest, '/')+1]; dir != "" {
		crumbs = append(crumbs, link{strings.TrimSuffix(dir, "/"), root + escape(dir)})
	}
	return s.page(w, r, nethttp.StatusOK, "file", pageData{Title: data.link.Text, Crumbs: crumbs, File: data})
}

// beginning reads what of a text a page shows.
func beginning(v s3.Visit, f *s3.Found) (string, bool, error) {
	r, err := v.Open(f, 0, min(f.Size, maxText))
	if err != nil {
		return "", false, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return strings.ToValidUTF8(string(b), "\uFFFD"), f.Size > maxText, err
}

// unlock returns what a share with a password opens, if the request shows that it was typed. Else it has answered, with nil, or
// says why it cannot.
func (s *Server) unlock(w *answer, r *nethttp.Request, key *client.AccessKey, root string, from net.Addr) (*client.Access, error) {
	typed := r.Method == nethttp.MethodPost
	if a, ok := s.locks.open.Get(key.Name); ok && !typed && s.locks.proven(r, key.Name, time.Now()) {
		return a, nil
	}
	if !typed {
		return nil, s.page(w, r, nethttp.StatusUnauthorized, "password", pageData{Title: "Password"})
	}
	if !s.locks.byClient.Admit(guard.ClientOf(from)) || !s.locks.byShare.Admit(key.Name) {
		return nil, errAttempts
	}
	r.Body = nethttp.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the form: %w", err)
	}
	select {
	case s.locks.slots <- struct{}{}:
		defer func() { <-s.locks.slots }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	a, err := key.Unlock(r.PostForm.Get("password"))
	if mesh.KindOf(err) == mesh.Denied {
		return nil, s.page(w, r, nethttp.StatusUnauthorized, "password", pageData{Title: "Password", Asked: true})
	}
	if err != nil {
		return nil, err
	}
	s.locks.open.Add(key.Name, a)
	nethttp.SetCookie(w, &nethttp.Cookie{Name: cookieName, Value: s.locks.proof(key.Name, time.Now().Add(cookieTime)), Path: root, MaxAge: int(cookieTime.Seconds()),
		HttpOnly: true, Secure: guard.Secure(r), SameSite: nethttp.SameSiteLaxMode})
	redirect(w, nethttp.StatusSeeOther, r.URL.EscapedPath())
	return nil, nil
}

// proof is a cookie's text: that the password of a share was typed, until when.
func (l *locks) proof(name string, until time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, l.sign(name, b)...))
}

func (l *locks) sign(name string, until []byte) []byte {
	h := hmac.New(sha256.New, l.key[:])
	h.Write(until)
	h.Write([]byte(name))
	return h.Sum(nil)
}

// proven tells whether one of a request's cookies is a proof that holds.
func (l *locks) proven(r *nethttp.Request, name string, now time.Time) bool {
	for _, c := range r.CookiesNamed(cookieName) {
		b, err := base64.RawURLEncoding.DecodeString(c.Value)
		if err == nil && len(b) == 8+sha256.Size && hmac.Equal(b[8:], l.sign(name, b[:8])) && int64(binary.BigEndian.Uint64(b)) > now.Unix() {
			return true
		}
	}
	return false
}
