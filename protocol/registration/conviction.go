package registration

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxConviction bounds a conviction's bytes.
const maxConviction = 256

// DecodeConviction reads what authorities signed of a node.
func DecodeConviction(b []byte) (*wirepb.Conviction, error) {
	c := new(wirepb.Conviction)
	if err := wire.Decode(b, maxConviction, c); err != nil {
		return nil, err
	}
	if len(c.Node) != len(mesh.NodeID{}) || len(c.Cell) != len(mesh.CellID{}) || len(c.Evidence) != 32 || c.Value > uint64(mesh.MaxNoz) {
		return nil, mesh.Errorf(mesh.Invalid, "a conviction names a node, a cell and the digest of its evidence")
	}
	return c, nil
}
