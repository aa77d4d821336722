package database

import (
	"errors"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A parameter that is no value of its type has the SQLSTATE that a server gives it.
func TestBindSaysState(t *testing.T) {
	err := bind(&wirepb.Statement{ParameterTypes: []uint32{uint32(postgres.Int4)}}, []any{"ink"})
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != sqlstate.BadText || mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("%v", err)
	}
}
