package database

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Actions on a database.
const (
	Create = 1
	Drop   = 2
)

// Dialects of SQL. A database has one for its whole life.
const (
	Postgres = "postgres"
	SQLite   = "sqlite"
)

// States of a database.
const (
	Open     = 1
	ReadOnly = 2
	Dropped  = 3
)

// Limits of assignments.
const (
	MaxFaults        = 4  // f of a cell
	MaxCellDatabases = 64 // databases of a cell
	MaxNodeCells     = 4  // cells of a node

	maxAddress = 255
)

// Replicas is how many replicas stand f that lie or fail.
func Replicas(faults uint32) int { return 3*int(faults) + 1 }

// Check checks a database's message by itself.
func Check(d *wirepb.Database) error {
	if err := mesh.CheckDatabase(d.Name); err != nil {
		return err
	}
	if len(d.Id) != len(mesh.DatabaseID{}) {
		return mesh.Errorf(mesh.Invalid, "a database's id has %d bytes, want %d", len(d.Id), len(mesh.DatabaseID{}))
	}
	switch d.Action {
	case Create:
		if d.Faults < 1 || d.Faults > MaxFaults {
			return mesh.Errorf(mesh.Invalid, "a database that stands %d faults, want 1 to %d", d.Faults, MaxFaults)
		}
		if d.Dialect != Postgres && d.Dialect != SQLite {
			return mesh.Errorf(mesh.Invalid, "there is no dialect %.20q: %s or %s", d.Dialect, Postgres, SQLite)
		}
		if len(d.Dropped) > 0 {
			return mesh.Errorf(mesh.Invalid, "a database that is created drops none")
		}
	case Drop:
		if d.Faults != 0 || d.Dialect != "" || len(d.Dropped) != len(mesh.DatabaseID{}) {
			return mesh.Errorf(mesh.Invalid, "the message that drops database %q is malformed", d.Name)
		}
	default:
		return mesh.Errorf(mesh.Invalid, "the action %d on a database does not exist", d.Action)
	}
	return nil
}

// CheckCellKey checks a replica's keys by themselves.
func CheckCellKey(k *wirepb.CellKey) error {
	if len(k.Cell) != len(mesh.CellID{}) || k.Version == 0 {
		return mesh.Errorf(mesh.Invalid, "a replica's keys name no cell")
	}
	if len(k.ConsensusKey) != len(mesh.PublicKey{}) || len(k.AnswerKey) != len(mesh.PublicKey{}) || string(k.ConsensusKey) == string(k.AnswerKey) {
		return mesh.Errorf(mesh.Invalid, "a replica has two different ed25519 keys")
	}
	return errors.Join(checkAddress("peer", k.Peer), checkAddress("service", k.Address))
}

func checkAddress(what, s string) error {
	host, port, err := net.SplitHostPort(s)
	strange := func(r rune) bool { // which means something in a list of peers, or in a URL
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '-' || r == ':')
	}
	if err != nil || host == "" || len(s) > maxAddress || strings.ContainsFunc(host, strange) {
		return mesh.Errorf(mesh.Invalid, "a replica's %s address %.40q is not host:port", what, s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return mesh.Errorf(mesh.Invalid, "a replica's %s address %.40q has no port", what, s)
	}
	return nil
}
