package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// stratos prepares a command line on the shared network.
func stratos(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, binary("stratos"), append(args, "--home", shared.dir)...)
}

func runCLI(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return runCommand(t, stratos(t.Context(), args...))
}

func runCommand(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func mustCLI(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, code := runCLI(t, args...)
	if code != 0 {
		t.Fatalf("stratos %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// A client that is killed in the middle of an upload, and again of a download, goes on where it stopped.
func TestResume(t *testing.T) {
	r := random(t)
	size := 96 << 20
	if long() {
		size = 1 << 30
	}
	dir := t.TempDir()
	local, back := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	b := content(r, size)
	if err := os.WriteFile(local, b, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "mb", "stratos://resume")
	up := stratos(t.Context(), "cp", local, "stratos://resume/x")
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	var done []mesh.SegmentID
	until(t, "the first segments", func() (bool, error) {
		done = journaled(t)
		return len(done) >= 1, nil
	})
	if err := up.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if up.Wait() == nil {
		t.Fatal("the upload was done before it could be killed; it needs more bytes")
	}
	done = journaled(t)
	mustCLI(t, "cp", local, "stratos://resume/x")
	if left := journaled(t); len(left) != 0 {
		t.Errorf("%d segments left in the journal of a finished upload", len(left))
	}
	c := shared.client(t, "alice", 0, client.Options{})
	o, err := c.Stat(t.Context(), mesh.Path{Bucket: "resume", Key: "x"})
	if err != nil {
		t.Fatal(err)
	}
	pl, err := c.Placement(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[mesh.SegmentID]bool{}
	for _, p := range pl.Pieces {
		kept[p.Segment] = true
	}
	for _, id := range done {
		if !kept[id] {
			t.Errorf("segment %s was written before the kill and again after it", id)
		}
	}
	down := stratos(t.Context(), "cp", "stratos://resume/x", back)
	if err := down.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the first bytes", func() (bool, error) {
		parts, _ := filepath.Glob(back + "*.part")
		for _, p := range parts {
			if info, err := os.Stat(p); err == nil && info.Size() > 0 {
				return true, nil
			}
		}
		_, err := os.Stat(back)
		return err == nil, nil
	})
	_ = down.Process.Kill() // it may be done
	_ = down.Wait()
	mustCLI(t, "cp", "stratos://resume/x", back)
	got, err := os.ReadFile(back)
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
	if parts, _ := filepath.Glob(back + "*.part"); len(parts) > 0 {
		t.Errorf("left behind: %v", parts)
	}
}

// journaled returns the segments that uploads under way have noted.
func journaled(t *testing.T) (ids []mesh.SegmentID) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(shared.dir, "uploads", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			continue // finished meanwhile
		}
		for line := range strings.Lines(string(b)) {
			var l struct{ Segment []byte }
			s := new(wirepb.Segment)
			if json.Unmarshal([]byte(line), &l) == nil && len(l.Segment) > 0 && proto.Unmarshal(l.Segment, s) == nil {
				ids = append(ids, index.SegmentIDOf(s))
			}
		}
	}
	return ids
}

// Wrong input gets an error that says what, why and what next, with its exit code, and loses nothing.
func TestWrongInput(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "mb", "stratos://wrong-input")
	mustCLI(t, "cp", file, "stratos://wrong-input/x")
	key := "0x" + strings.Repeat("7", 64)
	imp := stratos(t.Context(), "wallet", "import", "carol", "--light", "--password-file", file)
	imp.Stdin = strings.NewReader(key + "\n")
	if out, err := imp.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		say  string
	}{
		{"no such file", []string{"cp", filepath.Join(dir, "none"), "stratos://wrong-input/"}, 3, "no file"},
		{"no such bucket", []string{"cp", file, "stratos://no-such-bucket/"}, 3, "next: create it: stratos mb"},
		{"no such object", []string{"cp", "stratos://wrong-input/none", filepath.Join(dir, "o")}, 3, "no object"},
		{"bucket taken", []string{"mb", "stratos://wrong-input"}, 6, "exists already"},
		{"not empty", []string{"rb", "stratos://wrong-input"}, 6, "still holds 1 object\n"},
		{"bad bucket name", []string{"mb", "stratos://No_Good"}, 5, "small letters"},
		{"a folder", []string{"cp", dir, "stratos://wrong-input/"}, 5, "--recursive"},
		{"neither in the network", []string{"cp", file, file}, 5, "neither"},
		{"bad range", []string{"cp", "--range", "9-2", "stratos://wrong-input/x", "-"}, 5, "FIRST-LAST"},
		{"no ozone", []string{"mb", "stratos://carols", "--account", "carol", "--password-file", file}, 9, "stratos prepay"},
		{"no such account", []string{"ls", "--account", "nobody"}, 3, "nobody"},
		{"unknown flag", []string{"ls", "--colour"}, 2, "--help"},
		{"damaged grant", []string{"ls", "--grant", "stratos-access-v1.zzz"}, 5, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errOut, code := runCLI(t, c.args...)
			if code != c.code || !strings.Contains(errOut, c.say) {
				t.Errorf("stratos %s: exit %d, want %d with %q\n%s", strings.Join(c.args, " "), code, c.code, c.say, errOut)
			}
		})
	}
	if out := mustCLI(t, "cp", "stratos://wrong-input/x", "-"); out != "hello" {
		t.Errorf("afterwards the object is %q", out)
	}
	writesTo(t, "hello", "cp", "stratos://wrong-input/x")
}

// A grant that was shared reads what it covers and nothing else; revoked, it reads nothing within an epoch.
func TestShare(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("shared "), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "mb", "stratos://share-test")
	mustCLI(t, "cp", file, "stratos://share-test/ours/x")
	mustCLI(t, "cp", file, "stratos://share-test/mine/x")
	text, said, code := runCLI(t, "share", "stratos://share-test/ours/")
	text = strings.TrimSpace(text)
	if code != 0 || !strings.Contains(said, "end it sooner with: stratos keys revoke share-") || strings.Contains(said, "note: ") {
		t.Fatalf("share: exit %d\n%s", code, said)
	}
	// What is not there yet can be given all the same; whoever does it hears so, and what else a beginning covers.
	for path, want := range map[string]string{
		"stratos://share-test/none/":  "note: nothing begins with stratos://share-test/none/ yet",
		"stratos://share-nowhere/x":   "note: there is no bucket stratos://share-nowhere/ yet",
		"stratos://share-test/mine":   "note: it opens everything that begins with stratos://share-test/mine, like stratos://share-test/mine/x",
		"stratos://share-test/mine/x": "",
		"stratos://share-test":        "",
	} {
		out, said, code := runCLI(t, "share", path)
		if code != 0 || !strings.HasPrefix(out, "stratos-access-") || !strings.Contains(said, want) || want == "" && strings.Contains(said, "note: ") {
			t.Errorf("share %s: exit %d\n%s", path, code, said)
		}
	}
	if _, said, code := runCLI(t, "keys", "create", "early", "--prefix", "share-test/soon/", "--format", "env"); code != 0 || !strings.Contains(said, "note: nothing begins with stratos://share-test/soon/ yet") {
		t.Errorf("a key for what is not there: exit %d\n%s", code, said)
	}
	// Without a path, what a grant opens is listed.
	if out, said, code := runCLI(t, "ls", "--grant", text); code != 0 || !strings.Contains(out, "stratos://share-test/ours/x") || strings.Contains(out, "mine") || !strings.Contains(said, "The grant opens stratos://share-test/ours/ (read,list) until ") {
		t.Errorf("ls under the grant: exit %d\n%s%s", code, out, said)
	}
	// An access key is revoked by its id as well.
	id := newAccessKey(t, "--prefix", "share-test/mine/", "--budget", "7oz").ID
	if out := mustCLI(t, "keys", "list"); !regexp.MustCompile(`7 oz +` + id + ` +until`).MatchString(out) {
		t.Errorf("the list does not show the key %s and its budget:\n%s", id, out)
	}
	mustCLI(t, "keys", "revoke", id)
	if out := mustCLI(t, "keys", "list"); !regexp.MustCompile(id + ` +revoked`).MatchString(out) {
		t.Errorf("the list does not show that %s is revoked:\n%s", id, out)
	}
	if out := mustCLI(t, "cp", "--grant", text, "stratos://share-test/ours/x", "-"); len(out) != 70_000 {
		t.Fatalf("the grant reads %d bytes", len(out))
	}
	for _, args := range [][]string{
		{"cp", "stratos://share-test/mine/x", "-"},
		{"cp", file, "stratos://share-test/ours/y"},
		{"rm", "stratos://share-test/ours/x"},
		{"ls", "stratos://share-test/"},
		{"mb", "stratos://another"},
		{"keys", "create", "wider"},
		{"keys", "create", "as-wide", "--read-only", "--format", "env"},
		{"share", "stratos://share-test/ours/"},
	} {
		if _, errOut, code := runCLI(t, append(args, "--grant", text)...); code != mesh.Denied.ExitCode() {
			t.Errorf("stratos %s under the grant: exit %d\n%s", strings.Join(args, " "), code, errOut)
		}
	}
	for _, args := range [][]string{
		{"wallet", "balance", "--grant", text}, {"prepay", "1stos", "--grant", text},
		{"keys", "create", "poor", "--budget", "0oz"}, {"share", "stratos://share-test/ours/", "--budget", "0oz"}, {"mb", "stratos://poor", "--public", "--budget", "0oz"},
	} {
		if _, errOut, code := runCLI(t, args...); code != mesh.Invalid.ExitCode() || !strings.Contains(errOut, "next: ") {
			t.Errorf("stratos %s: exit %d\n%s", strings.Join(args, " "), code, errOut)
		}
	}
	for range 2 { // what was refused keeps no name
		if _, errOut, code := runCLI(t, "keys", "create", "nowhere", "--gateway", "nowhere", "--format", "env"); code != mesh.NotFound.ExitCode() {
			t.Errorf("a key for no gateway: exit %d\n%s", code, errOut)
		}
	}
	var list struct {
		Keys []struct{ Name, Prefix string }
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "keys", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, k := range list.Keys {
		if k.Prefix == "share-test/ours/" {
			name = k.Name
		}
	}
	mustCLI(t, "keys", "revoke", name)
	began := time.Now()
	if _, errOut, code := runCLI(t, "cp", "--grant", text, "stratos://share-test/ours/x", "-"); code != mesh.Denied.ExitCode() {
		t.Errorf("a revoked grant: exit %d after %s\n%s", code, time.Since(began), errOut)
	}
}

// A copy of many leaves out what fits into no folder, tells it, fails, and has copied the rest.
func TestLeftOut(t *testing.T) {
	c := shared.client(t, "alice", 0, client.Options{})
	bucket(t, c, "left-out")
	for _, key := range []string{"a", "a/b", "a-b", "c//d", "../e", "./f", "folder/", "deep/er/x"} {
		b := []byte("this is " + key)
		if key == "folder/" {
			b = nil // as other tools make folders
		}
		put(t, c, mesh.Path{Bucket: "left-out", Key: key}, b)
	}
	top := t.TempDir()
	dir := filepath.Join(top, "down")
	_, said, code := runCLI(t, "cp", "--recursive", "stratos://left-out/", dir)
	if code != mesh.Invalid.ExitCode() || !strings.Contains(said, "4 things were not copied, the rest was") || !strings.Contains(said, "\nnext: copy it by itself, under a name of yours") {
		t.Errorf("exit %d\n%s", code, said)
	}
	for _, key := range []string{"a", "c//d", "../e", "./f"} {
		if !strings.Contains(said, "left out stratos://left-out/"+key+": ") {
			t.Errorf("nothing is said of %s:\n%s", key, said)
		}
	}
	for _, key := range []string{"a/b", "a-b", "deep/er/x"} {
		if b, err := os.ReadFile(filepath.Join(dir, key)); err != nil || string(b) != "this is "+key {
			t.Errorf("%s: %q, %v", key, b, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "folder")); err != nil || !info.IsDir() {
		t.Errorf("a folder that stands for itself: %v", err)
	}
	for folder, want := range map[string]int{top: 1, dir: 4} {
		if all, err := os.ReadDir(folder); err != nil || len(all) != want {
			t.Errorf("%s holds %v, %v", folder, all, err)
		}
	}
	write(t, filepath.Join(dir, "bad\xff"), []byte("no UTF-8"))
	var up struct {
		Objects int
		Left    []struct{ Name, Why string } `json:"left_out"`
	}
	out, said, code := runCLI(t, "cp", "--recursive", "--json", dir, "stratos://left-out/up")
	if err := json.Unmarshal([]byte(out), &up); err != nil || code != mesh.Invalid.ExitCode() || up.Objects != 3 || len(up.Left) != 1 || !strings.Contains(up.Left[0].Why, "UTF-8") {
		t.Errorf("up: exit %d, %v\n%s%s", code, err, out, said)
	}
	if _, said, code := runCLI(t, "cp", "--recursive", dir, "stratos://left-out-nowhere/"); code != mesh.NotFound.ExitCode() || strings.Contains(said, "left out") && strings.Count(said, "left out") > 1 {
		t.Errorf("a bucket that is not there is no matter of each file: exit %d\n%s", code, said)
	}
}

// What accounts hold is shown as it is: STOS and ozone, by `wallet balance` and by an `up` that finds the network running.
func TestHoldings(t *testing.T) {
	mustCLI(t, "wallet", "send", "bob", "1.25stos")
	mustCLI(t, "prepay", "--for", "bob", "0.5stos")
	var v struct {
		Accounts []struct {
			Balance mesh.Wei `json:"balance_wei"`
			Ozone   mesh.Noz `json:"ozone_noz"`
		}
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "wallet", "balance", "bob", "--json")), &v); err != nil || len(v.Accounts) != 1 || v.Accounts[0].Ozone == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	bob := v.Accounts[0].Balance.String() + ", " + v.Accounts[0].Ozone.String()
	if out, said, code := runCLI(t, "up"); code != 0 || !strings.Contains(out, "  "+bob+"\n") || !strings.Contains(said, "running already") {
		t.Errorf("bob has %s, and up shows (exit %d)\n%s%s", bob, code, out, said)
	}
	if out := mustCLI(t, "wallet", "balance", "bob"); !strings.Contains(out, v.Accounts[0].Ozone.String()) {
		t.Errorf("bob has %s, and wallet balance shows %s", bob, out)
	}
}
