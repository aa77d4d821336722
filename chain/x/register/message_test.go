package register_test

import (
	"errors"
	"testing"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/chain/x/register"
	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/chain/x/sds/sdspb"
	"github.com/stratosmesh/stratos/mesh"
)

// A Cosmos message does what its signer may and nothing else, and a malformed one is an error, never a panic.
func TestMessages(t *testing.T) {
	c := newChain(t, 2, 2)
	node, authority := chaintest.NodeID(0), chaintest.AuthorityID(0)
	a, own := alice.Account().String(), chaintest.NewWallet(chaintest.NodeName(0)).Account().String()
	member := chaintest.NewWallet(chaintest.AuthorityName(0)).Account().String()
	amount := func(stos int64) math.Int { return math.NewIntFromBigInt(mesh.Stos(stos).Big()) }
	params := registerpb.Params{}
	for name, tc := range map[string]struct {
		msg  sdk.Msg
		want error
	}{
		"own node":             {&registerpb.MsgDeactivateNode{Operator: own, Id: node[:]}, nil},
		"another's node":       {&registerpb.MsgDeactivateNode{Operator: a, Id: node[:]}, sdkerrors.ErrUnauthorized},
		"no such node":         {&registerpb.MsgDeactivateNode{Operator: a, Id: make([]byte, 20)}, sdkerrors.ErrNotFound},
		"short id":             {&registerpb.MsgDeactivateNode{Operator: a, Id: node[1:]}, sdkerrors.ErrInvalidRequest},
		"no operator":          {&registerpb.MsgDeactivateNode{Id: node[:]}, sdkerrors.ErrInvalidRequest},
		"update":               {&registerpb.MsgUpdateNode{Operator: own, Id: node[:], Address: "h:1"}, nil},
		"another's update":     {&registerpb.MsgUpdateNode{Operator: a, Id: node[:], Address: "h:1"}, sdkerrors.ErrUnauthorized},
		"half of the keys":     {&registerpb.MsgUpdateNode{Operator: own, Id: node[:], NodeKey: make([]byte, 32), TlsKey: make([]byte, 31)}, sdkerrors.ErrInvalidRequest},
		"no deposit":           {&registerpb.MsgRegisterNode{Operator: a, NodeKey: make([]byte, 32), TlsKey: make([]byte, 32), Kinds: 4, Tier: 1, Address: "h:1"}, sdkerrors.ErrInvalidRequest},
		"no authority deposit": {&registerpb.MsgRegisterAuthority{Operator: a}, sdkerrors.ErrInvalidRequest},
		"own vote":             {&registerpb.MsgVoteAuthority{Operator: member, Voter: authority[:], Target: authority[:]}, nil},
		"another's vote":       {&registerpb.MsgVoteAuthority{Operator: a, Voter: authority[:], Target: authority[:]}, sdkerrors.ErrUnauthorized},
		"another's leave":      {&registerpb.MsgLeaveAuthority{Operator: a, Id: authority[:]}, sdkerrors.ErrUnauthorized},
		"another's address":    {&registerpb.MsgUpdateAuthority{Operator: a, Id: authority[:], Address: "h:1"}, sdkerrors.ErrUnauthorized},
		"registry parameters":  {&registerpb.MsgUpdateParams{Authority: a, Params: params}, sdkerrors.ErrUnauthorized},
		"pot parameters":       {&potpb.MsgUpdateParams{Authority: a}, sdkerrors.ErrUnauthorized},
		"abandon":              {&potpb.MsgAbandonReport{Authority: a}, sdkerrors.ErrUnauthorized},
		"report of nothing":    {&potpb.MsgSubmitReport{Sender: a}, sdkerrors.ErrInvalidRequest},
		"uneven signatures":    {&potpb.MsgSubmitReport{Sender: a, Signers: make([][]byte, 2), Signatures: make([][]byte, 1)}, sdkerrors.ErrInvalidRequest},
		"page of nothing":      {&potpb.MsgSubmitPage{Sender: a, Table: 1 << 31, Index: 1 << 31}, sdkerrors.ErrConflict},
		"withdraw nothing":     {&potpb.MsgWithdraw{Sender: a}, sdkerrors.ErrInsufficientFunds},
		"prepay":               {&sdspb.MsgPrepay{Sender: a, Amount: amount(1)}, nil},
		"prepay without coins": {&sdspb.MsgPrepay{Sender: own, Amount: amount(1)}, sdkerrors.ErrInsufficientFunds},
		"prepay of nothing":    {&sdspb.MsgPrepay{Sender: a}, sdkerrors.ErrInvalidRequest},
		"negative prepay":      {&sdspb.MsgPrepay{Sender: a, Amount: math.NewInt(-5)}, sdkerrors.ErrInvalidRequest},
		"prepay for nobody":    {&sdspb.MsgPrepay{Sender: a, Beneficiary: "0x0000000000000000000000000000000000000000", Amount: amount(1)}, sdkerrors.ErrInvalidRequest},
	} {
		_, err := c.MsgServiceRouter().Handler(tc.msg)(c.Ctx(), tc.msg)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	p, err := c.RegisterKeeper.Params(c.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	p.EpochBlocks++
	if err := c.RegisterKeeper.SetParams(c.Ctx(), p); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("epochs were renumbered: %v", err)
	}
	if err := register.CheckParams(registerpb.Params{EpochBlocks: 1}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("parameters without tiers: %v", err)
	}
}

// A candidate on whom nobody votes gets its deposit back.
func TestCandidateLeaves(t *testing.T) {
	c := newChain(t, 3, 0)
	p, err := c.RegisterKeeper.Params(c.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	p.DepositLockEpochs, p.UnbondingEpochs = 0, 1
	c.setParams(p)
	id := c.candidate(alice, "candidate")
	before := c.Balance(alice.SDK())
	c.call(alice, nil, "", "leaveAuthority", [20]byte(id))
	c.Skip(12)
	if got := c.Balance(alice.SDK()); got.Cmp(before) <= 0 {
		t.Errorf("alice has %s, had %s before she left", got, before)
	}
	if _, err := c.RegisterKeeper.Authority(c.Ctx(), id); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("the candidate is still there: %v", err)
	}
	// Its keys are free again.
	c.candidate(alice, "candidate")
}
