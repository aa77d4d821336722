package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// childHome names the home of the replica that the test binary, run again as a child, is until it is killed or its input ends.
const childHome = "STRATOS_REPLICA_HOME"

// cellRules are those of the cells in these tests.
var cellRules = Rules{CheckpointMs: 300}

func child(home string) {
	if err := syscall.SetNonblock(0, true); err != nil { // so that closing it ends a read
		panic(err)
	}
	r, err := New(home, Options{Rules: cellRules, IdleBlock: time.Second, Parent: os.NewFile(0, "the parent")}, quiet())
	if err != nil {
		panic(err)
	}
	if err := r.Run(context.Background()); err != nil {
		panic(err)
	}
	if err := r.Close(); err != nil {
		panic(err)
	}
	fmt.Print("ended with its parent")
}

// spawn starts a replica in a process of its own; what it returns ends the input of the child.
func (g *group) spawn(i int) (c *exec.Cmd, end func() error) {
	c = exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childHome+"="+g.homes[i])
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	return c, in.Close
}

// A replica is killed again and again while the others are written to, and has in the end what they have. It ends with its parent.
func TestKilled(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(seedOfTest(t), 2))
	g := newGroup(t, 4, Options{Rules: cellRules, IdleBlock: time.Second})
	g.start(0, 1, 2)
	u := g.user("anna")
	g.mustSubmit(u, 0, u.opened())
	g.mustSubmit(u, 0, u.session(u.link()))
	g.write(u, 0, "CREATE TABLE t(v)")
	for range 3 {
		c, _ := g.spawn(3)
		g.eventually("the child answers", func() error { _, err := g.status(u, 3); return err })
		for range 1 + chance.IntN(10) {
			g.write(u, 0, "INSERT INTO t VALUES(random())")
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err == nil {
			t.Error("the child ended by itself")
		}
		g.write(u, 0, "INSERT INTO t VALUES(random())")
	}
	c, end := g.spawn(3)
	last := g.write(u, 0, "INSERT INTO t VALUES('last')")
	g.equal(last.Height)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the child, whose parent has gone: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the child outlives its parent")
		c.Process.Kill()
		<-done
	}
	forgeConsensusKey(g.homes[3])
	if _, err := New(g.homes[3], g.opts, quiet()); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("with a key that is no member's: %v", err)
	}
}
