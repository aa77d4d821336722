// Package databases serves databases to programs over HTTP: Hrana, for the clients of libSQL, and documents in JSON. See ../DESIGN.md.
//
// It knows no keys and no cells: a Store opens databases for whoever shows the secret of an access key. The gateway runs it.
package databases

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/mesh"
)

// A Key is an access key.
type Key struct {
	Name, Secret string
	Database     string // the only one that it is for; "": any of its account's
}

// A Store finds keys and opens databases.
type Store interface {
	// Key opens an access key by name. NotFound or Denied when there is none of a name for this gateway.
	Key(ctx context.Context, name string) (*Key, error)
	// Open opens the database of a name under a key. leave is called when it is not used any more.
	Open(ctx context.Context, key *Key, name string) (db *database.DB, leave func(), err error)
}

// Options of a Server. Zero stands for the default; a negative value is refused.
type Options struct {
	guard.Limits

	// HeaderBytes is the most that the lines before a body may have together. Default 16 KiB.
	HeaderBytes int
	// BodyBytes bounds a request's body, AnswerBytes what one answer has of rows. Defaults 8 MiB and 32 MiB.
	BodyBytes, AnswerBytes int
	// Requests is how many are served at once; one more gets 503. PerKey is how many of one access key. Defaults 256 and 64.
	Requests, PerKey int
	// RequestTime bounds a request. Default 2 minutes.
	RequestTime time.Duration
	// Streams is how many streams are open, StreamsPerKey how many of one access key. Defaults 4,096 and 256.
	Streams, StreamsPerKey int
	// StreamTime is how long a stream waits for its next request. Default 60 s.
	StreamTime time.Duration
	// Feeds is how many are followed, FeedsPerKey how many of one access key. Defaults 256 and 32.
	Feeds, FeedsPerKey int
	// OpenTime is how long a database stays open that nobody uses. Default 60 s.
	OpenTime time.Duration
	// Grace is how long requests under way have when the server stops. Default 10 s.
	Grace time.Duration

	// AccessLog gets a line a request in Combined Log Format. nil: none.
	AccessLog io.Writer
	// Registry gets the metrics. nil: nobody does.
	Registry *prometheus.Registry
}

func (o Options) withDefaults() (Options, error) {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	var err error
	if o.Limits, err = o.Limits.WithDefaults(); err != nil {
		return o, err
	}
	return o, guard.Defaults(
		guard.Default{Name: "HeaderBytes", Number: &o.HeaderBytes, Of: 16 << 10},
		guard.Default{Name: "BodyBytes", Number: &o.BodyBytes, Of: 8 << 20},
		guard.Default{Name: "AnswerBytes", Number: &o.AnswerBytes, Of: 32 << 20},
		guard.Default{Name: "Requests", Number: &o.Requests, Of: 256},
		guard.Default{Name: "PerKey", Number: &o.PerKey, Of: 64},
		guard.Default{Name: "RequestTime", Time: &o.RequestTime, Of: int(2 * time.Minute)},
		guard.Default{Name: "Streams", Number: &o.Streams, Of: 4096},
		guard.Default{Name: "StreamsPerKey", Number: &o.StreamsPerKey, Of: 256},
		guard.Default{Name: "StreamTime", Time: &o.StreamTime, Of: int(time.Minute)},
		guard.Default{Name: "Feeds", Number: &o.Feeds, Of: 256},
		guard.Default{Name: "FeedsPerKey", Number: &o.FeedsPerKey, Of: 32},
		guard.Default{Name: "OpenTime", Time: &o.OpenTime, Of: int(time.Minute)},
		guard.Default{Name: "Grace", Time: &o.Grace, Of: int(10 * time.Second)},
	)
}

// A Server serves databases on one listener.
type Server struct {
	opts     Options
	log      *slog.Logger
	store    Store
	http     *guard.Server
	clients  *guard.Clients
	access   *guard.AccessLog
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
	opened   pool
	streams  streams
	feeds    feeds
	life     context.Context // of feeds; ends when the server stops
	end      context.CancelFunc

	mu     sync.Mutex
	active int            // requests
	perKey map[string]int // of them
}

// New makes a server on l, which may speak TLS already. l is the server's, also when New fails; store stays its maker's to close.
func New(l net.Listener, store Store, log *slog.Logger, opts Options) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, log: log, store: store, access: guard.NewAccessLog(opts.AccessLog), perKey: map[string]int{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stratos_databases_requests_total", Help: "Requests answered."}, []string{"status"}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "stratos_databases_request_seconds", Help: "Time until the answer was sent.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)})}
	s.opened.open, s.opened.keep, s.opened.all = store.Open, opts.OpenTime, map[opening]*shared{}
	s.streams.keep, s.streams.most, s.streams.mostOfKey = opts.StreamTime, opts.Streams, opts.StreamsPerKey
	s.streams.all, s.streams.ofKey = map[baton]*stream{}, map[string]int{}
	s.feeds.most, s.feeds.mostOfKey, s.feeds.ofKey = opts.Feeds, opts.FeedsPerKey, map[string]int{}
	s.life, s.end = context.WithCancel(context.Background())
	if s.clients, err = guard.NewClients(opts.Limits); err != nil {
		return nil, err
	}
	for _, c := range []prometheus.Collector{s.requests, s.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stratos_databases_streams", Help: "Streams open."}, func() float64 { return float64(s.streams.count()) })} {
		if err := opts.Registry.Register(c); err != nil {
			return nil, mesh.Errorf(mesh.Conflict, "databases: the registry already has a gateway: %w", err)
		}
	}
	s.http = guard.NewServer("databases", guard.NewListener(l, opts.Limits), http.HandlerFunc(s.handle), opts.Limits, opts.HeaderBytes, opts.Grace, log)
	return s, nil
}

// Run serves until ctx ends or Close is called. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tidying sync.WaitGroup
	tidying.Go(func() { s.tidy(ctx) })
	defer context.AfterFunc(ctx, s.end)()
	err := s.http.Run(ctx)
	cancel()
	tidying.Wait()
	s.streams.sweep(time.Time{})
	s.opened.sweep(time.Time{})
	return err
}

// Close stops Run and waits for it. It may be called more than once, and without Run.
func (s *Server) Close() error {
	s.end()
	return s.http.Close()
}

// tidyEvery is how often is looked for what nobody uses.
const tidyEvery = time.Second

func (s *Server) tidy(ctx context.Context) {
	t := time.NewTicker(tidyEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s.streams.sweep(now)
			s.opened.sweep(now)
		}
	}
}

// A sent notes what was sent.
type sent struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *sent) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *sent) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

func (a *sent) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// handle is every request's first handler, and its last.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	begin, a := time.Now(), &sent{ResponseWriter: w}
	from := guard.ClientOf(guard.From(r))
	user := ""
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			s.log.Error("panic while a request was served", "panic", p, "stack", string(debug.Stack()))
		}
		if p != nil && a.status == 0 {
			a.status = http.StatusInternalServerError
		}
		s.requests.WithLabelValues(strconv.Itoa(a.status)).Inc()
		s.seconds.Observe(time.Since(begin).Seconds())
		s.access.Write(guard.Line{Client: from.String(), User: user, Begin: begin, Method: r.Method, URI: r.URL.Path, Proto: r.Proto, Status: a.status, Bytes: a.bytes, Agent: r.UserAgent()})
		if p != nil {
			panic(http.ErrAbortHandler) // the answer must not look complete
		}
	}()
	h := a.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Access-Control-Allow-Origin", "*") // who asks shows a secret of his own: no browser adds one by itself
	if !s.clients.Admit(from) {
		refuse(a, mesh.Errorf(mesh.Unavailable, "too many requests from your address"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.RequestTime)
	defer cancel()
	if err := s.route(a, r.WithContext(ctx), &user); err != nil {
		refuse(a, err)
	}
}

// route answers a request. Paths are /DATABASE/ENDPOINT, or /ENDPOINT for a key that is for one database only.
func (s *Server) route(w http.ResponseWriter, r *http.Request, user *string) error {
	name, endpoint, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok && name == changesPath {
		name, endpoint, ok = "", changesPath, true
	}
	if version := name == "v2" || name == "v3" || name == "v3-protobuf" || name == "documents"; version {
		name, endpoint = "", strings.TrimPrefix(r.URL.Path, "/")
	} else if !ok {
		endpoint = ""
	}
	switch {
	case r.Method == http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, "+levelHeader)
		w.Header().Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return nil
	case r.Method == http.MethodGet && (endpoint == "v2" || endpoint == "v3"):
		w.WriteHeader(http.StatusOK) // it is spoken here
		return nil
	}
	serve, ok := endpoints[endpoint]
	if strings.HasPrefix(endpoint, documentsPath) {
		serve, ok = (*Server).document, true
	}
	switch {
	case endpoint == changesPath:
		if r.Method != http.MethodGet {
			return asked(r, http.MethodGet)
		}
	case !ok:
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is nothing at %.100q", r.URL.Path), "a client's URL ends with the name of the database and a slash")
	case r.Method != http.MethodPost:
		return asked(r, http.MethodPost)
	}
	key, err := s.authenticate(r)
	if err != nil {
		return err
	}
	*user = key.Name
	if name == "" {
		if name = key.Database; name == "" {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the access key is for more than one database, and the URL names none"), "add the name and a slash to the client's URL")
		}
	}
	if endpoint == changesPath {
		return s.feed(w, r, key, name)
	}
	if err := s.enter(key.Name); err != nil {
		return err
	}
	defer s.leave(key.Name)
	level, err := database.ParseLevel(orDefault(r.Header.Get(levelHeader)))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.opts.BodyBytes)))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "a request of more than %d bytes", s.opts.BodyBytes), "divide it")
	}
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "reading the request: %w", err)
	}
	return serve(s, &request{Context: r.Context(), key: key, name: name, endpoint: endpoint, level: level, body: body}, w)
}

// levelHeader says how many replicas must agree on what is read.
const levelHeader = "Stratos-Level"

func orDefault(level string) string {
	if level == "" {
		return database.Default.String()
	}
	return level
}

// A request is one that a key has made.
type request struct {
	context.Context
	key      *Key
	name     string // of the database
	endpoint string
	level    database.Level
	body     []byte
}

// endpoints by what follows the database's name.
var endpoints = map[string]func(*Server, *request, http.ResponseWriter) error{
	"v2/pipeline": (*Server).pipeline,
	"v3/pipeline": (*Server).pipeline,
	"v3/cursor":   (*Server).cursor,
}

// authenticate finds the key whose name and secret a request bears, divided by a point.
func (s *Server) authenticate(r *http.Request) (*Key, error) {
	denied := &refusal{mesh.WithHint(mesh.Errorf(mesh.Denied, "the request bears no token that this gateway knows"), "make one: stratos keys create app --database NAME --format url"),
		http.StatusUnauthorized, "WWW-Authenticate", "Bearer"}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	name, secret, ok := strings.Cut(token, ".")
	if !strings.EqualFold(scheme, "Bearer") || !ok {
		return nil, denied
	}
	key, err := s.store.Key(r.Context(), name)
	if k := mesh.KindOf(err); err != nil && (k == mesh.NotFound || k == mesh.Denied || k == mesh.Invalid) {
		return nil, denied
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(key.Secret), []byte(secret)) != 1 {
		return nil, denied
	}
	return key, nil
}

// enter takes a place among the requests, and among those of a key.
func (s *Server) enter(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active >= s.opts.Requests || s.perKey[key] >= s.opts.PerKey {
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the gateway has too much to do, or too much for this access key"), "ask fewer at once")
	}
	s.active++
	s.perKey[key]++
	return nil
}

func (s *Server) leave(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if s.perKey[key]--; s.perKey[key] == 0 {
		delete(s.perKey, key)
	}
}

// A refusal is an error with a status of HTTP's own, and the header that belongs to it.
type refusal struct {
	error
	status        int
	header, value string
}

func (r *refusal) Unwrap() error { return r.error }

func asked(r *http.Request, method string) error {
	return &refusal{mesh.Errorf(mesh.Invalid, "%s is asked with %s", r.URL.Path, method), http.StatusMethodNotAllowed, "Allow", method}
}

// refuse answers an error. Nothing was answered before.
func refuse(w http.ResponseWriter, err error) {
	status := mesh.KindOf(err).HTTPStatus()
	if own := new(refusal); errors.As(err, &own) {
		status = own.status
		w.Header().Set(own.header, own.value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	b, _ := json.Marshal(errorOf(err)) // texts
	w.Write(append(b, '\n'))
}
