package http

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/versity/versitygw/s3response"
	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a server with the bucket films.
type world struct {
	t     *testing.T
	store *store
	films *shelf
	s     *Server
	addr  string
	log   *bytes.Buffer
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, films: newShelf(), addr: l.Addr().String(), log: new(bytes.Buffer)}
	w.store = &store{buckets: map[string]*shelf{"films": w.films}, keys: map[string]*client.AccessKey{}}
	o.AccessLog = w.log
	if w.s, err = New(l, w.store, w.store, slog.New(slog.DiscardHandler), o); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.s.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := w.s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil && !strings.Contains(err.Error(), "closed before") {
			t.Error(err)
		}
		if n := w.store.open.Load(); n != 0 {
			t.Errorf("%d visits were not closed", n)
		}
	})
	return w
}

type reply struct {
	status int
	header nethttp.Header
	body   string
	err    error // while the body came
}

// ask sends a request whose target is sent as it is. Headers come as "Name: value"; the last of a POST is its form.
func (w *world) ask(method, target string, headers ...string) reply {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	body := ""
	if method == "POST" {
		body = headers[len(headers)-1]
		headers = append(slices.Clone(headers[:len(headers)-1]), "Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)))
	}
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Host: ") }) {
		headers = append(headers, "Host: "+w.addr)
	}
	_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\n%s\r\nConnection: close\r\n\r\n%s", method, target, strings.Join(headers, "\r\n"), body)
	res, err := nethttp.ReadResponse(bufio.NewReader(c), &nethttp.Request{Method: method})
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(b), err}
}

func (w *world) expect(what string, got reply, status int, contains string) {
	w.t.Helper()
	if got.err != nil || got.status != status || !strings.Contains(got.body, contains) {
		w.t.Errorf("%s: %d %.200q, %v; want %d with %q", what, got.status, got.body, got.err, status, contains)
	}
}

func TestObjects(t *testing.T) {
	w := newWorld(t, Options{})
	f := w.films.put("a/film.txt", "text/plain", "0123456789")
	f.Headers["Cache-Control"] = "max-age=60"
	w.films.put("plain", "", "x")
	got := w.ask("GET", "/films/a/film.txt")
	w.expect("whole", got, 200, "0123456789")
	for name, want := range map[string]string{"ETag": f.ETag, "Content-Type": "text/plain", "Cache-Control": "max-age=60", "Content-Security-Policy": "sandbox allow-downloads", "X-Content-Type-Options": "nosniff"} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got := w.ask("GET", "/films/plain"); got.header.Get("Content-Type") != "application/octet-stream" || got.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("without headers: %v", got.header)
	}
	w.films.put("d.pdf", "application/pdf", "%PDF-")
	if got := w.ask("GET", "/films/d.pdf"); got.header.Get("Content-Security-Policy") != "" || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a PDF is not shown, or may be taken for a page: %v", got.header)
	}
	for spec, want := range map[string]string{"bytes=2-4": "234", "bytes=7-": "789", "bytes=-3": "789", "bytes=0-0": "0", "bytes=8-99": "89"} {
		before := w.store.read.Load()
		got := w.ask("GET", "/films/a/film.txt", "Range: "+spec)
		if got.status != 206 || got.body != want {
			t.Errorf("%s: %d %q", spec, got.status, got.body)
		}
		if n := w.store.read.Load() - before; n != int64(len(want)) {
			t.Errorf("%s: %d bytes were read of the mesh", spec, n)
		}
	}
	w.expect("two ranges", w.ask("GET", "/films/a/film.txt", "Range: bytes=0-1,5-6"), 206, "56")
	w.expect("beyond the end", w.ask("GET", "/films/a/film.txt", "Range: bytes=10-"), 416, "")
	w.expect("known already", w.ask("GET", "/films/a/film.txt", "If-None-Match: "+f.ETag), 304, "")
	w.expect("another", w.ask("GET", "/films/a/film.txt", "If-Match: \"x\""), 412, "")
	w.expect("range of another", w.ask("GET", "/films/a/film.txt", "Range: bytes=0-1", "If-Range: \"x\""), 200, "0123456789")
	if got := w.ask("HEAD", "/films/a/film.txt"); got.status != 200 || got.body != "" || got.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: %v", got)
	}
	for _, m := range []string{"PUT", "DELETE", "PATCH", "PROPFIND"} {
		w.expect(m, w.ask(m, "/films/a/film.txt"), 405, "")
	}
}

// Half an object never looks whole.
func TestBrokenOff(t *testing.T) {
	w := newWorld(t, Options{})
	w.films.put("film", "video/mp4", strings.Repeat("x", 1<<20))
	w.films.put("packed", "text/plain", strings.Repeat("x", 1<<20)).Headers["Content-Encoding"] = "gzip" // sent in chunks
	w.films.put("short", "text/plain", "ab")
	w.films.cut = true
	for _, key := range []string{"film", "packed"} {
		if got := w.ask("GET", "/films/"+key); got.err == nil {
			t.Errorf("%s: %d, %d bytes without an error", key, got.status, len(got.body))
		}
	}
	if got := w.ask("GET", "/films/short"); got.err == nil && got.status == 200 {
		t.Errorf("short: %v", got)
	}
	for err, status := range map[error]int{mesh.Errorf(mesh.Unavailable, "the nodes are gone"): 503, mesh.Errorf(mesh.Exhausted, "the budget is used up"): 402} {
		w := newWorld(t, Options{})
		w.films.put("film", "video/mp4", strings.Repeat("x", 1<<20))
		w.films.put("packed", "text/plain", strings.Repeat("x", 1<<20)).Headers["Content-Encoding"] = "gzip"
		w.films.gone = err
		for _, headers := range [][]string{nil, {"Range: bytes=5-9"}} {
			for _, key := range []string{"film", "packed"} {
				got := w.ask("GET", "/films/"+key, headers...)
				if w.expect(key+" that does not begin", got, status, ""); got.header.Get("ETag") != "" || got.header.Get("Content-Range") != "" {
					t.Errorf("%s: the error is described as the object: %v", key, got.header)
				}
			}
		}
		w.expect("only asked about", w.ask("HEAD", "/films/film"), 200, "")
	}
}

// What is hidden, or nowhere, is not shown, however it is asked for.
func TestHidden(t *testing.T) {
	w := newWorld(t, Options{Domain: "example.test"})
	w.films.put("open/a", "text/plain", "open")
	w.films.put("open\r\nX: y", "text/plain", "open")
	w.films.put("secret/a", "text/plain", "SECRET")
	w.films.put("secret/index.html", "text/html", "SECRET")
	w.films.hidden, w.films.listed = []string{"secret/"}, false
	for target, status := range map[string]int{
		"/films/secret/a": 403, "/films/secret%2fa": 403, "/films/%73ecret/a": 403, "/films/open/../secret/a": 404, "/films/open/%2e%2e/secret/a": 404, "/films/./secret/a": 404,
		"/films//secret/a": 404, "//films/secret/a": 200, "http://films.example.test/secret/a": 403, "/films/secret": 404, "/films/secret/": 403, "/films/secret/index.html": 403, "/films/": 404, "/films/open/": 404,
		"/films/secret/a%00": 400, "/films/secret/a%0d%0aX:%20y": 403, "/films/open/a%0d%0aX:%20y": 404, "/films/open%0d%0aX:%20y": 200, "/films/%ff": 400, "/nobody/x": 404, "/FILMS/open/a": 404, "/films%2Fopen/a": 200, "/../films/secret/a": 404,
		"/films/open/a": 200, "/films/open/a?after=x": 200, "/": 200, "/films/open/a/": 404, "/films/open/a%20": 404,
	} {
		if strings.HasPrefix(target, "http:") {
			w.expect(target, w.ask("GET", target), status, "")
			continue
		}
		for host, target := range map[string]string{"example.test": target, "127.0.0.1": target, "films.example.test": strings.TrimPrefix(target, "/films")} {
			if host == "films.example.test" && !strings.HasPrefix(target, "/") {
				continue
			}
			got := w.ask("GET", target, "Host: "+host, "Accept: text/html")
			if strings.Contains(got.body, "SECRET") || got.header.Get("X") != "" {
				t.Errorf("%s at %s: %d %q", target, host, got.status, got.body)
			}
			if host != "films.example.test" && got.status != status {
				t.Errorf("%s at %s: %d, want %d", target, host, got.status, status)
			}
		}
	}
}

// Only a host of its own gives a bucket's pages an origin in which they run.
func TestOrigins(t *testing.T) {
	for _, domain := range []string{"", "example.test"} {
		w := newWorld(t, Options{Domain: domain})
		w.films.put("page.html", "text/html", "<script>")
		w.store.buckets["www.shop.test"] = w.films
		for host, own := range map[string]bool{"127.0.0.1": false, "[::1]": false, "localhost": false, "example.test": false, "films.localhost": true, "films.localhost:80": true, "FILMS.Localhost": true, "films.localhost.": true,
			"films.example.test": domain != "", "www.shop.test": domain != ""} {
			target := "/films/page.html"
			if own {
				target = "/page.html"
			}
			got := w.ask("GET", target, "Host: "+host)
			if got.status != 200 {
				t.Errorf("domain %q: %s%s: %d", domain, host, target, got.status)
			}
			if sandboxed := strings.HasPrefix(got.header.Get("Content-Security-Policy"), "sandbox"); sandboxed == own {
				t.Errorf("domain %q, %s: sandboxed %v", domain, host, sandboxed)
			}
		}
		if got := w.ask("GET", "/s/x-y/", "Host: films.localhost"); got.status != 404 || strings.Contains(got.header.Get("X-Robots-Tag"), "noindex") {
			t.Errorf("a share in a bucket's origin: %v", got)
		}
	}
}

func TestFolders(t *testing.T) {
	w := newWorld(t, Options{})
	for _, key := range []string{"a/1", "a/2 <b>&%?#", "a/sub/x", "b", "c", "d", "e", "idx/index.html", "idx/other"} {
		w.films.put(key, "text/plain", "body of "+key)
	}
	w.films.objects["a/"] = w.films.put("a/", "", "")
	got := w.ask("GET", "/films/a/")
	w.expect("folder", got, 200, `href="/films/a/2%20%3Cb%3E&amp;%25%3F%23"`)
	if strings.Contains(got.body, "<b>") || got.header.Get("Content-Security-Policy") != pagePolicy {
		t.Errorf("a name is markup, or the page may run something: %v", got)
	}
	w.expect("escaped", w.ask("GET", "/films/a/2%20%3Cb%3E&%25%3F%23"), 200, "body of a/2 <b>&%?#")
	w.expect("sub-folder", w.ask("GET", "/films/a/sub/"), 200, `href="/films/a/sub/x"`)
	first := w.ask("GET", "/films/")
	w.expect("first page", first, 200, `href="?after=c"`)
	w.expect("second page", w.ask("GET", "/films/?after=c"), 200, "/films/d")
	w.expect("index", w.ask("GET", "/films/idx/"), 200, "body of idx/index.html")
	for target, to := range map[string]string{"/films": "/films/", "/films/a": "/films/a/", "/films/idx?x=1": "/films/idx/?x=1"} {
		if got := w.ask("GET", target); got.status != 302 || got.header.Get("Location") != to {
			t.Errorf("%s: %d to %q", target, got.status, got.header.Get("Location"))
		}
	}
	if got := w.ask("GET", "/a", "Host: films.localhost"); got.header.Get("Location") != "/a/" {
		t.Errorf("on its own host: %v", got)
	}
	// Never to another host: "//evil" would be one.
	w.films.put("/evil.test/x", "text/plain", "x")
	if got := w.ask("GET", "//evil.test", "Host: films.localhost"); strings.HasPrefix(got.header.Get("Location"), "//") {
		t.Errorf("it sends browsers to %q", got.header.Get("Location"))
	}
	w.films.listed = false
	w.expect("not for listing", w.ask("GET", "/films/a/"), 404, "")
}

func TestWebsite(t *testing.T) {
	w := newWorld(t, Options{})
	for _, key := range []string{"index.html", "docs/index.html", "error.html", "images/x"} {
		w.films.put(key, "text/html", "body of "+key)
	}
	w.films.put("moved", "text/html", "").Redirect = "/docs/"
	w.films.hidden = []string{"private/"}
	w.films.website = &s3response.WebsiteConfiguration{IndexDocument: &s3response.IndexDocument{Suffix: "index.html"}, ErrorDocument: &s3response.ErrorDocument{Key: "error.html"},
		RoutingRules: []s3response.RoutingRule{
			{Condition: &s3response.RoutingRuleCondition{KeyPrefixEquals: "old/"}, Redirect: &s3response.Redirect{ReplaceKeyPrefixWith: "docs/", HttpRedirectCode: "302"}},
			{Condition: &s3response.RoutingRuleCondition{KeyPrefixEquals: "gone/", HttpErrorCodeReturnedEquals: "404"}, Redirect: &s3response.Redirect{HostName: "elsewhere.test", Protocol: "https", ReplaceKeyWith: "there"}},
		}}
	site := func(target string) reply { return w.ask("GET", target, "Host: films.localhost") }
	w.expect("root", site("/"), 200, "body of index.html")
	w.expect("folder", site("/docs/"), 200, "body of docs/index.html")
	w.expect("error page", site("/nothing"), 404, "body of error.html")
	w.expect("a folder without index", site("/images/"), 404, "body of error.html")
	w.expect("hidden", site("/private/x"), 403, "body of error.html")
	w.films.fail = mesh.Errorf(mesh.Unavailable, "no quorum")
	if got := site("/docs/"); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("an outage is told as %d", got.status)
	}
	w.films.fail = nil
	for target, want := range map[string]string{"/docs": "302 /docs/", "/moved": "301 /docs/", "/old/a%20b?q=1": "302 http://films.localhost/docs/a%20b?q=1", "/gone/x": "301 https://elsewhere.test/there"} {
		if got := site(target); fmt.Sprint(got.status, " ", got.header.Get("Location")) != want {
			t.Errorf("%s: %d to %q, want %s", target, got.status, got.header.Get("Location"), want)
		}
	}
	w.expect("by path it is no site", w.ask("GET", "/films/images/"), 200, "/films/images/x")
	w.films.website = &s3response.WebsiteConfiguration{RedirectAllRequestsTo: &s3response.RedirectAllRequestsTo{HostName: "new.test"}}
	if got := site("/a/b?c=d"); got.status != 301 || got.header.Get("Location") != "http://new.test/a/b?c=d" {
		t.Errorf("all: %d to %q", got.status, got.header.Get("Location"))
	}
}

// shared publishes a share of what begins with prefix and returns its path.
func (w *world) shared(name, prefix, password string) string {
	w.t.Helper()
	k, err := crypto.ToECDSA(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		w.t.Fatal(err)
	}
	root, err := client.NewAccess(sign.Domain{Network: mesh.NetworkID{1}}, account.NewKey(k), time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	a, _, err := root.Share(client.Terms{Prefix: prefix, Operations: grant.Read | grant.List})
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := client.NewShare(a, name, "SECRET"+name, password)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store.keys[name] = key
	return "/s/" + name + "-SECRET" + name + "/"
}

func TestShares(t *testing.T) {
	w := newWorld(t, Options{})
	for key, kind := range map[string]string{"a/p.png": "image/png", "a/s.svg": "image/svg+xml", "a/v.mp4": "video/mp4", "a/m.mp3": "", "a/d.pdf": "application/pdf", "a/t.html": "text/html", "a/x.bin": "", "a/sub/y": "text/plain", "b/other": "text/plain", "a/.x": "text/plain"} {
		w.films.put(key, kind, "<script>"+key)
	}
	w.films.hidden = []string{""} // nothing is for everybody
	at := w.shared("N1", "films/a/", "")
	w.expect("folder", w.ask("GET", at), 200, `href="`+at+`d.pdf"`)
	for name, want := range map[string]string{"p.png": `<img src="?raw"`, "s.svg": `<img src="?raw"`, "v.mp4": `<video src="?raw"`, "m.mp3": `<audio src="?raw"`, "d.pdf": `<iframe src="?raw"`, "t.html": "&lt;script&gt;", "x.bin": "no preview"} {
		got := w.ask("GET", at+name)
		w.expect(name, got, 200, want)
		if strings.Contains(got.body, "<script>") || got.header.Get("Content-Security-Policy") != pagePolicy {
			t.Errorf("%s: what is shared may run", name)
		}
		raw := w.ask("GET", at+name+"?raw")
		w.expect(name+" raw", raw, 200, "<script>a/"+name)
		if p := raw.header.Get("Content-Security-Policy"); !strings.HasPrefix(p, "sandbox;") && name != "d.pdf" || raw.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s raw: %v", name, raw.header)
		}
	}
	if got := w.ask("GET", at+"t.html?download"); !strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment;") {
		t.Errorf("download: %v", got.header)
	}
	w.expect("range", w.ask("GET", at+"v.mp4?raw", "Range: bytes=0-7"), 206, "<script>")
	one := w.shared("N2", "films/a/v.mp4", "")
	if got := w.ask("GET", one); got.status != 302 || got.header.Get("Location") != one+"v.mp4" {
		t.Errorf("a share of one object: %v", got)
	}
	w.expect("its page", w.ask("GET", one+"v.mp4"), 200, "<video")
	some := w.shared("N3", "films/a/s", "")
	got := w.ask("GET", some)
	w.expect("what begins so", got, 200, `href="`+some+`sub/"`)
	if strings.Contains(got.body, "p.png") {
		t.Error("it lists more than it shares")
	}
	w.store.keys["PROGRAM"] = &client.AccessKey{Name: "PROGRAM", Secret: "S"}
	for _, target := range []string{at + "../b/other", at + "..%2fb/other", at + "nothing", some + "p.png", one + "p.png", "/s/N1-WRONG/", "/s/N1/", "/s/N1-/", "/s/-SECRETN1/", "/s/", "/s/N9-SECRETN9/", "/s/PROGRAM-S/", "/s/N1-SECRETN1x/",
		"/films/a/p.png?raw"} {
		if got := w.ask("GET", target); got.status != 404 && got.status != 403 || strings.Contains(got.body, "<script>") {
			t.Errorf("%s: %d %q", target, got.status, got.body)
		}
	}
	w.expect("POST", w.ask("POST", at+"v.mp4", "x"), 405, "")
	w.expect("DELETE", w.ask("DELETE", at+"v.mp4"), 405, "")
	if strings.Contains(w.log.String(), "SECRET") {
		t.Error("the access log opens shares")
	}
}

func TestPasswords(t *testing.T) {
	w := newWorld(t, Options{TryEvery: time.Hour, Limits: guard.Limits{}})
	w.films.put("a/x", "text/plain", "TREASURE")
	at, other := w.shared("N1", "films/a/", "open sesame"), w.shared("N2", "films/a/", "open sesame")
	for _, target := range []string{at, at + "x", at + "x?raw", at + "x?download"} {
		w.expect(target, w.ask("GET", target), 401, `type="password"`)
	}
	w.expect("wrong", w.ask("POST", at, "password=open"), 401, "not the password")
	got := w.ask("POST", at+"x", "password=open+sesame")
	if got.status != 303 || got.header.Get("Location") != at+"x" {
		t.Fatalf("right: %v", got)
	}
	cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
	for _, want := range []string{"Path=" + at, "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(got.header.Get("Set-Cookie"), want) {
			t.Errorf("the cookie lacks %s: %s", want, got.header.Get("Set-Cookie"))
		}
	}
	w.expect("with the cookie", w.ask("GET", at+"x?raw", "Cookie: "+cookie), 200, "TREASURE")
	w.expect("without", w.ask("GET", at+"x?raw"), 401, "")
	w.ask("POST", other, "password=open+sesame")
	w.expect("of another share", w.ask("GET", other+"x?raw", "Cookie: "+cookie), 401, "")
	flip := []byte(cookie)
	flip[len(flip)-3] ^= 1
	w.expect("forged", w.ask("GET", at+"x?raw", "Cookie: "+string(flip)), 401, "")
	late := cookieName + "=" + w.s.locks.proof("N1", time.Now().Add(-time.Second))
	w.expect("too old", w.ask("GET", at+"x?raw", "Cookie: "+late), 401, "")
	for i := 0; i < tries-3; i++ {
		w.expect("a try", w.ask("POST", at, "password=x"), 401, "")
	}
	w.expect("one too many", w.ask("POST", at, "password=open+sesame"), 429, "")
	if got := w.ask("POST", other, "password="+strings.Repeat("x", maxForm)); got.status != 429 && got.status != 400 {
		t.Errorf("a long form: %v", got)
	}
}

// Each limit holds at its value, and stops one above.
func TestLimits(t *testing.T) {
	t.Run("requests", func(t *testing.T) {
		w := newWorld(t, Options{Requests: 2})
		w.films.put("x", "text/plain", "x")
		w.s.slots <- struct{}{}
		w.expect("the second", w.ask("GET", "/films/x"), 200, "x")
		w.s.slots <- struct{}{}
		if got := w.ask("GET", "/films/x"); got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("the third: %v", got)
		}
		<-w.s.slots
		w.expect("again", w.ask("GET", "/films/x"), 200, "x")
		<-w.s.slots
	})
	t.Run("time", func(t *testing.T) {
		w := newWorld(t, Options{RequestTime: 50 * time.Millisecond})
		w.films.stuck = true
		w.expect("nobody answers", w.ask("GET", "/films/x"), 503, "")
	})
	t.Run("rate", func(t *testing.T) {
		w := newWorld(t, Options{Limits: guard.Limits{ClientRate: 1, ClientBurst: 3}})
		for range 3 {
			w.expect("within", w.ask("GET", "/"), 200, "")
		}
		w.expect("above", w.ask("GET", "/"), 503, "")
	})
	t.Run("header", func(t *testing.T) {
		w := newWorld(t, Options{HeaderBytes: 8 << 10})
		w.expect("within", w.ask("GET", "/", "Cookie: "+strings.Repeat("x", 7<<10)), 200, "")
		if got := w.ask("GET", "/", "Cookie: "+strings.Repeat("x", 13<<10)); got.status != 431 { // net/http allows 4 KiB more
			t.Errorf("above: %v", got)
		}
	})
	t.Run("slow header", func(t *testing.T) {
		w := newWorld(t, Options{Limits: guard.Limits{HeaderTime: 200 * time.Millisecond}})
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n")
		begin := time.Now()
		_, _ = io.ReadAll(c)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it was waited for %v", took)
		}
	})
	t.Run("slow reader", func(t *testing.T) {
		w := newWorld(t, Options{Limits: guard.Limits{BodyRate: 64 << 10, BodyStall: 300 * time.Millisecond}})
		w.films.put("x", "video/mp4", strings.Repeat("x", 32<<20))
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET /films/x HTTP/1.1\r\nHost: x\r\n\r\n")
		begin := time.Now()
		for w.s.listener.Open() == 0 && time.Since(begin) < 5*time.Second {
			time.Sleep(time.Millisecond)
		}
		for w.s.listener.Open() > 0 && time.Since(begin) < 20*time.Second {
			time.Sleep(10 * time.Millisecond)
		}
		if w.s.listener.Open() > 0 {
			t.Error("who reads nothing is kept")
		}
	})
	t.Run("options", func(t *testing.T) {
		for _, o := range []Options{{Requests: -1}, {TryEvery: -1}, {Limits: guard.Limits{IdleTime: -1}}} {
			if _, err := o.withDefaults(); mesh.KindOf(err) != mesh.Invalid {
				t.Errorf("%+v: %v", o, err)
			}
		}
	})
}
