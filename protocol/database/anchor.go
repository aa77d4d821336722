package database

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxAnchor bounds an anchor's bytes.
const maxAnchor = 512

// DecodeAnchor reads what authorities signed of a database.
func DecodeAnchor(b []byte) (*wirepb.Anchor, error) {
	a := new(wirepb.Anchor)
	if err := wire.Decode(b, maxAnchor, a); err != nil {
		return nil, err
	}
	if len(a.Database) != len(mesh.DatabaseID{}) || len(a.Owner) != len(mesh.Account{}) || len(a.Cell) != len(mesh.CellID{}) || len(a.Digest) != 32 || len(a.Content) != 32 ||
		a.LogHeight < 1 || a.Height < 0 || a.TimeMs < 0 {
		return nil, mesh.Errorf(mesh.Invalid, "an anchor names a database, its owner and cell, heights, and two digests")
	}
	return a, nil
}
