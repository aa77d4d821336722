package pot

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	"github.com/stratosmesh/stratos/chain/abcierr"
	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/report"
)

type msgServer struct{ k *Keeper }

func (s msgServer) SubmitReport(ctx context.Context, m *potpb.MsgSubmitReport) (*potpb.MsgSubmitReportResponse, error) {
	signed, err := report.Pair(m.Signers, m.Signatures)
	if err == nil {
		err = s.k.SubmitReport(ctx, m.Header, signed)
	}
	return &potpb.MsgSubmitReportResponse{}, abcierr.Wrap(err)
}

func (s msgServer) SubmitPage(ctx context.Context, m *potpb.MsgSubmitPage) (*potpb.MsgSubmitPageResponse, error) {
	err := s.k.SubmitPage(ctx, mesh.Epoch(m.Epoch), report.Table(m.Table), m.Index, m.Page)
	return &potpb.MsgSubmitPageResponse{}, abcierr.Wrap(err)
}

func (s msgServer) Withdraw(ctx context.Context, m *potpb.MsgWithdraw) (*potpb.MsgWithdrawResponse, error) {
	sender, err := mesh.ParseAccount(m.Sender)
	to := sender
	if err == nil && m.To != "" {
		to, err = mesh.ParseAccount(m.To)
	}
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	amount, err := s.k.Withdraw(ctx, sender, to)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	return &potpb.MsgWithdrawResponse{Amount: math.NewIntFromBigInt(amount)}, nil
}

func (s msgServer) governor(who string) error {
	if who != s.k.Governor.String() {
		return abcierr.Wrap(mesh.Errorf(mesh.Denied, "only governance may do this"))
	}
	return nil
}

func (s msgServer) AbandonReport(ctx context.Context, m *potpb.MsgAbandonReport) (*potpb.MsgAbandonReportResponse, error) {
	if err := s.governor(m.Authority); err != nil {
		return nil, err
	}
	return &potpb.MsgAbandonReportResponse{}, abcierr.Wrap(s.k.Abandon(ctx, mesh.Epoch(m.Epoch)))
}

func (s msgServer) UpdateParams(ctx context.Context, m *potpb.MsgUpdateParams) (*potpb.MsgUpdateParamsResponse, error) {
	if err := s.governor(m.Authority); err != nil {
		return nil, err
	}
	if err := CheckParams(m.Params); err != nil {
		return nil, abcierr.Wrap(err)
	}
	return &potpb.MsgUpdateParamsResponse{}, errors.Join(s.k.params.Set(ctx, m.Params), s.k.emitParams(ctx))
}

type queryServer struct{ k *Keeper }

func (s queryServer) Params(ctx context.Context, _ *potpb.QueryParamsRequest) (*potpb.Params, error) {
	p, err := s.k.params.Get(ctx)
	return &p, err
}

func (s queryServer) Epoch(ctx context.Context, _ *potpb.QueryEpochRequest) (*potpb.QueryEpochResponse, error) {
	now, next, err := s.k.Epoch(ctx)
	return &potpb.QueryEpochResponse{Current: uint64(now), NextReport: uint64(next)}, err
}

func (s queryServer) Report(ctx context.Context, q *potpb.QueryReportRequest) (*potpb.Report, error) {
	r, err := s.k.Report(ctx, mesh.Epoch(q.Epoch))
	return &r, abcierr.Wrap(err)
}

func (s queryServer) Ledger(ctx context.Context, q *potpb.QueryLedgerRequest) (*potpb.LedgerLine, error) {
	l, err := s.k.Ledger(ctx, mesh.Epoch(q.Epoch))
	return &l, abcierr.Wrap(err)
}

func (s queryServer) Rewards(ctx context.Context, q *potpb.QueryRewardsRequest) (*potpb.QueryRewardsResponse, error) {
	account, err := mesh.ParseAccount(q.Account)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	r, err := s.k.Rewards(ctx, account)
	if err != nil {
		return nil, err
	}
	return &potpb.QueryRewardsResponse{Earned: math.NewIntFromBigInt(r.Earned), Maturing: math.NewIntFromBigInt(r.Maturing),
		Withdrawable: math.NewIntFromBigInt(r.Withdrawable), Withdrawn: math.NewIntFromBigInt(r.Withdrawn)}, nil
}

func (s queryServer) RewardOf(ctx context.Context, q *potpb.QueryRewardOfRequest) (*potpb.QueryRewardOfResponse, error) {
	account, err := mesh.ParseAccount(q.Account)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	amount, err := s.k.RewardOf(ctx, account, mesh.Epoch(q.Epoch))
	if err != nil {
		return nil, err
	}
	return &potpb.QueryRewardOfResponse{Amount: math.NewIntFromBigInt(amount)}, nil
}

// Epoch returns the running epoch, and the one with which the next report begins.
func (k *Keeper) Epoch(ctx context.Context) (now, next mesh.Epoch, err error) {
	now, err = k.Registry.Epoch(ctx)
	if err != nil {
		return 0, 0, err
	}
	n, err := get(ctx, k.next)
	return now, mesh.Epoch(n), err
}

// Report returns a report's record; the error is of kind NotFound when the epoch has none.
func (k *Keeper) Report(ctx context.Context, epoch mesh.Epoch) (potpb.Report, error) {
	r, err := k.reports.Get(ctx, uint64(epoch))
	if errors.Is(err, collections.ErrNotFound) {
		return r, mesh.Errorf(mesh.NotFound, "epoch %d has no report of its own", epoch)
	}
	return r, err
}

// Ledger returns the ledger line of a final report; the error is of kind NotFound when there is none.
func (k *Keeper) Ledger(ctx context.Context, epoch mesh.Epoch) (potpb.LedgerLine, error) {
	l, err := k.ledger.Get(ctx, uint64(epoch))
	if errors.Is(err, collections.ErrNotFound) {
		return l, mesh.Errorf(mesh.NotFound, "epoch %d is not settled", epoch)
	}
	return l, err
}
