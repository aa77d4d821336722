package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/devnet/fakechain"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

// The scripts in testdata run this program, with a stand-in for the value layer, as a person would.

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"stratos":  func() { os.Exit(runMain()) },
		"stchaind": func() { os.Exit(fakechain.Main()) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			home := env.WorkDir + "/home"
			env.Setenv("STRATOS_HOME", home)
			env.Setenv("STRATOS_BASE_PORT", "0")
			env.Setenv("STRATOS_AUTHORITIES", "0") // the scripts are about one layer and its supervisor
			env.Setenv("STRATOS_NODES", "0")
			env.Setenv("HOME", env.WorkDir)
			modules, err := filepath.Abs("../../node/compute/local/testdata")
			if err != nil {
				return err
			}
			env.Setenv("MODULES", modules)
			env.Defer(func() { // of a script that failed half-way
				b, err := os.ReadFile(home + "/supervisor.lock")
				var holder struct{ PID int }
				if err == nil && json.Unmarshal(b, &holder) == nil && holder.PID > 1 && isStratos(holder.PID) {
					_ = syscall.Kill(holder.PID, syscall.SIGKILL)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": exitCode, "pid": pidOf, "kill9": kill9, "occupy": occupy, "awaitlock": awaitLock, "profile": profile,
		},
	})
}

func isStratos(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && strings.Contains(string(b), "stratos\x00up\x00--report")
}

// code N COMMAND... runs a command that must end with exit code N.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// pid VARIABLE NAME puts the id of a process, or of the supervisor, from the status in the last output into a variable.
func pidOf(ts *testscript.TestScript, _ bool, args []string) {
	var st struct {
		PID       int
		Processes []struct {
			Name string
			PID  int
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &st))
	pid := st.PID
	for _, p := range st.Processes {
		if p.Name == args[1] {
			pid = p.PID
		}
	}
	if pid == 0 || args[1] != "supervisor" && pid == st.PID {
		ts.Fatalf("no process %s in the status", args[1])
	}
	ts.Setenv(args[0], strconv.Itoa(pid))
}

// kill9 PID kills a process and waits until it is gone.
func kill9(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	for syscall.Kill(pid, 0) == nil {
		if b, err := os.ReadFile("/proc/" + args[0] + "/stat"); err != nil || strings.Contains(string(b), ") Z ") {
			break // nobody here may reap it
		}
	}
}

// occupy VARIABLE listens on a port until the script ends, the first of a block that no network draws: among the ports
// that the system draws from, an outgoing connection may hold another one of the block.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	for port := 9000; ; port -= 100 {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if errors.Is(err, syscall.EADDRINUSE) && port > 8100 {
			continue
		}
		ts.Check(err)
		ts.Defer(func() { l.Close() })
		ts.Setenv(args[0], strconv.Itoa(port))
		return
	}
}

// awaitlock waits until a supervisor has taken the home.
func awaitLock(ts *testscript.TestScript, _ bool, _ []string) {
	for range time.Tick(5 * time.Millisecond) {
		if b, err := os.ReadFile(ts.Getenv("STRATOS_HOME") + "/supervisor.lock"); err == nil && len(b) > 0 {
			return
		}
	}
}

// profile makes a home that knows a network of which nobody answers.
func profile(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(silentNetwork(ts.Getenv("STRATOS_HOME")))
}

func silentNetwork(dir string) error {
	h, err := home.Create(dir)
	if err != nil {
		return err
	}
	return h.SetProfile(&home.Profile{Network: mesh.NetworkID{1}, Authorities: []home.Authority{{Name: "authority-0", Member: group.Member{ID: mesh.AuthorityID{1}, Address: "127.0.0.1:1"}}}})
}
