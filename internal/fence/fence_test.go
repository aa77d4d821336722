package fence_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/internal/fence"
	"github.com/stratosmesh/stratos/mesh"
)

// TestMain is the other process too: it answers each line that it is sent.
func TestMain(m *testing.M) {
	if os.Getenv("FENCE_ECHO") == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			for s := bufio.NewScanner(c); s.Scan(); {
				fmt.Fprintln(c, s.Text())
			}
		}()
	}
}

// A process that is cut off is silent, on connections that it has and to who comes anew; afterwards it goes on.
func TestCut(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "FENCE_ECHO=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	address := lines.Text()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	ask := func(within time.Duration) error {
		fmt.Fprintln(c, "hello")
		c.SetReadDeadline(time.Now().Add(within))
		_, err := answers.ReadString('\n')
		return err
	}
	if err := ask(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	mend, err := fence.Cut(cmd.Process.Pid)
	if mesh.KindOf(err) == mesh.Denied && err != nil {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(300 * time.Millisecond); err == nil {
		t.Error("a connection that was there goes on")
	}
	if other, err := net.DialTimeout("tcp", address, 300*time.Millisecond); err == nil {
		other.Close()
		t.Error("there is another connection")
	}
	if err := mend(); err != nil {
		t.Fatal(err)
	}
	if err := ask(10 * time.Second); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
