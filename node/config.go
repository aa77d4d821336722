package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/registration"
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

	// Database is host:port of the first of the database.Ports in a row on which replicas of databases listen, mutual TLS; they must be
	// reachable. Empty: the node runs none, and must not be registered for databases.
	Database string `json:"database,omitempty"`
	// DatabaseHost is the host at which others reach them; empty: that of Database.
	DatabaseHost string `json:"database_host,omitempty"`

	// Tasks is how many tasks of jobs the node runs at once; 0: as many as it has processors. TaskMemory is how many bytes the
	// instances of all of them may have; 0: 2 GiB.
	Tasks      int   `json:"tasks,omitempty"`
	TaskMemory int64 `json:"task_memory,omitempty"`
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
	cellsDir    = "cells"
	computeDir  = "compute" // modules, and outputs on their way
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
	nk, err := keyfile.ReadOrCreate(filepath.Join(home, nodeKeyFile))
	if err != nil {
		return Identity{}, err
	}
	tk, err := keyfile.ReadOrCreate(filepath.Join(home, tlsKeyFile))
	if err != nil {
		return Identity{}, err
	}
	id := Identity{NodeKey: mesh.PublicKeyOf(nk), TLSKey: mesh.PublicKeyOf(tk)}
	id.ID = mesh.NodeIDOf(id.NodeKey)
	return id, nil
}

// WriteConfig writes a node's settings into its home.
func WriteConfig(home string, c Config) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the node's settings: %w", err)
	}
	return atomicfile.Write(filepath.Join(home, configFile), append(b, '\n'), 0o644)
}

// maxTasks is the most tasks that a node runs at once.
const maxTasks = 1024

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
	return c, c.Check()
}

// Check tells what in the settings cannot be.
func (c Config) Check() error {
	addresses := map[string]string{"transfer": c.Transfer, "status": c.Status}
	if c.Database != "" {
		addresses["database"] = c.Database
	}
	for what, addr := range addresses {
		host, port, err := net.SplitHostPort(addr)
		if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host == "" {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the %s address %q", what, addr), "it looks like 203.0.113.7:26300")
		}
	}
	if c.Database != "" {
		_, public, port := c.databaseAt()
		if ip := net.ParseIP(public); ip != nil && ip.IsUnspecified() {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "nobody reaches replicas of databases at %s", public), "say at which host others reach them: \"database_host\", or --database-host")
		}
		if port < 1 || port+database.Ports-1 > math.MaxUint16 {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "replicas of databases take %d ports from %d on", database.Ports, port), "choose a first port from 1 to %d", math.MaxUint16-database.Ports+1)
		}
	}
	if c.Tasks < 0 || c.Tasks > maxTasks || c.TaskMemory < 0 {
		return mesh.Errorf(mesh.Invalid, "%d tasks at once with %d bytes of memory, at most %d are possible", c.Tasks, c.TaskMemory, maxTasks)
	}
	if len(c.Authorities) == 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the settings name no authority"), "use the profile of a network that has a meta layer")
	}
	return nil
}

// databaseAt returns where replicas listen, at which host others reach them, and their first port, 0 when that is none.
func (c Config) databaseAt() (listen, public string, port int) {
	listen, text, err := net.SplitHostPort(c.Database)
	if n, errPort := strconv.ParseUint(text, 10, 16); err == nil && errPort == nil {
		port = int(n)
	}
	return listen, cmp.Or(c.DatabaseHost, listen), port
}

// Prove returns the identity of the node in a home, and the proof with which an account may register it.
func Prove(home string, network mesh.NetworkID, operator mesh.Account) (Identity, []byte, error) {
	id, err := Init(home)
	if err != nil {
		return id, nil, err
	}
	k, err := keyfile.Read(filepath.Join(home, nodeKeyFile))
	if err != nil {
		return id, nil, err
	}
	sig := registration.NodeClaim(operator, id.NodeKey, id.TLSKey).Prove(network, k)
	return id, sig[:], nil
}
