package sim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
)

// free returns addresses on loopback that nothing listened on a moment ago.
func free(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// runOutside starts a process of an operator of its own, which the network does not supervise, and returns the file of what it says.
func runOutside(t *testing.T, args ...string) string {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary("stratos"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		if b, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("log of %v:\n%s", args, b[max(0, len(b)-4000):])
		}
		log.Close()
	})
	return log.Name()
}

// An operator has a home of its own, which it made from a profile that somebody handed over and from bob's key.
type operator struct{ dir string }

func newOperator(t *testing.T) operator {
	t.Helper()
	o := operator{filepath.Join(t.TempDir(), "home")}
	o.must(t, "", "join", filepath.Join(shared.dir, "profile.json"))
	o.must(t, shared.key(t, "bob").Secret()+"\n", "wallet", "import", "me", "--light", "--password-file", os.DevNull)
	return o
}

func (o operator) run(t *testing.T, stdin string, args ...string) (out, errOut string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary("stratos"), append(args, "--home", o.dir, "--account", "me")...)
	cmd.Stdin = strings.NewReader(stdin)
	return runCommand(t, cmd)
}

func (o operator) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errOut, code := o.run(t, stdin, args...)
	if code != 0 {
		t.Fatalf("stratos %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// An operator makes an authority with the commands of the help, the others vote it in, and from then on a quorum needs it;
// then they vote it out, and it does not.
func TestAuthorityJoins(t *testing.T) {
	ctx := t.Context()
	op := newOperator(t)
	dir, at := filepath.Join(t.TempDir(), "authority"), free(t, 3)
	if _, errOut, code := op.run(t, "", "meta", "register", dir); code == 0 || !strings.Contains(errOut, "stratos meta init") {
		t.Fatalf("registering nothing: exit %d, %s", code, errOut)
	}
	op.must(t, "", "meta", "init", dir, "--name", "guest", "--api", at[0], "--p2p", at[1], "--status", at[2])
	if _, errOut, code := op.run(t, "", "meta", "init", dir); code == 0 || !strings.Contains(errOut, "already") {
		t.Fatalf("a second init: exit %d, %s", code, errOut)
	}
	var registered struct{ Authority mesh.AuthorityID }
	if err := json.Unmarshal([]byte(op.must(t, "", "meta", "register", dir, "--json")), &registered); err != nil {
		t.Fatal(err)
	}
	guest := registered.Authority.String()
	runOutside(t, "meta", "run", "--home", dir)

	c := shared.client(t, "alice", 0, client.Options{})
	present := func(want int) func() (bool, error) {
		return func() (bool, error) {
			m, err := c.Authorities(ctx)
			return len(m) == want, err
		}
	}
	if out, _, code := op.run(t, "", "meta", "vote", guest); code == 0 {
		t.Fatalf("a candidate voted for itself: %s", out)
	}
	_, founders, _ := shared.home(t)
	until(t, "a newcomer that has taken the log", func() (bool, error) { // else the others would wait for its vote
		now, err := meta.AskStatus(ctx, founders.Endpoints.Status)
		if err != nil {
			return false, err
		}
		own, err := meta.AskStatus(ctx, "http://"+at[2])
		return err == nil && own.Height+5 >= now.Height, errors.Join(err, fmt.Errorf("it is at %d, the others at %d", own.Height, now.Height))
	})
	for i, want := range []string{"1 vote so far", "2 votes so far", "is present"} {
		if out := mustCLI(t, "meta", "vote", guest, "--account", authorityName(i)); !strings.Contains(out, want) {
			t.Fatalf("vote %d: %q lacks %q", i, out, want)
		}
	}
	until(t, "five members", present(5))

	// Whoever writes through the newcomer only gets leases from it, and the nodes take its tickets at once.
	mustCLI(t, "mb", "stratos://joins") // and learns the members
	_, p, _ := shared.home(t)
	if len(p.Authorities) != 5 || p.Authorities[4].ID != registered.Authority {
		t.Fatalf("the profile knows %v", p.Authorities)
	}
	through := shared.client(t, "alice", 4, client.Options{})
	b := content(random(t), 1<<20)
	put(t, through, mesh.Path{Bucket: "joins", Key: "x"}, b)
	// 4 of 5 must apply a write: with one of the founders down, the newcomer is one of them.
	up := shared.down(t, authorityName(0))
	put(t, through, mesh.Path{Bucket: "joins", Key: "y"}, b)
	wantBytes(t, through, mesh.Path{Bucket: "joins", Key: "y"}, b)
	up()

	for i := range 4 { // 4 of 5 votes are more than two thirds
		out := mustCLI(t, "meta", "vote", guest, "--account", authorityName(i))
		if decided := strings.Contains(out, "unbonding"); decided != (i == 3) {
			t.Fatalf("vote %d to go: %q", i, out)
		}
	}
	until(t, "four members", present(4))
	mustCLI(t, "mb", "stratos://joined")
	if _, p, _ := shared.home(t); len(p.Authorities) != 4 {
		t.Errorf("the profile knows %d authorities after one left", len(p.Authorities))
	}
}

// An operator makes a node with the commands of the help; it gets pieces, and none when it has left.
func TestNodeJoins(t *testing.T) {
	op := newOperator(t)
	dir, at := filepath.Join(t.TempDir(), "node"), free(t, 2)
	op.must(t, "", "node", "init", dir, "--name", "guest", "--transfer", at[0], "--status", at[1], "--capacity", "1000000000")
	var registered struct{ Node mesh.NodeID }
	if err := json.Unmarshal([]byte(op.must(t, "", "node", "register", dir, "--json")), &registered); err != nil {
		t.Fatal(err)
	}
	runOutside(t, "node", "run", "--home", dir)
	c := shared.client(t, "alice", 0, client.Options{})
	state := func(active, online bool) func() (bool, error) {
		return func() (bool, error) {
			all, err := c.Nodes(t.Context())
			for _, n := range all {
				if n.ID == registered.Node {
					return n.Active == active && n.Online == online, nil
				}
			}
			return false, err
		}
	}
	until(t, "the node is online", state(true, true))
	bucket(t, c, "nodejoins")
	r := random(t)
	holds := func(key string) bool {
		pl, err := c.Placement(t.Context(), put(t, c, mesh.Path{Bucket: "nodejoins", Key: key}, content(r, 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pl.Pieces {
			if p.Node == registered.Node {
				return true
			}
		}
		return false
	}
	if !holds("in") {
		t.Error("a ninth failure domain of nine got no piece")
	}
	if out := op.must(t, "", "node", "leave", registered.Node.String()); !strings.Contains(out, "leaves") {
		t.Error(out)
	}
	until(t, "the node is inactive", state(false, true))
	if holds("out") {
		t.Error("a node that left got a piece")
	}
}

func authorityName(i int) string { return "authority-" + string(rune('0'+i)) }
