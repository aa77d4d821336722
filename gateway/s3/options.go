package s3

import (
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/mesh"
)

// Options of a Server. Zero stands for the default; a negative value is refused.
type Options struct {
	// Domain allows virtual-host style: a request for bucket.Domain names the bucket by its host. "": path style only.
	Domain string
	// Region is the one in which requests are signed. Default us-east-1, which every tool takes without being told.
	Region string

	// HeaderBytes is the most that the lines before a body may have together. Default 8 KiB, as S3 has it.
	HeaderBytes int
	// HeaderTime is how long a client may take for them and the first 8 KiB of a body, and for the TLS handshake before
	// the first. Default 10 s.
	HeaderTime time.Duration
	// BodyRate, in bytes a second, is what a client must send or take on average. Default 16 KiB: a bad mobile link.
	BodyRate int
	// BodyStall is how far a client may fall behind BodyRate. Default 30 s: a lost link that comes back.
	BodyStall time.Duration
	// IdleTime is how long a connection is kept for the next request. Default 60 s, as load balancers have it.
	IdleTime time.Duration

	// Connections is how many are open at once; one more is closed unanswered. Default 1024: 72 KiB of buffers each.
	Connections int
	// ClientConnections is how many of them one client address may have. Default 256: an office behind one address.
	ClientConnections int
	// Requests is how many are served at once; one more gets SlowDown. Default 256.
	Requests int
	// ClientRate is how many requests a second one client address may make, in the long run. Default 2000.
	ClientRate int
	// ClientBurst is how many it may make at once. Default twice ClientRate.
	ClientBurst int
	// Clients is how many addresses are remembered for ClientRate; the one that was longest silent is forgotten, and
	// begins anew. Default 16384: 3 MiB.
	Clients int

	// ListBytes is the most of a request's body that lists parts or keys. Default 2 MiB: 10,000 parts with SHA-256.
	ListBytes int
	// ConfigBytes is the most of any other body that is no object's. Default 256 KiB: four times S3's longest document.
	ConfigBytes int

	// Keys is how many access keys, known and unknown, are remembered. Default 4096.
	Keys int
	// KeyTime is how long a key is believed. Default 1 min; the mesh refuses what was revoked sooner by itself.
	KeyTime time.Duration
	// UnknownKeyTime is how long a key is believed not to exist. Default 5 s: a new key works soon.
	UnknownKeyTime time.Duration
	// KeyWait bounds one question for a key. Default 10 s.
	KeyWait time.Duration

	// Grace is how long requests under way have when the server stops. Default 10 s.
	Grace time.Duration

	// AccessLog gets a line a request in Combined Log Format, one Write each. nil: none.
	AccessLog io.Writer
	// Registry gets the metrics. nil: one of the server's own, seen through Status only.
	Registry *prometheus.Registry
	// Ready tells whether the gateway can serve. nil: always.
	Ready func() error
}

// moves is how many bytes a client at BodyRate moves within BodyStall.
func (o Options) moves() int { return int(o.BodyStall.Seconds() * float64(o.BodyRate)) }

func (o Options) withDefaults() (Options, error) {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"HeaderBytes", &o.HeaderBytes, 8 << 10}, {"BodyRate", &o.BodyRate, 16 << 10},
		{"Connections", &o.Connections, 1024}, {"ClientConnections", &o.ClientConnections, 256}, {"Requests", &o.Requests, 256},
		{"ClientRate", &o.ClientRate, 2000}, {"Clients", &o.Clients, 16384},
		{"ListBytes", &o.ListBytes, 2 << 20}, {"ConfigBytes", &o.ConfigBytes, 256 << 10}, {"Keys", &o.Keys, 4096},
		{"ClientBurst", &o.ClientBurst, 0},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 {
			return o, mesh.Errorf(mesh.Invalid, "s3: %s is negative", f.name)
		}
	}
	if o.ClientBurst == 0 {
		o.ClientBurst = 2 * o.ClientRate
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"HeaderTime", &o.HeaderTime, 10 * time.Second}, {"BodyStall", &o.BodyStall, 30 * time.Second},
		{"IdleTime", &o.IdleTime, time.Minute}, {"KeyTime", &o.KeyTime, time.Minute},
		{"UnknownKeyTime", &o.UnknownKeyTime, 5 * time.Second}, {"KeyWait", &o.KeyWait, 10 * time.Second}, {"Grace", &o.Grace, 10 * time.Second},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 {
			return o, mesh.Errorf(mesh.Invalid, "s3: %s is negative", f.name)
		}
	}
	return o, nil
}
