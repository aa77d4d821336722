package client

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// wantedPoll is how often is looked for more signatures.
const wantedPoll = 300 * time.Millisecond

// A SignedByAuthorities is a message that more than two thirds of the authorities have signed, as contracts of the value layer take it.
type SignedByAuthorities struct {
	Body       []byte
	Signers    []mesh.AuthorityID
	Signatures []mesh.Signature // theirs
}

// signedByAuthorities has the authorities sign what a transaction asks them to, until more than two thirds have; q asks for it.
func (c *Client) signedByAuthorities(ctx context.Context, kind wirepb.TxKind, p sign.Purpose, m proto.Message, q *wirepb.Question) (*SignedByAuthorities, error) {
	if _, err := c.commit(ctx, kind, p, m); err != nil && mesh.KindOf(err) != mesh.Conflict { // else it is being signed
		return nil, err
	}
	t := time.NewTicker(wantedPoll)
	defer t.Stop()
	for {
		s, members, err := c.askSigned(ctx, q)
		if err != nil || report.Enough(len(s.Signers), members) {
			return s, err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, mesh.Errorf(mesh.Unavailable, "%d of %d authorities have signed: %w", len(s.Signers), members, ctx.Err())
		}
	}
}

// askSigned asks for what is being signed, and how many authorities there are.
func (c *Client) askSigned(ctx context.Context, q *wirepb.Question) (*SignedByAuthorities, int, error) {
	members, err := c.Authorities(ctx)
	if err != nil {
		return nil, 0, err
	}
	answers, err := c.ask(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	m := new(wirepb.SignedAnswer)
	found, err := group.Decode(answers[0], m)
	if err != nil {
		return nil, 0, err
	}
	if !found {
		return nil, 0, mesh.Errorf(mesh.Unavailable, "the authorities are not asked to sign this any more")
	}
	signed, err := report.Pair(m.Signers, m.Signatures)
	if err != nil {
		return nil, 0, mesh.Errorf(mesh.Corrupt, "the authorities answer: %w", err)
	}
	s := &SignedByAuthorities{Body: m.Body}
	for _, one := range signed {
		s.Signers, s.Signatures = append(s.Signers, one.Authority), append(s.Signatures, one.Signature)
	}
	return s, len(members), nil
}

// An Attestation is what the log has verified of a task.
type Attestation struct {
	SignedByAuthorities
	*wirepb.Attestation
}

// AttestTask has the authorities sign what the log has verified of a task of a job that this session has opened, at level pair or quorum.
func (c *Client) AttestTask(ctx context.Context, job mesh.JobID, number uint32) (*Attestation, error) {
	s, err := c.signedByAuthorities(ctx, wirepb.TxKind_TX_ATTESTING, sign.Attesting, &wirepb.Attesting{Job: job[:], Number: number, AtMs: time.Now().UnixMilli()},
		&wirepb.Question{Question: &wirepb.Question_Attestation{Attestation: &wirepb.TaskName{Job: job[:], Number: number}}})
	if err != nil {
		return nil, err
	}
	a, err := compute.DecodeAttestation(s.Body)
	if err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the authorities answer: %w", err)
	}
	return &Attestation{*s, a}, nil
}
