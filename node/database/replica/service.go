package replica

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// codeCancelled is the outcome of a query whose time was over. It is not signed: another replica may be faster.
const codeCancelled = "57014"

func (r *Replica) service() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(wirepb.CellSubmitPath, rpc.Handler(database.MaxTx, r.handleSubmit))
	mux.Handle(wirepb.CellQueryPath, rpc.Limited(r.queryLimit, r.handleQuery))
	mux.Handle(wirepb.CellGrowthPath, rpc.Handler(128, r.handleGrowth))
	mux.Handle(wirepb.CellStatusPath, rpc.Handler(64, r.handleStatus))
	mux.Handle(wirepb.CellCertificatePath, rpc.Handler(64, r.handleCertificate))
	mux.Handle(wirepb.CellSnapshotPath, rpc.Handler(64, r.handleSnapshot))
	mux.HandleFunc("GET "+wirepb.CellExportPath, r.handleExport)
	mux.HandleFunc("GET "+wirepb.CellCopyPath, r.handleCopy)
	return mux
}

func busy(what string) error {
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "this replica has all the %s it takes at once", what), "ask another replica, or try again")
}

// handleSubmit puts a transaction on the log and answers when this replica has applied it. An envelope that was applied before is
// answered from the record.
func (r *Replica) handleSubmit(ctx context.Context, q rpc.Request[wirepb.CellTx]) (proto.Message, error) {
	raw := wire.Encode(q.Message)
	t, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if t.envelope == nil {
		height, _, err := r.submit(ctx, raw)
		if rank := candidateOf(nil, t).rank; mesh.KindOf(err) == mesh.Conflict && err != nil && t.kind != wirepb.CellTxKind_CELL_TX_BACKUP && (rank == rankAccount || rank == rankPart) { // the cell knows it
			tip, _ := r.app.at()
			height, err = tip.Height, nil
		}
		return &wirepb.DatabaseReply{Height: height}, err
	}
	by, err := r.app.signed.signerOf(t, hashOf(raw), r.cell.domain)
	if err != nil {
		return nil, err
	}
	// One that came before and is forgotten by all but the file goes through the log once more, and has its first outcome.
	_, known, err := r.submit(ctx, raw)
	if err == nil && known.outcome != nil {
		return r.answer(mesh.DatabaseID(t.envelope.Database), uint64(known.height), database.Question(t.messages[0]), known.outcome), nil
	}
	if err != nil {
		if reply, there := r.recorded(t, by); there == nil { // it came twice, and was refused the second time
			return reply, nil
		}
		return nil, err
	}
	reply, err := r.recorded(t, by)
	if mesh.KindOf(err) == mesh.NotFound && err != nil {
		err = mesh.Errorf(mesh.Conflict, "the envelope was applied, and what became of it is not on record any more")
	}
	return reply, err
}

// submit puts a transaction on the log and waits until it is applied here. A refusal is an error.
func (r *Replica) submit(ctx context.Context, raw []byte) (int64, *told, error) {
	if r.engine.ConsensusReactor().WaitSync() {
		return 0, nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "this replica is catching up with the log"), "ask another replica, or try again")
	}
	select {
	case r.submits <- struct{}{}:
		defer func() { <-r.submits }()
	default:
		return 0, nil, busy("transactions")
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.SubmitWait)
	defer cancel()
	height, t, err := r.app.results.Submit(ctx, r.engine.Mempool(), raw)
	if err == nil && t.kind != 0 {
		err = &mesh.Error{Kind: mesh.Kind(t.kind - 1), Text: t.text, Hint: t.hint}
	}
	return height, t, err
}

// submitOwn puts a transaction of this replica on the log; it needs no place.
func (r *Replica) submitOwn(ctx context.Context, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.SubmitWait)
	defer cancel()
	_, t, err := r.app.results.Submit(ctx, r.engine.Mempool(), raw)
	if err == nil && t.kind != 0 {
		err = &mesh.Error{Kind: mesh.Kind(t.kind - 1), Text: t.text, Hint: t.hint}
	}
	return err
}

// recorded answers an envelope that was applied. NotFound: it was not, or too long ago. What became of an envelope is for whoever has
// it, signed: nobody else can show it.
func (r *Replica) recorded(t *transaction, by mesh.PublicKey) (reply *wirepb.DatabaseReply, err error) {
	id := mesh.DatabaseID(t.envelope.Database)
	s, done, err := r.snapshot(id)
	if err != nil {
		return nil, err
	}
	defer done(&err)
	o, height, err := s.Program(programID(by, t.envelope.Id), database.SentDigest(t.envelope))
	if err != nil {
		return nil, r.intact(err)
	}
	return r.answer(id, height, database.Question(t.messages[0]), o), nil
}

// snapshot takes a snapshot of a database's newest state. done gives it back, and joins to err what goes wrong with that.
func (r *Replica) snapshot(id mesh.DatabaseID) (s *engine.Snapshot, done func(err *error), err error) {
	v := r.app.view()
	d := v.database(id[:])
	switch {
	case v.fault != nil:
		return nil, nil, v.fault
	case d == nil || d.State == dropped:
		return nil, nil, mesh.Errorf(mesh.NotFound, "there is no such database in this cell")
	}
	f, err := r.files.use(id)
	if err != nil {
		return nil, nil, r.intact(err)
	}
	if s, err = f.Snapshot(); err != nil {
		r.giveBack(id, &err)
		return nil, nil, r.intact(err)
	}
	return s, func(err *error) {
		if e := s.Close(); e != nil && *err == nil {
			*err = e
		}
		r.giveBack(id, err)
	}, nil
}

// intact ends the replica when a question found that a file is damaged, and not only when the log does: it must join again.
func (r *Replica) intact(err error) error {
	if mesh.KindOf(err) == mesh.Corrupt {
		return r.app.fail(err)
	}
	return err
}

func (r *Replica) giveBack(id mesh.DatabaseID, err *error) {
	if e := r.files.done(id); e != nil && *err == nil {
		*err = e
	}
}

// answer signs what statements gave.
func (r *Replica) answer(id mesh.DatabaseID, height uint64, question [32]byte, o *wirepb.Outcome) *wirepb.DatabaseReply {
	sum := database.OutcomeDigest(o)
	c := r.config
	a := &wirepb.Answer{Cell: c.Cell[:], Version: c.Version, Database: id[:], Height: int64(height), Question: question[:], Outcome: sum[:]}
	return &wirepb.DatabaseReply{Outcome: o, Answer: signed.Seal(r.cell.domain, r.answerKey, sign.Answer, a), Height: int64(height)}
}

// queryLimit is how large a query may be. What is larger than a transaction is read of those alone whom the cell knows, and of few at
// once.
func (r *Replica) queryLimit(ctx context.Context, by mesh.PublicKey, length int64) (int, func(), error) {
	if length <= database.MaxTx {
		return database.MaxTx, func() {}, nil
	}
	if length > database.MaxQuery {
		return 0, nil, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "a query of %d bytes, at most %d", length, database.MaxQuery), "divide the program")
	}
	tip, _ := r.app.at()
	v := r.app.view()
	rights, err := v.rights(by, max(tip.TimeMs, r.app.now().UnixMilli()))
	if err := errors.Join(v.fault, err); err != nil {
		return 0, nil, err
	}
	done, err := r.large.take(ctx, rights.Account)
	return database.MaxQuery, done, err
}

// sizedTime is how long a query of a size may run, where those of few bytes have a time.
func sizedTime(t time.Duration, size int) time.Duration { return t + t*time.Duration(size)/(8<<20) }

// handleQuery runs statements of which nothing stays, for the session whose key the connection shows.
func (r *Replica) handleQuery(ctx context.Context, q rpc.Request[wirepb.DatabaseQuery]) (proto.Message, error) {
	m := q.Message
	if err := database.CheckQuery(m); err != nil {
		return nil, err
	}
	if m.GasLimit > r.opts.QueryGas {
		return nil, mesh.Errorf(mesh.Invalid, "the query may take %d gas, at most %d", m.GasLimit, r.opts.QueryGas)
	}
	if err := r.await(ctx, m.MinHeight); err != nil {
		return nil, err
	}
	op := grant.Read
	if m.Tentative {
		op |= grant.Write
	}
	tip, _ := r.app.at()
	v := r.app.view()
	d, role, err := v.may(q.Peer, op, m.Database, max(tip.TimeMs, r.app.now().UnixMilli()))
	if v.fault != nil {
		return nil, v.fault
	}
	if err != nil {
		return nil, err
	}
	if m.Tentative && d.State == database.ReadOnly {
		return nil, readOnly(d.Name)
	}
	if m.Tentative && exhausted(d, 0) {
		return nil, noOzone(d)
	}
	id := mesh.DatabaseID(m.Database)
	give, err := r.turns.take(ctx, id)
	if err != nil {
		return nil, err
	}
	defer give()
	limit := sizedTime(r.opts.QueryTime, proto.Size(m))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	run := r.read
	if m.Tentative {
		run = r.tentative
	}
	o, height, err := run(ctx, id, &engine.Program{Statements: m.Statements, GasLimit: m.GasLimit, View: m.View, Settings: m.Settings, Role: role, Database: d.Name, Describe: m.Describe})
	if err != nil && ctx.Err() == nil {
		return nil, r.intact(err)
	}
	if err != nil || o.Code == codeCancelled {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the query took longer than %v", limit), "ask for less at once")
	}
	return r.answer(id, height, database.QueryQuestion(m, role), o), nil
}

// read runs a program that only reads.
func (r *Replica) read(ctx context.Context, id mesh.DatabaseID, p *engine.Program) (o *wirepb.Outcome, height uint64, err error) {
	s, done, err := r.snapshot(id)
	if err != nil {
		return nil, 0, err
	}
	defer done(&err)
	o, err = s.Query(ctx, p)
	return o, s.Height(), err
}

// tentative runs a program on the newest state and undoes it. What its author has seen already is left out.
func (r *Replica) tentative(ctx context.Context, id mesh.DatabaseID, p *engine.Program) (o *wirepb.Outcome, height uint64, err error) {
	f, err := r.files.use(id)
	if err != nil {
		return nil, 0, err
	}
	defer r.giveBack(id, &err)
	for {
		o, height, err = f.View(ctx, p)
		if err == nil {
			o.Results = o.Results[min(len(p.View.Results), len(o.Results)):]
		}
		if err == nil || mesh.KindOf(err) != mesh.Unavailable || ctx.Err() != nil {
			return o, height, err
		}
	}
}

// await blocks until height h is applied here.
func (r *Replica) await(ctx context.Context, h int64) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.HeightWait)
	defer cancel()
	for {
		tip, next := r.app.at()
		if tip.Height >= h {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return mesh.Errorf(mesh.Unavailable, "this replica is at height %d, not yet at %d", tip.Height, h)
		}
	}
}

// uses tells whether rights are for a database, in whatever role.
func uses(r grant.Rights, name string) bool {
	_, err := r.Role(name)
	return err == nil && r.Operations&grant.Read != 0
}

// handleGrowth answers when a database is above a height, or when the time is over. Who waits takes none of the queries' places.
func (r *Replica) handleGrowth(ctx context.Context, q rpc.Request[wirepb.GrowthRequest]) (proto.Message, error) {
	m := q.Message
	if err := database.CheckGrowth(m); err != nil {
		return nil, err
	}
	id := mesh.DatabaseID(m.Database)
	leave, err := r.waits.enter(id)
	if err != nil {
		return nil, err
	}
	defer leave()
	over := time.NewTimer(time.Duration(m.WaitMs) * time.Millisecond)
	defer over.Stop()
	for waiting := true; ; {
		tip, next := r.app.at()
		v := r.app.view()
		d, _, err := v.may(q.Peer, grant.Read, m.Database, max(tip.TimeMs, r.app.now().UnixMilli())) // the session may end meanwhile
		if err := errors.Join(v.fault, err); err != nil {
			return nil, err
		}
		if d.Height > m.Above || !waiting {
			return &wirepb.Growth{Height: d.Height}, nil
		}
		select {
		case <-next:
		case <-over.C:
			waiting = false
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.app.failed:
			return nil, mesh.Errorf(mesh.Unavailable, "this replica has stopped")
		}
	}
}

// handleStatus says how the replica stands: to a member of all databases, to a session of those of its account.
func (r *Replica) handleStatus(_ context.Context, q rpc.Request[wirepb.CellStatusRequest]) (proto.Message, error) {
	tip, _ := r.app.at()
	m := &wirepb.CellStatus{Height: tip.Height, TimeMs: tip.TimeMs, Base: r.engine.BlockStore().Base()}
	v := r.app.view()
	if c := v.certificate(); c != nil {
		p := new(wirepb.Checkpoint)
		if err := wire.Decode(c.Checkpoints[0].Body, signed.MaxBody, p); err != nil {
			return nil, err
		}
		m.Checkpoint = p.Height
	}
	_, member := r.cell.member(q.Peer)
	rights, err := v.rights(q.Peer, max(tip.TimeMs, r.app.now().UnixMilli()))
	session := err == nil
	v.databases(func(id mesh.DatabaseID, d *replicapb.Database) {
		if d.State != dropped && (member || session && string(d.Owner) == string(rights.Account[:]) && uses(rights, d.Name)) {
			sum := rollingDigest(d)
			m.Databases = append(m.Databases, &wirepb.HostedStatus{Database: id[:], State: d.State, Sequence: d.Sequence, Height: d.Height, Digest: sum[:], Usage: d.Usage,
				Noz: d.Noz, AllowanceNoz: d.Allowance})
		}
	})
	return m, v.fault
}

// handleCertificate gives the newest certificate to a member, whose node has it settled.
func (r *Replica) handleCertificate(_ context.Context, q rpc.Request[wirepb.CertificateRequest]) (proto.Message, error) {
	if _, ok := r.cell.member(q.Peer); !ok {
		return nil, mesh.Errorf(mesh.Denied, "%s is no member of the cell", q.Peer)
	}
	v := r.app.view()
	c := v.certificate()
	if c == nil {
		c = new(wirepb.Certificate)
	}
	return c, v.fault
}
