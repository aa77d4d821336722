package meta

import (
	"context"
	"slices"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxConvictions is how many nodes that lied are seen to at once.
const maxConvictions = 16

// convict signs what the value layer must know of nodes that lied, and posts what enough have signed when its turn comes. since tells
// since when a node waits for that.
func (a *Authority) convict(ctx context.Context, since map[mesh.NodeID]time.Time) error {
	var all []state.Conviction
	var members []mesh.AuthorityID
	if err := a.app.read(func(r *state.Reader) error {
		if all = r.Convictions(maxConvictions); len(all) > 0 {
			for id := range r.Authorities() {
				members = append(members, id)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, c := range all {
		node := mesh.NodeID(c.Message.Node)
		if _, ok := c.Signatures[a.identity.ID]; !ok {
			tx := state.NewTx(wirepb.TxKind_TX_CONVICTION, signed.Seal(a.domain, a.reportKey, sign.Conviction, c.Message))
			if err := a.enqueue(tx); err != nil && !isCached(err) {
				return mesh.Errorf(mesh.Unavailable, "signing the conviction of node %s: %w", node, err)
			}
			continue
		}
		var signers []mesh.AuthorityID
		var signatures []mesh.Signature
		for _, id := range members {
			if s, ok := c.Signatures[id]; ok {
				signers, signatures = append(signers, id), append(signatures, s)
			}
		}
		if a.poster == nil || !report.Enough(len(signers), len(members)) || !a.turnToConvict(node, members, since) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, postTimeout)
		err := a.poster.PostConviction(ctx, wire.Encode(c.Message), signers, signatures)
		cancel()
		if err != nil && mesh.KindOf(err) != mesh.Conflict { // else the chain knows it, and says so soon
			return err
		}
		since[node] = time.Now() // for that long it is somebody else's
	}
	return nil
}

// maxWanted is how many messages of a kind that somebody wants signed are seen to at once.
const maxWanted = 64

// signWanted signs what somebody wants to take to the value layer: what cells have certified of databases, and what the log has verified of tasks.
func (a *Authority) signWanted() error {
	var all []state.Wanted
	if err := a.app.read(func(r *state.Reader) error {
		all = r.Wanted(maxWanted)
		return nil
	}); err != nil {
		return err
	}
	for _, w := range all {
		if _, ok := w.Signatures[a.identity.ID]; ok {
			continue
		}
		if err := a.enqueue(state.NewTx(w.Kind, signed.Seal(a.domain, a.reportKey, w.Purpose, w.Message))); err != nil && !isCached(err) {
			return mesh.Errorf(mesh.Unavailable, "signing what the value layer is to be told: %w", err)
		}
	}
	return nil
}

// turnToConvict gives each authority its turn by the node's id, the next one a while later.
func (a *Authority) turnToConvict(node mesh.NodeID, members []mesh.AuthorityID, since map[mesh.NodeID]time.Time) bool {
	first, ok := since[node]
	if !ok {
		first = time.Now()
		since[node] = first
	}
	at, n := slices.Index(members, a.identity.ID), len(members)
	return at >= 0 && time.Since(first) >= time.Duration((at+n-int(node[0])%n)%n)*postPatience
}
