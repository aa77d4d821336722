package s3

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
)

func TestHeaderBytes(t *testing.T) {
	for _, limit := range []int{0, 16 << 10} {
		w := newWorld(t, Options{HeaderBytes: limit})
		if limit == 0 {
			limit = 8 << 10
		}
		get := func(total int) answered {
			text := request{path: "/photos/k", key: "ALICE"}.String()
			pad := "X-Pad: "
			return w.raw(strings.Replace(text, "\r\n\r\n", "\r\n"+pad+strings.Repeat("a", total-len(text)-len(pad)-2)+"\r\n\r\n", 1), false)
		}
		w.expect("at the limit", get(limit), 404, "NoSuchKey")
		w.expect("one above", get(limit+1), 400, "RequestHeaderSectionTooLarge")
	}
}

func TestBufferedBodies(t *testing.T) {
	w := newWorld(t, Options{ListBytes: 20000, ConfigBytes: 10000})
	sum := func(b string) string { s := md5.Sum([]byte(b)); return base64.StdEncoding.EncodeToString(s[:]) }
	for _, c := range []struct {
		name, method, path, query string
		limit                     int
		header                    string
	}{
		{"delete", "POST", "/photos", "delete", 20000, ""},
		{"complete", "POST", "/photos/k", "uploadId=u", 20000, ""},
		{"create upload", "POST", "/photos/k", "uploads", 10000, ""},
		{"policy", "PUT", "/photos", "policy", 10000, ""},
		{"lifecycle", "PUT", "/photos", "lifecycle", 10000, ""},
		{"create bucket", "PUT", "/photos", "", 10000, ""},
		{"create bucket, with a slash", "PUT", "/photos/", "", 10000, ""},
		{"tagging", "PUT", "/photos/k", "tagging", 10000, ""},
		{"object acl", "PUT", "/photos/k", "acl", 10000, ""},
		{"a part with a tag", "PUT", "/photos/k", "partNumber=1&tagging=&uploadId=u", 10000, ""},
		{"copy", "PUT", "/photos/k", "", 10000, "x-amz-copy-source: photos/k"},
		{"GET", "GET", "/photos/k", "", 10000, ""},
		{"DELETE", "DELETE", "/photos/k", "", 10000, ""},
		{"a form with a hash", "POST", "/public", "", 10000, "x-amz-content-sha256: UNSIGNED-PAYLOAD"},
	} {
		for _, over := range []int{0, 1} {
			body := strings.Repeat(" ", c.limit+over)
			r := request{method: c.method, path: c.path, query: c.query, key: "ALICE", body: body, header: []string{"content-md5: " + sum(body)}}
			if c.header != "" {
				r.header = append(r.header, c.header)
			}
			a := w.do(r)
			if refused := a.code == "MaxMessageLengthExceeded"; refused != (over == 1) || a.status == 0 || a.status >= 500 && a.status != 501 {
				t.Errorf("%s of %d bytes: %v", c.name, len(body), a)
			}
		}
	}
	big := strings.Repeat("x", 100_000)
	w.expect("an object", w.do(request{method: "PUT", path: "/photos/k", key: "ALICE", body: big}), 200, "")
	w.expect("a part", w.do(request{method: "PUT", path: "/photos/k", query: "partNumber=1&uploadId=u", key: "ALICE", body: big}), 200, "")
	// Slashes at the end do not turn an object into something that is read at once.
	for _, path := range []string{"/photos//", "/photos///", "/photos/%2F"} {
		if a := w.do(request{method: "PUT", path: path, key: "ALICE", body: big}); a.code != "MaxMessageLengthExceeded" {
			t.Errorf("%s: %v", path, a)
		}
	}
}

// versitygw's router is asked what a PUT on an object may be, so that a kind that a new version brings is not taken for
// an object of any length.
func TestDocumentsAreAll(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/versity/versitygw").Output()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "s3api", "router.go"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(`objectRouter\.Put\("",\s+middlewares\.MatchQueryArgs\("([\w-]+)"\)`).FindAllSubmatch(src, -1) {
		if q := string(m[1]); q != "partNumber" && q != "uploadId" {
			found = append(found, q)
		}
	}
	slices.Sort(found)
	want := slices.Sorted(slices.Values(documents))
	if !slices.Equal(found, want) {
		t.Errorf("the router knows %v, we %v", found, want)
	}
}

func TestRequestsAtOnce(t *testing.T) {
	w := newWorld(t, Options{Requests: 2})
	var begun sync.WaitGroup
	begun.Add(2)
	goOn := make(chan struct{})
	w.be.before = func(_, key string) {
		if key == "wait" {
			begun.Done()
			<-goOn
		}
	}
	w.be.objects["photos/wait"] = []byte("x")
	got := make(chan answered, 2)
	for range 2 {
		go func() { got <- w.do(request{path: "/photos/wait", key: "ALICE"}) }()
	}
	begun.Wait()
	w.expect("one too many", w.do(request{path: "/photos/k", key: "ALICE"}), 503, "SlowDown")
	close(goOn)
	for range 2 {
		w.expect("within the limit", <-got, 200, "")
	}
	w.expect("afterwards", w.do(request{path: "/photos/k", key: "ALICE"}), 404, "NoSuchKey")
}

func TestClientRate(t *testing.T) {
	w := newWorld(t, Options{Limits: guard.Limits{ClientRate: 1, ClientBurst: 3}})
	c := w.dial()
	r := bufio.NewReader(c)
	for i := range 4 {
		_, _ = io.WriteString(c, request{path: "/photos/k", key: "ALICE"}.String())
		a := readAnswer(r, "GET")
		if i < 3 {
			w.expect(fmt.Sprint(i), a, 404, "NoSuchKey")
			continue
		}
		w.expect("one above", a, 503, "SlowDown")
		if a.header.Get("Retry-After") == "" {
			t.Error("it is not told when to come again")
		}
	}
}

// A body that nobody allowed is not read to its end.
func TestRefusedBodiesAreNotRead(t *testing.T) {
	w := newWorld(t, Options{})
	c := w.dial()
	_, _ = io.WriteString(c, request{method: "PUT", path: "/photos/k", key: "MALLORY", length: 1 << 30}.String())
	go func() {
		for b := bytes.Repeat([]byte("x"), 64<<10); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}()
	w.expect("unknown key", readAnswer(bufio.NewReader(c), "PUT"), 403, "InvalidAccessKeyId")
	if n := w.s.listener.Received.Load(); n > 4<<20 {
		t.Errorf("%d bytes were read", n)
	}
}
