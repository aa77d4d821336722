package node

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

// Config is how a node is set up; it lies in its home as node.json.
type Config struct {
	Name        string         `json:"name"`
	Network     mesh.NetworkID `json:"network"`
	Group       mesh.GroupID   `json:"group"`
	Transfer    string         `json:"transfer"` // host:port for slices, mutual TLS; must be reachable
	Status      string         `json:"status"`   // host:port for people and monitors, plain HTTP
	Authorities []group.Member `json:"authorities"`
	Capacity    uint64         `json:"capacity"`     // bytes; 0 means the disk
	SettleEvery duration       `json:"settle_every"` // how often receipts are handed in; a third of an epoch is right
}

// duration is a time.Duration that JSON writes as "10s".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// Every makes the setting of how often receipts are handed in.
func Every(d time.Duration) duration { return duration(d) }

// Files in a node's home.
const (
	configFile  = "node.json"
	nodeKeyFile = "node.pem"
	tlsKeyFile  = "tls.pem"
	slicesDir   = "slices"
	bookDir     = "receipts"
)

// Identity is what others must know of a node.
type Identity struct {
	ID      mesh.NodeID    `json:"id"`
	NodeKey mesh.PublicKey `json:"node_key"`
	TLSKey  mesh.PublicKey `json:"tls_key"`
}

// Init makes a node's home with keys of its own, or returns the identity of the one that is there.
func Init(home string) (Identity, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return Identity{}, fmt.Errorf("making the node's home: %w", err)
	}
	nk, err := keyAt(filepath.Join(home, nodeKeyFile))
	if err != nil {
		return Identity{}, err
	}
	tk, err := keyAt(filepath.Join(home, tlsKeyFile))
	if err != nil {
		return Identity{}, err
	}
	id := Identity{NodeKey: mesh.PublicKeyOf(nk), TLSKey: mesh.PublicKeyOf(tk)}
	id.ID = mesh.NodeIDOf(id.NodeKey)
	return id, nil
}

// keyAt reads the key at path, or makes it.
func keyAt(path string) (ed25519.PrivateKey, error) {
	if k, err := keyfile.Read(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	return keyfile.Create(path)
}

// WriteConfig writes a node's settings into its home.
func WriteConfig(home string, c Config) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the node's settings: %w", err)
	}
	return atomicfile.Write(filepath.Join(home, configFile), append(b, '\n'), 0o644)
}

// ReadConfig reads a node's settings.
func ReadConfig(home string) (Config, error) {
	c := Config{SettleEvery: duration(10 * time.Second)}
	b, err := os.ReadFile(filepath.Join(home, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no node in %s", home), "make one with 'stratos node init'")
	}
	if err != nil {
		return c, fmt.Errorf("reading the node's settings: %w", err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, mesh.Errorf(mesh.Invalid, "%s: %w", filepath.Join(home, configFile), err)
	}
	return c, nil
}
