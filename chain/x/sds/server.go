package sds

import (
	"context"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/abcierr"
	"github.com/stratosmesh/stratos/chain/x/sds/sdspb"
	"github.com/stratosmesh/stratos/mesh"
)

type msgServer struct{ k *Keeper }

func (s msgServer) Prepay(ctx context.Context, m *sdspb.MsgPrepay) (*sdspb.MsgPrepayResponse, error) {
	sender, err := mesh.ParseAccount(m.Sender)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	beneficiary := sender
	if m.Beneficiary != "" {
		if beneficiary, err = mesh.ParseAccount(m.Beneficiary); err != nil {
			return nil, abcierr.Wrap(err)
		}
	}
	amount, err := weiOf(m.Amount)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	noz, err := s.k.Prepay(ctx, sdk.AccAddress(sender[:]), beneficiary, amount.BigInt())
	return &sdspb.MsgPrepayResponse{Noz: uint64(noz)}, abcierr.Wrap(err)
}

type queryServer struct{ k *Keeper }

func (s queryServer) Pool(ctx context.Context, _ *sdspb.QueryPoolRequest) (*sdspb.Pool, error) {
	g, err := s.k.pool.Get(ctx)
	return &g, err
}

func (s queryServer) Ozone(ctx context.Context, q *sdspb.QueryOzoneRequest) (*sdspb.Ozone, error) {
	account, err := mesh.ParseAccount(q.Account)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	o, err := s.k.Ozone(ctx, account)
	return &o, err
}

func (s queryServer) SimulatePrepay(ctx context.Context, q *sdspb.QuerySimulatePrepayRequest) (*sdspb.QuerySimulatePrepayResponse, error) {
	amount, err := weiOf(q.Amount)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	p, _, err := s.k.Pool(ctx)
	if err != nil {
		return nil, err
	}
	noz := p.Bought(amount.BigInt())
	if !noz.IsUint64() {
		return nil, abcierr.Wrap(mesh.Errorf(mesh.Invalid, "%s noz are more than an account can hold", noz))
	}
	return &sdspb.QuerySimulatePrepayResponse{Noz: noz.Uint64()}, nil
}

// weiOf refuses an amount that was left out or is negative.
func weiOf(a math.Int) (math.Int, error) {
	if a.IsNil() || a.IsNegative() {
		return a, mesh.Errorf(mesh.Invalid, "the amount is missing or negative")
	}
	return a, nil
}
