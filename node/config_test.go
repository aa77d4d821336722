package node

import (
	"log/slog"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

func TestDatabaseSettings(t *testing.T) {
	for _, c := range []struct {
		database, host string
		ok             bool
	}{
		{"", "", true},
		{"127.0.0.1:26302", "", true},
		{"0.0.0.0:26302", "node.example.org", true},
		{"[::1]:26302", "", true},
		{"127.0.0.1:65528", "", true},
		{"127.0.0.1:65529", "", false}, // the last of its ports is none
		{"127.0.0.1:0", "", false},
		{"0.0.0.0:26302", "", false}, // nobody reaches that
		{"[::]:26302", "", false},
		{"127.0.0.1", "", false},
		{":26302", "", false},
	} {
		s := Config{Transfer: "127.0.0.1:1", Status: "127.0.0.1:2", Authorities: []group.Member{{}}, Database: c.database, DatabaseHost: c.host}
		if err := s.Check(); (err == nil) != c.ok || err != nil && (mesh.KindOf(err) != mesh.Invalid || mesh.HintOf(err) == "") {
			t.Errorf("%q, %q: %v", c.database, c.host, err)
		}
	}
}

// A node that shall run databases and was not told how is refused.
func TestNoReplicaCommand(t *testing.T) {
	home := t.TempDir()
	err := WriteConfig(home, Config{Name: "n", Transfer: "127.0.0.1:0", Status: "127.0.0.1:0", Authorities: []group.Member{{}}, Database: "127.0.0.1:26302"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(home, Options{}, slog.New(slog.DiscardHandler))
	if err == nil {
		n.Close()
		t.Error("it starts")
	}
}
