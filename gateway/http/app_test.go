package http

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/client/function"
	apps "github.com/stratosmesh/stratos/gateway/app"
	"github.com/stratosmesh/stratos/protocol/app"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// An application shows the pages of its version, at its own host only, whatever its bucket shows; what it is made of cannot be seen.
func TestApp(t *testing.T) {
	runner := function.New(function.Options{}, slog.New(slog.DiscardHandler))
	all, err := apps.New(runner, nil, slog.New(slog.DiscardHandler), apps.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = runner.Close(), all.Close() })
	w := newWorld(t, Options{Apps: all})
	manifest := &app.Manifest{Format: 1, Version: 3, Deployed: time.Now(), Site: true, Functions: []app.Function{{Name: "f", Module: strings.Repeat("0", 64), Pages: 1, Fuel: 1}},
		Routes: []app.Route{{Pattern: "POST /api/{id}", Function: 0, Level: compute.Pair, Writes: true}}}
	set := func(version uint64) {
		manifest.Version = version
		w.films.app, _ = json.Marshal(manifest)
	}
	w.films.put(".app/site/3/index.html", "text/html", "three")
	w.films.put(".app/site/3/a/index.html", "text/html", "a of three")
	w.films.put(".app/site/3/404.html", "text/html", "not in three")
	w.films.put(".app/site/2/index.html", "text/html", "two")
	w.films.put(".app/secrets.json", "application/json", "secret")
	w.films.put("seen.txt", "text/plain", "seen")
	w.films.hidden = []string{""}
	const host = "Host: films.localhost"
	set(3)
	w.expect("index", w.ask("GET", "/", host), 200, "three")
	w.expect("folder's index", w.ask("GET", "/a/", host), 200, "a of three")
	if r := w.ask("GET", "/a", host); r.status != 302 || r.header.Get("Location") != "/a/" {
		t.Errorf("a folder without its slash: %+v", r)
	}
	w.expect("nothing", w.ask("GET", "/b", host), 404, "not in three")
	for _, path := range []string{"/.app/secrets.json", "/../../secrets.json", "/..%2F..%2Fsecrets.json", "/seen.txt", "/%2e%2e/2/index.html"} {
		if r := w.ask("GET", path, host); r.status == 200 || strings.Contains(r.body, "secret") || strings.Contains(r.body, "seen") {
			t.Errorf("%s: %+v", path, r)
		}
	}
	if r := w.ask("GET", "/api/1", host); r.status != 405 || r.header.Get("Allow") != "POST" {
		t.Errorf("a route by another method: %+v", r)
	}
	w.expect("a page by another method", w.ask("PUT", "/", host), 405, "")
	if r := w.ask("GET", "/films/a/"); r.status != 302 || !strings.HasPrefix(r.header.Get("Location"), "http://films.localhost:") || !strings.HasSuffix(r.header.Get("Location"), "/a/") {
		t.Errorf("not at its host: %+v", r)
	}
	w.expect("a form from elsewhere", w.ask("POST", "/films/api/1", "x"), 404, "")
	set(2)
	w.expect("another version", w.ask("GET", "/", host), 200, "two")
	w.expect("what only the other has", w.ask("GET", "/a/", host), 404, "")
	w.films.app = []byte(`{"format": 1, "version": 1, "more": 2}`)
	w.expect("a damaged manifest", w.ask("GET", "/", host), 500, "")
	w.films.app = []byte(`{"format": 2}`)
	if r := w.ask("GET", "/", host); r.status < 500 || strings.Contains(r.body, "three") {
		t.Errorf("a manifest of a later format: %+v", r)
	}
}
