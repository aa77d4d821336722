// Package app serves applications: it has requests answered by functions, which nodes run, and is what these functions ask. See ../DESIGN.md.
//
// It shows no pages; gateway/http does, and hands over what a route matches.
package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	nethttp "net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/client/function"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Keys is what access keys that are sealed to the gateway open; leave gives back what was opened.
type Keys interface {
	// Database opens a database.
	Database(ctx context.Context, key, name string) (db *database.DB, leave func(), err error)
	// Client gives the client of a key.
	Client(ctx context.Context, key string) (c *client.Client, leave func(), err error)
	// Served lists the buckets that are served under such keys.
	Served(ctx context.Context) ([]client.ServedBucket, error)
}

// Options of Apps. The zero value of a field means its default.
type Options struct {
	Gateway  string               // its name, in names of logs
	Now      func() time.Time     // default the machine's
	Registry *prometheus.Registry // gets the metrics; nil: nobody does
}

// Apps are the applications that a gateway serves. Close it.
type Apps struct {
	opts     Options
	runner   *function.Runner
	keys     Keys
	log      *slog.Logger
	own      *lifecycle.Group
	known    *lru.Cache[appName, *App]
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram

	mu   sync.Mutex
	logs map[string]*journal // by bucket
	busy map[string]bool     // buckets whose events are looked for just now

	turns [64]*semaphore.Weighted // see turn
}

// An appName is a bucket and the SHA-256 of its manifest.
type appName struct {
	bucket string
	sum    [32]byte
}

// New makes Apps that have functions run by a runner, which stays its maker's to close.
func New(r *function.Runner, k Keys, log *slog.Logger, o Options) (*Apps, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	a := &Apps{opts: o, runner: r, keys: k, log: log, own: lifecycle.New(context.Background()), logs: map[string]*journal{}, busy: map[string]bool{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stratos_app_requests_total", Help: "Requests and events that functions answered."}, []string{"status"}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "stratos_app_seconds", Help: "Time until a function's answer counted.", Buckets: prometheus.ExponentialBuckets(0.002, 3, 8)})}
	for i := range a.turns {
		a.turns[i] = semaphore.NewWeighted(aloneWeight)
	}
	var err error
	if a.known, err = lru.New[appName, *App](256); err != nil {
		return nil, err
	}
	for _, c := range []prometheus.Collector{a.requests, a.seconds} {
		if err := o.Registry.Register(c); err != nil {
			return nil, mesh.Errorf(mesh.Conflict, "applications: the registry has them already: %w", err)
		}
	}
	return a, nil
}

// Close writes down what was logged, and ends.
func (a *Apps) Close() error { return a.own.Close() }

// An App is one version of an application.
type App struct {
	Manifest *app.Manifest
	Bucket   string
	apps     *Apps
	mux      *nethttp.ServeMux

	mu      sync.Mutex
	scripts map[string][]byte // by their SHA-256
	secrets []string
	since   time.Time // when secrets were read
}

// App is the application of a bucket whose manifest, with this SHA-256, the log has.
func (a *Apps) App(bucket string, manifest []byte, sum [32]byte) (*App, error) {
	name := appName{bucket, sum}
	if x, ok := a.known.Get(name); ok {
		return x, nil
	}
	m, err := app.Parse(manifest)
	if err != nil {
		return nil, err
	}
	x := &App{Manifest: m, Bucket: bucket, apps: a, scripts: map[string][]byte{}}
	if x.mux, err = m.Mux(func(i int) nethttp.Handler { return &Route{x, &m.Routes[i]} }); err != nil {
		return nil, err
	}
	a.known.Add(name, x)
	return x, nil
}

// A Route has a function answer requests.
type Route struct {
	app *App
	*app.Route
}

// ServeHTTP is not called: a mux finds routes, and Serve answers.
func (h *Route) ServeHTTP(nethttp.ResponseWriter, *nethttp.Request) {}

// Match finds the route for a request; nil where there is none. allowed are the methods by which the path would be answered.
func (x *App) Match(r *nethttp.Request) (found *Route, allowed string) {
	h, _ := x.mux.Handler(r)
	if found, ok := h.(*Route); ok {
		return found, ""
	}
	w := &status{header: nethttp.Header{}}
	h.ServeHTTP(w, r) // what the mux says: not found, or not by this method
	return nil, w.header.Get("Allow")
}

// A status takes an answer of which only the header counts.
type status struct{ header nethttp.Header }

func (s *status) Header() nethttp.Header      { return s.header }
func (s *status) Write(b []byte) (int, error) { return len(b), nil }
func (s *status) WriteHeader(int)             {}

// A Visitor is who asks, and under which client he is served.
type Visitor struct {
	Client *client.Client // of the key that serves the application
	From   string         // his address
	Secure bool           // he came by TLS
}

// MaxBody bounds a request's body.
const MaxBody = compute.MaxCallInput

// Serve has a request that matches the route answered. An error is for the visitor, who was sent nothing.
func (h *Route) Serve(w nethttp.ResponseWriter, r *nethttp.Request, q *Visitor) error {
	x := h.app
	f := &x.Manifest.Functions[h.Function]
	body, err := io.ReadAll(nethttp.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "the request's body, of at most %d bytes: %w", MaxBody, err)
	}
	line := x.line(f, r.Method, r.URL.Path)
	run := &run{app: x, client: q.Client, function: f, level: h.Level, writes: h.Writes, answers: true}
	answer, err := run.do(r.Context(), body, environment(r, q, h.Pattern, line.Request, len(body)), line)
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "the application could not answer; its owner finds the reason in its logs, under %s", line.Request)
	}
	answer.send(w, r)
	return nil
}

// line is what is noted of a run that begins.
func (x *App) line(f *app.Function, method, path string) *logLine {
	id := make([]byte, 16)
	rand.Read(id)
	return &logLine{Time: x.apps.opts.Now().UTC(), Request: hex.EncodeToString(id), Version: x.Manifest.Version, Method: method, Path: path, Function: f.Name}
}

// A run is a function at work for a request, or for an event, which nobody waits for.
type run struct {
	app      *App
	client   *client.Client
	function *app.Function
	level    uint32
	writes   bool
	answers  bool // its output is an answer, and counts only if it is one
}

// do has the function run, and notes what came of it.
func (r *run) do(ctx context.Context, body []byte, env []string, line *logLine) (answer *response, err error) {
	answer, err = r.call(ctx, body, env, line)
	line.Status = nethttp.StatusOK
	switch kind := mesh.KindOf(err); {
	case err != nil && (kind == mesh.Unavailable || kind == mesh.Exhausted):
		line.Status = nethttp.StatusServiceUnavailable
	case err != nil:
		line.Status = nethttp.StatusBadGateway
	case r.answers:
		line.Status = answer.status
	}
	if err != nil {
		line.Error = err.Error()
	}
	a, took := r.app.apps, r.app.apps.opts.Now().Sub(line.Time)
	line.Milliseconds = took.Milliseconds()
	a.requests.WithLabelValues(strconv.Itoa(line.Status)).Inc()
	a.seconds.Observe(took.Seconds())
	a.note(r.app.Bucket, r.client, line)
	return answer, err
}

func (r *run) call(ctx context.Context, body []byte, env []string, line *logLine) (*response, error) {
	x := r.app
	program, err := x.program(ctx, r.client, r.function, r.level)
	if err != nil {
		return nil, err
	}
	secrets, err := x.secretsOf(ctx, r.client)
	if err != nil {
		return nil, err
	}
	var open []*session
	turn, held := x.apps.turn(x.Bucket), int64(0)
	defer func() {
		turn.Release(held)
		for _, s := range open {
			s.close()
		}
	}()
	o, err := x.apps.runner.Run(ctx, r.client, program, body, append(env, secrets...), func() function.Session {
		if r.writes {
			turn.Release(held)
			if held = 1; len(open) > 0 { // it came too late before, and would again
				held = aloneWeight
			}
			if turn.Acquire(ctx, held) != nil {
				held = 0 // nobody waits for the answer any more
			}
		}
		s := &session{app: x, client: r.client, writes: r.writes, answers: r.answers}
		open = append(open, s)
		return s
	})
	if err != nil {
		return nil, err
	}
	line.Fuel, line.Noz, line.Log = o.Result.Fuel, uint64(o.Cost), string(o.Log)
	for _, n := range o.Nodes {
		line.Nodes = append(line.Nodes, n.String())
	}
	if err := compute.Failed(o.Result); err != nil {
		return nil, err
	}
	return open[len(open)-1].answer, nil
}

// aloneWeight is what a request takes that must be alone in its application, of which others take 1.
const aloneWeight = 1 << 30

// turn is by what requests that write to one application give way to each other: they run beside each other at first, and who finds that another
// has changed what he saw runs again alone.
func (a *Apps) turn(bucket string) *semaphore.Weighted {
	return a.turns[crc32.ChecksumIEEE([]byte(bucket))%uint32(len(a.turns))] // two that share one wait for nothing now and then
}

// program is a function as it is run at a level.
func (x *App) program(ctx context.Context, c *client.Client, f *app.Function, level uint32) (*function.Function, error) {
	p := &function.Function{ID: fmt.Sprintf("%s/%s@%d/%d", x.Bucket, f.Name, x.Manifest.Version, level), Level: level,
		Fetch: func(ctx context.Context) ([]byte, error) {
			return x.read(ctx, c, app.ModuleKey(f.Module), compute.MaxCallModule)
		}}
	var files []*wirepb.ComputeFile
	if f.Script != "" {
		b, err := x.script(ctx, c, f.Script)
		if err != nil {
			return nil, err
		}
		root := blake3.Sum256(b)
		files, p.Files = append(files, &wirepb.ComputeFile{Name: app.ScriptFile, Size: uint64(len(b)), Root: root[:]}), append(p.Files, b)
	}
	p.Stage = f.Stage(files)
	return p, nil
}

// script gives a script, which is read once.
func (x *App) script(ctx context.Context, c *client.Client, sum string) ([]byte, error) {
	x.mu.Lock()
	b, ok := x.scripts[sum]
	x.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := x.read(ctx, c, app.ScriptKey(sum), app.MaxScript)
	if err == nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.scripts[sum] = b
	}
	return b, err
}

// read reads an object of the application.
func (x *App) read(ctx context.Context, c *client.Client, key string, most int) ([]byte, error) {
	b, _, err := c.ReadAll(ctx, mesh.Path{Bucket: x.Bucket, Key: key}, 0, uint64(most))
	return b, err
}
