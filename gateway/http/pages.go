package http

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"mime"
	nethttp "net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
)

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"size": size, "date": date}).ParseFS(pageFiles, "pages/*.html"))

// pagePolicy is for pages of our own: they load pictures, sound, video and frames of their own origin, and run nothing.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pageData is what templates show.
type pageData struct {
	Title  string
	Text   string
	Status int
	Crumbs []link
	Names  []name
	More   string // address of the next page; "" at the end
	File   *file
	Asked  bool // for a password, and it was wrong
}

type link struct{ Text, To string }

type name struct {
	link
	Folder   bool
	Size     uint64
	Modified time.Time
}

// A file is an object on a page that previews it.
type file struct {
	link
	Size     uint64
	Modified time.Time
	Type     string
	Kind     kind
	Text     string
	Cut      bool // Text is only its beginning
}

// page sends one of our own pages.
func (s *Server) page(w *answer, r *nethttp.Request, status int, which string, data pageData) error {
	var b bytes.Buffer
	data.Status = status
	if err := pages.ExecuteTemplate(&b, which+".html", data); err != nil {
		return mesh.Errorf(mesh.Internal, "making a page: %w", err)
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	if r.Method != nethttp.MethodHead {
		_, _ = w.Write(b.Bytes())
	}
	return nil
}

var errAttempts = errors.New("too many passwords were tried")

var errMethod = errors.New("that can be read, and nothing else")

// statusOf is an error in HTTP's words.
func statusOf(err error) int {
	switch {
	case errors.Is(err, errMethod):
		return nethttp.StatusMethodNotAllowed
	case errors.Is(err, errAttempts):
		return nethttp.StatusTooManyRequests
	}
	switch kind := mesh.KindOf(err); {
	case kind == mesh.NotFound:
		return nethttp.StatusNotFound
	case kind == mesh.Denied:
		return nethttp.StatusForbidden
	case kind == mesh.Invalid:
		return nethttp.StatusBadRequest
	case kind == mesh.Exhausted:
		return nethttp.StatusPaymentRequired
	case kind == mesh.Unavailable, kind == mesh.Conflict, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nethttp.StatusServiceUnavailable
	}
	return nethttp.StatusInternalServerError
}

// reasons are what visitors are told. What exactly failed concerns the owner, and lies in the log where it is a fault.
var reasons = map[int]string{
	nethttp.StatusNotFound:            "There is nothing here.",
	nethttp.StatusForbidden:           "This is not for everybody.",
	nethttp.StatusBadRequest:          "That address cannot be read.",
	nethttp.StatusMethodNotAllowed:    "This can be read, and nothing else.",
	nethttp.StatusTooManyRequests:     "Too many passwords were tried. Wait a minute.",
	nethttp.StatusPaymentRequired:     "What its owner set aside for this is used up. Ask the owner.",
	nethttp.StatusServiceUnavailable:  "This cannot be answered now. Try again in a moment.",
	nethttp.StatusInternalServerError: "Something went wrong here. Try again, and tell who runs this gateway.",
}

// refuse answers with an error: as a page to browsers, as a line to others.
func (s *Server) refuse(w *answer, r *nethttp.Request, err error) {
	if w.status != 0 {
		panic(nethttp.ErrAbortHandler)
	}
	status := statusOf(err)
	if status >= 500 && r.Context().Err() == nil {
		s.log.Warn("a request failed", "host", r.Host, "path", unlinked(r.URL.Path), "err", err)
	}
	h := w.Header()
	for _, name := range []string{"ETag", "Last-Modified", "Content-Disposition", "Content-Encoding", "Content-Range", "Content-Length"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	switch status {
	case nethttp.StatusTooManyRequests:
		h.Set("Retry-After", "60")
	case nethttp.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		if s.page(w, r, status, "error", pageData{Title: nethttp.StatusText(status), Text: reasons[status]}) == nil {
			return
		}
	}
	nethttp.Error(w, reasons[status], status)
}

// A folderOf is a folder to show.
type folderOf struct {
	key   string // of what it lists: all that begins so
	base  string // of what names are told relative to; a beginning of key
	root  string // address of base
	title string
}

// folder sends a page that lists a folder.
func (s *Server) folder(w *answer, r *nethttp.Request, v s3.Visit, f folderOf) error {
	names, next, err := v.List(f.key, r.URL.Query().Get("after"))
	if err != nil {
		return err
	}
	if len(names) == 0 && f.key != f.base && !r.URL.Query().Has("after") {
		return mesh.Errorf(mesh.NotFound, "there is nothing that begins with %q", f.key)
	}
	data := pageData{Title: f.title}
	inner := strings.TrimPrefix(f.key, f.base)
	inner = inner[:strings.LastIndexByte(inner, '/')+1]
	for at := 0; at < len(inner); {
		end := at + strings.IndexByte(inner[at:], '/') + 1
		data.Crumbs = append(data.Crumbs, link{inner[at : end-1], f.root + escape(inner[:end])})
		at = end
	}
	if inner != "" {
		data.Crumbs = append([]link{{"…", f.root}}, data.Crumbs...)
	}
	for _, n := range names {
		if n.Key == f.base+inner {
			continue // the folder's own marker
		}
		data.Names = append(data.Names, name{link{strings.TrimPrefix(n.Key, f.base+inner), f.root + escape(strings.TrimPrefix(n.Key, f.base))}, n.Folder, n.Size, n.Modified})
	}
	if next != "" {
		data.More = "?after=" + url.QueryEscape(next)
	}
	return s.page(w, r, nethttp.StatusOK, "folder", data)
}

// A kind is how a page previews an object.
type kind string

const (
	picture  kind = "picture"
	sound    kind = "sound"
	video    kind = "video"
	document kind = "document"
	text     kind = "text"
	other    kind = "other"
)

// types by a name's ending, for objects whose writer did not say.
var types = map[string]string{".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif", ".svg": "image/svg+xml",
	".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".flac": "audio/flac", ".wav": "audio/wav",
	".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime", ".mkv": "video/x-matroska", ".pdf": "application/pdf",
	".txt": "text/plain", ".md": "text/markdown", ".csv": "text/csv", ".log": "text/plain", ".json": "application/json", ".xml": "application/xml", ".yaml": "application/yaml",
	".yml": "application/yaml", ".toml": "application/toml", ".go": "text/plain", ".py": "text/plain", ".js": "text/javascript", ".ts": "text/plain", ".html": "text/html", ".css": "text/css",
	".sh": "text/plain", ".sql": "text/plain"}

// previewOf is an object's type, by its name where its writer gave none, and how to preview it.
func previewOf(f *s3.Found) (string, kind) {
	t, _, err := mime.ParseMediaType(f.ContentType)
	if by := types[strings.ToLower(path.Ext(f.Path.Key))]; by != "" && (err != nil || t == "application/octet-stream" || t == "binary/octet-stream") {
		t = by
	}
	switch family, _, _ := strings.Cut(t, "/"); {
	case family == "image":
		return t, picture
	case family == "audio":
		return t, sound
	case family == "video":
		return t, video
	case t == "application/pdf":
		return t, document
	case family == "text", t == "application/json", t == "application/xml", t == "application/yaml", t == "application/toml", t == "application/javascript", strings.HasSuffix(t, "+json"), strings.HasSuffix(t, "+xml"):
		return t, text
	case t == "":
		t = "application/octet-stream"
	}
	return t, other
}

func size(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, units := float64(n)/1000, []string{"kB", "MB", "GB", "TB", "PB"}
	for v >= 1000 && len(units) > 1 {
		v, units = v/1000, units[1:]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[0]
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
