package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

// How often lifecycle rules are carried out is written as people write it, and is the default where nothing is said.
func TestConfigLifecycleEvery(t *testing.T) {
	c := Config{S3: "127.0.0.1:1", Status: "127.0.0.1:2", Authorities: make([]group.Member, 1)}
	for _, v := range []struct {
		every time.Duration
		text  string // in the file
		kind  mesh.Kind
	}{
		{0, "", 0}, {90 * time.Minute, `"lifecycle_every": "1h30m0s"`, 0}, {time.Second, `"lifecycle_every": "1s"`, 0}, {time.Second - 1, "", mesh.Invalid}, {-time.Hour, "", mesh.Invalid},
	} {
		dir := t.TempDir()
		c.LifecycleEvery = duration(v.every)
		err := WriteConfig(dir, c)
		if v.kind != 0 {
			if mesh.KindOf(err) != v.kind {
				t.Errorf("%v: %v", v.every, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, configFile))
		if err != nil {
			t.Fatal(err)
		}
		if v.text == "" && strings.Contains(string(b), "lifecycle") || !strings.Contains(string(b), v.text) {
			t.Errorf("%v is written as %s", v.every, b)
		}
		if got, err := ReadConfig(dir); err != nil || got.LifecycleEvery != c.LifecycleEvery {
			t.Errorf("%v is read as %v, %v", v.every, time.Duration(got.LifecycleEvery), err)
		}
	}
}

// What a creation made is taken back, and nothing that was there before it.
func TestCreateUndo(t *testing.T) {
	dir := t.TempDir()
	c := Config{Name: "gw", S3: "127.0.0.1:1", Status: "127.0.0.1:2", AccessLog: "access.log", Authorities: make([]group.Member, 1)}
	home := filepath.Join(dir, "deep", "gateway")
	key, undo, err := Create(home, c)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := ReadKey(home); err != nil || mesh.PublicKeyOf(k) != key {
		t.Errorf("the key is another one, %v", err)
	}
	if _, _, err := Create(home, c); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("made twice: %v", err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	first, _, err := Create(home, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(home, configFile)); err != nil {
		t.Fatal(err)
	}
	again, undo, err := Create(home, c)
	if err != nil || again != first {
		t.Errorf("settings that were lost cost the key: %v", err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKey(home); err != nil {
		t.Errorf("the older key was taken back too: %v", err)
	}
}

// Two addresses may have one port only where they are surely apart.
func TestConfigPorts(t *testing.T) {
	for _, x := range []struct {
		s3, http, status string
		good             bool
	}{
		{"127.0.0.1:1", "127.0.0.2:1", "[::1]:1", true},
		{"gw.example.org:1", "", "127.0.0.1:2", true},
		{"gw.example.org:1", "", "127.0.0.1:1", false},
		{"127.0.0.1:1", "127.0.0.1:2", "0.0.0.0:1", false},
		{"127.0.0.1:1", "[::]:1", "127.0.0.1:2", false},
		{"127.0.0.1:01", "", "127.0.0.1:2", false},
		{"127.0.0.1:-1", "", "127.0.0.1:2", false},
		{":1", "", "127.0.0.1:2", false},
	} {
		err := Config{S3: x.s3, HTTP: x.http, Status: x.status, Authorities: make([]group.Member, 1)}.Check()
		if x.good != (err == nil) || err != nil && (mesh.KindOf(err) != mesh.Invalid || mesh.HintOf(err) == "") {
			t.Errorf("%s %s %s: %v", x.s3, x.http, x.status, err)
		}
	}
}
