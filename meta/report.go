package meta

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	reportEvery = 500 * time.Millisecond
	postTimeout = 30 * time.Second

	// postPatience is how long the authority whose turn it is has for posting a report before the next one does.
	postPatience = 5 * time.Second
)

// A Poster carries reports to the value layer and pays the gas for it. Nobody need trust it: what it posts is signed.
type Poster interface {
	// NextReport is the epoch with which the next report must begin.
	NextReport(context.Context) (mesh.Epoch, error)
	// Awaits tells what the value layer lacks of the report that ends with an epoch: its header (open is false), or a
	// page (open is true, table below report.Tables), or nothing (open is true, table is report.Tables).
	Awaits(context.Context, mesh.Epoch) (open bool, table report.Table, page uint32, err error)
	// PostHeader opens a report.
	PostHeader(ctx context.Context, header []byte, signers []mesh.AuthorityID, signatures []mesh.Signature) error
	// PostConviction tells of a node that lied.
	PostConviction(ctx context.Context, conviction []byte, signers []mesh.AuthorityID, signatures []mesh.Signature) error
	// PostPage adds the page that is awaited.
	PostPage(ctx context.Context, epoch mesh.Epoch, table report.Table, page uint32, envelope []byte) error
}

// reports signs each report that the log lays down, and each conviction, and posts them when its turn comes.
func (a *Authority) reports(ctx context.Context) error {
	t := time.NewTicker(reportEvery)
	defer t.Stop()
	signedUpTo := mesh.Epoch(0)
	since, lied := map[mesh.Epoch]time.Time{}, map[mesh.NodeID]time.Time{}
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		var err error
		if signedUpTo, err = a.signReports(signedUpTo); err == nil && a.poster != nil {
			err = a.postReport(ctx, since)
		}
		err = errors.Join(err, a.convict(ctx, lied), a.signWanted())
		switch {
		case err == nil:
			failing = ""
		case ctx.Err() == nil && err.Error() != failing: // once, not twice a second
			failing = err.Error()
			a.log.Warn("a report or a conviction was not settled yet", "err", err)
		}
	}
}

// signReports signs the reports from an epoch on that this authority has not signed, and returns where to go on.
func (a *Authority) signReports(from mesh.Epoch) (mesh.Epoch, error) {
	var txs [][]byte
	err := a.app.read(func(r *state.Reader) error {
		for _, e := range r.ReportsFrom(from, 16) {
			rep := r.Report(e)
			if rep == nil {
				return nil
			}
			from = e
			if _, ok := rep.Signatures[a.identity.ID]; ok {
				from = e + 1
				continue
			}
			sig, hash := a.domain.Sign(a.reportKey, sign.Report, rep.Header), report.Hash(rep.Header)
			m := &wirepb.ReportSignature{Epoch: uint64(e), HeaderHash: hash[:], Signature: sig[:]}
			txs = append(txs, state.NewTx(wirepb.TxKind_TX_REPORT_SIGNATURE, signed.Seal(a.domain, a.reportKey, sign.Reported, m)))
			break // the next one when this is on the log
		}
		return nil
	})
	if err != nil {
		return from, err
	}
	for _, tx := range txs {
		if err := a.enqueue(tx); err != nil && !isCached(err) {
			return from, mesh.Errorf(mesh.Unavailable, "signing a report: %w", err)
		}
	}
	return from, nil
}

// postReport brings the value layer one step further with the oldest report that it lacks.
func (a *Authority) postReport(ctx context.Context, since map[mesh.Epoch]time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	next, err := a.poster.NextReport(ctx)
	if err != nil {
		return err
	}
	var rep *state.Report
	var members []mesh.AuthorityID
	if err := a.app.read(func(r *state.Reader) error {
		if all := r.ReportsFrom(next, 1); len(all) > 0 {
			rep = r.Report(all[0])
		}
		for id := range r.Authorities() {
			members = append(members, id)
		}
		return nil
	}); err != nil || rep == nil || len(members) == 0 {
		return err
	}
	var signers []mesh.AuthorityID
	var signatures []mesh.Signature
	for _, id := range members {
		if s, ok := rep.Signatures[id]; ok {
			signers, signatures = append(signers, id), append(signatures, s)
		}
	}
	if 3*len(signers) <= 2*len(members) || !a.turnToPost(rep.Epoch, members, since) {
		return nil
	}
	open, table, page, err := a.poster.Awaits(ctx, rep.Epoch)
	if err != nil {
		return err
	}
	switch {
	case !open:
		return a.poster.PostHeader(ctx, rep.Header, signers, signatures)
	case int(table) < len(rep.Tables) && int(page) < len(rep.Tables[table]):
		return a.poster.PostPage(ctx, rep.Epoch, table, page, rep.Tables[table][page])
	}
	return nil
}

// turnToPost gives each authority its turn by the epoch's number, the next one a while later.
func (a *Authority) turnToPost(e mesh.Epoch, members []mesh.AuthorityID, since map[mesh.Epoch]time.Time) bool {
	first, ok := since[e]
	if !ok {
		clear(since)
		first = time.Now()
		since[e] = first
	}
	at := slices.Index(members, a.identity.ID)
	n := uint64(len(members))
	return at >= 0 && time.Since(first) >= time.Duration((uint64(at)+n-uint64(e)%n)%n)*postPatience
}
