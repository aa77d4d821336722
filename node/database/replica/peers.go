package replica

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// peers are the services of a cell's other members, as a member asks them.
type peers struct {
	all  []peer
	wait time.Duration // for an answer
}

type peer struct {
	member Member
	client *http.Client
}

func (p peer) url(path string) string { return "https://" + p.member.Address + path }

func newPeers(c Config, own ed25519.PrivateKey, wait time.Duration) (*peers, error) {
	cert, err := tlsid.Certificate(own)
	if err != nil {
		return nil, err
	}
	p := &peers{wait: wait}
	for _, m := range c.Members {
		if m.AnswerKey != mesh.PublicKeyOf(own) {
			t := &http.Transport{TLSClientConfig: tlsid.Client(cert, m.AnswerKey), ResponseHeaderTimeout: wait}
			p.all = append(p.all, peer{m, &http.Client{Transport: t}})
		}
	}
	return p, nil
}

// count asks all how they stand, and counts those of which is holds.
func (p *peers) count(ctx context.Context, is func(*wirepb.CellStatus) bool) (n int) {
	ctx, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	answers := make([]*wirepb.CellStatus, len(p.all))
	var all sync.WaitGroup
	for i, o := range p.all {
		all.Go(func() {
			s := new(wirepb.CellStatus)
			if err := rpc.Call(ctx, o.client, o.url(wirepb.CellStatusPath), database.MaxReply, new(wirepb.CellStatusRequest), s); err == nil {
				answers[i] = s
			}
		})
	}
	all.Wait()
	for _, s := range answers {
		if s != nil && is(s) {
			n++
		}
	}
	return n
}

func (p *peers) close() {
	for _, o := range p.all {
		o.client.CloseIdleConnections()
	}
}

// overtaken fails when this replica is so far behind that the others have dropped what it lacks: then it must join again.
func (r *Replica) overtaken(ctx context.Context) error {
	others, err := newPeers(r.config, r.answerKey, r.opts.HeightWait)
	if err != nil {
		return err
	}
	defer others.close()
	return every(ctx, r.opts.Overtaken, func() error {
		tip, _ := r.app.at()
		next := tip.Height + 1
		if n := others.count(ctx, func(s *wirepb.CellStatus) bool { return s.Base > next }); database.Believed(n, len(r.config.Members)) {
			return mesh.WithHint(mesh.Errorf(mesh.Corrupt, "the others have no block %d any more, with which this replica would go on", next),
				"begin again with an empty home but for its keys")
		}
		return nil
	})
}
