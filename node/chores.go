package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/traffic"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	wiretraffic "github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	heartbeatEvery = 2 * time.Second
	flushEvery     = time.Second
	refreshEvery   = 30 * time.Second
	tidyEvery      = 6 * time.Hour

	// A slice is put in the trash when two keep-lists, at least provisional apart, both lack it, and dropped a week later.
	provisional = 25 * time.Hour
	trashTime   = 7 * 24 * time.Hour
)

// every calls f at each interval until ctx ends; what f returns is logged, not fatal.
func (n *Node) every(ctx context.Context, d time.Duration, what string, f func(context.Context) error) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := f(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn(what+" failed", "err", err)
		}
	}
}

func (n *Node) heartbeats(ctx context.Context) error {
	beat := func(ctx context.Context) error {
		st := n.store.Stats()
		h := &wirepb.Heartbeat{Node: n.identity.ID[:], TimeMs: n.now().UnixMilli(), FreeBytes: st.FreeBytes, UsedBytes: st.UsedBytes, Slices: st.Slices, Version: Version}
		took, err := n.directory.current().Tell(ctx, wirepb.HeartbeatPath, signed.Seal(n.domain, n.nodeKey, sign.Heartbeat, h))
		n.directory.heard(took, err)
		return nil // an authority that is down is not this node's trouble
	}
	for n.directory.trouble() != "" && ctx.Err() == nil { // at the start, until somebody hears
		if err := beat(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return n.every(ctx, heartbeatEvery, "a heartbeat", beat)
}

func (n *Node) flushes(ctx context.Context) error {
	return n.every(ctx, flushEvery, "writing receipts", func(context.Context) error { return n.ledger.Flush() })
}

// maxClaimQuestions is how many claims are asked for at once.
const maxClaimQuestions = 128

// askClaims asks what the log has credited of claims that were handed in, and notes it. A lease that the log does not
// have any more credits nothing more.
func (n *Node) askClaims(ctx context.Context, claims []traffic.Claim) error {
	var questions []*wirepb.Question
	for _, c := range claims {
		questions = append(questions, &wirepb.Question{Question: &wirepb.Question_Claim{Claim: &wirepb.Claim{Lease: c.Lease[:], Node: n.identity.ID[:]}}})
	}
	answers, _, err := n.directory.current().Ask(ctx, group.Strong, questions...)
	if err != nil {
		return err
	}
	settled := slices.Clone(claims)
	for i, b := range answers {
		a := new(wirepb.ClaimAnswer)
		if found, err := group.Decode(b, a); err != nil {
			return err
		} else if found {
			settled[i].Total = a.Total
		}
	}
	n.ledger.Settled(settled)
	return nil
}

// settlement is the transaction that hands in claims. It is another one each time: the log, which may not have known yet what
// the tickets gave, answers the same transaction once only.
func (n *Node) settlement(claims []traffic.Claim) []byte {
	m := &wirepb.Settlement{Node: n.identity.ID[:], AtMs: n.now().UnixMilli()}
	for _, c := range claims {
		m.Receipts = append(m.Receipts, c.Receipt)
	}
	return wire.Encode(&wirepb.Tx{Kind: wirepb.TxKind_TX_SETTLEMENT, Message: signed.Seal(n.domain, n.nodeKey, sign.Settlement, m)})
}

// settlements hands in receipts. The log skips what it cannot credit, or not yet; what it credited is asked for.
func (n *Node) settlements(ctx context.Context) error {
	return n.every(ctx, time.Duration(n.config.SettleEvery), "handing in receipts", func(ctx context.Context) error {
		claims, err := n.ledger.Claims(wiretraffic.MaxSettledReceipts)
		if err != nil || len(claims) == 0 {
			return err
		}
		if _, err := n.directory.current().Submit(ctx, n.settlement(claims)); err != nil && mesh.KindOf(err) == mesh.Internal {
			return err // the receipts stay for the next time
		}
		for batch := range slices.Chunk(claims, maxClaimQuestions) {
			if err := n.askClaims(ctx, batch); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n *Node) refreshes(ctx context.Context) error {
	return n.every(ctx, refreshEvery, "asking for the authorities", func(ctx context.Context) error {
		return errors.Join(n.directory.refresh(ctx), n.directory.learn(ctx))
	})
}

func (n *Node) tidies(ctx context.Context) error {
	return n.every(ctx, tidyEvery, "tidying", func(ctx context.Context) error {
		now := n.now()
		if err := n.ledger.Forget(now.Add(-24 * time.Hour)); err != nil {
			return err
		}
		if _, err := n.store.Purge(now.Add(-trashTime)); err != nil {
			return err
		}
		return n.dropUnkept(ctx, now)
	})
}

// dropUnkept compares what is held with the keep-list and trashes what was missing from it twice.
func (n *Node) dropUnkept(ctx context.Context, now time.Time) error {
	keep := map[mesh.SliceID]bool{}
	var after []byte
	for {
		q := &wirepb.Question{Question: &wirepb.Question_KeepList{KeepList: &wirepb.KeepListPage{Node: n.identity.ID[:], After: after, Limit: 4096}}}
		answers, _, err := n.directory.current().Ask(ctx, group.Quorum, q)
		if err != nil {
			return err
		}
		a := new(wirepb.KeepListAnswer)
		if _, err := group.Decode(answers[0], a); err != nil {
			return err
		}
		for _, b := range a.Slices {
			id, err := mesh.FromBytes[mesh.SliceID](b)
			if err != nil {
				return err
			}
			keep[id] = true
			after = b
		}
		if !a.Truncated {
			break
		}
	}
	missing, err := n.store.Missing(keep, now, provisional)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		n.log.Info("slices that nobody needs go to the trash", "count", len(missing))
	}
	return n.store.Trash(missing...)
}

// cells is the meta layer as the host of databases sees it.
type cells struct{ node *Node }

func (c cells) Cells(ctx context.Context) ([]*wirepb.CellAnswer, error) {
	q := &wirepb.Question{Question: &wirepb.Question_Replicas{Replicas: c.node.identity.ID[:]}}
	answers, _, err := c.node.directory.current().Ask(ctx, group.Quorum, q)
	if err != nil {
		return nil, err
	}
	a := new(wirepb.CellsAnswer)
	_, err = group.Decode(answers[0], a)
	return a.Cells, err
}

func (c cells) Submit(ctx context.Context, tx []byte) error {
	_, err := c.node.directory.current().Submit(ctx, tx)
	return err
}

func (c cells) Notices(ctx context.Context, database []byte) ([]*wirepb.Signed, error) {
	return c.node.directory.current().AskNotices(ctx, database)
}

// work is the meta layer as the host of tasks sees it.
type work struct{ node *Node }

func (w work) Tasks(ctx context.Context) (all []*wirepb.TaskAnswer, err error) {
	p := &wirepb.WorkPage{Node: w.node.identity.ID[:], Limit: compute.MaxBatch}
	for {
		answers, _, err := w.node.directory.current().Ask(ctx, group.Honest, &wirepb.Question{Question: &wirepb.Question_Work{Work: p}})
		if err != nil {
			return nil, err
		}
		a := new(wirepb.TasksAnswer)
		if _, err := group.Decode(answers[0], a); err != nil {
			return nil, err
		}
		all = append(all, a.Tasks...)
		if !a.Truncated || len(a.Tasks) == 0 {
			return all, nil
		}
		last := a.Tasks[len(a.Tasks)-1]
		p.Job, p.Number = last.Job, last.Number
	}
}

func (w work) Submit(ctx context.Context, tx []byte) error { return cells(w).Submit(ctx, tx) }

// directory knows the authorities: those of the settings at first, then those that the group itself names.
type directory struct {
	dialer *transfer.Dialer
	asking sync.Mutex // held while members are asked for

	mu      sync.Mutex
	members []group.Member
	group   *group.Group
	asked   time.Time // when the members were asked for last
	prices  *wirepb.ComputePrices
	why     string
}

func newDirectory(members []group.Member, d *transfer.Dialer) (*directory, error) {
	g, err := group.New(members, d, group.Options{})
	if err != nil {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the node's settings name no authority"), "set \"authorities\" in node.json, or make the node anew with 'stratos node init'")
	}
	return &directory{dialer: d, members: slices.Clone(members), group: g, why: "no authority has answered yet"}, nil
}

func (d *directory) current() *group.Group {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.group
}

// heard notes how many authorities took a heartbeat. A node that none of them hears is of no use.
func (d *directory) heard(took int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.why = ""
	if took == 0 {
		d.why = fmt.Sprint("no authority hears this node: ", err)
	}
}

func (d *directory) trouble() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.why
}

// signs tells whether key is the present report key of an authority.
func (d *directory) signs(id mesh.AuthorityID, key []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.members, func(m group.Member) bool { return m.ID == id && string(m.ReportKey[:]) == string(key) })
}

func (d *directory) isAuthorityTLS(k mesh.PublicKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.members, func(m group.Member) bool { return m.TLSKey == k })
}

// vouches is signs; whom it does not know, it asks the group for, once a second at most: a new authority's clients come
// before the next refresh.
func (d *directory) vouches(ctx context.Context, id mesh.AuthorityID, key []byte) bool {
	if d.signs(id, key) {
		return true
	}
	d.mu.Lock()
	recent := time.Since(d.asked) < time.Second
	d.mu.Unlock()
	return !recent && d.refresh(ctx) == nil && d.signs(id, key)
}

// refresh asks the group for its members and goes on with those.
func (d *directory) refresh(ctx context.Context) error {
	d.asking.Lock()
	defer d.asking.Unlock()
	members, err := d.current().AskMembers(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = time.Now()
	if err != nil || len(members) == 0 || slices.Equal(members, d.members) {
		return err
	}
	g, err := group.New(members, d.dialer, group.Options{})
	if err != nil {
		return err
	}
	old := d.group
	d.members, d.group = members, g
	return old.Close()
}

// computePrices are those that calls are charged by.
func (d *directory) computePrices() *wirepb.ComputePrices {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prices == nil {
		return compute.DefaultPrices()
	}
	return d.prices
}

// learn asks for what governance sets.
func (d *directory) learn(ctx context.Context) error {
	prices, err := d.current().ComputePrices(ctx)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.prices = prices
	}
	return err
}

func (d *directory) close() error { return d.current().Close() }
