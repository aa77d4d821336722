package group

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Ticket asks one authority for tickets on a lease that names it.
func (g *Group) Ticket(ctx context.Context, authority mesh.AuthorityID, req *wirepb.TicketRequest) (*wirepb.TicketAnswer, error) {
	for _, m := range g.members {
		if m.ID == authority {
			a := new(wirepb.TicketAnswer)
			return a, g.call(ctx, m, wirepb.TicketPath, 4<<20, req, a)
		}
	}
	return nil, mesh.Errorf(mesh.NotFound, "no authority %s in the group", authority)
}

// Tell sends a message to every member at once, each with a deadline of its own. It returns how many took it, and why the
// others did not.
func (g *Group) Tell(ctx context.Context, path string, m proto.Message) (int, error) {
	errs := make([]error, len(g.members))
	var wg sync.WaitGroup
	for i, member := range g.members {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, g.opts.Patience)
			defer cancel()
			errs[i] = g.call(ctx, member, path, 64<<10, m, new(wirepb.Applied))
		})
	}
	wg.Wait()
	took := 0
	for _, err := range errs {
		if err == nil {
			took++
		}
	}
	return took, errors.Join(errs...)
}

// AskMembers asks the group who its members are, by ascending id.
func (g *Group) AskMembers(ctx context.Context) ([]Member, error) {
	answers, _, err := g.Ask(ctx, Honest, &wirepb.Question{Question: &wirepb.Question_Authorities{Authorities: true}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.AuthoritiesAnswer)
	if _, err := Decode(answers[0], a); err != nil {
		return nil, err
	}
	members := make([]Member, len(a.Authorities))
	for i, w := range a.Authorities {
		m := &members[i]
		m.Address = w.Address
		var errs [4]error
		m.ID, errs[0] = mesh.FromBytes[mesh.AuthorityID](w.Id)
		m.TLSKey, errs[1] = mesh.FromBytes[mesh.PublicKey](w.TlsKey)
		m.ReportKey, errs[2] = mesh.FromBytes[mesh.PublicKey](w.ReportKey)
		m.ConsensusKey, errs[3] = mesh.FromBytes[mesh.PublicKey](w.ConsensusKey)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, mesh.Errorf(mesh.Corrupt, "the group's members: %w", err)
		}
	}
	return members, nil
}

// maxGenesis bounds a group's genesis document.
const maxGenesis = 4 << 20

// AskJoin asks the group for what a newcomer needs to follow its log: the genesis document that f+1 members answer alike,
// and the consensus peers that the members say they are, id@host:port. Peers are not to be believed, only dialled.
func (g *Group) AskJoin(ctx context.Context) (genesis []byte, peers []string, err error) {
	answers := make([]wirepb.JoinAnswer, len(g.members))
	errs := make([]error, len(g.members))
	var wg sync.WaitGroup
	for i, m := range g.members {
		wg.Go(func() { errs[i] = g.call(ctx, m, wirepb.JoinPath, maxGenesis, &wirepb.JoinRequest{}, &answers[i]) })
	}
	wg.Wait()
	votes := map[string]int{}
	for i := range answers {
		if errs[i] != nil {
			continue
		}
		peers = append(peers, answers[i].Peer)
		votes[string(answers[i].Genesis)]++
		if votes[string(answers[i].Genesis)] == g.honest() {
			genesis = answers[i].Genesis
		}
	}
	if genesis == nil {
		return nil, nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d equal answers on the group's genesis are needed: %w", g.honest(), errors.Join(errs...)), "try again")
	}
	return genesis, peers, nil
}

// Decode reads an answer; found is false when it is empty: there is no such thing.
func Decode(answer []byte, m proto.Message) (found bool, err error) {
	if len(answer) == 0 {
		return false, nil
	}
	return true, wire.Decode(answer, wirepb.MaxQueryAnswer, m)
}

// ComputePrices asks for the prices of computing that governance has set.
func (g *Group) ComputePrices(ctx context.Context) (*wirepb.ComputePrices, error) {
	answers, _, err := g.Ask(ctx, Honest, &wirepb.Question{Question: &wirepb.Question_ComputePrices{ComputePrices: true}})
	if err != nil {
		return nil, err
	}
	p := new(wirepb.ComputePrices)
	if _, err := Decode(answers[0], p); err != nil {
		return nil, err
	}
	return p, compute.CheckPrices(p)
}
