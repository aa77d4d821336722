package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
)

// certificateEvery is how often the files of a certificate are looked at: who renews it only writes them anew.
const certificateEvery = time.Minute

// A renewed certificate is read again when its files change.
type renewed struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	now     *tls.Certificate
	changed time.Time // of the newer file
	looked  time.Time
}

// certificate returns a configuration for servers with the certificate in PEM files.
func certificate(cert, key string, log *slog.Logger) (*tls.Config, error) {
	r, err := newRenewed(cert, key)
	if err != nil {
		return nil, err
	}
	r.log = log
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.get, NextProtos: []string{"http/1.1"}}, nil
}

func newRenewed(cert, key string) (*renewed, error) {
	if key == "" {
		key = cert
	}
	r := &renewed{cert: cert, key: key}
	if err := r.read(); err != nil {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the certificate: %w", err), "name PEM files with --cert and --cert-key")
	}
	return r, nil
}

// read reads the files. Called by one at a time.
func (r *renewed) read() error {
	changed, err := r.changedAt()
	if err != nil {
		return err
	}
	c, err := tls.LoadX509KeyPair(r.cert, r.key)
	if err != nil {
		return err
	}
	r.now, r.changed, r.looked = &c, changed, time.Now()
	return nil
}

func (r *renewed) changedAt() (newest time.Time, err error) {
	for _, name := range []string{r.cert, r.key} {
		f, err := os.Stat(name)
		if err != nil {
			return newest, err
		}
		if f.ModTime().After(newest) {
			newest = f.ModTime()
		}
	}
	return newest, nil
}

// get answers every handshake. Files that cannot be read leave the certificate as it was.
func (r *renewed) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < certificateEvery {
		return r.now, nil
	}
	r.looked = time.Now()
	changed, err := r.changedAt()
	if err == nil && !changed.Equal(r.changed) {
		err = r.read()
	}
	if err != nil {
		r.log.Warn("the certificate could not be read again", "err", err)
	}
	return r.now, nil
}

// ACME says where certificates are asked for, once somebody comes for a host that needs one. The authority that gives them looks at
// port 443 of that host: one of the two endpoints must be reached there.
type ACME struct {
	Email     string `json:"email,omitempty"` // is told of trouble
	Directory string `json:"directory"`       // URL of the authority's directory
}

// LetsEncrypt is the directory of an authority that asks no money.
const LetsEncrypt = acme.LetsEncryptURL

const (
	acmeDir = "acme" // in the gateway's home: certificates, and the key of the account with the authority

	// Anybody may point a host here and make a bucket of its name, and authorities bound how often one domain is certified.
	certifyEvery = time.Hour
	certifyBurst = 20
)

// byACME returns a configuration for servers that get their certificates by ACME.
func (g *Gateway) byACME(dir string) (*tls.Config, error) {
	rate, err1 := guard.NewRates[struct{}](1/certifyEvery.Seconds(), certifyBurst, 1)
	asked, err2 := lru.New[string, bool](1024) // hosts that had their turn
	if err := errors.Join(err1, err2); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "bounding certificates: %w", err)
	}
	kept := autocert.DirCache(dir)
	m := &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: kept, Email: g.config.ACME.Email, Client: &acme.Client{DirectoryURL: g.config.ACME.Directory, UserAgent: "stratos-gateway"},
		HostPolicy: func(ctx context.Context, host string) error { // called for every handshake
			if host == g.config.Domain || asked.Contains(host) {
				return nil
			}
			if err := g.serves(ctx, host); err != nil {
				return err
			}
			if _, err := kept.Get(ctx, host); err != nil && !rate.Admit(struct{}{}) {
				return mesh.Errorf(mesh.Exhausted, "%d certificates were asked for, and one more may be every %v", certifyBurst, certifyEvery)
			}
			asked.Add(host, true)
			return nil
		}}
	get := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := m.GetCertificate(hello)
		if err != nil && mesh.KindOf(err) != mesh.NotFound {
			g.log.Warn("there is no certificate", "host", hello.ServerName, "err", err)
		}
		return c, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get, NextProtos: []string{"http/1.1", acme.ALPNProto}}, nil
}

// serves tells whether a host is that of a bucket which this gateway serves.
func (g *Gateway) serves(ctx context.Context, host string) error {
	bucket, ok := strings.CutSuffix(host, "."+g.config.Domain)
	if !ok {
		bucket = host
	}
	v, err := g.backend.Visit(ctx, bucket, s3.Visitor{Address: &net.TCPAddr{}})
	if err == nil {
		v.Close()
	}
	return err
}
