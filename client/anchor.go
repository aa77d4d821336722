package client

import (
	"context"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
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

	SignedByAuthorities
}

// AnchorDatabase has the authorities sign what the last settled certificate says of a database, until more than two thirds have.
// Unavailable: none was settled yet.
func (c *Client) AnchorDatabase(ctx context.Context, name string) (*Anchor, error) {
	if err := mesh.CheckDatabase(name); err != nil {
		return nil, err
	}
	s, err := c.signedByAuthorities(ctx, wirepb.TxKind_TX_ANCHORING, sign.Anchoring, &wirepb.Anchoring{Name: name, AtMs: time.Now().UnixMilli()},
		&wirepb.Question{Question: &wirepb.Question_Anchor{Anchor: &wirepb.DatabaseName{Name: name}}})
	if err != nil {
		return nil, err
	}
	w, err := wiredatabase.DecodeAnchor(s.Body)
	if err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the authorities answer: %w", err)
	}
	return &Anchor{Database: mesh.DatabaseID(w.Database), Owner: mesh.Account(w.Owner), Cell: mesh.CellID(w.Cell), LogHeight: w.LogHeight, Time: time.UnixMilli(w.TimeMs),
		Height: w.Height, Digest: [32]byte(w.Digest), Content: [32]byte(w.Content), SignedByAuthorities: *s}, nil
}
