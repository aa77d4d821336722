package register

import (
	"bytes"
	"context"
	"slices"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/registration"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxMembers bounds candidates, present and leaving authorities together, so that each walk over them is bounded.
const maxMembers = 2 * outbox.MaxAuthorities

// AuthorityKeys are an authority's separate keys, and the proofs that it holds the two that sign.
type AuthorityKeys struct {
	Report, Consensus, TLS      mesh.PublicKey
	ReportProof, ConsensusProof mesh.Signature
}

func (k *Keeper) checkProofs(ctx context.Context, operator mesh.Account, keys AuthorityKeys) error {
	network, err := k.Network(ctx)
	if err != nil {
		return err
	}
	claim := registration.AuthorityClaim(operator, keys.Report, keys.Consensus, keys.TLS)
	return first(claim.Verify(network, keys.Report, keys.ReportProof), claim.Verify(network, keys.Consensus, keys.ConsensusProof))
}

// RegisterAuthority makes a candidate, on which the present authorities vote.
func (k *Keeper) RegisterAuthority(ctx context.Context, payer sdk.AccAddress, operator mesh.Account, keys AuthorityKeys, address string,
	deposit math.Int) (mesh.AuthorityID, error) {
	id := mesh.AuthorityIDOf(keys.Report)
	p, err := k.params.Get(ctx)
	if err != nil {
		return id, err
	}
	if deposit.IsNil() || deposit.LT(p.AuthorityDeposit) {
		return id, mesh.Errorf(mesh.Invalid, "an authority needs a deposit of %s", mesh.NewWei(p.AuthorityDeposit.BigInt()))
	}
	if err := first(checkAddress(address), k.checkProofs(ctx, operator, keys)); err != nil {
		return id, err
	}
	if has, err := k.authority.Has(ctx, id[:]); err != nil || has {
		return id, first(err, mesh.Errorf(mesh.Conflict, "authority %s is registered already", id))
	}
	members := 0
	if err := k.authority.Walk(ctx, nil, func([]byte, registerpb.Authority) (bool, error) { members++; return false, nil }); err != nil {
		return id, err
	}
	if members >= maxMembers {
		return id, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "there are %d authorities and candidates already", members), "wait until one leaves")
	}
	if err := k.claimKeys(ctx, id[:], keys.Report, keys.Consensus, keys.TLS); err != nil {
		return id, err
	}
	if err := k.takeDeposit(ctx, payer, deposit); err != nil {
		return id, err
	}
	now, err := k.Epoch(ctx)
	if err != nil {
		return id, err
	}
	return id, k.authority.Set(ctx, id[:], registerpb.Authority{
		Id: id[:], Operator: operator[:], ReportKey: keys.Report[:], ConsensusKey: keys.Consensus[:], TlsKey: keys.TLS[:],
		Address: address, Status: registerpb.AuthorityCandidate, Deposit: deposit, RegisteredEpoch: uint64(now),
	})
}

// UpdateAuthority changes an authority's address, its keys, or both; an empty address and zero keys stay as they are.
func (k *Keeper) UpdateAuthority(ctx context.Context, caller mesh.Account, id mesh.AuthorityID, address string, keys AuthorityKeys) error {
	a, err := k.Authority(ctx, id)
	if err != nil {
		return err
	}
	if err := isOperator(caller, a.Operator); err != nil {
		return err
	}
	if address != "" {
		if err := checkAddress(address); err != nil {
			return err
		}
		a.Address = address
	}
	if keys != (AuthorityKeys{}) {
		if err := k.checkProofs(ctx, caller, keys); err != nil {
			return err
		}
		if err := k.releaseKeys(ctx, a.ReportKey, a.ConsensusKey, a.TlsKey); err != nil {
			return err
		}
		if err := k.claimKeys(ctx, id[:], keys.Report, keys.Consensus, keys.TLS); err != nil {
			return err
		}
		a.ReportKey, a.ConsensusKey, a.TlsKey = keys.Report[:], keys.Consensus[:], keys.TLS[:]
	}
	if err := k.authority.Set(ctx, a.Id, a); err != nil {
		return err
	}
	if a.Status != registerpb.AuthorityPresent {
		return nil
	}
	return k.emitAuthorities(ctx)
}

// Carried tells whether so many votes of so many present authorities decide: more than two thirds.
func Carried(yes, authorities int) bool { return 3*yes > 2*authorities }

// VoteAuthority counts a present authority's vote for target to come in, when it is a candidate, or to go, when it is
// present. It tells whether that decided. Votes of authorities that have gone since do not count.
func (k *Keeper) VoteAuthority(ctx context.Context, caller mesh.Account, voter, target mesh.AuthorityID) (decided bool, err error) {
	v, err := k.Authority(ctx, voter)
	if err != nil {
		return false, err
	}
	if err := isOperator(caller, v.Operator); err != nil {
		return false, err
	}
	if v.Status != registerpb.AuthorityPresent {
		return false, mesh.Errorf(mesh.Denied, "%s is not a present authority and has no vote", voter)
	}
	t, err := k.Authority(ctx, target)
	if err != nil {
		return false, err
	}
	if t.Status == registerpb.AuthorityUnbonding {
		return false, mesh.Errorf(mesh.Conflict, "authority %s is leaving already", target)
	}
	if slices.ContainsFunc(t.Votes, func(b []byte) bool { return bytes.Equal(b, voter[:]) }) {
		return false, mesh.Errorf(mesh.Conflict, "authority %s has voted already", voter)
	}
	present, err := k.Present(ctx)
	if err != nil {
		return false, err
	}
	votes := [][]byte{voter[:]}
	for _, b := range t.Votes {
		if slices.ContainsFunc(present, func(p registerpb.Authority) bool { return bytes.Equal(p.Id, b) }) {
			votes = append(votes, b)
		}
	}
	t.Votes = votes
	if !Carried(len(votes), len(present)) {
		return false, k.authority.Set(ctx, t.Id, t)
	}
	t.Votes = nil
	if t.Status == registerpb.AuthorityPresent {
		_, err := k.unbondAuthority(ctx, t)
		return true, err
	}
	if len(present) >= outbox.MaxAuthorities {
		return false, mesh.Errorf(mesh.Exhausted, "there are %d authorities already", len(present))
	}
	t.Status = registerpb.AuthorityPresent
	if err := k.authority.Set(ctx, t.Id, t); err != nil {
		return false, err
	}
	return true, k.emitAuthorities(ctx)
}

// LeaveAuthority takes a candidate or a present authority out on its operator's wish.
func (k *Keeper) LeaveAuthority(ctx context.Context, caller mesh.Account, id mesh.AuthorityID) (payout mesh.Epoch, err error) {
	a, err := k.Authority(ctx, id)
	if err != nil {
		return 0, err
	}
	if err := isOperator(caller, a.Operator); err != nil {
		return 0, err
	}
	if a.Status == registerpb.AuthorityUnbonding {
		return 0, mesh.Errorf(mesh.Conflict, "authority %s is being paid out already, in epoch %d", id, a.PayoutEpoch)
	}
	return k.unbondAuthority(ctx, a)
}

// unbondAuthority queues the deposit for payout. The last authority stays: without it nothing could be reported.
func (k *Keeper) unbondAuthority(ctx context.Context, a registerpb.Authority) (payout mesh.Epoch, err error) {
	wasPresent := a.Status == registerpb.AuthorityPresent
	if wasPresent {
		present, err := k.Present(ctx)
		if err != nil {
			return 0, err
		}
		if len(present) == 1 {
			return 0, mesh.Errorf(mesh.Conflict, "the last authority cannot go")
		}
	}
	if a.PayoutEpoch, err = k.payoutEpoch(ctx, a.RegisteredEpoch); err != nil {
		return 0, err
	}
	a.Status, a.Votes = registerpb.AuthorityUnbonding, nil
	if err := k.payouts.Set(ctx, collections.Join3(a.PayoutEpoch, memberAuthority, a.Id)); err != nil {
		return 0, err
	}
	if err := k.authority.Set(ctx, a.Id, a); err != nil {
		return 0, err
	}
	if wasPresent {
		err = k.emitAuthorities(ctx)
	}
	return mesh.Epoch(a.PayoutEpoch), err
}

func (k *Keeper) payAuthority(ctx context.Context, id []byte) error {
	a, err := k.authority.Get(ctx, id)
	if err != nil {
		return err
	}
	return first(k.returnDeposit(ctx, a.Operator, a.Deposit), k.releaseKeys(ctx, a.ReportKey, a.ConsensusKey, a.TlsKey), k.authority.Remove(ctx, id))
}

func (k *Keeper) emitAuthorities(ctx context.Context) error {
	present, err := k.Present(ctx)
	if err != nil {
		return err
	}
	set := new(wirepb.AuthoritySet)
	for _, a := range present {
		set.Authorities = append(set.Authorities, &wirepb.AuthorityRecord{Id: a.Id, Operator: a.Operator, ReportKey: a.ReportKey,
			ConsensusKey: a.ConsensusKey, TlsKey: a.TlsKey, Address: a.Address})
	}
	return k.outbox.Append(ctx, &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Authorities{Authorities: set}})
}
