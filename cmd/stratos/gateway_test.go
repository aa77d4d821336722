package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A hangup makes a gateway open its access log again, so that it can be moved away; without a log it ends the gateway.
func TestHangup(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STRATOS_HOME", filepath.Join(dir, "home"))
	if err := silentNetwork(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{"access.log", ""} {
		gw := filepath.Join(dir, "gateway"+log)
		at := freeAddresses(t, 2)
		if out, err := exec.Command("stratos", "gateway", "init", gw, "--name", "gw"+log, "--s3", at[0], "--http", "", "--postgres", "", "--databases", "", "--status", at[1], "--access-log", log).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var said bytes.Buffer
		cmd := exec.Command("stratos", "gateway", "run", "--home", gw)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
		page := await(t, "http://"+at[1]+"/")
		for _, want := range []string{"gw" + log, "not ready", "/healthz", "/readyz", "/metrics"} {
			if !strings.Contains(page, want) {
				t.Errorf("the status address says nothing of %q:\n%s", want, page)
			}
		}
		hangup := func() {
			t.Helper()
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		if log == "" {
			hangup()
		} else {
			path := filepath.Join(gw, log)
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			hangup()
			for range time.Tick(5 * time.Millisecond) {
				if _, err := os.Stat(path); err == nil {
					break
				}
				select {
				case err := <-ended:
					t.Fatalf("it ended: %v\n%s", err, said.String())
				default:
				}
			}
			await(t, "http://"+at[0]+"/bucket/new") // is answered with an error, and logged
			for range time.Tick(5 * time.Millisecond) {
				if b, err := os.ReadFile(path); err != nil || len(b) > 0 {
					if !strings.Contains(string(b), "/bucket/new") || err != nil {
						t.Errorf("the new log holds %q, %v", b, err)
					}
					break
				}
			}
			if b, err := os.ReadFile(path + ".1"); err != nil || len(b) > 0 {
				t.Errorf("the old log holds %q, %v", b, err)
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; err != nil {
			t.Errorf("with the log %q it ended with %v\n%s", log, err, said.String())
		}
	}
}

func freeAddresses(t *testing.T, n int) (all []string) {
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

// await asks for an address until somebody answers there.
func await(t *testing.T, url string) string {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for range time.Tick(5 * time.Millisecond) {
		res, err := http.Get(url)
		if err != nil {
			if time.Now().After(end) {
				t.Fatal(err)
			}
			continue
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return ""
}
