package sdc

import (
	"context"

	"github.com/stratosmesh/stratos/chain/abcierr"
	"github.com/stratosmesh/stratos/chain/x/sdc/sdcpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/report"
)

type msgServer struct{ k *Keeper }

func (s msgServer) Order(ctx context.Context, m *sdcpb.MsgOrder) (*sdcpb.MsgOrderResponse, error) {
	owner, err := mesh.ParseAccount(m.Sender)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	n, err := s.k.Order(ctx, owner[:], owner, m.Text, m.Level, m.Blocks, m.Price)
	return &sdcpb.MsgOrderResponse{Number: n}, abcierr.Wrap(err)
}

func (s msgServer) Claim(ctx context.Context, m *sdcpb.MsgClaim) (*sdcpb.MsgClaimResponse, error) {
	taker, err := mesh.ParseAccount(m.Sender)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	o, err := s.k.Get(ctx, m.Number)
	if err == nil {
		err = s.k.Claim(ctx, taker[:], taker, m.Number, o.Price)
	}
	return &sdcpb.MsgClaimResponse{}, abcierr.Wrap(err)
}

func (s msgServer) Answer(ctx context.Context, m *sdcpb.MsgAnswer) (*sdcpb.MsgAnswerResponse, error) {
	signed, err := report.Pair(m.Signers, m.Signatures)
	if err == nil {
		err = s.k.Answer(ctx, m.Number, m.Attestation, signed)
	}
	return &sdcpb.MsgAnswerResponse{}, abcierr.Wrap(err)
}

func (s msgServer) Close(ctx context.Context, m *sdcpb.MsgClose) (*sdcpb.MsgCloseResponse, error) {
	return &sdcpb.MsgCloseResponse{}, abcierr.Wrap(s.k.Close(ctx, m.Number))
}

type queryServer struct{ k *Keeper }

func (s queryServer) Order(ctx context.Context, q *sdcpb.QueryOrderRequest) (*sdcpb.Order, error) {
	o, err := s.k.Get(ctx, q.Number)
	return &o, abcierr.Wrap(err)
}

func (s queryServer) Open(ctx context.Context, q *sdcpb.QueryOpenRequest) (*sdcpb.QueryOpenResponse, error) {
	all, err := s.k.Open(ctx, q.After, q.Limit)
	return &sdcpb.QueryOpenResponse{Numbers: all}, abcierr.Wrap(err)
}
