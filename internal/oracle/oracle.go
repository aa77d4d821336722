// Package oracle runs a PostgreSQL 15 of a test's own, for tests that compare what it answers with what we do.
package oracle

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Binaries is where Debian's postgresql-15 keeps its programs.
const Binaries = "/usr/lib/postgresql/15/bin"

// Start runs a server in locale C and UTC, reachable by a socket only, with these settings ("name=value") besides, until the test
// ends. It skips the test unless STRATOS_TOOLS is set.
func Start(t *testing.T, settings ...string) *pgconn.PgConn {
	t.Helper()
	if os.Getenv("STRATOS_TOOLS") == "" {
		t.Skip("set STRATOS_TOOLS=1 to compare with PostgreSQL 15")
	}
	dir, err := os.MkdirTemp("", "oracle") // not t.TempDir, which others may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 { // which PostgreSQL refuses to run as
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(Binaries, name), args...)
		cmd.SysProcAttr, cmd.Dir = attr, dir
		cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "postgres", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	args := []string{"-D", data, "-k", dir}
	for _, s := range append([]string{"listen_addresses=", "fsync=off", "timezone=UTC", "jit=off", "logging_collector=off"}, settings...) {
		args = append(args, "-c", s)
	}
	server := run("postgres", args...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
		log.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var conn *pgconn.PgConn
	for {
		if conn, err = pgconn.Connect(ctx, "host="+dir+" user=postgres dbname=postgres sslmode=disable"); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond): // nothing tells when the socket is there
		}
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
