package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"google.golang.org/protobuf/proto"

	client "github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A session is one connection after its key was shown. It belongs to one goroutine, but for cancel.
type session struct {
	server   *Server
	conn     net.Conn
	be       *pgproto3.Backend
	db       Database
	key      string
	access   *Key
	name     string // of the database
	settings *settings
	told     map[string]string // of the settings, to the client
	stop     context.Context   // ends when the server takes no more work
	work     context.Context   // ends when it must be over

	id, secret uint32

	tx       *transaction // nil outside of a transaction
	failed   bool         // it must be rolled back
	batch    *batch       // statements that wait for the end of their text or pipeline; nil: none
	skipping bool         // until the client's next Sync, after an error
	inText   bool         // a text is carried out, whose results bring their columns
	over     bool
	synced   bool // the client was told ReadyForQuery, and has sent nothing since

	listening *listening // nil: it does not

	prepared map[string]*prepared
	portals  map[string]*portal
	kept     int // bytes of results that portals keep
	held     int // bytes of statements, see reserve

	mu      sync.Mutex
	running context.CancelCauseFunc // of the statement; nil: none runs
}

// errUser is why a statement ends that its user cancelled.
var errUser = context.Canceled

// cancel ends the statement that runs, on another connection's request.
func (x *session) cancel() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.running != nil {
		x.running(errUser)
	}
}

// run serves the session until the client goes.
func (x *session) run() {
	defer func() {
		if p := recover(); p != nil {
			x.server.log.Error("a connection broke down", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	x.prepared, x.portals, x.told = map[string]*prepared{}, map[string]*portal{}, map[string]string{}
	x.report()
	x.be.Send(&pgproto3.BackendKeyData{ProcessID: x.id, SecretKey: secretOf(x.secret)})
	x.ready()
	for !x.over {
		if x.stop.Err() != nil {
			x.fatal(newError("57P01", "terminating connection due to administrator command"))
			return
		}
		x.waits(true)
		m, err := x.receive()
		x.waits(false)
		if err != nil {
			x.lost(err)
			return
		}
		if m != nil {
			x.handle(m)
		}
	}
}

// receive waits for the client's next message. Nil: a transaction waited too long for it, and the client was told.
func (x *session) receive() (pgproto3.FrontendMessage, error) {
	wait := time.Duration(0)
	if x.tx != nil && !x.failed {
		wait = x.server.opts.IdleTransaction
		if own := x.settings.timeout("idle_in_transaction_session_timeout"); own > 0 {
			wait = min(wait, own)
		}
	}
	if wait > 0 {
		if err := x.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
	}
	m, err := x.be.Receive()
	if wait == 0 || x.stop.Err() != nil {
		return m, err
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		x.fatal(newError("25P03", "terminating connection due to idle-in-transaction timeout"))
		x.over = true
		return nil, nil
	}
	if e := x.conn.SetReadDeadline(time.Time{}); e != nil {
		return nil, e
	}
	return m, err
}

// lost tells the client why it is not understood, if it still listens.
func (x *session) lost(err error) {
	var large *pgproto3.ExceededMaxBodyLenErr
	switch {
	case errors.As(err, &large):
		x.fatal(newError("54000", "a message of more than %d bytes", x.server.opts.MessageBytes))
	case x.stop.Err() != nil:
		x.fatal(newError("57P01", "terminating connection due to administrator command"))
	case strings.HasPrefix(err.Error(), "unknown message type"), strings.HasPrefix(err.Error(), "invalid message"):
		x.fatal(newError("08P01", "%v", err))
	}
}

func (x *session) fatal(e *sqlError) {
	if x.conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		x.be.Send(e.message("FATAL"))
		x.be.Flush() // the connection ends either way
	}
}

// handle answers one message.
func (x *session) handle(m pgproto3.FrontendMessage) {
	x.synced = false
	switch m.(type) {
	case *pgproto3.Terminate:
		x.over = true
		return
	case *pgproto3.Sync:
		x.sync()
		return
	}
	if x.skipping {
		return
	}
	var refused *sqlError
	switch m := m.(type) {
	case *pgproto3.Query:
		x.inText = true
		x.simple(m.String)
		x.inText = false
		x.ready()
	case *pgproto3.Parse:
		refused = x.parse(m)
	case *pgproto3.Bind:
		refused = x.bind(m)
	case *pgproto3.Describe:
		refused = x.describe(m)
	case *pgproto3.Execute:
		refused = x.execute(m)
	case *pgproto3.Close:
		x.close(m)
	case *pgproto3.Flush:
		refused = x.enterBatch()
		x.flush()
	case *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail: // of a COPY that has failed
	case *pgproto3.FunctionCall:
		refused = unsupported("function calls by the protocol are not supported")
	default:
		refused = newError("08P01", "unexpected message %T", m)
	}
	if refused != nil {
		x.fail(refused)
		x.skipping = true
		x.flush()
	}
}

// send answers, after what statements that wait will answer.
func (x *session) send(m pgproto3.BackendMessage) {
	if x.batch != nil {
		x.batch.items = append(x.batch.items, item{message: m})
		return
	}
	x.be.Send(m)
}

// flush sends what is to be sent. Whoever does not read it for as long as a statement may take is gone.
func (x *session) flush() {
	if err := errors.Join(x.conn.SetWriteDeadline(time.Now().Add(x.server.opts.StatementTime)), x.be.Flush()); err != nil {
		x.over = true
	}
}

// fail tells an error; a transaction has failed with it. What waits before it is answered first, and does not happen.
func (x *session) fail(e *sqlError) {
	if b := x.batch; b != nil {
		x.batch = nil
		if before := x.rehearse(b, len(b.items)); before != nil {
			e = before
		}
	}
	if x.tx != nil {
		x.failed = true
	}
	x.be.Send(e.message("ERROR"))
}

// ready ends an answer.
func (x *session) ready() {
	if x.tx == nil && x.batch == nil {
		x.release()
	}
	x.report()
	x.tell()
	status := byte('I')
	switch {
	case x.failed:
		status = 'E'
	case x.tx != nil:
		status = 'T'
	}
	x.be.Send(&pgproto3.ReadyForQuery{TxStatus: status})
	x.flush()
	x.synced = true
}

// report tells the client of settings that it follows, and that have changed.
func (x *session) report() {
	for name, value := range x.settings.reported() {
		if name == "session_authorization" {
			value = x.key
		}
		if was, ok := x.told[name]; !ok || was != value {
			x.told[name] = value
			x.be.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
		}
	}
}

func (x *session) notice(code, format string, args ...any) {
	if x.settings.get("client_min_messages") == "error" {
		return
	}
	x.send(&pgproto3.NoticeResponse{Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: code, Message: fmt.Sprintf(format, args...)})
}

// within runs f under the statement's time, and so that it can be cancelled.
func (x *session) within(f func(ctx context.Context) *sqlError) *sqlError {
	limit := x.server.opts.StatementTime
	if own := x.settings.timeout("statement_timeout"); own > 0 {
		limit = min(limit, own)
	}
	timed, over := context.WithTimeout(x.work, limit)
	defer over()
	ctx, cancel := context.WithCancelCause(timed)
	x.mu.Lock()
	x.running = cancel
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.running = nil
		x.mu.Unlock()
		cancel(nil)
	}()
	began := time.Now()
	e := f(ctx)
	x.server.figures.seconds.Observe(time.Since(began).Seconds())
	if e != nil && (e.code == states[mesh.Unavailable] || e.code == states[mesh.Exhausted]) {
		switch {
		case context.Cause(ctx) == errUser:
			e = errorOf(context.Canceled)
		case timed.Err() != nil:
			e = errorOf(context.DeadlineExceeded)
		}
	}
	class := "00"
	if e != nil && len(e.code) == 5 {
		class = e.code[:2]
	}
	x.server.figures.statements.WithLabelValues(class).Inc()
	return e
}

// one runs a statement of SQL now: by itself, or in the transaction.
func (x *session) one(st *wirepb.Statement, reads bool) (*wirepb.Result, *sqlError) {
	if x.tx != nil {
		if refused := x.reserve(proto.Size(st)); refused != nil {
			return nil, refused
		}
	}
	all, refused := x.several([]*wirepb.Statement{st}, reads)
	if refused != nil {
		return nil, refused
	}
	return all[0], nil
}

// several runs statements now, all or none: by themselves, or in the transaction.
func (x *session) several(all []*wirepb.Statement, reads bool) (r []*wirepb.Result, refused *sqlError) {
	level, set := x.settings.level(), x.settings.wire()
	refused = x.within(func(ctx context.Context) *sqlError {
		if x.tx != nil {
			r, refused = x.tx.run(ctx, x.db, level, set, all, reads)
		} else {
			r, refused = x.program(ctx, all, reads)
		}
		return refused
	})
	return r, refused
}

// reserve counts bytes of statements that are kept until their transaction, or their text or pipeline, has ended.
func (x *session) reserve(size int) *sqlError {
	if x.held+size > database.MaxProgram {
		return newError(sqlstate.LimitExceeded, "a transaction of more than %d bytes of statements and parameters", database.MaxProgram).hint("divide it over several transactions")
	}
	if !x.server.reserve(size) {
		return newError("53200", "the gateway holds all the transactions that it has room for").hint("try again in a moment, or with smaller transactions")
	}
	x.held += size
	return nil
}

// release gives back what the session holds.
func (x *session) release() {
	x.server.reserve(-x.held)
	x.held = 0
}

// program runs statements by themselves, all or none.
func (x *session) program(ctx context.Context, all []*wirepb.Statement, reads bool) ([]*wirepb.Result, *sqlError) {
	p := Program{Statements: all, Settings: x.settings.wire()}
	readOnly := x.settings.get("default_transaction_read_only") == "on"
	var o *wirepb.Outcome
	var err error
	if reads || readOnly {
		p.View = client.NewView() // what time it is
		o, err = x.db.Query(ctx, x.settings.level(), p)
	}
	if o == nil && err == nil || o != nil && o.Code == readOnlyCode && !readOnly {
		p.View = nil
		o, err = x.db.Exec(ctx, p)
	}
	if err != nil {
		return nil, errorOf(err)
	}
	if e := failure(o); e != nil {
		if e.code == readOnlyCode {
			e.text = fmt.Sprintf("cannot execute %s in a read-only transaction", verb(all[min(int(o.Failed), len(all)-1)].Sql))
		}
		return nil, e.at(int(o.Failed))
	}
	if len(o.Results) != len(all) {
		return nil, newError("XX000", "a replica gave %d results for %d statements", len(o.Results), len(all))
	}
	return o.Results, nil
}

// verb is what a statement is called by its first word.
func verb(sql string) string {
	for _, s := range split(sql) {
		return strings.ToUpper(s.first())
	}
	return ""
}
