package register

import (
	"context"

	"cosmossdk.io/collections"

	"github.com/stratosmesh/stratos/chain/abcierr"
	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/report"
)

type msgServer struct{ k *Keeper }

// fields reads identifiers out of a message and keeps the first error.
type fields struct{ err error }

func (f *fields) account(s string) mesh.Account {
	a, err := mesh.ParseAccount(s)
	f.err = first(f.err, err)
	return a
}

func (f *fields) nodeID(b []byte) mesh.NodeID           { return read[mesh.NodeID](f, b) }
func (f *fields) authorityID(b []byte) mesh.AuthorityID { return read[mesh.AuthorityID](f, b) }
func (f *fields) key(b []byte) mesh.PublicKey           { return optional[mesh.PublicKey](f, b) }
func (f *fields) signature(b []byte) mesh.Signature     { return optional[mesh.Signature](f, b) }

func read[T ~[20]byte | ~[32]byte | ~[64]byte](f *fields, b []byte) T {
	id, err := mesh.FromBytes[T](b)
	f.err = first(f.err, err)
	return id
}

// optional reads nothing as zeros.
func optional[T ~[20]byte | ~[32]byte | ~[64]byte](f *fields, b []byte) (zero T) {
	if len(b) == 0 {
		return zero
	}
	return read[T](f, b)
}

func (s msgServer) RegisterNode(ctx context.Context, m *registerpb.MsgRegisterNode) (*registerpb.MsgRegisterNodeResponse, error) {
	var f fields
	a := NodeApplication{Operator: f.account(m.Operator), NodeKey: f.key(m.NodeKey), TLSKey: f.key(m.TlsKey), Kinds: m.Kinds, Tier: m.Tier,
		Address: m.Address, Domain: m.Domain, Deposit: m.Deposit, Proof: f.signature(m.Proof)}
	if f.err != nil {
		return nil, abcierr.Wrap(f.err)
	}
	id, err := s.k.RegisterNode(ctx, a.Operator[:], a)
	return &registerpb.MsgRegisterNodeResponse{Id: id[:]}, abcierr.Wrap(err)
}

func (s msgServer) UpdateNode(ctx context.Context, m *registerpb.MsgUpdateNode) (*registerpb.MsgUpdateNodeResponse, error) {
	var f fields
	caller, id := f.account(m.Operator), f.nodeID(m.Id)
	c := NodeChange{Address: m.Address, Domain: m.Domain, NodeKey: f.key(m.NodeKey), TLSKey: f.key(m.TlsKey), Proof: f.signature(m.Proof)}
	if f.err != nil {
		return nil, abcierr.Wrap(f.err)
	}
	return &registerpb.MsgUpdateNodeResponse{}, abcierr.Wrap(s.k.UpdateNode(ctx, caller, id, c))
}

func (s msgServer) DeactivateNode(ctx context.Context, m *registerpb.MsgDeactivateNode) (*registerpb.MsgDeactivateNodeResponse, error) {
	var f fields
	caller, id := f.account(m.Operator), f.nodeID(m.Id)
	if f.err != nil {
		return nil, abcierr.Wrap(f.err)
	}
	payout, err := s.k.DeactivateNode(ctx, caller, id)
	return &registerpb.MsgDeactivateNodeResponse{PayoutEpoch: uint64(payout)}, abcierr.Wrap(err)
}

func (s msgServer) RegisterAuthority(ctx context.Context, m *registerpb.MsgRegisterAuthority) (*registerpb.MsgRegisterAuthorityResponse, error) {
	var f fields
	operator := f.account(m.Operator)
	keys := AuthorityKeys{f.key(m.ReportKey), f.key(m.ConsensusKey), f.key(m.TlsKey), f.signature(m.ReportProof), f.signature(m.ConsensusProof)}
	if f.err != nil {
		return nil, abcierr.Wrap(f.err)
	}
	id, err := s.k.RegisterAuthority(ctx, operator[:], operator, keys, m.Address, m.Deposit)
	return &registerpb.MsgRegisterAuthorityResponse{Id: id[:]}, abcierr.Wrap(err)
}

func (s msgServer) UpdateAuthority(ctx context.Context, m *registerpb.MsgUpdateAuthority) (*registerpb.MsgUpdateAuthorityResponse, error) {
	var f fields
	operator, id := f.account(m.Operator), f.authorityID(m.Id)
	keys := AuthorityKeys{f.key(m.ReportKey), f.key(m.ConsensusKey), f.key(m.TlsKey), f.signature(m.ReportProof), f.signature(m.ConsensusProof)}
	if f.err != nil {
		return nil, abcierr.Wrap(f.err)
	}
	return &registerpb.MsgUpdateAuthorityResponse{}, abcierr.Wrap(s.k.UpdateAuthority(ctx, operator, id, m.Address, keys))
}

func (s msgServer) VoteAuthority(ctx context.Context, m *registerpb.MsgVoteAuthority) (*registerpb.MsgVoteAuthorityResponse, error) {
	var f fields
	operator, voter, target := f.account(m.Operator), f.authorityID(m.Voter), f.authorityID(m.Target)
	if f.err != nil {
		return nil, abcierr.Wrap(f.err)
	}
	decided, err := s.k.VoteAuthority(ctx, operator, voter, target)
	return &registerpb.MsgVoteAuthorityResponse{Decided: decided}, abcierr.Wrap(err)
}

func (s msgServer) LeaveAuthority(ctx context.Context, m *registerpb.MsgLeaveAuthority) (*registerpb.MsgLeaveAuthorityResponse, error) {
	var f fields
	operator, id := f.account(m.Operator), f.authorityID(m.Id)
	if f.err != nil {
		return nil, abcierr.Wrap(f.err)
	}
	payout, err := s.k.LeaveAuthority(ctx, operator, id)
	return &registerpb.MsgLeaveAuthorityResponse{PayoutEpoch: uint64(payout)}, abcierr.Wrap(err)
}

func (s msgServer) ConvictNode(ctx context.Context, m *registerpb.MsgConvictNode) (*registerpb.MsgConvictNodeResponse, error) {
	signed, err := report.Pair(m.Signers, m.Signatures)
	if err == nil {
		err = s.k.ConvictNode(ctx, m.Conviction, signed)
	}
	return &registerpb.MsgConvictNodeResponse{}, abcierr.Wrap(err)
}

func (s msgServer) PardonNode(ctx context.Context, m *registerpb.MsgPardonNode) (*registerpb.MsgPardonNodeResponse, error) {
	var f fields
	id := f.nodeID(m.Id)
	switch {
	case m.Authority != s.k.governor:
		return nil, abcierr.Wrap(mesh.Errorf(mesh.Denied, "only governance pardons nodes"))
	case f.err != nil:
		return nil, abcierr.Wrap(f.err)
	}
	return &registerpb.MsgPardonNodeResponse{}, abcierr.Wrap(s.k.PardonNode(ctx, id))
}

func (s msgServer) UpdateParams(ctx context.Context, m *registerpb.MsgUpdateParams) (*registerpb.MsgUpdateParamsResponse, error) {
	if m.Authority != s.k.governor {
		return nil, abcierr.Wrap(mesh.Errorf(mesh.Denied, "only governance changes parameters"))
	}
	return &registerpb.MsgUpdateParamsResponse{}, abcierr.Wrap(s.k.SetParams(ctx, m.Params))
}

// maxList bounds a query's answer.
const maxList = 200

type queryServer struct{ k *Keeper }

func (s queryServer) Params(ctx context.Context, _ *registerpb.QueryParamsRequest) (*registerpb.Params, error) {
	p, err := s.k.params.Get(ctx)
	return &p, err
}

func (s queryServer) Node(ctx context.Context, q *registerpb.QueryNodeRequest) (*registerpb.Node, error) {
	id, err := mesh.FromBytes[mesh.NodeID](q.Id)
	if err != nil {
		return nil, abcierr.Wrap(err)
	}
	n, err := s.k.Node(ctx, id)
	return &n, abcierr.Wrap(err)
}

func (s queryServer) Nodes(ctx context.Context, q *registerpb.QueryNodesRequest) (*registerpb.QueryNodesResponse, error) {
	nodes, err := s.k.NodesAfter(ctx, q.After, q.Limit)
	return &registerpb.QueryNodesResponse{Nodes: nodes}, err
}

func (s queryServer) Authorities(ctx context.Context, _ *registerpb.QueryAuthoritiesRequest) (*registerpb.QueryAuthoritiesResponse, error) {
	var out registerpb.QueryAuthoritiesResponse
	return &out, s.k.authority.Walk(ctx, nil, func(_ []byte, a registerpb.Authority) (bool, error) {
		out.Authorities = append(out.Authorities, a)
		return false, nil
	})
}

// NodesAfter lists nodes by rising id behind after; limit 0 and anything above 200 mean 200.
func (k *Keeper) NodesAfter(ctx context.Context, after []byte, limit uint32) (nodes []registerpb.Node, err error) {
	if limit == 0 || limit > maxList {
		limit = maxList
	}
	var from *collections.Range[[]byte]
	if len(after) > 0 {
		from = new(collections.Range[[]byte]).StartExclusive(after)
	}
	err = k.nodes.Walk(ctx, ranger(from), func(_ []byte, n registerpb.Node) (bool, error) {
		nodes = append(nodes, n)
		return len(nodes) == int(limit), nil
	})
	return nodes, err
}

// ranger avoids an interface that holds a nil pointer.
func ranger(r *collections.Range[[]byte]) collections.Ranger[[]byte] {
	if r == nil {
		return nil
	}
	return r
}
