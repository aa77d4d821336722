package gateway

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/mesh"
)

// A log that is moved away is written on under its name once it is opened again, and before that where it went.
func TestAccessLogReopens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := newAccessLog(path, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	write := func(line string) {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	write("a\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("b\n")
	if err := l.reopen(); err != nil {
		t.Fatal(err)
	}
	write("c\n")
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.reopen(); mesh.KindOf(err) != mesh.Invalid || mesh.HintOf(err) == "" {
		t.Errorf("opened a folder: %v", err)
	}
	write("d\n")
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path + ".1": "a\nb\n", path + ".2": "c\nd\n"} {
		if b, err := os.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v; want %q", name, b, err, want)
		}
	}
}

// Lines that a full disk did not take are counted, told once, and told to be over.
func TestAccessLogLosesLines(t *testing.T) {
	var said bytes.Buffer
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	lost := func() float64 {
		all, err := registry.Gather()
		if err != nil || len(all) != 1 || all[0].GetName() != "stratos_gateway_access_log_lost_lines_total" {
			t.Fatalf("%v, %v", all, err)
		}
		return all[0].GetMetric()[0].GetCounter().GetValue()
	}
	l, err := newAccessLog(path, slog.New(slog.NewTextHandler(&said, nil)), registry)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for range 3 {
		if n, err := l.Write([]byte("line\n")); n != 5 || err != nil {
			t.Errorf("the request is told: %d, %v", n, err)
		}
	}
	if n := lost(); n != 3 {
		t.Errorf("%v lines are counted as lost", n)
	}
	if n := strings.Count(said.String(), "WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, said.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.reopen(); err != nil {
		t.Fatal(err)
	}
	_, _ = l.Write([]byte("line\n"))
	_, _ = l.Write([]byte("line\n"))
	if n := strings.Count(said.String(), "written again"); n != 1 || lost() != 3 {
		t.Errorf("%d times told that it is over:\n%s", n, said.String())
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "line\nline\n" {
		t.Errorf("%q, %v", b, err)
	}
}
