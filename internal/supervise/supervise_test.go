package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/internal/logfile"
	"github.com/stratosmesh/stratos/internal/supervise"
)

// The children of these tests are this test binary, told by SUPERVISE_TEST what to be and where to report.

func TestMain(m *testing.M) {
	if mode := os.Getenv("SUPERVISE_TEST"); mode != "" {
		beChild(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

func beChild(mode string) {
	switch mode {
	case "supervisor": // of one child, until killed
		s, err := supervise.New([]supervise.Process{row(os.Getenv("HUB"), "orphan", "polite", os.Getenv("DIR"))}, discard(), supervise.Options{Record: filepath.Join(os.Getenv("DIR"), "record.json")})
		if err == nil {
			err = s.Run(context.Background())
		}
		fmt.Println(err)
		os.Exit(1)
	case "hopeless":
		fmt.Println("no such luck")
		os.Exit(3)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	case "tied": // ends with its input
		go func() {
			_, err := io.Copy(io.Discard, os.Stdin)
			fmt.Println("the input has ended", err)
			os.Exit(4)
		}()
	case "parent": // has a child of its own, which is not told to stop
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SUPERVISE_TEST=deaf", "NAME=grandchild")
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	// The hub holds the connection for as long as this process lives.
	resp, err := http.Get(os.Getenv("HUB") + "/alive?name=" + os.Getenv("NAME") + "&pid=" + strconv.Itoa(os.Getpid()))
	if err == nil {
		resp.Body.Close()
	}
}

func row(hub, name, mode, dir string) supervise.Process {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return supervise.Process{
		Role: "test", Name: name, Argv: []string{exe},
		Env:   []string{"SUPERVISE_TEST=" + mode, "NAME=" + name, "HUB=" + hub, "DIR=" + dir},
		Ready: hub + "/ready?name=" + name,
		Log:   filepath.Join(dir, name+".log"),
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A hub hears of each child when it comes and when it is gone, and answers for its readiness.
type hub struct {
	*httptest.Server
	events chan string // "+name", "-name"

	mu   sync.Mutex
	pids map[string]int
}

func newHub(t *testing.T) *hub {
	h := &hub{events: make(chan string, 1000), pids: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/alive", func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("name")
		pid, _ := strconv.Atoi(r.FormValue("pid"))
		h.mu.Lock()
		h.pids[name] = pid
		h.mu.Unlock()
		h.events <- "+" + name
		<-r.Context().Done()
		h.mu.Lock()
		delete(h.pids, name)
		h.mu.Unlock()
		h.events <- "-" + name
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		if h.pid(r.FormValue("name")) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) pid(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pids[name]
}

func (h *hub) want(t *testing.T, event string) {
	t.Helper()
	select {
	case got := <-h.events:
		if got != event {
			t.Fatalf("event %s, want %s", got, event)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("no event, want %s", event)
	}
}

// A bench is a running supervisor.
type bench struct {
	*supervise.Supervisor
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, opts supervise.Options, procs ...supervise.Process) *bench {
	t.Helper()
	if opts.Record == "" {
		opts.Record = filepath.Join(t.TempDir(), "record.json")
	}
	s, err := supervise.New(procs, discard(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &bench{s, cancel, make(chan error, 1)}
	finished := make(chan struct{})
	go func() { b.done <- s.Run(ctx); close(finished) }()
	t.Cleanup(func() { cancel(); <-finished })
	return b
}

func (b *bench) awaitReady(t *testing.T) {
	t.Helper()
	select {
	case <-b.Ready():
	case err := <-b.done:
		t.Fatalf("ended before it was ready: %v", err)
	}
}

func (b *bench) end(t *testing.T) {
	t.Helper()
	b.stop()
	if err := <-b.done; err != nil {
		t.Fatalf("Run = %v", err)
	}
}

func TestStartsInOrderAndStopsInReverse(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	var procs []supervise.Process
	for i := range 3 {
		p := row(h.URL, fmt.Sprintf("p%d", i), "polite", dir)
		p.Stage = i
		procs = append(procs, p)
	}
	b := run(t, supervise.Options{}, procs[2], procs[0], procs[1])
	for _, e := range []string{"+p0", "+p1", "+p2"} {
		h.want(t, e)
	}
	b.awaitReady(t)
	for _, st := range b.Status(t.Context()) {
		if !st.Healthy || st.Phase != supervise.Running || st.PID != h.pid(st.Name) {
			t.Errorf("status %+v", st)
		}
	}
	b.end(t)
	for _, e := range []string{"-p2", "-p1", "-p0"} {
		h.want(t, e)
	}
}

func TestRestartsWhatDies(t *testing.T) {
	h := newHub(t)
	b := run(t, supervise.Options{BackoffMin: time.Millisecond}, row(h.URL, "p", "polite", t.TempDir()))
	h.want(t, "+p")
	b.awaitReady(t)
	for range 4 {
		_ = syscall.Kill(h.pid("p"), syscall.SIGKILL)
		h.want(t, "-p")
		if err := b.Release(t.Context(), "p"); err != nil { // must not believe that the dead one is ready
			t.Fatal(err)
		}
		h.want(t, "+p")
	}
	if st := b.Status(t.Context())[0]; !st.Healthy || st.Restarts != 4 || st.LastExit != "signal: killed" {
		t.Errorf("status %+v", st)
	}
	b.end(t)
}

// A tied child's input does not end before its supervisor does.
func TestTied(t *testing.T) {
	h := newHub(t)
	tied, loose := row(h.URL, "tied", "tied", t.TempDir()), row(h.URL, "loose", "tied", t.TempDir())
	tied.Tied, loose.Ready = true, ""
	b := run(t, supervise.Options{BackoffMin: time.Millisecond}, tied, loose)
	b.awaitReady(t)
	ended := func(i int) bool { return b.Status(t.Context())[i].LastExit == "exit status 4" }
	for began := time.Now(); !ended(1); {
		if time.Since(began) > 20*time.Second {
			t.Fatal("the other's input does not end")
		}
	}
	if st := b.Status(t.Context())[0]; ended(0) || st.Restarts != 0 || !st.Healthy {
		t.Errorf("the tied child: %+v", st)
	}
	b.end(t)
}

func TestNoRestart(t *testing.T) {
	h := newHub(t)
	b := run(t, supervise.Options{NoRestart: true}, row(h.URL, "p", "polite", t.TempDir()))
	h.want(t, "+p")
	b.awaitReady(t)
	_ = syscall.Kill(h.pid("p"), syscall.SIGKILL)
	h.want(t, "-p")
	for b.Status(t.Context())[0].Phase != supervise.Dead {
	}
	if err := b.Release(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	h.want(t, "+p")
	b.end(t)
}

func TestHoldAndRelease(t *testing.T) {
	h := newHub(t)
	b := run(t, supervise.Options{BackoffMin: time.Millisecond}, row(h.URL, "a", "polite", t.TempDir()), row(h.URL, "b", "deaf", t.TempDir()))
	b.awaitReady(t)
	<-h.events
	<-h.events
	for range 2 { // holding twice changes nothing
		if err := b.Hold(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	h.want(t, "-b")
	st := b.Status(t.Context())
	if st[0].Phase != supervise.Running || st[1].Phase != supervise.Held || st[1].PID != 0 || st[1].Healthy {
		t.Fatalf("status %+v", st)
	}
	for range 2 {
		if err := b.Release(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	h.want(t, "+b")
	if err := b.Hold(t.Context(), "a", "nobody"); !errors.Is(err, supervise.ErrUnknown) {
		t.Fatalf("Hold of an unknown name = %v", err)
	}
	if st := b.Status(t.Context())[0]; st.Phase != supervise.Running {
		t.Fatalf("a refused Hold stopped %+v", st)
	}
	if err := b.Hold(t.Context(), "b"); err != nil { // it would stop late
		t.Fatal(err)
	}
	b.end(t)
}

func TestAHopelessChildFailsTheStart(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	procs := []supervise.Process{row(h.URL, "good", "polite", dir), row(h.URL, "bad", "hopeless", dir), row(h.URL, "never", "polite", dir)}
	for i := range procs {
		procs[i].Stage = i
	}
	b := run(t, supervise.Options{BackoffMin: time.Millisecond}, procs...)
	err := <-b.done
	var start *supervise.StartError
	if !errors.As(err, &start) || start.Name != "bad" || start.Reason != "exit status 3" {
		t.Fatalf("Run = %v", err)
	}
	if n := strings.Count(err.Error(), "no such luck"); n < 3 {
		t.Errorf("the error shows %d attempts: %v", n, err)
	}
	h.want(t, "+good")
	h.want(t, "-good")
}

func TestAMissingProgramFailsTheStart(t *testing.T) {
	p := row("", "p", "", t.TempDir())
	p.Argv = []string{"/nowhere/stchaind"}
	b := run(t, supervise.Options{NoRestart: true}, p)
	if err := <-b.done; err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Fatalf("Run = %v", err)
	}
}

func TestReadyTimeout(t *testing.T) {
	h := newHub(t)
	p := row(h.URL, "p", "polite", t.TempDir())
	p.Ready = h.URL + "/ready?name=somebody-else"
	b := run(t, supervise.Options{ReadyTimeout: 50 * time.Millisecond}, p)
	if err := <-b.done; err == nil || !strings.Contains(err.Error(), "not ready within 50ms") {
		t.Fatalf("Run = %v", err)
	}
}

func TestALateStopperShowsItsStacksAndIsKilled(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	b := run(t, supervise.Options{Grace: time.Millisecond, DumpGrace: 20 * time.Second}, row(h.URL, "p", "deaf", dir))
	h.want(t, "+p")
	b.awaitReady(t)
	b.end(t)
	h.want(t, "-p")
	lines, err := logfile.Tail(filepath.Join(dir, "p.log"), 1000)
	if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, "SIGQUIT") || !strings.Contains(text, "main.main") {
		t.Fatalf("no stack dump in the log: %s (%v)", text, err)
	}
}

func TestTheWholeGroupEnds(t *testing.T) {
	h := newHub(t)
	b := run(t, supervise.Options{BackoffMin: time.Hour}, row(h.URL, "p", "parent", t.TempDir()))
	b.awaitReady(t)
	seen := map[string]bool{<-h.events: true, <-h.events: true}
	if !seen["+p"] || !seen["+grandchild"] {
		t.Fatalf("events %v", seen)
	}
	_ = syscall.Kill(h.pid("p"), syscall.SIGKILL)
	seen = map[string]bool{<-h.events: true, <-h.events: true}
	if !seen["-p"] || !seen["-grandchild"] {
		t.Fatalf("events %v", seen)
	}
	b.end(t)
}

func TestStopWhileStarting(t *testing.T) {
	h := newHub(t)
	p := row(h.URL, "p", "polite", t.TempDir())
	p.Ready = h.URL + "/ready?name=nobody"
	b := run(t, supervise.Options{}, p)
	h.want(t, "+p")
	b.end(t)
	h.want(t, "-p")
}

// A supervisor that is killed takes its children along; one that comes after it begins afresh.
func TestKilledSupervisor(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	exe, _ := os.Executable()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "SUPERVISE_TEST=supervisor", "HUB="+h.URL, "DIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.want(t, "+orphan")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	h.want(t, "-orphan")
	b := run(t, supervise.Options{Record: filepath.Join(dir, "record.json")}, row(h.URL, "orphan", "polite", dir))
	h.want(t, "+orphan")
	b.awaitReady(t)
	b.end(t)
}

// Sweep kills what the record names, but no process that merely has the same id.
func TestSweep(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	start := func(name string) *exec.Cmd {
		p := row(h.URL, name, "deaf", dir)
		cmd := exec.Command(p.Argv[0])
		cmd.Env = append(os.Environ(), p.Env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		h.want(t, "+"+name)
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	recorded, stranger := start("recorded"), start("stranger")
	path := filepath.Join(dir, "record.json")
	record := fmt.Sprintf(`{"recorded": %s, "stranger": {"pid": %d, "start": 1, "boot": "x"}}`, supervise.IdentityJSON(t, recorded.Process.Pid), stranger.Process.Pid)
	if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := supervise.Sweep(path); err != nil {
		t.Fatal(err)
	}
	h.want(t, "-recorded")
	if h.pid("stranger") == 0 {
		t.Fatal("a process that was not recorded is gone")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the record is still there: %v", err)
	}
	if err := supervise.Sweep(path); err != nil {
		t.Fatalf("Sweep of nothing = %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	p := row("", "p", "", t.TempDir())
	for name, procs := range map[string][]supervise.Process{
		"same name twice": {p, p},
		"no command":      {{Name: "x", Log: "x"}},
		"no name":         {{Argv: []string{"x"}, Log: "x"}},
	} {
		if _, err := supervise.New(procs, discard(), supervise.Options{Record: "r"}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
