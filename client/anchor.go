package client

import (
	"context"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// An Anchor is what a database's cell has certified of it, and what the value layer wants to see of it: the module sdd's contract takes
// Body, Signers and Signatures.
type Anchor struct {
	Database  mesh.DatabaseID
	Owner     mesh.Account
	Cell      mesh.CellID
	LogHeight int64     // of the certificate's checkpoint
	Time      time.Time // of its block
	Height    int64     // of the newest block that touched the database
	Digest    [32]byte  // rolling
	Content   [32]byte

	Body       []byte
	Signers    []mesh.AuthorityID
	Signatures []mesh.Signature // theirs
}

// anchorPoll is how often is looked for more signatures.
const anchorPoll = 300 * time.Millisecond

// AnchorDatabase has the authorities sign what the last settled certificate says of a database, until more than two thirds have.
// Unavailable: none was settled yet.
func (c *Client) AnchorDatabase(ctx context.Context, name string) (*Anchor, error) {
	if err := mesh.CheckDatabase(name); err != nil {
		return nil, err
	}
	_, err := c.commit(ctx, wirepb.TxKind_TX_ANCHORING, sign.Anchoring, &wirepb.Anchoring{Name: name, AtMs: time.Now().UnixMilli()})
	if err != nil && mesh.KindOf(err) != mesh.Conflict { // else it is being signed
		return nil, err
	}
	t := time.NewTicker(anchorPoll)
	defer t.Stop()
	for {
		a, members, err := c.anchor(ctx, name)
		if err != nil || report.Enough(len(a.Signers), members) {
			return a, err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, mesh.Errorf(mesh.Unavailable, "%d of %d authorities have signed the anchor: %w", len(a.Signers), members, ctx.Err())
		}
	}
}

// anchor asks for an anchor that is being signed, and how many authorities there are.
func (c *Client) anchor(ctx context.Context, name string) (*Anchor, int, error) {
	members, err := c.Authorities(ctx)
	if err != nil {
		return nil, 0, err
	}
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Anchor{Anchor: &wirepb.DatabaseName{Name: name}}})
	if err != nil {
		return nil, 0, err
	}
	m := new(wirepb.AnchorAnswer)
	found, err := group.Decode(answers[0], m)
	if err != nil {
		return nil, 0, err
	}
	if !found {
		return nil, 0, mesh.Errorf(mesh.Unavailable, "the anchor of database %q is not asked for any more", name)
	}
	w, err := wiredatabase.DecodeAnchor(m.Anchor)
	if err != nil {
		return nil, 0, mesh.Errorf(mesh.Corrupt, "the authorities answer: %w", err)
	}
	a := &Anchor{Database: mesh.DatabaseID(w.Database), Owner: mesh.Account(w.Owner), Cell: mesh.CellID(w.Cell), LogHeight: w.LogHeight, Time: time.UnixMilli(w.TimeMs),
		Height: w.Height, Digest: [32]byte(w.Digest), Content: [32]byte(w.Content), Body: m.Anchor}
	signed, err := report.Pair(m.Signers, m.Signatures)
	if err != nil {
		return nil, 0, mesh.Errorf(mesh.Corrupt, "the authorities answer: %w", err)
	}
	for _, s := range signed {
		a.Signers, a.Signatures = append(a.Signers, s.Authority), append(a.Signatures, s.Signature)
	}
	return a, len(members), nil
}
