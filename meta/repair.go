package meta

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/erasure"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	repairEvery = time.Second

	// repairTurn is how long a segment is one authority's to repair before it is the next one's.
	repairTurn = 20 * time.Second

	repairTimeout = 2 * time.Minute // of one segment
)

// repairs brings pieces that are missing to their nodes, when these are back. Each segment has its turn with one
// authority after the other, so that one repairs it as a rule and none is needed. Nodes take part unpaid.
func (a *Authority) repairs(ctx context.Context) error {
	dialer := transfer.NewDialer(a.tlsKey, 5*time.Second)
	defer dialer.Close()
	t := time.NewTicker(repairEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		jobs, err := a.repairJobs(time.Now())
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if err := a.repair(ctx, dialer, j); err != nil && ctx.Err() == nil {
				a.log.Warn("a segment was not repaired", "segment", j.id, "err", err)
			}
		}
	}
}

// A repairJob is a segment with pieces that can be brought now.
type repairJob struct {
	id      mesh.SegmentID
	segment *wirepb.Segment
	nodes   map[mesh.NodeID]transfer.Node // of its pieces, those that are online
	missing []int
}

// repairJobs returns the segments whose turn it is here and of which a missing piece's node is online.
func (a *Authority) repairJobs(now time.Time) (jobs []repairJob, err error) {
	err = a.app.read(func(r *state.Reader) error {
		var members []mesh.AuthorityID
		for id := range r.Authorities() {
			members = append(members, id)
		}
		at := slices.Index(members, a.identity.ID)
		if at < 0 {
			return nil
		}
		for _, id := range r.Reduced() {
			turn := (uint64(id[0]) + uint64(now.Unix())/uint64(repairTurn.Seconds())) % uint64(len(members))
			if turn != uint64(at) {
				continue
			}
			s, err := r.Segment(id[:])
			if err != nil || s == nil {
				return err
			}
			j := repairJob{id: id, segment: s.Segment, nodes: map[mesh.NodeID]transfer.Node{}}
			for i, p := range s.Segment.Pieces {
				n := r.Node(mesh.NodeID(p.Node))
				if n == nil || !a.presence.online(mesh.NodeID(p.Node), n) {
					continue
				}
				j.nodes[mesh.NodeID(p.Node)] = nodeOf(mesh.NodeID(p.Node), n)
				if len(p.Ack) == 0 {
					j.missing = append(j.missing, i)
				}
			}
			if len(j.missing) > 0 {
				jobs = append(jobs, j)
			}
		}
		return nil
	})
	return jobs, err
}

func nodeOf(id mesh.NodeID, n *statepb.Node) transfer.Node {
	return transfer.Node{ID: id, Address: n.Address, TLSKey: mesh.PublicKey(n.TlsKey), NodeKey: mesh.PublicKey(n.NodeKey)}
}

// repair reads enough pieces, computes the missing ones, brings them to their nodes, and tells the log.
func (a *Authority) repair(ctx context.Context, d *transfer.Dialer, j repairJob) error {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	s := j.segment
	code, err := erasure.New(int(s.DataPieces), len(s.Pieces))
	if err != nil {
		return err
	}
	pieces, err := a.readPieces(ctx, d, j)
	if err != nil {
		return err
	}
	if err := code.Reconstruct(pieces, false); err != nil {
		return err
	}
	ticket := a.repairTicket(j, traffic.Write)
	m := &wirepb.Repair{Segment: j.id[:]}
	var errs []error
	for _, i := range j.missing {
		p := s.Pieces[i]
		if blake3.Sum256(pieces[i]) != [32]byte(p.Slice) {
			return mesh.Errorf(mesh.Corrupt, "the pieces do not give slice %x: its writer committed what does not fit together", p.Slice)
		}
		req := &wirepb.WriteRequest{Ticket: ticket, Slice: p.Slice, Length: s.PieceBytes, Upload: make([]byte, len(mesh.UploadID{}))}
		ack, err := d.Write(ctx, a.domain, j.nodes[mesh.NodeID(p.Node)], req, pieces[i], nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.Pieces = append(m.Pieces, &wirepb.RepairedPiece{Index: uint32(i), Piece: &wirepb.Piece{Slice: p.Slice, Node: p.Node, Ack: ack[:]}})
	}
	if len(m.Pieces) == 0 {
		return errors.Join(errs...)
	}
	_, err = a.Submit(ctx, state.NewTx(wirepb.TxKind_TX_REPAIR, signed.Seal(a.domain, a.reportKey, sign.Repair, m)))
	return errors.Join(append(errs, err)...)
}

// readPieces reads data-pieces many pieces, whole and verified.
func (a *Authority) readPieces(ctx context.Context, d *transfer.Dialer, j repairJob) ([][]byte, error) {
	s := j.segment
	ticket := a.repairTicket(j, traffic.Read)
	pieces := make([][]byte, len(s.Pieces))
	var errs []error
	have := 0
	var sources []int
	for i, p := range s.Pieces {
		if _, online := j.nodes[mesh.NodeID(p.Node)]; online && len(p.Ack) > 0 {
			sources = append(sources, i)
		}
	}
	for len(sources) > 0 && have < int(s.DataPieces) {
		want := min(int(s.DataPieces)-have, len(sources))
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, i := range sources[:want] {
			p := s.Pieces[i]
			n := j.nodes[mesh.NodeID(p.Node)]
			wg.Go(func() {
				b, err := readPiece(ctx, d, n, ticket, mesh.SliceID(p.Slice), s.PieceBytes)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, err)
					return
				}
				pieces[i] = b
				have++
			})
		}
		wg.Wait()
		sources = sources[want:]
	}
	if have < int(s.DataPieces) {
		return nil, mesh.Errorf(mesh.Unavailable, "%d of %d pieces can be read: %w", have, s.DataPieces, errors.Join(errs...))
	}
	return pieces, nil
}

func readPiece(ctx context.Context, d *transfer.Dialer, n transfer.Node, ticket *wirepb.Signed, slice mesh.SliceID, length uint64) ([]byte, error) {
	out := make([]byte, 0, length)
	for at := uint64(0); at < length; at += mesh.StepBytes {
		b, err := d.Read(ctx, n, ticket, slice, at, min(mesh.StepBytes, length-at), nil)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// repairTicket is a ticket without a lease, which nodes take from authorities only.
func (a *Authority) repairTicket(j repairJob, action traffic.Action) *wirepb.Signed {
	t := traffic.Ticket{Authority: a.identity.ID, Session: a.identity.TLSKey, Action: action, ExpiresMs: time.Now().Add(repairTimeout).UnixMilli()}
	for _, p := range j.segment.Pieces {
		if _, ok := j.nodes[mesh.NodeID(p.Node)]; ok {
			t.Allowances = append(t.Allowances, traffic.Allowance{Node: mesh.NodeID(p.Node), Slices: []mesh.SliceID{mesh.SliceID(p.Slice)}})
		}
	}
	return t.Seal(a.domain, a.reportKey)
}
