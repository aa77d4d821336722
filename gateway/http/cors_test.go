package http

import (
	"testing"

	"github.com/versity/versitygw/auth"
)

func TestCORS(t *testing.T) {
	w := newWorld(t, Options{})
	w.films.put("x", "text/plain", "x")
	if got := w.ask("GET", "/films/x", "Origin: https://a.test"); got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("public: %v", got.header)
	}
	if got := w.ask("OPTIONS", "/films/x", "Origin: https://a.test", "Access-Control-Request-Method: GET"); got.status != 204 || got.header.Get("Access-Control-Allow-Methods") != "GET, HEAD" {
		t.Errorf("preflight: %v", got)
	}
	w.films.cors = &auth.CORSConfiguration{Rules: []auth.CORSRule{{AllowedMethods: []auth.CORSHTTPMethod{"GET"}, AllowedOrigins: []auth.CORSOrigin{"https://a.test"}}}}
	for origin, want := range map[string]string{"https://a.test": "https://a.test", "https://b.test": ""} {
		got := w.ask("GET", "/films/x", "Origin: "+origin)
		if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != want || got.header.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", origin, got)
		}
	}
	if got := w.ask("OPTIONS", "/films/x", "Origin: https://b.test", "Access-Control-Request-Method: GET"); got.status != 403 {
		t.Errorf("preflight of another: %v", got)
	}
	for _, c := range []struct {
		age  *int32
		want string
	}{{nil, "600"}, {new(int32), "0"}, {ptr(int32(7200)), "7200"}} {
		w.films.cors.Rules[0].MaxAgeSeconds = c.age
		if got := w.ask("OPTIONS", "/films/x", "Origin: https://a.test", "Access-Control-Request-Method: GET").header.Get("Access-Control-Max-Age"); got != c.want {
			t.Errorf("a preflight is good for %q seconds, want %s", got, c.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }
