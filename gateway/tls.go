package gateway

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

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
