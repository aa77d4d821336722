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
