package s3

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gofiber/fiber/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/versity/versitygw/s3api"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/mesh"
)

// The one thing that we reach into versitygw for.
func TestVersitygwStillHasItsApp(t *testing.T) {
	f, ok := reflect.TypeFor[s3api.S3ApiServer]().FieldByName("app")
	if !ok || f.Type != reflect.TypeFor[*fiber.App]() {
		t.Fatalf("s3api.S3ApiServer.app is %v: see appOf", f.Type)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{HeaderBytes: -1}, {Limits: guard.Limits{ClientBurst: -1}}, {Grace: -1}} {
		if _, err := o.withDefaults(); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		if n := v.Type().Field(i).Name; v.Field(i).IsZero() && n != "Domain" && n != "AccessLog" {
			t.Errorf("%s has no default", n)
		}
	}
}

// What a program of Amazon's own does works, by path and over TLS.
func TestOfficialClient(t *testing.T) {
	for _, secure := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		scheme, roots := "http://", x509.NewCertPool()
		if secure {
			cert := certificate(t)
			roots.AddCert(cert.Leaf)
			l, scheme = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}), "https://"
		}
		w := newWorldOn(t, l, Options{})
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer tr.CloseIdleConnections()
		api := s3.New(s3.Options{BaseEndpoint: aws.String(scheme + w.addr), Region: "us-east-1", UsePathStyle: true, HTTPClient: &http.Client{Transport: tr},
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "ALICE", SecretAccessKey: secretOf("ALICE")}, nil
			})})
		ctx := t.Context()
		if _, err := api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("new-bucket")}); err != nil {
			t.Fatal(err)
		}
		content := strings.Repeat("Grüße ", 100_000)
		if _, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("new-bucket"), Key: aws.String("a b/ü+%2F"), Body: strings.NewReader(content)}); err != nil {
			t.Fatal(err)
		}
		got, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("new-bucket"), Key: aws.String("a b/ü+%2F")})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(got.Body)
		if err != nil || string(b) != content {
			t.Fatalf("read %d bytes, %v", len(b), err)
		}
		list, err := api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("new-bucket")})
		if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != "a b/ü+%2F" {
			t.Fatalf("listed %+v, %v", list, err)
		}
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A policy that asks for TLS sees it through our connections.
func TestSecureTransport(t *testing.T) {
	cert := certificate(t)
	for _, secure := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if secure {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
		}
		w := newWorldOn(t, l, Options{})
		w.be.objects["photos/k"] = []byte("x")
		w.be.policies["photos"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
		roots := x509.NewCertPool()
		roots.AddCert(cert.Leaf)
		scheme := map[bool]string{false: "http", true: "https"}[secure]
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: tr}).Get(scheme + "://" + w.addr + request{path: "/photos/k", key: "ALICE", host: w.addr}.presigned(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if (resp.StatusCode == 200) != secure {
			t.Errorf("TLS %v: answered %d", secure, resp.StatusCode)
		}
	}
}

func TestVirtualHostStyle(t *testing.T) {
	w := newWorld(t, Options{Domain: "s3.test"})
	w.expect("PUT by host", w.do(request{method: "PUT", path: "/a/k", key: "ALICE", host: "photos.s3.test", body: "x"}), 200, "")
	w.expect("GET by path", w.do(request{path: "/photos/a/k", key: "ALICE", host: "s3.test"}), 200, "")
	// The key that our own checks see is the whole path.
	w.expect("PUT of a bad key", w.do(request{method: "PUT", path: "/k%00", key: "ALICE", host: "photos.s3.test"}), 400, "InvalidURI")
	w.expect("half a body", w.raw(request{method: "PUT", path: "/k", key: "ALICE", host: "photos.s3.test", body: "x", length: 10}.String(), true), 400, "IncompleteBody")
}

func TestNothingNamesTheServer(t *testing.T) {
	w := newWorld(t, Options{})
	if a := w.do(request{path: "/photos/k", key: "ALICE"}); a.header.Get("Server") != "" || a.header.Get("X-Amz-Request-Id") == "" {
		t.Errorf("header %v", a.header)
	}
}

func TestShutdownWaitsForARequest(t *testing.T) {
	w := newWorld(t, Options{})
	begun, goOn := make(chan struct{}), make(chan struct{})
	w.be.before = func(string, string) { close(begun); <-goOn }
	got := make(chan answered, 1)
	go func() { got <- w.do(request{method: "PUT", path: "/photos/k", key: "ALICE", body: "abc"}) }()
	<-begun
	closed := make(chan struct{})
	go func() { _ = w.s.Close(); close(closed) }()
	for w.s.ready() == nil { // Close has begun
		time.Sleep(time.Millisecond)
	}
	select {
	case <-closed:
		t.Fatal("Close did not wait")
	default:
	}
	close(goOn)
	w.expect("the request under way", <-got, 200, "")
	<-closed
	if s, _ := w.be.object("photos/k"); s != "abc" {
		t.Errorf("stored %q", s)
	}
}

func TestShutdownCutsOffWhatHangs(t *testing.T) {
	w := newWorld(t, Options{Grace: 150 * time.Millisecond})
	begun, goOn := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	w.be.before = func(string, string) { close(begun); <-goOn }
	go w.do(request{method: "PUT", path: "/photos/k", key: "ALICE", body: "abc"})
	<-begun
	begin := time.Now()
	_ = w.s.Close()
	if took := time.Since(begin); took < 150*time.Millisecond || took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(l, newMemory(), &book{}, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Run(t.Context()); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("Run after Close: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the listener is open")
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.before = func(op, key string) {
		if key == "boom" {
			panic("boom")
		}
	}
	w.expect("a panic", w.do(request{path: "/photos/boom", key: "ALICE"}), 500, "InternalError")
	w.expect("afterwards", w.do(request{path: "/photos/k", key: "ALICE"}), 404, "NoSuchKey")
	_ = w.s.Close()
	if !strings.Contains(w.log.String(), "boom") {
		t.Errorf("the log does not say why: %s", w.log)
	}
}

type bomb struct{}

func (bomb) Read([]byte) (int, error)         { panic("boom") }
func (bomb) WriteTo(io.Writer) (int64, error) { panic("boom") }
func (bomb) Close() error                     { panic("boom") }

// After the handler nobody recovers: without our own care the process ends here.
func TestAPanicWhileAnObjectIsSent(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["photos/k"] = bytes.Repeat([]byte("x"), 1000)
	w.be.body = func(string) io.ReadCloser { return bomb{} }
	if a := w.do(request{path: "/photos/k", key: "ALICE"}); len(a.body) == 1000 {
		t.Error("a whole object came")
	}
	w.be.set(func() { w.be.body = nil })
	w.expect("afterwards", w.do(request{path: "/photos/k", key: "ALICE"}), 200, "")
}

func TestAccessLogAndMetrics(t *testing.T) {
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	ready := errors.New("not yet")
	w := newWorld(t, Options{AccessLog: &log, Registry: reg, Ready: func() error { return ready }})
	w.be.objects["photos/k"] = []byte("hello")
	w.do(request{path: "/photos/k", key: "ALICE", header: []string{"User-Agent: evil\" 200ü", "Referer: https://r/"}})
	w.raw("GET "+request{path: "/photos/k", key: "ALICE"}.presigned(time.Minute)+" HTTP/1.1\r\nHost: h\r\n\r\n", false)
	w.do(request{path: "/photos/k", key: "NOBODY"})
	w.raw("GET /photos/k HTTP/1.1\r\nbroken\r\n\r\n", false)

	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		w.s.Status().ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return rec.Code, rec.Body.String()
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Errorf("/healthz %d", code)
	}
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "not yet") {
		t.Errorf("/readyz %d %s", code, body)
	}
	ready = nil
	if code, _ := get("/readyz"); code != 200 {
		t.Errorf("/readyz %d", code)
	}
	_, text := get("/metrics")
	for _, want := range []string{`stratos_s3_requests_total{action="GetObject",status="200"} 2`, `stratos_s3_requests_total{action="GetObject",status="403"} 1`,
		`stratos_s3_requests_total{action="none",status="400"} 1`, `stratos_s3_request_seconds_count{action="GetObject"} 3`, "stratos_s3_sent_bytes_total", "stratos_s3_connections"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	_ = w.s.Close()
	if code, _ := get("/readyz"); code != 503 {
		t.Errorf("/readyz after Close %d", code)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), &log)
	}
	if l := lines[0]; !strings.HasPrefix(l, "127.0.0.1 - ALICE [") || !strings.HasSuffix(l, `] "GET /photos/k HTTP/1.1" 200 5 "https://r/" "evil\" 200\u00fc"`) {
		t.Errorf("line %s", l)
	}
	if strings.Contains(lines[1], "X-Amz-Signature=") && !strings.Contains(lines[1], "X-Amz-Signature=- ") {
		t.Errorf("the log opens an object: %s", lines[1])
	}
	// A second gateway cannot share the registry unnoticed.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := New(l, newMemory(), &book{}, slog.New(slog.DiscardHandler), Options{Registry: reg}); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("a registry for two: %v", err)
	}
}
