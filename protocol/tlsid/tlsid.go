// Package tlsid is mutual TLS 1.3 between parties that know each other by ed25519 key: no certificate authority, no
// names. A server pins nothing but learns its client's key; a client pins the key of the server that it dials.
package tlsid

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// Certificate wraps key in a certificate that says nothing else.
func Certificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: mesh.PublicKeyOf(key).String()},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Server returns the configuration of a listener with this certificate. Every client must show an ed25519 key, which
// PeerKey then returns; whether that key may do anything is for the handler to decide.
func Server(c tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		Certificates:     []tls.Certificate{c},
		ClientAuth:       tls.RequireAnyClientCert,
		NextProtos:       []string{"http/1.1"},
		VerifyConnection: func(s tls.ConnectionState) error { _, err := PeerKey(&s); return err },
	}
}

// Client returns the configuration to dial the server that holds the key want, and no other.
func Client(c tls.Certificate, want mesh.PublicKey) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{c},
		NextProtos:         []string{"http/1.1"},
		InsecureSkipVerify: true, // the key is pinned below; there are no names to verify
		VerifyConnection: func(s tls.ConnectionState) error {
			got, err := PeerKey(&s)
			if err != nil {
				return err
			}
			if got != want {
				return mesh.Errorf(mesh.Denied, "the server holds key %s, expected %s", got, want)
			}
			return nil
		},
	}
}

// PeerKey returns the key that the other side of a connection proved to hold.
func PeerKey(s *tls.ConnectionState) (mesh.PublicKey, error) {
	if s == nil || len(s.PeerCertificates) == 0 {
		return mesh.PublicKey{}, mesh.Errorf(mesh.Denied, "the connection shows no key")
	}
	k, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return mesh.PublicKey{}, mesh.Errorf(mesh.Denied, "the connection's key is not ed25519")
	}
	return mesh.PublicKey(k), nil
}
