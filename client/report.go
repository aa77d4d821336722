package client

import (
	"context"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Report is what the authorities report of the epochs up to one: who delivered and who owes how much.
type Report struct {
	Header *report.Header
	Pages  [report.Tables][]*report.Page
	Signed []mesh.AuthorityID
}

// Report returns the report that ends with an epoch, each page checked against the header's roots. NotFound when no
// report ends there.
func (c *Client) Report(ctx context.Context, e mesh.Epoch) (*Report, error) {
	answers, _, err := c.group.Ask(ctx, group.Honest, &wirepb.Question{Question: &wirepb.Question_Epoch{Epoch: uint64(e)}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.ReportAnswer)
	if found, err := group.Decode(answers[0], a); err != nil || !found {
		return nil, orElse(err, mesh.Errorf(mesh.NotFound, "no report ends with epoch %d", e))
	}
	r := new(Report)
	if r.Header, err = report.DecodeHeader(a.Header); err != nil {
		return nil, err
	}
	if len(a.Tables) != int(report.Tables) {
		return nil, mesh.Errorf(mesh.Corrupt, "the report of epoch %d has %d tables", e, len(a.Tables))
	}
	for t, pages := range a.Tables {
		for i, envelope := range pages.Envelopes {
			p, err := report.OpenPage(r.Header, report.Table(t), uint32(i), envelope)
			if err != nil {
				return nil, err
			}
			r.Pages[t] = append(r.Pages[t], p)
		}
		if len(r.Pages[t]) != int(r.Header.Tables[t].Pages) {
			return nil, mesh.Errorf(mesh.Corrupt, "the report of epoch %d lacks pages", e)
		}
	}
	for _, s := range a.Signers {
		id, err := mesh.FromBytes[mesh.AuthorityID](s.Authority)
		if err != nil {
			return nil, err
		}
		r.Signed = append(r.Signed, id)
	}
	return r, nil
}
