package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node"
)

// visitor asks hosts below localhost of this machine, whatever the machine's resolver thinks of them.
var visitor = &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{
	DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	},
	DisableKeepAlives: true,
}}

// visit asks an application for something.
func visit(method, url, body string) (status int, got string, err error) {
	q, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r, err := visitor.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// expectVisit is visit that must give a status, and something in it.
func expectVisit(t *testing.T, method, url, body string, status int, contains string) string {
	t.Helper()
	got, text, err := visit(method, url, body)
	if err != nil || got != status || !strings.Contains(text, contains) {
		t.Errorf("%s %s %.100s: %d %.300q, %v; want %d with %q", method, url, body, got, text, err, status, contains)
	}
	return text
}

// appNode is a node of the network, by its id.
func appNode(t *testing.T, id string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(shared.dir, "node-*", "node.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		home := filepath.Dir(p)
		who, err := node.Init(home) // it is there
		if err != nil {
			t.Fatal(err)
		}
		if who.ID.String() == id {
			return filepath.Base(home)
		}
	}
	t.Fatalf("no node has the id %s", id)
	return ""
}

// The guest book is deployed, written in by many at once, deployed again and rolled back, with a node of it held down; its owner sees what happened.
func TestDeploy(t *testing.T) {
	const example = "../examples/guestbook"
	deploy := func(dir string, args ...string) (d struct {
		URL      string
		Version  uint64
		Migrated []string
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(mustCLI(t, append([]string{"deploy", dir, "--json"}, args...)...)), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	began := time.Now()
	d := deploy(example)
	t.Logf("deployed in %s: %+v", time.Since(began), d)
	api := d.URL + "api/posts"
	expectVisit(t, "GET", d.URL, "", 200, "<h1>Guest book</h1>")
	expectVisit(t, "GET", d.URL+"style.css", "", 200, "font")
	expectVisit(t, "GET", api, "", 200, "[]")
	expectVisit(t, "GET", d.URL+"feed.txt", "", 200, "nobody yet")
	expectVisit(t, "POST", api, `{"name": "ann", "message": "first"}`, 201, `{"id":1}`)
	expectVisit(t, "POST", api, `{"name": ""}`, 400, "a post has a name")
	expectVisit(t, "DELETE", api, "", 405, "")
	expectVisit(t, "GET", d.URL+"feed.txt", "", 200, "ann: first")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			expectVisit(t, "POST", api, fmt.Sprintf(`{"name": "bob", "message": "post %d of 8"}`, i), 201, "id")
		})
	}
	all.Wait()
	posts := expectVisit(t, "GET", api, "", 200, "ann")
	for i := range 8 {
		if strings.Count(posts, fmt.Sprintf("post %d of 8", i)) != 1 {
			t.Errorf("post %d is not there once: %s", i, posts)
		}
	}

	// A second version, and back. What is asked after the rollback is answered by the first.
	next := filepath.Join(t.TempDir(), "next")
	if err := os.CopyFS(next, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(next, "functions", "posts.js"), "    print()\n", "    print(\"X: 1\")\n    print()\n    print('\"second\"')\n")
	edit(t, filepath.Join(next, "public", "index.html"), "<h1>Guest book", "<h1>Second book")
	if d = deploy(next); d.Version != 2 || len(d.Migrated) > 0 {
		t.Errorf("deployed again: %+v", d)
	}
	expectVisit(t, "GET", api, "", 200, "second")
	expectVisit(t, "GET", d.URL, "", 200, "Second book")
	var back atomic.Bool
	var before, later atomic.Int64 // requests
	stop := make(chan struct{})
	for range 3 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				after := back.Load()
				status, text, err := visit("GET", api, "")
				if err != nil || status != 200 || after && strings.Contains(text, "second") {
					t.Errorf("request %d, after the rollback %v: %d %.100q, %v", n, after, status, text, err)
				}
				if after {
					later.Add(1)
				} else {
					before.Add(1)
				}
			}
		})
	}
	until(t, "requests before the rollback", func() (bool, error) { return before.Load() > 5, nil })
	began = time.Now()
	mustCLI(t, "app", "rollback", "guestbook")
	back.Store(true)
	t.Logf("rolled back in %s", time.Since(began))
	until(t, "requests after the rollback", func() (bool, error) { return later.Load() > 10, nil })
	close(stop)
	all.Wait()
	expectVisit(t, "GET", d.URL, "", 200, "Guest book")

	// The nodes that answered last are held down.
	var line struct {
		Path   string
		Method string
		Nodes  []string
		Status int
		Noz    uint64
		Log    string
	}
	until(t, "the log of the post", func() (bool, error) {
		for _, l := range strings.Split(strings.TrimSpace(mustCLI(t, "app", "logs", "guestbook", "--json")), "\n") {
			if err := json.Unmarshal([]byte(l), &line); err != nil {
				return false, fmt.Errorf("%w: %s", err, l)
			}
			if line.Method == "POST" && line.Status == 201 {
				return true, nil
			}
		}
		return false, nil
	})
	if len(line.Nodes) != 2 || line.Noz == 0 || !strings.HasPrefix(line.Log, "post ") {
		t.Errorf("the log says %+v", line)
	}
	up := shared.down(t, appNode(t, line.Nodes[0]))
	expectVisit(t, "POST", api, `{"name": "cy", "message": "while a node is down"}`, 201, "id")
	expectVisit(t, "GET", api, "", 200, "while a node is down")
	up()

	if out := mustCLI(t, "meta", "explain", "call"); strings.Count(out, "score 1001") < 4 || strings.Count(out, "\n") != 9 { // one has just come back
		t.Errorf("meta explain shows\n%s", out)
	}
	if out, errOut, code := runCLI(t, "meta", "explain", "soul"); code != mesh.Invalid.ExitCode() || !strings.Contains(errOut, "slice, cell, task or call") {
		t.Errorf("meta explain of what is not placed: %d, %s%s", code, out, errOut)
	}
	if out := mustCLI(t, "app", "list"); !strings.Contains(out, "guestbook") {
		t.Errorf("app list shows %s", out)
	}
	if out := mustCLI(t, "app", "show", "guestbook"); !strings.Contains(out, "version 1") || !strings.Contains(out, "versions: 1 2") || !strings.Contains(out, "POST /api/posts") {
		t.Errorf("app show shows %s", out)
	}
	mustCLI(t, "app", "remove", "guestbook")
	if status, _, err := visit("GET", d.URL, ""); err != nil || status < 400 {
		t.Errorf("after it was removed: %d, %v", status, err)
	}
	mustCLI(t, "db", "drop", "guestbook", "--yes")
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), from) {
		t.Fatalf("%s has no %q: %v", path, from, err)
	}
	write(t, path, []byte(strings.Replace(string(b), from, to, 1)))
}

// What functions may and may not do: objects and secrets, routes that only read, mistakes of all kinds.
func TestFunctions(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f.js"), []byte(`
if (env.EVENT === "schedule") { ask({put: "ticks/" + env.EVENT_TIME, text: "tick"}); exit() }
if (env.EVENT === "object") { ask({put: "out/" + env.OBJECT_KEY.slice(3), text: ask({get: env.OBJECT_KEY}).text.toUpperCase()}); exit() }
const path = env.PATH_INFO, say = (x, type = "application/json") => print("Content-Type: " + type + "\n\n" + JSON.stringify(x))
const caught = f => { try { return f() } catch (e) { return e.code + ": " + e.message } }
switch (path) {
case "/put": ask({put: "data/x.txt", text: readAll(), type: "text/plain"}); say([ask({get: "data/x.txt"}).text, ask({list: "data/"}).keys]); break
case "/delete": ask({delete: "data/x.txt"}); say(caught(() => ask({get: "data/x.txt"}))); break
case "/get": say([caught(() => ask({get: "data/x.txt"}).text), ask({list: "data/"}).keys, caught(() => ask({put: "data/y", text: "no"}))]); break
case "/inside": say([caught(() => ask({get: ".app/secrets.json"})), ask({list: ""}).keys, caught(() => sql("SELECT 1")), caught(() => ask({nonsense: 1}))]); break
case "/secret": say([env.TOKEN, env.GREETING, env.PARAM_none]); break
case "/loop": for (;;);
case "/throw": console.log("before"); ask({put: "data/never", text: "x"}); throw new Error("a mistake")
case "/headless": ask({put: "data/never", text: "x"}); print("hello"); break
case "/large": write("Content-Type: text/plain\n\n" + "x".repeat(4_000_000)); break
case "/larger": write("Content-Type: text/plain\n\n" + "x".repeat(5_000_000)); break
default: say({path, id: env.PARAM_id, q: env.QUERY_STRING, method: env.REQUEST_METHOD, body: readAll(), unique: env.UNIQUE_ID.length})
}`))
	write(t, filepath.Join(dir, "stratos.toml"), []byte(`
name = "sim-functions"
secrets = ["TOKEN"]
[[function]]
name = "f"
program = "f.js"
routes = ["GET /", "POST /", "GET /items/{id}"]
fuel = 3_000_000_000
env = {GREETING = "hello"}
[[schedule]]
function = "f"
every = "10s"
[[trigger]]
function = "f"
prefix = "in/"
`))
	refused := func(code mesh.Kind, say string, args ...string) {
		t.Helper()
		if out, errOut, got := runCLI(t, args...); got != code.ExitCode() || !strings.Contains(errOut, say) {
			t.Errorf("stratos %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code.ExitCode(), say, out, errOut)
		}
	}
	refused(mesh.NotFound, "stratos.toml", "deploy", t.TempDir())
	refused(mesh.Invalid, "the secret TOKEN has no value", "deploy", dir)
	refused(mesh.NotFound, "no application", "app", "show", "sim-functions")
	out := mustCLI(t, "deploy", dir, "--secret", "TOKEN=s3cret")
	url := out[strings.Index(out, "http"):]
	url = strings.TrimRight(strings.TrimSpace(url), "/")
	until(t, "the first look for events", func() (bool, error) {
		return strings.Contains(mustCLI(t, "ls", "-r", "stratos://sim-functions/.app/"), "trigger-f-0"), nil
	})
	words := filepath.Join(t.TempDir(), "words.txt")
	write(t, words, []byte("some words"))
	mustCLI(t, "cp", words, "stratos://sim-functions/in/words.txt")
	expectVisit(t, "GET", url+"/items/7?x=1", "", 200, `{"path":"/items/7","id":"7","q":"x=1","method":"GET","body":"","unique":32}`)
	expectVisit(t, "POST", url+"/any", "a body", 200, `"body":"a body"`)
	expectVisit(t, "POST", url+"/put", "some text", 200, `["some text",[]]`)
	expectVisit(t, "GET", url+"/get", "", 200, `["some text",["data/x.txt"],"denied: this route only reads"]`)
	if got := mustCLI(t, "cp", "stratos://sim-functions/data/x.txt", "-"); got != "some text" {
		t.Errorf("the object holds %q", got)
	}
	expectVisit(t, "POST", url+"/delete", "", 200, "there is no object")
	expectVisit(t, "GET", url+"/get", "", 200, `not found: there is no stratos://sim-functions/data/x.txt",[]`)
	inside := expectVisit(t, "GET", url+"/inside", "", 200, "denied: what begins with .app/")
	if !strings.Contains(inside, `,["in/words.txt"],`) || !strings.Contains(inside, "the application has no database") || !strings.Contains(inside, "a request is a line of JSON") {
		t.Errorf("what it sees inside: %s", inside)
	}
	expectVisit(t, "GET", url+"/secret", "", 200, `["s3cret","hello",null]`)
	expectVisit(t, "GET", url+"/large", "", 200, "xxx")
	for _, bad := range []string{"/loop", "/throw", "/headless", "/larger"} {
		expectVisit(t, "POST", url+bad, "", 503, "cannot be answered")
	}
	if left := mustCLI(t, "ls", "stratos://sim-functions/data/"); strings.Contains(left, "never") {
		t.Errorf("a request that failed did something: %s", left)
	}
	mustCLI(t, "deploy", dir, "--secret", "TOKEN=other")
	until(t, "the new secret", func() (bool, error) {
		_, text, err := visit("GET", url+"/secret", "")
		return strings.Contains(text, "other"), err
	})
	until(t, "the logs of what failed", func() (bool, error) {
		logs := mustCLI(t, "app", "logs", "sim-functions")
		for _, want := range []string{"it is out of fuel", "a mistake", "before", "it begins with no header", "it is out of output"} {
			if !strings.Contains(logs, want) {
				return false, fmt.Errorf("no %q in %s", want, logs)
			}
		}
		return true, nil
	})
	until(t, "what the trigger gives", func() (bool, error) {
		out, errOut, code := runCLI(t, "cp", "stratos://sim-functions/out/words.txt", "-")
		return code == 0 && out == "SOME WORDS", fmt.Errorf("%d, %q, %s", code, out, errOut)
	})
	until(t, "a tick of the schedule", func() (bool, error) {
		return strings.Contains(mustCLI(t, "ls", "-r", "stratos://sim-functions/ticks/"), ":"), nil
	})
	mustCLI(t, "app", "remove", "sim-functions")
}
