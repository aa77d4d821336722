// Package abcierr gives errors of Stratos the code that the Cosmos SDK has for their kind, so that a refused message
// ends with a code that its tools know.
package abcierr

import (
	"errors"

	errorsmod "cosmossdk.io/errors"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"

	"github.com/stratosmesh/stratos/mesh"
)

var codes = map[mesh.Kind]*errorsmod.Error{
	mesh.Internal:    sdkerrors.ErrLogic,
	mesh.NotFound:    sdkerrors.ErrNotFound,
	mesh.Denied:      sdkerrors.ErrUnauthorized,
	mesh.Invalid:     sdkerrors.ErrInvalidRequest,
	mesh.Conflict:    sdkerrors.ErrConflict,
	mesh.Unavailable: sdkerrors.ErrNotSupported,
	mesh.Corrupt:     sdkerrors.ErrInvalidRequest,
	mesh.Exhausted:   sdkerrors.ErrInsufficientFunds,
}

// Wrap gives err the SDK's code for its kind. An error that has none of ours, such as the bank's, stays as it is.
func Wrap(err error) error {
	var e *mesh.Error
	if !errors.As(err, &e) {
		return err
	}
	return codes[e.Kind].Wrap(err.Error())
}
