package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
)

// The control interface is HTTP on a unix socket that only its owner can open. Bodies are JSON, at most maxControl
// bytes; an error is a Failure with the HTTP status of its kind.
//
//	GET  /status             -> Status; with ?ready=1 once the network is usable
//	POST /stop  {"names":[]} -> after the processes are gone
//	POST /start {"names":[]} -> after the processes are ready
//	POST /down               -> at once; the supervisor's lock tells when it is over
const maxControl = 1 << 20

// maxSocketPath is what the system allows for the path of a unix socket, less some room.
const maxSocketPath = 100

// downLimit is how long `down` waits; a network takes less than that to stop, even process by process.
const downLimit = 2 * time.Minute

// A Failure is an error as it crosses a process boundary.
type Failure struct {
	Kind string `json:"kind"`
	Code int    `json:"code"` // the exit code of the kind
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`

	SQLState string `json:"sqlstate,omitempty"` // of an error of SQL
	Program  string `json:"program,omitempty"`  // id of a program of which nobody knows what became
}

// FailureOf describes err.
func FailureOf(err error) Failure {
	k := mesh.KindOf(err)
	return Failure{Kind: k.String(), Code: k.ExitCode(), Text: err.Error(), Hint: mesh.HintOf(err)}
}

// Err is the error that the failure describes.
func (f Failure) Err() error {
	kind := mesh.Internal
	for k := mesh.Internal; k <= mesh.Exhausted; k++ {
		if k.ExitCode() == f.Code {
			kind = k
		}
	}
	return &mesh.Error{Kind: kind, Text: f.Text, Hint: f.Hint}
}

type namesBody struct {
	Names []string `json:"names"`
}

// A controlServer is the supervisor's end.
type controlServer struct {
	path string
	dir  string // to be removed, when the socket could not lie in the home
	l    net.Listener
}

func openControl(h home.Home) (*controlServer, error) {
	s := &controlServer{path: h.Path("control.sock")}
	var err error
	if len(s.path) > maxSocketPath {
		if s.dir, err = os.MkdirTemp("", "stratos-"); err != nil {
			return nil, mesh.Errorf(mesh.Internal, "control socket: %w", err)
		}
		s.path = filepath.Join(s.dir, "control.sock")
	}
	// Whoever holds the lock may remove what an earlier holder left.
	if err = os.Remove(s.path); err == nil || errors.Is(err, os.ErrNotExist) {
		s.l, err = net.Listen("unix", s.path)
	}
	if err == nil {
		err = os.Chmod(s.path, 0o600)
	}
	if err != nil {
		s.close()
		return nil, mesh.WithHint(mesh.Errorf(mesh.Internal, "control socket: %w", err), "use a --home on a local disk")
	}
	return s, nil
}

func (s *controlServer) close() {
	if s.l != nil {
		s.l.Close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

func (s *controlServer) serve(ctx context.Context, d *Devnet) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("ready") != "" {
			select {
			case <-d.Ready():
			case <-r.Context().Done():
			}
		}
		st, err := d.Status(r.Context())
		answer(w, st, err)
	})
	steer := func(do func(context.Context, ...string) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var body namesBody
			err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl)).Decode(&body)
			if err != nil {
				err = mesh.Errorf(mesh.Invalid, "request: %w", err)
			} else {
				err = do(r.Context(), body.Names...)
			}
			answer(w, struct{}{}, err)
		}
	}
	mux.HandleFunc("POST /stop", steer(d.Hold))
	mux.HandleFunc("POST /start", steer(d.Release))
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		d.Stop()
	})
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	own := lifecycle.New(context.WithoutCancel(ctx))
	_ = own.Go(func(context.Context) error { // a new group takes it
		if err := srv.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
			return mesh.Errorf(mesh.Internal, "control socket: %w", err)
		}
		return nil
	})
	<-ctx.Done()
	// Requests in flight end with ctx; what does not is cut off.
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if srv.Shutdown(short) != nil {
		srv.Close()
	}
	return own.Wait()
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(mesh.KindOf(err).HTTPStatus())
		v = FailureOf(err)
	}
	_ = json.NewEncoder(w).Encode(v) // a client that has gone does not want it
}

// A Control speaks to the supervisor of a home. Connect makes one.
type Control struct {
	home home.Home
	pid  int
	http *http.Client
}

// Connect finds the supervisor of a home. When none runs, the error is Unavailable.
func Connect(ctx context.Context, h home.Home) (*Control, error) {
	var who holder
	var held bool
	// A supervisor that has just begun says in a moment where it listens.
	ok, err := poll(ctx.Done(), 10*time.Millisecond, 5*time.Second, func() (bool, error) {
		var err error
		who, held, err = whoHolds(h)
		return !held || who.Control != "", err
	})
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !held:
		return nil, notRunning(h)
	case !ok:
		return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the supervisor of %s does not say where it listens", h.Dir()), "try again")
	}
	return &Control{home: h, pid: who.PID, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", who.Control)
		},
	}}}, nil
}

func notRunning(h home.Home) error {
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "no network is running in %s", h.Dir()), "start it with: stratos up")
}

// Status tells how the network is.
func (c *Control) Status(ctx context.Context) (*Status, error) {
	var st Status
	return &st, c.call(ctx, http.MethodGet, "/status", nil, &st)
}

// AwaitReady waits until the network is usable.
func (c *Control) AwaitReady(ctx context.Context) (*Status, error) {
	var st Status
	if err := c.call(ctx, http.MethodGet, "/status?ready=1", nil, &st); err != nil {
		return nil, err
	}
	if st.State != Ready {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the network in %s is %s", c.home.Dir(), st.State), "try again when it is over")
	}
	return &st, nil
}

// Stop kills processes by name and keeps them down.
func (c *Control) Stop(ctx context.Context, names ...string) error {
	return c.call(ctx, http.MethodPost, "/stop", namesBody{names}, nil)
}

// Start starts processes by name and returns when they are ready.
func (c *Control) Start(ctx context.Context, names ...string) error {
	return c.call(ctx, http.MethodPost, "/start", namesBody{names}, nil)
}

// Down stops the network and returns when nothing of it runs.
func (c *Control) Down(ctx context.Context) error {
	err := c.call(ctx, http.MethodPost, "/down", nil, nil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What counts is the lock: a supervisor that is going already may not answer.
	gone, lockErr := awaitUnlocked(ctx, c.home, downLimit)
	switch {
	case gone || lockErr != nil:
		return lockErr
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the supervisor, process %d, does not end: %w", c.pid, errors.Join(err, errors.New("no end within "+downLimit.String()))),
		"kill it, its processes end with it: kill -9 %d", c.pid)
}

func (c *Control) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(resp.Body, maxControl)); err == nil {
			return decodeAnswer(resp.StatusCode, b, out)
		}
	}
	// One that was killed keeps its lock until all of its threads have ended.
	gone, lockErr := awaitUnlocked(ctx, c.home, 2*time.Second)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case gone || lockErr != nil:
		return errors.Join(lockErr, notRunning(c.home))
	}
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the supervisor, process %d, does not answer: %w", c.pid, err), "see why with: stratos logs supervisor")
}

func decodeAnswer(status int, b []byte, out any) error {
	if status != http.StatusOK {
		var f Failure
		if err := json.Unmarshal(b, &f); err != nil {
			return mesh.Errorf(mesh.Internal, "the supervisor answers %d: %s", status, clip(string(b)))
		}
		return f.Err()
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return mesh.Errorf(mesh.Internal, "the supervisor's answer: %w", err)
	}
	return nil
}
