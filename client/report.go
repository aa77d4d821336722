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

// A NodeInfo is a resource node as the meta layer sees it.
type NodeInfo struct {
	ID        mesh.NodeID
	Operator  mesh.Account
	Address   string
	Domain    string // operator and declared label
	Active    bool   // registered and not leaving
	Online    bool
	FreeBytes uint64
	UsedBytes uint64
	Score     uint64   // parts of 1,000,000
	Suspended bool     // it was proven to lie, about a database or a task
	Reasons   []string // why it is not chosen, or less often
}

// Nodes lists the registered nodes.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	answers, _, err := c.group.Ask(ctx, group.Honest, &wirepb.Question{Question: &wirepb.Question_Nodes{Nodes: true}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.NodesAnswer)
	if _, err := group.Decode(answers[0], a); err != nil {
		return nil, err
	}
	var all []NodeInfo
	for _, n := range a.Nodes {
		i := NodeInfo{Address: n.Address, Domain: n.Domain, Active: n.Active, Online: n.Status == statusOnline, Suspended: n.Status == statusSuspended, FreeBytes: n.FreeBytes, UsedBytes: n.UsedBytes, Score: n.Score, Reasons: n.Reasons}
		if i.ID, err = mesh.FromBytes[mesh.NodeID](n.Id); err != nil {
			return nil, err
		}
		if i.Operator, err = mesh.FromBytes[mesh.Account](n.Operator); err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}

// What authorities say of a node: that more than a third of them hear it, or that it was proven to lie.
const (
	statusOnline    = 2
	statusSuspended = 3
)

// Authorities returns the members that the group has now, by ascending id.
func (c *Client) Authorities(ctx context.Context) ([]group.Member, error) {
	return c.group.AskMembers(ctx)
}

// A GroupInfo is where the meta layer stands.
type GroupInfo struct {
	Height      mesh.Height
	Epoch       mesh.Epoch
	ValueHeight mesh.Height // newest verified height of the value layer
	Domains     uint32      // active failure domains
	Objects     uint64
	Segments    uint64
	Reduced     uint64 // segments that lack pieces
}

// Group tells where the meta layer stands, by the word of one authority.
func (c *Client) Group(ctx context.Context) (g GroupInfo, err error) {
	answers, h, err := c.group.Ask(ctx, group.Any, &wirepb.Question{Question: &wirepb.Question_Group{Group: true}})
	if err != nil {
		return g, err
	}
	a := new(wirepb.GroupAnswer)
	_, err = group.Decode(answers[0], a)
	return GroupInfo{h, mesh.Epoch(a.Epoch), mesh.Height(a.ValueHeight), a.Domains, a.Objects, a.Segments, a.Reduced}, err
}
