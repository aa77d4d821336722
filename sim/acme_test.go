package sim_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// A gateway gets a certificate for a bucket's host from an ACME authority, which looks at the gateway for it, and none for others'.
// Run by `make test-tools`.
func TestToolsACME(t *testing.T) {
	if os.Getenv("STRATOS_TOOLS") == "" {
		t.Skip("run by make test-tools")
	}
	dir := t.TempDir()
	roots := selfSigned(t, filepath.Join(dir, "cert.pem")) // of the authority's own pages
	home, at := filepath.Join(dir, "gateway"), free(t, 5)
	authority := "https://" + at[3] + "/dir"
	mustCLI(t, "gateway", "init", home, "--name", t.Name(), "--s3", at[0], "--status", at[1], "--http", at[2], "--postgres", "", "--databases", "", "--domain", "gw.test", "--acme", "--acme-directory", authority)
	mustCLI(t, "mb", "stratos://acme-site", "--public")
	write(t, filepath.Join(dir, "index.html"), []byte("certified"))
	mustCLI(t, "cp", filepath.Join(dir, "index.html"), "stratos://acme-site/index.html")
	pebble(t, dir, at[2], at[3], at[4])
	t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "cert.pem"))
	runOutside(t, "gateway", "run", "--home", home)

	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer trusting.CloseIdleConnections()
	issued := x509.NewCertPool()
	until(t, "the authority", func() (bool, error) {
		_, text, _, err := fetch(t.Context(), trusting, "https://"+at[4]+"/roots/0")
		return err == nil && issued.AppendCertsFromPEM([]byte(text)), err
	})
	// Every host leads to the gateway, as it would by DNS.
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: issued}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", at[2])
	}}}
	defer browser.CloseIdleConnections()
	for _, address := range []string{"https://acme-site.gw.test/", "https://gw.test/acme-site/"} {
		until(t, address, func() (bool, error) {
			status, body, _, err := fetch(t.Context(), browser, address)
			return status == 200 && body == "certified", err
		})
	}
	if status, _, _, err := fetch(t.Context(), browser, "https://nobody.gw.test/"); err == nil {
		t.Errorf("a host that is nothing here has a certificate: %d", status)
	}
}

// pebble runs an ACME authority for tests that looks at a port for its challenges.
func pebble(t *testing.T, dir, challenge, directory, management string) {
	t.Helper()
	// Later ones do not repeat an order's address when it is completed, and x/crypto/acme waits for it there.
	install := exec.Command("go", "install", "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.7.0")
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("installing pebble: %v\n%s", err, out)
	}
	_, port, err := net.SplitHostPort(challenge)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(dir, "cert.pem")
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{"listenAddress": directory, "managementListenAddress": management, "certificate": cert, "privateKey": cert, "tlsPort": number, "httpPort": 1}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "pebble.json"), config)
	log, err := os.Create(filepath.Join(dir, "pebble.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "pebble"), "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", everyName(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the authority's log:\n%s", b[max(0, len(b)-4000):])
		}
		log.Close()
	})
}

// everyName answers questions for names: all of them are this machine.
func everyName(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		for b := make([]byte, 4096); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
	return c.LocalAddr().String()
}
