// Package http shows buckets to browsers: public ones and those whose policy says so, as sites and as folders, and pages of
// shares. See ../DESIGN.md.
//
// It shows what gateway/s3 says may be seen, and writes nothing. The gateway runs it.
package http

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/client"
	apps "github.com/stratosmesh/stratos/gateway/app"
	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
)

// A Store is where pages come from: gateway/s3's backend.
type Store interface {
	// Visit begins a visit of a bucket. NotFound when there is none for everybody.
	Visit(ctx context.Context, bucket string, who s3.Visitor) (s3.Visit, error)
	// Share begins a visit of what an access key for links opens.
	Share(ctx context.Context, name string, access *client.Access) (s3.Visit, error)
}

// Links are the access keys for links. NotFound or Denied when there is none of a name for this gateway.
type Links interface {
	Open(ctx context.Context, name string) (*client.AccessKey, error)
}

// Options of a Server. Zero stands for the default; a negative value is refused.
type Options struct {
	guard.Limits

	// Domain is the host of paths that begin with a bucket, and of shares. A host below it names a bucket, and so does every
	// other host. "": every host is the domain, but those below localhost.
	Domain string
	// HeaderBytes is the most that the lines before a body may have together. Default 16 KiB: browsers send cookies.
	HeaderBytes int
	// Requests is how many are served at once; one more gets 503. Default 256.
	Requests int
	// RequestTime bounds what a request asks of the mesh before its answer begins. Default 60 s.
	RequestTime time.Duration
	// Unlocks is how many passwords are tried at once, 32 MiB each; one more waits. Default 2.
	Unlocks int
	// TryEvery is how often, in the long run, one client may try a password, and all together those of one share. Default 1 s.
	TryEvery time.Duration
	// Grace is how long requests under way have when the server stops. Default 10 s.
	Grace time.Duration

	// Apps serves applications. nil: nobody does, and their buckets are shown as others.
	Apps *apps.Apps
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
		guard.Default{Name: "Requests", Number: &o.Requests, Of: 256},
		guard.Default{Name: "RequestTime", Time: &o.RequestTime, Of: int(time.Minute)},
		guard.Default{Name: "Unlocks", Number: &o.Unlocks, Of: 2},
		guard.Default{Name: "TryEvery", Time: &o.TryEvery, Of: int(time.Second)},
		guard.Default{Name: "Grace", Time: &o.Grace, Of: int(10 * time.Second)},
	)
}

// A Server serves pages on one listener.
type Server struct {
	opts     Options
	log      *slog.Logger
	store    Store
	links    Links
	listener *guard.Listener
	http     *guard.Server
	clients  *guard.Clients
	access   *guard.AccessLog
	slots    chan struct{}
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
	locks    *locks
}

// New makes a server on l, which may speak TLS already. l is the server's, also when New fails; store and links stay their makers' to close.
func New(l net.Listener, store Store, links Links, log *slog.Logger, opts Options) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, log: log, store: store, links: links, listener: guard.NewListener(l, opts.Limits), access: guard.NewAccessLog(opts.AccessLog), slots: make(chan struct{}, opts.Requests),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stratos_http_requests_total", Help: "Requests answered."}, []string{"method", "status"}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "stratos_http_request_seconds", Help: "Time until the answer was sent.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)})}
	if s.clients, err = guard.NewClients(opts.Limits); err != nil {
		return nil, err
	}
	if s.locks, err = newLocks(opts); err != nil {
		return nil, err
	}
	count := func(name, help string, v interface{ Load() int64 }) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	for _, c := range []prometheus.Collector{s.requests, s.seconds,
		count("stratos_http_sent_bytes_total", "Bytes to clients, headers included, without TLS.", &s.listener.Sent),
		count("stratos_http_refused_connections_total", "Connections beyond the limits.", &s.listener.Refused),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stratos_http_connections", Help: "Connections open."}, func() float64 { return float64(s.listener.Open()) }),
	} {
		if err := opts.Registry.Register(c); err != nil {
			return nil, mesh.Errorf(mesh.Conflict, "http: the registry already has a gateway: %w", err)
		}
	}
	s.http = guard.NewServer("http", s.listener, nethttp.HandlerFunc(s.handle), opts.Limits, opts.HeaderBytes, opts.Grace, log)
	return s, nil
}

// Run serves until ctx ends or Close is called. Requests under way then have Grace; what is not done by then is cut off.
// It may be called once.
func (s *Server) Run(ctx context.Context) error { return s.http.Run(ctx) }

// Close stops Run and waits for it. It may be called more than once, and without Run.
func (s *Server) Close() error { return s.http.Close() }

// An answer notes what is sent.
type answer struct {
	nethttp.ResponseWriter
	status int
	bytes  int64
	late   *time.Timer // ends the request's questions, unless the answer begins before; nil: nothing does
	holds  bool        // the status waits for the first byte, so that what fails before it is answered
	held   int
}

func (a *answer) begin(status int) {
	if a.status == 0 && status >= 200 {
		if a.status = status; a.late != nil {
			a.late.Stop()
		}
	}
}

func (a *answer) WriteHeader(status int) {
	if a.holds {
		a.held = status
		return
	}
	a.begin(status)
	a.ResponseWriter.WriteHeader(status)
}

// release sends the status that was held.
func (a *answer) release() {
	if a.holds = false; a.held != 0 {
		a.WriteHeader(a.held)
	}
}

func (a *answer) Write(p []byte) (int, error) {
	if a.holds {
		a.release()
	}
	a.begin(nethttp.StatusOK)
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

func (a *answer) Unwrap() nethttp.ResponseWriter { return a.ResponseWriter }

// handle is every request's first handler, and its last.
func (s *Server) handle(w nethttp.ResponseWriter, r *nethttp.Request) {
	begin, a, from := time.Now(), &answer{ResponseWriter: w}, guard.From(r)
	defer func() {
		p := recover()
		if p != nil && p != nethttp.ErrAbortHandler {
			s.log.Error("panic while a request was served", "panic", p, "stack", string(debug.Stack()))
		}
		if p != nil && a.status == 0 {
			a.status = nethttp.StatusInternalServerError
		}
		s.requests.WithLabelValues(method(r.Method), strconv.Itoa(a.status)).Inc()
		s.seconds.Observe(time.Since(begin).Seconds())
		s.access.Write(guard.Line{Client: guard.ClientOf(from).String(), Begin: begin, Method: r.Method, URI: unlinked(r.RequestURI), Proto: r.Proto, Status: a.status, Bytes: a.bytes,
			Referer: unlinked(r.Referer()), Agent: r.UserAgent()})
		if p != nil {
			panic(nethttp.ErrAbortHandler) // the answer must not look complete
		}
	}()
	h := a.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // a share's address is its key
	if !s.clients.Admit(guard.ClientOf(from)) {
		s.refuse(a, r, mesh.Errorf(mesh.Unavailable, "too many requests from your address"))
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		s.refuse(a, r, mesh.Errorf(mesh.Unavailable, "the gateway has too much to do"))
		return
	}
	if err := s.serve(a, r, s3.Visitor{Address: from, Secure: guard.Secure(r), UserAgent: r.UserAgent(), Referer: r.Referer()}); err != nil {
		s.refuse(a, r, err)
	}
}

// method is a label of which there are few.
func method(m string) string {
	switch m {
	case nethttp.MethodGet, nethttp.MethodHead, nethttp.MethodOptions, nethttp.MethodPost:
		return m
	}
	return "other"
}

// unlinked blots out a share's secret, which would open it to the log's readers.
func unlinked(uri string) string {
	i := strings.Index(uri, sharePath)
	if i < 0 {
		return uri
	}
	head, rest := uri[:i+len(sharePath)], uri[i+len(sharePath):]
	token, tail, _ := strings.Cut(rest, "/")
	name, _, _ := strings.Cut(token, "-")
	return head + name + "-/" + unlinked(tail)
}
