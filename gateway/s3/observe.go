package s3

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/metrics"
	"github.com/versity/versitygw/s3api/utils"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/mesh"
)

// A meter counts requests. To versitygw it is the metrics.Manager that tells which action a request is.
type meter struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

var _ metrics.Manager = (*meter)(nil)

func newMeter(r *prometheus.Registry, l *guard.Listener) (*meter, error) {
	m := &meter{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stratos_s3_requests_total", Help: "Requests answered."}, []string{"action", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "stratos_s3_request_seconds", Help: "Time until the answer began.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"action"}),
	}
	count := func(name, help string, v interface{ Load() int64 }) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds,
		count("stratos_s3_received_bytes_total", "Bytes from clients, headers included, without TLS.", &l.Received),
		count("stratos_s3_sent_bytes_total", "Bytes to clients, headers included, without TLS.", &l.Sent),
		count("stratos_s3_refused_connections_total", "Connections beyond the limits.", &l.Refused),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stratos_s3_connections", Help: "Connections open."}, func() float64 { return float64(l.Open()) }),
	} {
		if err := r.Register(c); err != nil {
			return nil, mesh.Errorf(mesh.Conflict, "s3: the registry already has a gateway: %w", err)
		}
	}
	return m, nil
}

// Send notes the action of a request, for when its status is known, and what versitygw leaves open of it.
func (m *meter) Send(c fiber.Ctx, err error, action string, _ int64, status int) {
	if r := recordOf(c); r != nil {
		r.action, r.left = metrics.ActionMap[action].Name, leftoverOf(c, err, action)
		return
	}
	m.request("", http.StatusServiceUnavailable, 0) // versitygw's limit of requests comes before our handlers
}

func (m *meter) Close() {}

func (m *meter) request(action string, status int, took time.Duration) {
	if action == "" {
		action = "none"
	}
	m.requests.WithLabelValues(action, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(action).Observe(took.Seconds())
}

// logged writes a request's line. The key is the one that the request named, whether it proved to hold it or not; bytes are what
// the answer promised.
func (s *Server) logged(c fiber.Ctx, r *record, status int) {
	key := ""
	if a, ok := utils.ContextKeyAccount.Get(c).(auth.Account); ok {
		key = a.SessionToken
	}
	size := int64(c.Response().Header.ContentLength())
	if size <= 0 && !c.Response().IsBodyStream() {
		size = int64(len(c.Response().Body()))
	}
	s.access.Write(guard.Line{Client: c.RequestCtx().RemoteIP().String(), User: key, Begin: r.begin, Method: c.Method(), URI: unsigned(string(c.Request().RequestURI())),
		Proto: string(c.Request().Header.Protocol()), Status: status, Bytes: size, Referer: unsigned(c.Get("Referer")), Agent: c.Get("User-Agent")})
}

// unsigned blots out the signature of a presigned address, which would open the object to the log's readers.
func unsigned(uri string) string {
	const name = "x-amz-signature="
	i := strings.Index(strings.ToLower(uri), name)
	if i < 0 {
		return uri
	}
	head, rest := uri[:i+len(name)], uri[i+len(name):]
	if j := strings.IndexByte(rest, '&'); j >= 0 {
		return head + "-" + unsigned(rest[j:])
	}
	return head + "-"
}

// Status answers /healthz, /readyz and /metrics. It belongs on another port: on the gateway's, these are bucket names.
func (s *Server) Status() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, sentence(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Registry, promhttp.HandlerOpts{}))
	return mux
}
