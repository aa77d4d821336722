package state

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func (s *step) applyFacts(m *wirepb.Facts, by mesh.PublicKey) error {
	return mesh.Errorf(mesh.Invalid, "TODO")
}
func (s *step) signReport(m *wirepb.ReportSignature, by mesh.PublicKey) error {
	return mesh.Errorf(mesh.Invalid, "TODO")
}
