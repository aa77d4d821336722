package sim_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
)

// Two nodes' disks rot while they are down: their answers are refused, by them or by the reader, and the object still reads.
func TestRottenDisks(t *testing.T) {
	r := random(t)
	c := shared.client(t, "alice", 0, client.Options{})
	bucket(t, c, "rotten")
	p := mesh.Path{Bucket: "rotten", Key: "x"}
	b := content(r, 3<<20)
	put(t, c, p, b)
	up := shared.down(t, "node-2", "node-5")
	for _, n := range []string{"node-2", "node-5"} {
		logs, err := filepath.Glob(filepath.Join(shared.dir, n, "slices", "*.log"))
		if err != nil || len(logs) == 0 {
			t.Fatalf("%s has no logs: %v", n, err)
		}
		for _, name := range logs {
			rot, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for at := 4096; at < len(rot); at += 4096 {
				rot[at] ^= 0x40
			}
			if err := os.WriteFile(name, rot, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	up()
	wantBytes(t, c, p, b)
	put(t, c, mesh.Path{Bucket: "rotten", Key: "y"}, b)
	wantBytes(t, c, mesh.Path{Bucket: "rotten", Key: "y"}, b)
}

// Down and up: everything is there, and it is the same network. It runs last of its file and leaves the network as it was.
func TestDownAndUp(t *testing.T) {
	r := random(t)
	c := shared.client(t, "alice", 0, client.Options{})
	bucket(t, c, "down-and-up")
	large, small := mesh.Path{Bucket: "down-and-up", Key: "large"}, mesh.Path{Bucket: "down-and-up", Key: "small"}
	b := content(r, 17<<20)
	put(t, c, large, b)
	put(t, c, small, b[:100])
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, before, _ := shared.home(t)
	if err := shared.stop(); err != nil {
		t.Fatal(err)
	}
	rec, err := devnet.ReadRecord(homeOf(t))
	if err != nil {
		t.Fatal(err)
	}
	again, err := start(shared.dir, rec.Network)
	if err != nil {
		t.Fatal(err)
	}
	shared = again
	_, after, _ := shared.home(t)
	if before.Network != after.Network {
		t.Fatalf("network %s came back as %s", before.Network, after.Network)
	}
	c = shared.client(t, "alice", 2, client.Options{})
	wantBytes(t, c, large, b)
	wantBytes(t, c, small, b[:100])
	put(t, c, mesh.Path{Bucket: "down-and-up", Key: "new"}, b)
}
