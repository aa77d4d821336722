package s3

import (
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
)

// Options of a Server. Zero stands for the default; a negative value is refused.
type Options struct {
	guard.Limits

	// Domain allows virtual-host style: a request for bucket.Domain names the bucket by its host. "": path style only.
	Domain string
	// Region is the one in which requests are signed. Default us-east-1, which every tool takes without being told.
	Region string

	// HeaderBytes is the most that the lines before a body may have together. Default 8 KiB, as S3 has it.
	HeaderBytes int
	// Requests is how many are served at once; one more gets SlowDown. Default 256.
	Requests int
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
	var err error
	if o.Limits, err = o.Limits.WithDefaults(); err != nil {
		return o, err
	}
	return o, guard.Defaults(
		guard.Default{Name: "HeaderBytes", Number: &o.HeaderBytes, Of: 8 << 10},
		guard.Default{Name: "Requests", Number: &o.Requests, Of: 256},
		guard.Default{Name: "ListBytes", Number: &o.ListBytes, Of: 2 << 20},
		guard.Default{Name: "ConfigBytes", Number: &o.ConfigBytes, Of: 256 << 10},
		guard.Default{Name: "Keys", Number: &o.Keys, Of: 4096},
		guard.Default{Name: "KeyTime", Time: &o.KeyTime, Of: int(time.Minute)},
		guard.Default{Name: "UnknownKeyTime", Time: &o.UnknownKeyTime, Of: int(5 * time.Second)},
		guard.Default{Name: "KeyWait", Time: &o.KeyWait, Of: int(10 * time.Second)},
		guard.Default{Name: "Grace", Time: &o.Grace, Of: int(10 * time.Second)},
	)
}
