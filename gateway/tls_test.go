package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// writeCertificate writes a certificate with its key to a file, which then looks changed at a time.
func writeCertificate(t *testing.T, path string, serial int64, changed time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for kind, body := range map[string][]byte{"CERTIFICATE": der, "PRIVATE KEY": secret} {
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: body}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
}

// A certificate that was renewed is served without a restart; one that cannot be read leaves the old one.
func TestRenewedCertificate(t *testing.T) {
	path, begin := filepath.Join(t.TempDir(), "cert.pem"), time.Now().Add(-time.Hour)
	if _, err := newRenewed(path, ""); mesh.KindOf(err) != mesh.Invalid || mesh.HintOf(err) == "" {
		t.Errorf("no file: %v", err)
	}
	writeCertificate(t, path, 1, begin)
	r, err := newRenewed(path, "")
	if err != nil {
		t.Fatal(err)
	}
	r.log = slog.New(slog.DiscardHandler)
	expect := func(what string, serial int64) {
		t.Helper()
		c, err := r.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil || leaf.SerialNumber.Int64() != serial {
			t.Errorf("%s: certificate %v, %v; want %d", what, leaf.SerialNumber, err, serial)
		}
	}
	expect("as it began", 1)
	writeCertificate(t, path, 2, begin.Add(time.Minute))
	expect("before it looks", 1)
	r.looked = r.looked.Add(-certificateEvery)
	expect("renewed", 2)
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.looked = r.looked.Add(-certificateEvery)
	expect("damaged", 2)
	writeCertificate(t, path, 3, begin.Add(2*time.Minute))
	r.looked = r.looked.Add(-certificateEvery)
	expect("mended", 3)
}
