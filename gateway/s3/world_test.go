package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/sign"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // sleeps up to 10 s after its server ended
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))    // one a process
}

const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	signedChunks    = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// A book is Keys from a map. It counts what it is asked.
type book struct {
	mu    sync.Mutex
	keys  map[string]*Key
	err   error
	asked int
}

func (b *book) Key(_ context.Context, id string) (*Key, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.err != nil {
		return nil, b.err
	}
	if k, ok := b.keys[id]; ok {
		return k, nil
	}
	return nil, mesh.Errorf(mesh.NotFound, "there is no access key %q", id)
}

func (b *book) add(id string, a *client.Access) { // the secret is the id backwards
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys[id] = &Key{ID: id, Secret: secretOf(id), Access: a}
}

func (b *book) revoke(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.keys, id)
}

func secretOf(id string) string {
	b := []byte(id)
	slices.Reverse(b)
	return string(b)
}

// A world is a server with two accounts, alice, who owns the buckets photos and public, and bob, who owns bobs.
type world struct {
	t          testing.TB
	be         *memory
	keys       *book
	s          *Server
	addr       string
	log        *bytes.Buffer
	alice, bob *client.Access
}

func access(t testing.TB, seed byte) *client.Access {
	t.Helper()
	k, err := crypto.ToECDSA(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.NewAccess(sign.Domain{Network: mesh.NetworkID{1}}, account.NewKey(k), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func share(t testing.TB, a *client.Access, terms client.Terms) *client.Access {
	t.Helper()
	b, _, err := a.Share(terms)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOn(t, l, o)
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func newWorldOn(t testing.TB, l net.Listener, o Options) *world {
	t.Helper()
	w := &world{t: t, be: newMemory(), keys: &book{keys: map[string]*Key{}}, addr: l.Addr().String(), log: new(bytes.Buffer), alice: access(t, 1), bob: access(t, 2)}
	w.keys.add("ALICE", w.alice)
	w.keys.add("BOB", w.bob)
	w.be.owners["photos"], w.be.owners["photos2"], w.be.owners["public"] = w.alice.Account().String(), w.alice.Account().String(), w.alice.Account().String()
	w.be.owners["bobs"] = w.bob.Account().String()
	w.be.policies["public"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::public/*"}]}`
	if o.Grace == 0 {
		o.Grace = 2 * time.Second
	}
	s, err := New(l, w.be, w.keys, slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, nil)), o)
	if err != nil {
		t.Fatal(err)
	}
	w.s = s
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil && !strings.Contains(err.Error(), "closed before") {
			t.Error(err)
		}
	})
	return w
}

// A request is one that is signed by hand, so that each part of it can be wrong.
type request struct {
	method, path, query string
	key, secret         string // "": none signs; the secret defaults to the key's
	payload             string // x-amz-content-sha256
	region, service     string
	at                  time.Time
	header              []string // "Name: value", in lower case when signed
	body                string
	length              int // Content-Length when not the body's
	host                string
	tamper              func(string) string // of the whole text, after signing
}

func mac(k []byte, s string) []byte {
	h := hmac.New(sha256.New, k)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func (r *request) signing() []byte {
	return mac(mac(mac(mac([]byte("AWS4"+r.secret), r.at.Format("20060102")), r.region), r.service), "aws4_request")
}

func (r *request) scope() string {
	return r.at.Format("20060102") + "/" + r.region + "/" + r.service + "/aws4_request"
}

func (r *request) defaults() {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&r.method, "GET")
	def(&r.payload, unsignedPayload)
	def(&r.region, "us-east-1")
	def(&r.service, "s3")
	def(&r.host, "h")
	if r.key != "" {
		def(&r.secret, secretOf(r.key))
	}
	if r.secret == emptySecret {
		r.secret = ""
	}
	if r.at.IsZero() {
		r.at = time.Now()
	}
	r.at = r.at.UTC()
}

// signature of the canonical request, and the text of all the header lines that it covers.
func (r *request) sign() (signature, names, lines string) {
	head := map[string]string{"host": r.host, "x-amz-content-sha256": r.payload, "x-amz-date": r.at.Format("20060102T150405Z")}
	for _, h := range r.header {
		if n, v, _ := strings.Cut(h, ": "); n == strings.ToLower(n) {
			head[n] = v
		}
	}
	var all []string
	for n := range head {
		all = append(all, n)
	}
	slices.Sort(all)
	var canon strings.Builder
	for _, n := range all {
		canon.WriteString(n + ":" + head[n] + "\n")
		lines += n + ": " + head[n] + "\r\n"
	}
	names = strings.Join(all, ";")
	q := strings.Split(r.query, "&")
	for i := range q {
		if q[i] != "" && !strings.Contains(q[i], "=") {
			q[i] += "="
		}
	}
	slices.Sort(q)
	sum := sha256.Sum256([]byte(r.method + "\n" + r.path + "\n" + strings.Join(q, "&") + "\n" + canon.String() + "\n" + names + "\n" + r.payload))
	return hex.EncodeToString(mac(r.signing(), "AWS4-HMAC-SHA256\n"+r.at.Format("20060102T150405Z")+"\n"+r.scope()+"\n"+hex.EncodeToString(sum[:]))), names, lines
}

func (r request) String() string {
	signs := r.key != "" || r.secret != ""
	r.defaults()
	uri := r.path
	if r.query != "" {
		uri += "?" + r.query
	}
	text := r.method + " " + uri + " HTTP/1.1\r\n"
	if signs {
		signature, names, lines := r.sign()
		text += lines + "Authorization: AWS4-HMAC-SHA256 Credential=" + r.key + "/" + r.scope() + ",SignedHeaders=" + names + ",Signature=" + signature + "\r\n"
	} else {
		text += "host: " + r.host + "\r\n"
	}
	for _, h := range r.header {
		if n, _, _ := strings.Cut(h, ": "); n != strings.ToLower(n) || !signs {
			text += h + "\r\n"
		}
	}
	if n := r.length; n != 0 || r.body != "" || r.method == "PUT" || r.method == "POST" {
		if n == 0 {
			n = len(r.body)
		}
		text += "Content-Length: " + strconv.Itoa(n) + "\r\n"
	}
	text += "\r\n" + r.body
	if r.tamper != nil {
		text = r.tamper(text)
	}
	return text
}

// presigned is the path and query of a presigned address, good for a time.
func (r request) presigned(valid time.Duration) string {
	r.defaults()
	q := url.Values{"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {r.key + "/" + r.scope()}, "X-Amz-Date": {r.at.Format("20060102T150405Z")},
		"X-Amz-Expires": {strconv.Itoa(int(valid.Seconds()))}, "X-Amz-SignedHeaders": {"host"}}
	if name, value, ok := strings.Cut(r.query, "="); ok {
		q.Set(name, value)
	}
	sum := sha256.Sum256([]byte(r.method + "\n" + r.path + "\n" + q.Encode() + "\nhost:" + r.host + "\n\nhost\n" + unsignedPayload))
	sig := hex.EncodeToString(mac(r.signing(), "AWS4-HMAC-SHA256\n"+r.at.Format("20060102T150405Z")+"\n"+r.scope()+"\n"+hex.EncodeToString(sum[:])))
	return r.path + "?" + q.Encode() + "&X-Amz-Signature=" + sig
}

// An answer is a response read to its end. status 0: the connection ended without one.
type answered struct {
	status int
	code   string // of the error
	header http.Header
	body   string
}

func (a answered) String() string { return fmt.Sprintf("%d %s", a.status, a.code) }

var codeIn = regexp.MustCompile(`<Code>(\w+)</Code>`)

func readAnswer(r *bufio.Reader, method string) (a answered) {
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return a
	}
	b, _ := io.ReadAll(resp.Body)
	a.status, a.header, a.body = resp.StatusCode, resp.Header, string(b)
	if m := codeIn.FindStringSubmatch(a.body); m != nil {
		a.code = m[1]
	}
	return a
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// raw sends text, ends the sending direction when half is set, and reads an answer.
func (w *world) raw(text string, half bool) answered {
	w.t.Helper()
	c := w.dial()
	go func() {
		_, _ = io.WriteString(c, text)
		if half {
			_ = c.(*net.TCPConn).CloseWrite()
		}
	}()
	method, _, _ := strings.Cut(text, " ")
	return readAnswer(bufio.NewReader(c), method)
}

func (w *world) do(r request) answered { w.t.Helper(); return w.raw(r.String(), false) }

func (w *world) expect(name string, a answered, status int, code string) {
	w.t.Helper()
	if a.status != status || a.code != code {
		w.t.Errorf("%s: answered %v, want %d %s\n%s", name, a, status, code, a.body)
	}
}
