package s3

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// Requests that must not pass, by their signature.
func TestSignatures(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["photos/k"], w.be.objects["public/k"], w.be.objects["bobs/k"] = []byte("alice's"), []byte("everybody's"), []byte("bob's")
	get := request{path: "/photos/k", key: "ALICE"}
	with := func(f func(*request)) request { r := get; f(&r); return r }
	at := func(d time.Duration) request { return with(func(r *request) { r.at = time.Now().Add(d) }) }
	replace := func(old, new string) func(*request) {
		return func(r *request) { r.tamper = func(s string) string { return strings.Replace(s, old, new, 1) } }
	}
	for _, c := range []struct {
		name   string
		r      request
		status int
		code   string
	}{
		{"good", get, 200, ""},
		{"nobody", with(func(r *request) { r.key = "" }), 403, "AccessDenied"},
		{"nobody, a public object", request{path: "/public/k"}, 200, ""},
		{"nobody, deletes it", request{method: "DELETE", path: "/public/k"}, 403, "AccessDenied"},
		{"unknown key", with(func(r *request) { r.key = "MALLORY" }), 403, "InvalidAccessKeyId"},
		{"empty key and secret", with(func(r *request) { r.key, r.secret = "", emptySecret }), 403, "InvalidAccessKeyId"},
		{"wrong secret", with(func(r *request) { r.secret = "guess" }), 403, "SignatureDoesNotMatch"},
		{"empty secret", with(func(r *request) { r.secret = emptySecret }), 403, "SignatureDoesNotMatch"},
		{"key of 129 bytes", with(func(r *request) { r.key = strings.Repeat("A", 129) }), 403, "InvalidAccessKeyId"},
		{"other region", with(func(r *request) { r.region = "eu-west-1" }), 400, "AuthorizationHeaderMalformed"},
		{"other service", with(func(r *request) { r.service = "ec2" }), 400, "AuthorizationHeaderMalformed"},
		{"16 minutes ago", at(-16 * time.Minute), 403, "RequestTimeTooSkewed"},
		{"in 16 minutes", at(16 * time.Minute), 403, "RequestTimeTooSkewed"},
		{"another object", with(replace("/photos/k", "/photos/l")), 403, "SignatureDoesNotMatch"},
		{"another method", with(replace("GET", "DELETE")), 403, "SignatureDoesNotMatch"},
		{"a query added", with(replace("/photos/k", "/photos/k?versionId=x")), 403, "SignatureDoesNotMatch"},
		{"Host swapped", with(replace("host: h", "host: i")), 403, "SignatureDoesNotMatch"},
		{"an x-amz header added", request{method: "PUT", path: "/photos/k", key: "ALICE", header: []string{"X-Amz-Acl: private"}}, 403, "AccessDenied"},
		{"a copy source added", request{method: "PUT", path: "/photos/k", key: "ALICE", header: []string{"X-Amz-Copy-Source: bobs/k"}}, 403, "AccessDenied"},
		{"a session token of nobody's", with(func(r *request) { r.header = []string{"x-amz-security-token: x"} }), 400, "InvalidToken"},
		{"bob, alice's object", with(func(r *request) { r.key = "BOB" }), 403, "AccessDenied"},
		{"bob writes it", request{method: "PUT", path: "/photos/k", key: "BOB", body: "x"}, 403, "AccessDenied"},
		{"bob lists", request{path: "/photos", query: "list-type=2", key: "BOB"}, 403, "AccessDenied"},
		{"bob copies it to himself", request{method: "PUT", path: "/bobs/x", key: "BOB", header: []string{"x-amz-copy-source: photos/k"}}, 403, "AccessDenied"},
		{"bob copies it to himself, escaped", request{method: "PUT", path: "/bobs/x", key: "BOB", header: []string{"x-amz-copy-source: photos%2Fk"}}, 403, "AccessDenied"},
		{"bob copies a version of it", request{method: "PUT", path: "/bobs/x", key: "BOB", header: []string{"x-amz-copy-source: photos/k?versionId=null"}}, 403, "AccessDenied"},
		{"alice copies her own", request{method: "PUT", path: "/photos/x", key: "ALICE", header: []string{"x-amz-copy-source: photos/k"}}, 200, ""},
		{"bob, the public one", request{path: "/public/k", key: "BOB"}, 200, ""},
		{"alice, past a policy that does not name her", request{method: "DELETE", path: "/public/x", key: "ALICE"}, 204, ""},
		{"expected owner", with(func(r *request) { r.header = []string{"x-amz-expected-bucket-owner: " + w.bob.Account().String()} }), 403, "AccessDenied"},
	} {
		w.expect(c.name, w.do(c.r), c.status, c.code)
	}
	if s, _ := w.be.object("photos/k"); s != "alice's" {
		t.Errorf("alice's object is %q", s)
	}
}

// emptySecret signs with "", where request's zero value means none.
const emptySecret = "\x00empty"

func TestRootKey(t *testing.T) {
	w := newWorld(t, Options{})
	for _, key := range []string{"root", "admin", "", "AKIAIOSFODNN7EXAMPLE"} {
		for _, secret := range []string{key, "", "root"} {
			r := request{method: "PUT", path: "/photos/k", key: key, secret: secret, body: "x"}
			r.defaults()
			signature, names, lines := r.sign()
			text := "PUT /photos/k HTTP/1.1\r\n" + lines + "Content-Length: 1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=" + key + "/" + r.scope() + ",SignedHeaders=" + names + ",Signature=" + signature + "\r\n\r\nx"
			if a := w.raw(text, false); a.status/100 != 4 {
				t.Errorf("key %q, secret %q: %v", key, secret, a)
			}
		}
	}
	if len(w.be.objects) != 0 {
		t.Error("somebody wrote")
	}
	// Two servers have different roots, of more than anybody guesses.
	roots := map[string]bool{}
	for range 2 {
		root := newRoot()
		if len(root.Access) < 40 || len(root.Secret) < 40 || root.Access == root.Secret {
			t.Error("the root key can be guessed")
		}
		roots[root.Access] = true
	}
	if len(roots) != 2 {
		t.Error("two servers have one root key")
	}
}

func TestPresigned(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["photos/k"] = []byte("x")
	get := func(method, uri, host string) answered {
		return w.raw(method+" "+uri+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\n\r\n", false)
	}
	r := request{path: "/photos/k", key: "ALICE"}
	old := func(d time.Duration) request { r := r; r.at = time.Now().Add(-d); return r }
	region, service := r, r
	region.region, service.service = "eu-west-1", "ec2"
	for _, c := range []struct {
		name, method, uri, host string
		status                  int
		code                    string
	}{
		{"good", "GET", r.presigned(time.Minute), "h", 200, ""},
		{"just within", "GET", old(59 * time.Minute).presigned(time.Hour), "h", 200, ""},
		{"expired", "GET", old(61 * time.Minute).presigned(time.Hour), "h", 403, "AccessDenied"},
		{"seven days", "GET", r.presigned(7 * 24 * time.Hour), "h", 200, ""},
		{"longer", "GET", r.presigned(7*24*time.Hour + time.Second), "h", 400, "AuthorizationQueryParametersError"},
		{"its time changed", "GET", strings.Replace(r.presigned(time.Minute), "Expires=60", "Expires=61", 1), "h", 403, "SignatureDoesNotMatch"},
		{"its object changed", "GET", strings.Replace(r.presigned(time.Minute), "/k?", "/l?", 1), "h", 403, "SignatureDoesNotMatch"},
		{"another method", "DELETE", r.presigned(time.Minute), "h", 403, "SignatureDoesNotMatch"},
		{"another host", "GET", r.presigned(time.Minute), "i", 403, "SignatureDoesNotMatch"},
		{"a query added", "GET", r.presigned(time.Minute) + "&response-content-type=text/html", "h", 403, "SignatureDoesNotMatch"},
		{"other region", "GET", region.presigned(time.Minute), "h", 400, "AuthorizationQueryParametersError"},
		{"other service", "GET", service.presigned(time.Minute), "h", 400, "AuthorizationQueryParametersError"},
		{"unknown key", "GET", request{path: "/photos/k", key: "MALLORY"}.presigned(time.Minute), "h", 403, "InvalidAccessKeyId"},
		{"no signature", "GET", "/photos/k?X-Amz-Algorithm=AWS4-HMAC-SHA256", "h", 400, "AuthorizationQueryParametersError"},
		{"response headers without a signature", "GET", "/public/k?response-content-type=text/html", "h", 400, "InvalidRequest"},
	} {
		w.expect(c.name, get(c.method, c.uri, c.host), c.status, c.code)
	}
}

// Names that are none.
func TestPaths(t *testing.T) {
	w := newWorld(t, Options{})
	long := strings.Repeat("k", 1024)
	for _, c := range []struct {
		path   string
		status int
		code   string
	}{
		{"/photos/a%zz", 400, "InvalidURI"}, {"/photos/a%", 400, "InvalidURI"}, {"/photos/a%2", 400, "InvalidURI"}, {"/%zz/k", 400, "InvalidURI"},
		{"/photos/a%00b", 400, "InvalidURI"}, {"/photos/a%0D%0AX-Evil%3A1", 200, ""}, {"/photos/a%0Ab", 200, ""},
		{"/photos/%ff", 400, "InvalidURI"}, {"/photos/%c0%af", 400, "InvalidURI"}, {"/photos/%ed%a0%80", 400, "InvalidURI"},
		{"/photos/\xff", 400, "InvalidURI"},
		{"/photos/../bobs/k", 400, "400"}, {"/photos/a/../../bobs/k", 400, "400"}, {"/photos/%2e%2e/bobs/k", 400, "400"}, {"/photos/..%2fbobs%2fk", 400, "400"},
		{"/photos/%252e%252e/k", 200, ""}, {"/photos/a//b", 200, ""}, {"/photos/a/./b", 200, ""}, {"/photos/%E2%82%AC", 200, ""},
		{"/photos/" + long, 200, ""}, {"/photos/" + long + "k", 400, "KeyTooLongError"},
		{"/PHOTOS/k", 400, "InvalidBucketName"}, {"/../etc/passwd", 400, "InvalidBucketName"},
	} {
		w.expect("PUT "+c.path[:min(len(c.path), 40)], w.do(request{method: "PUT", path: c.path, key: "ALICE", body: "x"}), c.status, c.code)
	}
	want := []string{"a\r\nX-Evil:1", "a\nb", "%2e%2e/k", "a//b", "a/./b", "€", long}
	for _, k := range want {
		if _, ok := w.be.object("photos/" + k); !ok {
			t.Errorf("no object %.40q", k)
		}
	}
	if len(w.be.objects) != len(want) {
		t.Errorf("%d objects are stored, want %d", len(w.be.objects), len(want))
	}
	for _, source := range []string{"photos/%zz", "photos/a%00", "photos/%ff"} {
		w.expect("copy of "+source, w.do(request{method: "PUT", path: "/photos/x", key: "ALICE", header: []string{"x-amz-copy-source: " + source}}), 400, "InvalidArgument")
	}
	w.expect("GET of a long key", w.do(request{path: "/photos/" + long + "k", key: "ALICE"}), 400, "KeyTooLongError")
	w.expect("a query with a bad escape", w.do(request{path: "/photos", query: "list-type=2&prefix=%zz", key: "ALICE"}), 400, "InvalidURI")
	for _, r := range []request{
		{path: "/photos/a%0D%0AX-Evil%3A1"}, {path: "/photos/nobody%0D%0AX-Evil%3A1"}, {path: "/photos", query: "list-type=2"}, {path: "/photos/a%0D%0AX-Evil%3A1", query: "acl"},
		{method: "PUT", path: "/photos/a%0D%0AX-Evil%3A1", header: []string{"x-amz-copy-source: photos/a%0D%0AX-Evil%3A1"}}, {method: "DELETE", path: "/photos/a%0D%0AX-Evil%3A1"},
	} {
		r.key = "ALICE"
		if a := w.do(r); a.status >= 500 || a.header.Get("X-Evil") != "" {
			t.Errorf("%s %s?%s: answered %d, %v", r.method, r.path, r.query, a.status, a.header)
		}
	}
}

func TestSmuggling(t *testing.T) {
	w := newWorld(t, Options{})
	signed := request{method: "PUT", path: "/photos/k", key: "ALICE", body: "abc"}
	for name, c := range map[string]struct{ old, new string }{
		"two lengths":          {"Content-Length: 3", "Content-Length: 3\r\nContent-Length: 5"},
		"length and chunked":   {"Content-Length: 3", "Content-Length: 3\r\nTransfer-Encoding: chunked"},
		"chunked":              {"Content-Length: 3", "Transfer-Encoding: chunked"},
		"a signed length":      {"Content-Length: 3", "Content-Length: +3"},
		"a negative length":    {"Content-Length: 3", "Content-Length: -3"},
		"a folded length":      {"Content-Length: 3", "Content-Length: 3\r\n 5"},
		"two hosts":            {"host: h", "host: h\r\nHost: i"},
		"a space before colon": {"Content-Length: 3", "Content-Length : 3"},
	} {
		r := signed
		r.tamper = func(s string) string { return strings.Replace(s, c.old, c.new, 1) }
		if a := w.do(r); a.status/100 != 4 && a.status != 0 {
			t.Errorf("%s: %v", name, a)
		}
	}
	if len(w.be.objects) != 0 {
		t.Error("something was stored")
	}
	// A body of unknown length that would be read into memory.
	r := request{method: "POST", path: "/photos", query: "delete", key: "ALICE", body: "5\r\n<a/>x\r\n0\r\n\r\n"}
	r.tamper = func(s string) string {
		return strings.Replace(s, "Content-Length: 15", "Transfer-Encoding: chunked", 1)
	}
	if !strings.Contains(r.String(), "chunked") {
		t.Fatal(r.String())
	}
	w.expect("a chunked document", w.do(r), 411, "MissingContentLength")
}

// Narrow keys: what they open, and the neighbour whose name begins alike.
func TestNarrowKeys(t *testing.T) {
	w := newWorld(t, Options{})
	for _, k := range []string{"photos/2024/a", "photos/2024b/a", "photos2/a", "photos2/2024/a"} {
		w.be.objects[k] = []byte("x")
	}
	w.keys.add("BUCKET", share(t, w.alice, client.Terms{Prefix: "photos/"}))
	w.keys.add("FOLDER", share(t, w.alice, client.Terms{Prefix: "photos/2024/"}))
	w.keys.add("READER", share(t, w.alice, client.Terms{Prefix: "photos/", Operations: grant.Read | grant.List}))
	w.keys.add("WRITER", share(t, w.alice, client.Terms{Prefix: "photos/", Operations: grant.Write}))
	w.keys.add("NEIGHBOUR", share(t, w.alice, client.Terms{Prefix: "photos2/"}))
	list := func(bucket, prefix string) request {
		return request{path: "/" + bucket, query: "list-type=2&prefix=" + prefix}
	}
	put := func(path string) request { return request{method: "PUT", path: path, body: "x"} }
	for _, c := range []struct {
		key    string
		r      request
		status int
	}{
		{"BUCKET", request{path: "/photos/2024/a"}, 200}, {"BUCKET", request{path: "/photos2/a"}, 403}, {"BUCKET", put("/photos2/b"), 403}, {"BUCKET", put("/photos/b"), 200},
		{"BUCKET", list("photos", ""), 200}, {"BUCKET", list("photos2", ""), 403}, {"BUCKET", list("photos2", "photos/"), 403},
		{"BUCKET", request{method: "DELETE", path: "/photos2/a"}, 403}, {"BUCKET", request{method: "DELETE", path: "/photos/b"}, 204},
		{"BUCKET", request{path: "/photos2", query: "versioning"}, 403}, {"BUCKET", request{path: "/photos", query: "versioning"}, 200},
		{"FOLDER", request{path: "/photos/2024/a"}, 200}, {"FOLDER", request{path: "/photos/2024b/a"}, 403}, {"FOLDER", request{path: "/photos/2024"}, 403},
		{"FOLDER", request{path: "/photos2/2024/a"}, 403},
		{"FOLDER", list("photos", "2024/"), 200}, {"FOLDER", list("photos", "2024/x"), 200}, {"FOLDER", list("photos", "2024"), 403}, {"FOLDER", list("photos", ""), 403}, {"FOLDER", list("photos", "2024b/"), 403},
		{"FOLDER", list("photos", "&prefix=2024/"), 403}, {"FOLDER", list("photos", "2024/&prefix="), 200},
		{"FOLDER", put("/photos/2024/n"), 200}, {"FOLDER", put("/photos/2024/../n"), 200}, {"FOLDER", put("/photos/n"), 403},
		{"FOLDER", request{method: "PUT", path: "/photos/2024/c", header: []string{"x-amz-copy-source: photos/2024b/a"}}, 403},
		{"FOLDER", request{method: "PUT", path: "/photos/2024/c", header: []string{"x-amz-copy-source: photos/2024/a"}}, 200},
		{"FOLDER", request{path: "/photos", query: "policy"}, 403}, {"FOLDER", request{path: "/photos", query: "location"}, 200}, {"FOLDER", request{path: "/"}, 200},
		{"FOLDER", request{method: "HEAD", path: "/photos"}, 200}, {"FOLDER", request{method: "HEAD", path: "/photos2"}, 403}, {"FOLDER", request{path: "/photos"}, 403},
		{"WRITER", request{method: "HEAD", path: "/photos"}, 403}, {"BOB", request{method: "HEAD", path: "/photos"}, 403}, {"", request{method: "HEAD", path: "/photos"}, 403},
		{"NEIGHBOUR", request{path: "/photos", query: "location"}, 403}, {"NEIGHBOUR", request{path: "/photos2", query: "location"}, 200}, {"NEIGHBOUR", request{path: "/photos/2024/a"}, 403},
		{"READER", request{path: "/photos/2024/a"}, 200}, {"READER", put("/photos/b"), 403}, {"READER", request{method: "DELETE", path: "/photos/2024/a"}, 403},
		{"READER", request{method: "PUT", path: "/photos", query: "policy", body: "{}"}, 403}, {"READER", request{method: "PUT", path: "/third"}, 403},
		{"WRITER", put("/photos/b"), 200}, {"WRITER", request{path: "/photos/2024/a"}, 403}, {"WRITER", list("photos", ""), 403}, {"WRITER", request{path: "/"}, 403},
		{"BUCKET", request{method: "PUT", path: "/third"}, 403}, {"ALICE", request{method: "PUT", path: "/third"}, 200},
	} {
		c.r.key = c.key
		c.r.query = escapeSlashes(c.r.query)
		if a := w.do(c.r); a.status != c.status {
			t.Errorf("%s: %s %s %s %v: %v, want %d", c.key, c.r.method, c.r.path, c.r.query, c.r.header, a, c.status)
		}
	}
}

// Dots in a key are letters: what was written under 2024/ lies there.
func TestDotsAreLetters(t *testing.T) {
	w := newWorld(t, Options{})
	w.expect("PUT", w.do(request{method: "PUT", path: "/photos/2024/../n", key: "ALICE", body: "x"}), 200, "")
	if _, ok := w.be.object("photos/2024/../n"); !ok || len(w.be.objects) != 1 {
		t.Errorf("stored %v", w.be.objects)
	}
}

func escapeSlashes(q string) string { return strings.ReplaceAll(q, "/", "%2F") }

// A policy lets another account in, but not past what its key was made for.
func TestPolicyAndGrant(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["photos/k"] = []byte("x")
	w.be.policies["photos"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + w.bob.Account().String() + `"]},"Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}]}`
	w.keys.add("BOBS-OWN", share(t, w.bob, client.Terms{Prefix: "bobs/"}))
	w.expect("bob, let in", w.do(request{path: "/photos/k", key: "BOB"}), 200, "")
	w.expect("bob writes", w.do(request{method: "PUT", path: "/photos/k", key: "BOB", body: "y"}), 403, "AccessDenied")
	w.expect("bob's narrow key", w.do(request{path: "/photos/k", key: "BOBS-OWN"}), 403, "AccessDenied")
	w.be.set(func() {
		p := strings.Replace(w.be.policies["photos"], "Allow", "Deny", 1)
		w.be.policies["photos"] = strings.Replace(p, w.bob.Account().String(), w.alice.Account().String(), 1)
	})
	w.expect("alice, whom her own policy denies", w.do(request{path: "/photos/k", key: "ALICE"}), 403, "AccessDenied")
	for name, status := range map[string]int{w.bob.Account().String(): 204, "BOB": 400, "st1qqqq": 400, fmt.Sprintf("0x%x", w.bob.Account()): 400} {
		p := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + name + `"]},"Action":"s3:GetObject","Resource":"arn:aws:s3:::photos2/*"}]}`
		if a := w.do(request{method: "PUT", path: "/photos2", query: "policy", key: "ALICE", body: p}); a.status/100 != status/100 {
			t.Errorf("a policy that names %s: %v", name, a)
		}
	}
}

// A bucket that changed hands is its new owner's at once.
func TestBucketChangesHands(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["photos/k"] = []byte("x")
	w.expect("alice", w.do(request{path: "/photos/k", key: "ALICE"}), 200, "")
	w.be.set(func() { w.be.owners["photos"] = w.bob.Account().String() })
	w.expect("alice, afterwards", w.do(request{path: "/photos/k", key: "ALICE"}), 403, "AccessDenied")
	w.expect("bob, afterwards", w.do(request{path: "/photos/k", key: "BOB"}), 200, "")
}

func TestRevokedKeyOnAKeptConnection(t *testing.T) {
	w := newWorld(t, Options{KeyTime: 100 * time.Millisecond})
	w.be.objects["photos/k"] = []byte("x")
	c := w.dial()
	r := bufio.NewReader(c)
	ask := func() answered {
		_, _ = io.WriteString(c, request{path: "/photos/k", key: "ALICE"}.String())
		return readAnswer(r, "GET")
	}
	w.expect("before", ask(), 200, "")
	w.keys.revoke("ALICE")
	for begin := time.Now(); time.Since(begin) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
		if a := ask(); a.status != 200 {
			w.expect("revoked", a, 403, "InvalidAccessKeyId")
			return
		}
	}
	t.Error("the key works on")
}

// A form is no reason to write to disk before anybody knows whose it is.
func TestFormLeavesNoFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w := newWorld(t, Options{})
	part := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n"
	body := part + strings.Repeat("x", 24<<20) + "\r\n--B--\r\n"
	for _, method := range []string{"PUT", "POST"} {
		for _, path := range []string{"/photos/k", "/photos"} {
			text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body)+1000, body)
			c := w.dial()
			go func() { _, _ = io.WriteString(c, text) }()
			a := readAnswer(bufio.NewReader(c), method)
			if files, _ := filepath.Glob(os.TempDir() + "/*"); len(files) != 0 {
				t.Errorf("%s %s left %v", method, path, files)
			}
			if a.status/100 == 2 {
				t.Errorf("%s %s: %v", method, path, a)
			}
			c.Close()
		}
	}
}

// An owner who denied himself everything takes that back, and does nothing else before.
func TestOwnerBehindHisPolicy(t *testing.T) {
	w := newWorld(t, Options{})
	w.keys.add("READER", share(t, w.alice, client.Terms{Prefix: "photos/", Operations: grant.Read | grant.List}))
	w.be.objects["photos/k"] = []byte("x")
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::photos","arn:aws:s3:::photos/*"]}]}`
	w.be.policies["photos"] = deny
	for _, c := range []struct {
		key    string
		r      request
		status int
	}{
		{"ALICE", request{path: "/photos/k"}, 403}, {"ALICE", request{path: "/photos/k", query: "policy"}, 403}, {"ALICE", request{method: "DELETE", path: "/photos/k", query: "policy"}, 403},
		{"ALICE", request{path: "/photos", query: "location"}, 403}, {"ALICE", request{path: "/photos", query: "list-type=2&policy"}, 200}, // the policy
		{"ALICE", request{path: "/photos", query: "policy"}, 200}, {"BOB", request{path: "/photos", query: "policy"}, 403}, {"BOB", request{method: "DELETE", path: "/photos", query: "policy"}, 403},
		{"READER", request{method: "DELETE", path: "/photos", query: "policy"}, 403}, {"ALICE", request{method: "PUT", path: "/photos", query: "policy", body: deny}, 204},
		{"ALICE", request{method: "DELETE", path: "/photos", query: "policy"}, 204}, {"ALICE", request{path: "/photos/k"}, 200},
	} {
		c.r.key = c.key
		if a := w.do(c.r); a.status != c.status || strings.Contains(c.r.query, "policy") && a.status == 200 && a.body != deny {
			t.Errorf("%s: %s %s?%s: %v, want %d", c.key, c.r.method, c.r.path, c.r.query, a, c.status)
		}
	}
}

// A form upload's key is only known from its fields.
func TestFormUpload(t *testing.T) {
	w := newWorld(t, Options{})
	w.keys.add("FOLDER", share(t, w.alice, client.Terms{Prefix: "photos/2024/"}))
	post := func(keyID, bucket, key string) answered {
		r := request{key: keyID}
		r.defaults()
		policy := base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf(`{"expiration":%q,"conditions":[{"bucket":"photos"},["starts-with","$key",""],{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":%q},{"x-amz-date":%q}]}`,
			time.Now().Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000Z"), r.key+"/"+r.scope(), r.at.Format("20060102T150405Z"))))
		body := ""
		for _, f := range [][2]string{{"key", key}, {"policy", policy}, {"x-amz-algorithm", "AWS4-HMAC-SHA256"}, {"x-amz-credential", r.key + "/" + r.scope()},
			{"x-amz-date", r.at.Format("20060102T150405Z")}, {"x-amz-signature", hex.EncodeToString(mac(r.signing(), policy))}, {"file", "content"}} {
			body += "--B\r\nContent-Disposition: form-data; name=\"" + f[0] + "\"\r\n\r\n" + f[1] + "\r\n"
		}
		body += "--B--\r\n"
		return w.raw(fmt.Sprintf("POST /%s HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n%s", bucket, len(body), body), false)
	}
	w.expect("its folder", post("FOLDER", "photos", "2024/a"), 204, "")
	w.expect("another folder", post("FOLDER", "photos", "2025/a"), 403, "AccessDenied")
	w.expect("another bucket", post("ALICE", "photos2", "a"), 403, "AccessDenied")
	w.expect("a key with NUL", post("ALICE", "photos", "a\x00b"), 400, "InvalidURI")
	lines := post("FOLDER", "photos", "2024/a\r\nX-Evil: 1")
	if w.expect("a key of two lines", lines, 204, ""); lines.header.Get("X-Evil") != "" || !strings.HasSuffix(lines.header.Get("Location"), "a%0D%0AX-Evil:%201") {
		t.Errorf("a key of two lines: %v", lines.header)
	}
	w.expect("a key of 1025 bytes", post("ALICE", "photos", strings.Repeat("k", 1025)), 400, "KeyTooLongError")
	w.expect("somebody else's bucket", post("BOB", "photos", "2024/b"), 403, "AccessDenied")
	if s, ok := w.be.object("photos/2024/a"); !ok || s != "content" || len(w.be.objects) != 2 {
		t.Errorf("stored %q of %v", s, w.be.objects)
	}
}

// Pages of objects have no rights in a browser, whatever their type.
func TestObjectsAreNoPages(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["public/page.html"] = []byte("<script>alert(1)</script>")
	for _, path := range []string{"/public/page.html", "/public/none", "/public/%zz"} {
		a := w.do(request{path: path, header: []string{"Sec-Fetch-Dest: document"}})
		if a.header.Get("Content-Security-Policy") != "sandbox" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v %v", path, a, a.header)
		}
	}
}

func TestEncryptionHeaders(t *testing.T) {
	w := newWorld(t, Options{})
	put := func(h string) answered {
		return w.do(request{method: "PUT", path: "/photos/k", key: "ALICE", body: "x", header: []string{h}})
	}
	for _, h := range []string{"x-amz-server-side-encryption-customer-algorithm: AES256", "x-amz-server-side-encryption-customer-key: x",
		"x-amz-copy-source-server-side-encryption-customer-key: x", "x-amz-server-side-encryption: aws:kms"} {
		w.expect(h, put(h), 501, "NotImplemented")
	}
	a := put("x-amz-server-side-encryption: AES256")
	w.expect("AES256", a, 200, "")
	if got := a.header.Get("X-Amz-Server-Side-Encryption"); got != "AES256" {
		t.Errorf("echoed %q", got)
	}
}

// What is asked for and not kept is refused.
func TestNothingIsIgnored(t *testing.T) {
	w := newWorld(t, Options{})
	for _, c := range []struct {
		name   string
		r      request
		status int
		code   string
	}{
		{"a private object", request{method: "PUT", path: "/photos/k", body: "x", header: []string{"x-amz-acl: private"}}, 200, ""},
		{"the standard class", request{method: "PUT", path: "/photos/k", body: "x", header: []string{"x-amz-storage-class: STANDARD"}}, 200, ""},
		{"a public object", request{method: "PUT", path: "/photos/new", body: "x", header: []string{"x-amz-acl: public-read"}}, 400, "AccessControlListNotSupported"},
		{"an object for another", request{method: "PUT", path: "/photos/new", body: "x", header: []string{"x-amz-grant-read: id=" + w.bob.Account().String()}}, 400, "AccessControlListNotSupported"},
		{"a public copy", request{method: "PUT", path: "/photos/new", header: []string{"x-amz-acl: public-read", "x-amz-copy-source: photos/k"}}, 400, "AccessControlListNotSupported"},
		{"a public upload", request{method: "POST", path: "/photos/new", query: "uploads", header: []string{"x-amz-acl: public-read"}}, 400, "AccessControlListNotSupported"},
		{"a glacier", request{method: "PUT", path: "/photos/new", body: "x", header: []string{"x-amz-storage-class: GLACIER"}}, 400, "InvalidStorageClass"},
		{"a glacier of parts", request{method: "POST", path: "/photos/new", query: "uploads", header: []string{"x-amz-storage-class: DEEP_ARCHIVE"}}, 400, "InvalidStorageClass"},
		{"a torrent", request{path: "/photos/k", query: "torrent"}, 501, "NotImplemented"},
		{"a private bucket", request{method: "PUT", path: "/third", header: []string{"x-amz-acl: private"}}, 200, ""},
		{"versions", request{method: "PUT", path: "/photos", query: "versioning", body: "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>"}, 200, ""},
		{"versions that take a second factor", request{method: "PUT", path: "/photos", query: "versioning", body: "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"}, 501, "NotImplemented"},
	} {
		c.r.key = "ALICE"
		w.expect(c.name, w.do(c.r), c.status, c.code)
	}
	for _, c := range []struct{ field, value, code string }{{"acl", "public-read", "AccessControlListNotSupported"}, {"x-amz-storage-class", "GLACIER", "InvalidStorageClass"}} {
		form := signedForm(fmt.Sprintf(`,{%q:%q}`, c.field, c.value), "content", "\r\n--B--\r\n", [2]string{c.field, c.value})
		w.expect("a form with "+c.field, w.raw(form, false), 400, c.code)
	}
	if len(w.be.objects) != 1 {
		t.Errorf("stored %v", w.be.objects)
	}
}
