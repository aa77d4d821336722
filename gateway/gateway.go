// Package gateway runs a gateway: it translates between the protocols that people's tools speak and the mesh, under grants
// that are sealed to it, and keeps nothing but its own key. Anybody may run one.
//
// What it is trusted with is what these grants allow. cmd/stratos and devnet call it.
package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/http"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/internal/httpserve"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// Config is how a gateway is set up; it lies in its home as gateway.json.
type Config struct {
	Name      string         `json:"name"`
	Network   mesh.NetworkID `json:"network"`
	Group     mesh.GroupID   `json:"group"`
	S3        string         `json:"s3"`                 // host:port for S3
	HTTP      string         `json:"http,omitempty"`     // host:port for browsers; "" none
	Cert      string         `json:"cert,omitempty"`     // PEM file of a certificate chain, absolute: S3 and HTTP speak TLS
	CertKey   string         `json:"cert_key,omitempty"` // PEM file of its key; "" in Cert too
	ACME      *ACME          `json:"acme,omitempty"`     // in the place of Cert
	Status    string         `json:"status"`             // host:port for people and monitors, plain HTTP
	Domain    string         `json:"domain,omitempty"`   // whose sub-domains name buckets, for S3 and HTTP
	AccessLog string         `json:"access_log,omitempty"`
	Memory    int            `json:"memory,omitempty"` // bytes for objects that move; 0: defaultMemory
	// LifecycleEvery is how often buckets' lifecycle rules are carried out; 0 is the default, an hour.
	LifecycleEvery duration       `json:"lifecycle_every,omitempty"`
	Authorities    []group.Member `json:"authorities"`
}

// duration is a time.Duration that JSON writes as "1h0m0s".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// Files in a gateway's home.
const (
	configFile = "gateway.json"
	keyFile    = "gateway.pem"
)

// Init makes a gateway's home with a key of its own, or returns the key of the one that is there: what access keys are
// sealed to.
func Init(home string) (mesh.PublicKey, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return mesh.PublicKey{}, fmt.Errorf("making the gateway's home: %w", err)
	}
	k, err := keyfile.ReadOrCreate(filepath.Join(home, keyFile))
	if err != nil {
		return mesh.PublicKey{}, err
	}
	return mesh.PublicKeyOf(k), nil
}

const (
	// defaultMemory is what a gateway holds of objects that move, but for the smallest step of each request. With a little
	// less, a lone upload would not have two whole segments.
	defaultMemory = 144 << 20
	// leastMemory still leaves a lone upload segments of 2 MiB.
	leastMemory = 16 << 20
	// otherMemory is what the program takes beside that before the garbage collector hurries: the smallest steps, and buffers
	// of connections. Its pages come on top. Measured to stay under 512 MiB: see DESIGN.md.
	otherMemory = 192 << 20
)

// Check tells what in the settings cannot be.
func (c Config) Check() error {
	for what, addr := range map[string]string{"S3": c.S3, "HTTP": c.HTTP, "status": c.Status} {
		if what == "HTTP" && addr == "" {
			continue
		}
		if host, _, err := net.SplitHostPort(addr); err != nil || host == "" {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the %s address %q", what, addr), "it looks like 203.0.113.7:26200")
		}
	}
	if c.Memory != 0 && c.Memory < leastMemory {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%d bytes of memory for objects, at least %d", c.Memory, leastMemory), "leave it out, or set memory to %d", defaultMemory)
	}
	if c.CertKey != "" && c.Cert == "" {
		return mesh.Errorf(mesh.Invalid, "the settings name a certificate's key and no certificate")
	}
	if c.Memory < 0 {
		return mesh.Errorf(mesh.Invalid, "the settings name a negative memory")
	}
	if c.ACME != nil {
		switch {
		case c.Cert != "":
			return mesh.Errorf(mesh.Invalid, "the settings name both a certificate and ACME")
		case c.Domain == "":
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "certificates by ACME are for a domain, and the settings name none"), "add --domain")
		}
	}
	if c.Cert != "" {
		if _, err := newRenewed(c.Cert, c.CertKey); err != nil {
			return err
		}
	}
	if len(c.Authorities) == 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the settings name no authority"), "use the profile of a network that has a meta layer")
	}
	if every := time.Duration(c.LifecycleEvery); every < 0 || every > 0 && every < time.Second {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "lifecycle rules every %v", every), "use a second or more, or 0 for the default")
	}
	return nil
}

// WriteConfig writes a gateway's settings into its home.
func WriteConfig(home string, c Config) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err := errors.Join(err, c.Check()); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(home, configFile), append(b, '\n'), 0o644)
}

// ReadConfig reads a gateway's settings.
func ReadConfig(home string) (c Config, err error) {
	path := filepath.Join(home, configFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no gateway in %s", home), "make one with 'stratos gateway init'")
	}
	if err != nil {
		return c, fmt.Errorf("reading the gateway's settings: %w", err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, mesh.Errorf(mesh.Invalid, "%s: %w", path, err)
	}
	return c, c.Check()
}

// A Gateway is one running gateway. One process runs one.
type Gateway struct {
	config  Config
	log     *slog.Logger
	key     ed25519.PrivateKey
	keyring *client.Keyring
	backend *s3.Backend
	s3      *s3.Server
	http    *http.Server // nil: none
	sweeper *s3.Sweeper
	status  net.Listener
	access  *os.File

	mu  sync.Mutex
	why string // not ready
}

// New opens the gateway in a home. Close it, whether Run was called or not.
func New(home string, log *slog.Logger) (g *Gateway, err error) {
	c, err := ReadConfig(home)
	if err != nil {
		return nil, err
	}
	g = &Gateway{config: c, log: log, why: "no authority has answered yet"}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	if g.key, err = keyfile.Read(filepath.Join(home, keyFile)); err != nil {
		return g, err
	}
	if g.keyring, err = client.NewKeyring(sign.Domain{Network: c.Network, Group: c.Group}, g.key, c.Authorities); err != nil {
		return g, err
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	debug.SetMemoryLimit(int64(c.Memory + otherMemory))
	memory := client.NewMemory(c.Memory)
	if g.backend, err = s3.NewBackend(keys{g.keyring}, log, s3.BackendOptions{Authorities: c.Authorities, Memory: memory}); err != nil {
		return g, err
	}
	if g.status, err = httpserve.Listen(c.Status); err != nil {
		return g, err
	}
	registry := prometheus.NewRegistry()
	if g.sweeper, err = s3.NewSweeper(g.backend, log, s3.SweepOptions{Every: time.Duration(c.LifecycleEvery), Registry: registry}); err != nil {
		return g, err
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stratos_gateway_object_bytes", Help: "Memory that holds objects on the move."},
		func() float64 { return float64(memory.Held()) }))
	opts := s3.Options{Domain: c.Domain, Ready: g.ready, Registry: registry}
	if c.AccessLog != "" {
		path := c.AccessLog
		if !filepath.IsAbs(path) {
			path = filepath.Join(home, path)
		}
		if g.access, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
			return g, mesh.Errorf(mesh.Invalid, "the access log: %w", err)
		}
		opts.AccessLog = g.access
	}
	var secure *tls.Config
	switch {
	case c.ACME != nil:
		if secure, err = g.byACME(filepath.Join(home, acmeDir)); err != nil {
			return g, err
		}
	case c.Cert != "":
		if secure, err = certificate(c.Cert, c.CertKey, log); err != nil {
			return g, err
		}
	}
	l, err := listen(c.S3, secure)
	if err != nil {
		return g, err
	}
	if g.s3, err = s3.New(l, g.backend, keys{g.keyring}, log, opts); err != nil || c.HTTP == "" {
		return g, err
	}
	if l, err = listen(c.HTTP, secure); err != nil {
		return g, err
	}
	g.http, err = http.New(l, g.backend, g.keyring, log, http.Options{Domain: c.Domain, Registry: registry, AccessLog: opts.AccessLog})
	return g, err
}

// listen takes an address, and speaks TLS on it unless secure is nil.
func listen(addr string, secure *tls.Config) (net.Listener, error) {
	l, err := httpserve.Listen(addr)
	if err != nil || secure == nil {
		return l, err
	}
	return tls.NewListener(l, secure), nil
}

// keys is a keyring as the S3 front asks it.
type keys struct{ ring *client.Keyring }

func (k keys) Key(ctx context.Context, id string) (*s3.Key, error) {
	a, err := k.ring.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	if a.Share {
		return nil, mesh.Errorf(mesh.Denied, "%s is for a link, not for programs", id)
	}
	return &s3.Key{ID: a.Name, Secret: a.Secret, Access: a.Access}, nil
}

func (k keys) Bucket(ctx context.Context, name string) (*client.Bucket, error) {
	return k.ring.Bucket(ctx, name)
}

func (k keys) Served(ctx context.Context) ([]client.ServedBucket, error) { return k.ring.Served(ctx) }

// lookEvery is how often a gateway asks whether the authorities answer.
const lookEvery = 2 * time.Second

// Run serves until ctx ends or something fails. It may be called once.
func (g *Gateway) Run(ctx context.Context) error {
	own := lifecycle.New(ctx)
	pages := httpserve.Pages(g.s3.Status(), g.log)
	err := errors.Join(
		own.Go(g.s3.Run),
		own.Go(func(ctx context.Context) error { return httpserve.Run(ctx, pages, g.status) }),
		own.Go(g.look),
		own.Go(g.sweeper.Run),
	)
	if g.http != nil {
		err = errors.Join(err, own.Go(g.http.Run))
	}
	return errors.Join(err, own.Wait())
}

// look finds out whether the gateway can serve: a key that nobody has must be known not to exist.
func (g *Gateway) look(ctx context.Context) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for first := true; ; first = false {
		if !first {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
			}
		}
		why := ""
		if _, err := g.keyring.Open(ctx, strings.Repeat("0", 20)); mesh.KindOf(err) != mesh.NotFound {
			why = fmt.Sprint("the authorities do not answer: ", err)
		}
		g.mu.Lock()
		g.why = why
		g.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (g *Gateway) ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why != "" {
		return mesh.Errorf(mesh.Unavailable, "%s", g.why)
	}
	return nil
}

// Close ends everything. It may be called more than once.
func (g *Gateway) Close() error {
	var errs []error
	if g.s3 != nil {
		errs = append(errs, g.s3.Close())
	}
	if g.http != nil {
		errs = append(errs, g.http.Close())
	}
	if g.backend != nil {
		errs = append(errs, g.backend.Close())
		g.backend = nil
	}
	if g.keyring != nil {
		errs = append(errs, g.keyring.Close())
		g.keyring = nil
	}
	if g.status != nil {
		if err := g.status.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if g.access != nil {
		errs = append(errs, g.access.Close())
		g.access = nil
	}
	return errors.Join(errs...)
}
