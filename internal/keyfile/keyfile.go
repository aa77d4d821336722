// Package keyfile keeps one ed25519 private key in a file: PKCS #8 in PEM, as openssl and crypto/tls read it, for its
// owner's eyes only (mode 0600).
//
// It keeps no passwords: such keys belong to daemons that start unattended. Accounts are kept by package client/wallet.
// The creator of a node's or an authority's home writes the files, the daemon reads them.
package keyfile

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/stratosmesh/stratos/internal/atomicfile"
)

const pemType = "PRIVATE KEY"

// maxBytes bounds a key file; an ed25519 key in PEM has 119 bytes.
const maxBytes = 4 << 10

// Create draws a key and writes it to a new file at path. A file that is there is never replaced: os.ErrExist.
func Create(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	return key, atomicfile.Create(path, block, 0o600)
}

// ReadOrCreate returns the key in the file at path, drawing it first when there is no file.
func ReadOrCreate(path string) (ed25519.PrivateKey, error) {
	if k, err := Read(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	return Create(path)
}

// Read returns the key in the file at path.
func Read(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("read key: %s has %d bytes; it is no key file", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != pemType || len(rest) != 0 {
		return nil, fmt.Errorf("read key: %s is not one PEM block of type %s", path, pemType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key: %s: %w", path, err)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read key: %s holds a %T, want an ed25519 key", path, key)
	}
	return ed, nil
}
