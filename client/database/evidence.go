package database

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Evidence proves that a replica lied: answers to one question at one height, with different outcomes, each signed by its replica
// for sign.Answer.
type Evidence struct {
	Liar    Member
	False   *wirepb.Signed   // the liar's wire.Answer
	True    *wirepb.Signed   // one that so many replicas gave that at least one of them is honest
	Against []*wirepb.Signed // theirs; fewer, when not all that was heard is remembered

	Handed bool  // the meta layer has it
	Failed error // why it has it not; nil while it is on its way, or when there is no way
}

// judge keeps as evidence what contradicts an answer that was agreed on, and hands it in.
func (d *DB) judge(question [32]byte, agreed *answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.heard[asked{question, agreed.body.Height}]
	var against []*wirepb.Signed
	for _, h := range all {
		if h.outcome == string(agreed.body.Outcome) {
			against = append(against, h.signed)
		}
	}
	for _, h := range all {
		m := d.cell.Members[h.member]
		known := slices.ContainsFunc(d.evidence, func(e Evidence) bool { return e.Liar == m && bytes.Equal(e.False.Body, h.signed.Body) })
		said := &wirepb.Answer{Cell: agreed.body.Cell, Version: agreed.body.Version, Database: agreed.body.Database, Height: agreed.body.Height,
			Question: agreed.body.Question, Outcome: []byte(h.outcome)}
		if wiredatabase.Contradict(said, agreed.body) && !known && len(d.evidence) < maxEvidence {
			e := Evidence{Liar: m, False: h.signed, True: agreed.signed, Against: against}
			d.evidence = append(d.evidence, e)
			d.handIn(len(d.evidence)-1, e)
		}
	}
}

// handTime bounds how long the meta layer may take to have evidence.
const handTime = 30 * time.Second

// handIn gives evidence, by its place, to the meta layer, beside what goes on. It is called with d.mu held.
func (d *DB) handIn(place int, e Evidence) {
	if d.session.Background == nil || d.session.Report == nil {
		return
	}
	d.handing++
	err := d.session.Background(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, handTime)
		defer cancel()
		e.Failed = d.session.Report(ctx, e)
		e.Handed = e.Failed == nil
		if d.opts.Lied != nil {
			d.opts.Lied(e)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.evidence[place] = e
		d.handing--
		close(d.handed)
		d.handed = make(chan struct{})
		return nil // a lie that could not be handed in ends nothing else
	})
	if err != nil { // the session's owner has ended
		d.handing--
		d.evidence[place].Failed = err
	}
}

// Reported waits until the lies that were found are handed to the meta layer, or could not be.
func (d *DB) Reported(ctx context.Context) error {
	for {
		d.mu.Lock()
		n, next := d.handing, d.handed
		d.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return mesh.Errorf(mesh.Unavailable, "%d lies of replicas were not handed in in time: %w", n, ctx.Err())
		}
	}
}

// sampleTime bounds how long a fast answer is asked again.
const sampleTime = 5 * time.Second

// sample asks some of the questions that were answered fast again, beside what goes on and one at a time, so that who lies at this
// level is found. Where the cell is at another height meanwhile, nothing follows.
func (d *DB) sample(q *wirepb.DatabaseQuery, question [32]byte) {
	if d.session.Background == nil || rand.IntN(d.opts.Sample) != 0 {
		return
	}
	d.mu.Lock()
	busy := d.sampling
	d.sampling = true
	d.mu.Unlock()
	if busy {
		return
	}
	over := func() {
		d.mu.Lock()
		d.sampling = false
		d.mu.Unlock()
	}
	q = proto.CloneOf(q) // whoever asked has the answer, and may change what the question was made of
	err := d.session.Background(func(ctx context.Context) error {
		defer over()
		ctx, cancel := context.WithTimeout(ctx, sampleTime)
		defer cancel()
		need := d.cell.Faults() + 1
		p := &poll{db: d, question: question, start: need, need: need, ask: d.query(q, question, sampleTime)}
		_, _ = p.run(ctx) // whom the answer contradicts is noted there; that there is none was known
		return nil
	})
	if err != nil {
		over()
	}
}
