package app

import (
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	r := httptest.NewRequest("POST", "http://app.example:8080/api/posts/7/a%20b/c?x=1&y=%00", nil)
	r.Header = nethttp.Header{"Content-Type": {"text/plain"}, "X-Two": {"a", "b"}, "Proxy": {"evil"}, "Connection": {"close"}, "Cookie": {"k=v"}}
	got := environment(r, &Visitor{From: "10.1.2.3", Secure: true}, "POST /api/posts/{id}/{rest...}", "abc", 12)
	want := strings.Split("GATEWAY_INTERFACE=CGI/1.1|SERVER_SOFTWARE=stratos|SERVER_PROTOCOL=HTTP/1.1|SERVER_NAME=app.example|SERVER_PORT=8080|REMOTE_ADDR=10.1.2.3|REQUEST_METHOD=POST|SCRIPT_NAME=|"+
		"PATH_INFO=/api/posts/7/a b/c|QUERY_STRING=x=1&y=%00|CONTENT_LENGTH=12|UNIQUE_ID=abc|HTTPS=on|CONTENT_TYPE=text/plain|PARAM_id=7|PARAM_rest=a b/c|HTTP_COOKIE=k=v|HTTP_X_TWO=a, b", "|")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParameters(t *testing.T) {
	for _, c := range []struct{ pattern, path, want string }{
		{"/a", "/a", ""},
		{"GET /{a}/{b}", "/1/2", "PARAM_a=1 PARAM_b=2"},
		{"GET\t/{a}/x/{$}", "/1/x/", "PARAM_a=1"},
		{"/{all...}", "/1/2/", "PARAM_all=1/2/"},
		{"/{a}/{all...}", "/1/", "PARAM_a=1 PARAM_all="},
	} {
		if got := strings.Join(parameters(c.pattern, c.path), " "); got != c.want {
			t.Errorf("%s of %s: %s", c.pattern, c.path, got)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		out    string
		status int // 0: refused
		body   string
		header string
	}{
		{"Content-Type: text/plain\n\nhello\n", 200, "hello\n", "Content-Type"},
		{"Content-Type: text/plain\r\n\r\n", 200, "", ""},
		{"Status: 404 Not Found\nContent-Type: a/b\n\nx\n\ny", 404, "x\n\ny", ""},
		{"Location: /x\n\n", 302, "", "Location"},
		{"Status: 301\nLocation: /x\n\n", 301, "", ""},
		{"Set-Cookie: a\nSet-Cookie: b\nContent-Type: x/y\nContent-Length: 999\nTransfer-Encoding: chunked\n\n1", 200, "1", "Set-Cookie"},
		{"", 0, "", ""},
		{"hello", 0, "", ""},
		{"hello: world", 0, "", ""},
		{"X-A: b\n\nno type", 0, "", ""},
		{"Status: 99\n\n", 0, "", ""},
		{"Status: 700\n\n", 0, "", ""},
		{"Status: yes\n\n", 0, "", ""},
		{"{\"a\": 1}\n\n", 0, "", ""},
	} {
		r, err := parse([]byte(c.out))
		if err != nil != (c.status == 0) {
			t.Errorf("%q: %+v, %v", c.out, r, err)
			continue
		}
		if err != nil {
			continue
		}
		w := httptest.NewRecorder()
		r.send(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != c.status || w.Body.String() != c.body || c.header != "" && w.Header().Get(c.header) == "" || w.Header().Get("Transfer-Encoding") != "" || w.Header().Get("Status") != "" || strings.Contains(w.Header().Get("Content-Length"), "999") {
			t.Errorf("%q: %d %q %v", c.out, w.Code, w.Body, w.Header())
		}
	}
}
