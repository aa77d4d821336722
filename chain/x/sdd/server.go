package sdd

import (
	"context"

	"github.com/stratosmesh/stratos/chain/abcierr"
	"github.com/stratosmesh/stratos/chain/x/sdd/sddpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/report"
)

type msgServer struct{ k *Keeper }

func (s msgServer) Anchor(ctx context.Context, m *sddpb.MsgAnchor) (*sddpb.MsgAnchorResponse, error) {
	signed, err := report.Pair(m.Signers, m.Signatures)
	if err == nil {
		err = s.k.Anchor(ctx, m.Anchor, signed)
	}
	return &sddpb.MsgAnchorResponse{}, abcierr.Wrap(err)
}

type queryServer struct{ k *Keeper }

func (s queryServer) Anchor(ctx context.Context, q *sddpb.QueryAnchorRequest) (*sddpb.Anchored, error) {
	id, err := mesh.FromBytes[mesh.DatabaseID](q.Database)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	kept, _, err := s.k.Newest(ctx, id)
	return &kept, abcierr.Wrap(err)
}
