package home_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/mesh"
)

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  mesh.Kind
	}{
		{"absent", nil, mesh.NotFound},
		{"only settings", map[string]string{"config.toml": ""}, mesh.NotFound},
		{"somebody else's", map[string]string{"thesis.tex": "x"}, mesh.Invalid},
		{"newer", map[string]string{"VERSION": "2\n"}, mesh.Invalid},
		{"garbled", map[string]string{"VERSION": "one"}, mesh.Corrupt},
	} {
		dir := filepath.Join(t.TempDir(), "home")
		for name, content := range c.files {
			_ = os.MkdirAll(dir, 0o700)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := home.Open(dir)
		if err == nil || mesh.KindOf(err) != c.want || mesh.HintOf(err) == "" {
			t.Errorf("%s: Open = %v (%v, hint %q), want %v", c.name, err, mesh.KindOf(err), mesh.HintOf(err), c.want)
		}
		if c.want == mesh.NotFound {
			continue
		}
		if _, err := home.Create(dir); mesh.KindOf(err) != c.want {
			t.Errorf("%s: Create = %v", c.name, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != len(c.files) {
			t.Errorf("%s: the folder was touched: %v", c.name, entries)
		}
	}
}

func TestCreateKeepsSettings(t *testing.T) {
	dir := t.TempDir()
	settings := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(settings, []byte("nodes = 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := home.Create(dir); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(settings); string(b) != "nodes = 9\n" {
		t.Fatalf("settings are now %q", b)
	}
}

func TestProfile(t *testing.T) {
	h, err := home.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Profile(); mesh.KindOf(err) != mesh.NotFound {
		t.Fatalf("without a profile: %v", err)
	}
	want := &home.Profile{Network: mesh.NetworkID{1}, ChainID: "c", Account: "alice", Endpoints: home.Endpoints{Eth: "http://x"}}
	if err := h.SetProfile(want); err != nil {
		t.Fatal(err)
	}
	got, err := h.Profile()
	if err != nil || got.Network != want.Network || got.Endpoints != want.Endpoints {
		t.Fatalf("Profile = %+v, %v", got, err)
	}
	if err := os.WriteFile(h.Path("profile.json"), []byte(`{"format": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Profile(); mesh.KindOf(err) != mesh.Invalid {
		t.Fatalf("newer profile: %v", err)
	}
}

// A bucket's own host is below the domain, and without one below localhost, where browsers on this machine find it.
func TestSite(t *testing.T) {
	for _, x := range []struct{ http, domain, want string }{
		{"http://127.0.0.1:26291", "", "http://site.localhost:26291/"},
		{"http://[::1]:26291", "", "http://site.localhost:26291/"},
		{"http://203.0.113.7:26291", "", ""},
		{"https://www.example.org", "", ""},
		{"https://gw.example.org", "gw.example.org", "https://site.gw.example.org/"},
		{"https://gw.example.org:8443", "gw.example.org", "https://site.gw.example.org:8443/"},
		{"", "gw.example.org", ""},
	} {
		if got := (home.Gateway{HTTP: x.http, Domain: x.domain}).Site("site"); got != x.want {
			t.Errorf("%q below %q: %q, want %q", x.http, x.domain, got, x.want)
		}
	}
}
