package chaintest

import (
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/ethereum/go-ethereum/accounts/abi"

	"github.com/stratosmesh/stratos/protocol/devspec"
)

func ed25519Address(pub []byte) []byte { return ed25519.PubKey(pub).Address() }

// validators that the genesis document itself lists; an exported one does.
func validators(doc *cmttypes.GenesisDoc) (list []*cmttypes.Validator) {
	for _, v := range doc.Validators {
		list = append(list, cmttypes.NewValidator(v.PubKey, v.Power))
	}
	return list
}

func cmtHeader(spec *devspec.Spec, height int64, at time.Time, proposer []byte) cmtproto.Header {
	h := cmtproto.Header{Height: height, Time: at, ProposerAddress: proposer}
	if spec != nil {
		h.ChainID = spec.ChainID
	}
	return h
}

func revertReason(ret []byte) string {
	if reason, err := abi.UnpackRevert(ret); err == nil {
		return reason
	}
	return ""
}
