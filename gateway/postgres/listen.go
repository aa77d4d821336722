package postgres

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	client "github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// LISTEN is the connection's. All connections of an access key to a database share one hub, which follows what NOTIFY says there and
// hands it to those that listen. A connection sends what it was handed when its client waits for nothing: at once between statements
// outside of a transaction, else before the next ReadyForQuery, as PostgreSQL does. Which process notified is not known: it is told as 0.
const (
	maxChannels   = 1_000
	maxChannel    = 63       // bytes of a name, as in PostgreSQL
	maxTold       = 10_000   // notifications that wait for a connection's client, and
	maxToldBytes  = 16 << 20 // their bytes: who reads slower is cut off, and knows that it missed some
	toldBytes     = 64       // that one counts besides its texts
	hubFailures   = 5        // one after the other, a second and more apart, after which connections that listen are ended
	hubFirstPause = time.Second
)

// A listening is a connection's part in LISTEN.
type listening struct {
	x    *session
	hub  *hub
	wake chan struct{} // holds one
	end  chan struct{}
	over sync.WaitGroup // what delivers

	mu       sync.Mutex
	channels map[string]client.Position // from where on each is listened to
	queue    []client.Notification
	bytes    int
	failed   *sqlError // why the connection must end

	out     sync.Mutex // held by who writes to the connection while its session waits
	waiting bool       // the session waits for its client
	idle    bool       // and the client for nothing
}

// A listen is what LISTEN and UNLISTEN of a transaction will do when it is committed. No channel: all. What a LISTEN is the first for
// waits from then on, so that nothing is missed: PostgreSQL would leave out what others told before the transaction's end.
type listen struct {
	channel string
	off     bool
	first   bool
	from    client.Position // of a LISTEN
}

// listens joins the hub, and tells from where on a LISTEN counts.
func (x *session) listens(ctx context.Context) (client.Position, *sqlError) {
	from, err := x.db.Newest(ctx)
	if err != nil {
		return from, errorOf(err)
	}
	if x.listening == nil {
		l := &listening{x: x, wake: make(chan struct{}, 1), end: make(chan struct{}), channels: map[string]client.Position{}}
		x.server.join(l, from)
		l.over.Go(l.deliver)
		x.listening = l
	}
	return from, nil
}

// unlistens leaves the hub; nothing comes any more.
func (x *session) unlistens() {
	l := x.listening
	if l == nil {
		return
	}
	x.listening = nil
	x.server.part(l)
	close(l.end)
	l.over.Wait()
}

// apply does what a transaction, or a command outside of one, has asked for. Who listens to nothing leaves the hub.
func (x *session) apply(all []listen) {
	l := x.listening
	if l == nil {
		return
	}
	l.mu.Lock()
	for _, a := range all {
		switch _, there := l.channels[a.channel]; {
		case a.off && a.channel == "":
			clear(l.channels)
		case a.off:
			delete(l.channels, a.channel)
		case !there: // an UNLISTEN came before it
			l.channels[a.channel] = a.from
		}
	}
	none := len(l.channels) == 0 && len(l.queue) == 0
	l.mu.Unlock()
	if none {
		x.unlistens()
	}
}

// forget undoes what a transaction, or a part of it, has asked for.
func (x *session) forget(all []listen) {
	l := x.listening
	if l == nil {
		return
	}
	l.mu.Lock()
	for _, a := range all {
		if a.first {
			delete(l.channels, a.channel)
			l.queue = slices.DeleteFunc(l.queue, func(n client.Notification) bool { return n.Channel == a.channel })
		}
	}
	l.mu.Unlock()
	x.apply(nil)
}

// listen notes a LISTEN or an UNLISTEN, or does it.
func (x *session) listen(a listen) *sqlError {
	if x.tx != nil && len(x.tx.listens) >= 2*maxChannels {
		return newError("54000", "a transaction has %d LISTEN and UNLISTEN at most", 2*maxChannels)
	}
	if !a.off {
		if refused := x.within(func(ctx context.Context) (refused *sqlError) { a.from, refused = x.listens(ctx); return refused }); refused != nil {
			return refused
		}
		l := x.listening
		l.mu.Lock()
		_, there := l.channels[a.channel]
		if a.first = !there && len(l.channels) < maxChannels; a.first {
			l.channels[a.channel] = a.from
		}
		l.mu.Unlock()
		if !there && !a.first {
			return newError("54000", "a connection listens to %d channels at most", maxChannels)
		}
	}
	if x.tx != nil {
		x.tx.listens = append(x.tx.listens, a)
	} else {
		x.apply([]listen{a})
	}
	return nil
}

func listenCommand(r *reader) (*command, *sqlError) {
	r.i++
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	return &command{tag: "LISTEN", run: func(x *session, _ []int16) *sqlError { return x.listen(listen{channel: cutChannel(name)}) }}, r.done()
}

func unlistenCommand(r *reader) (*command, *sqlError) {
	r.i++
	name := ""
	if !r.sign("*") {
		var ok bool
		if name, ok = r.name(); !ok {
			return nil, r.syntax()
		}
	}
	return &command{tag: "UNLISTEN", run: func(x *session, _ []int16) *sqlError {
		return x.listen(listen{channel: cutChannel(name), off: true})
	}}, r.done()
}

// cutChannel cuts a name as PostgreSQL does.
func cutChannel(name string) string {
	if len(name) <= maxChannel {
		return name
	}
	n := maxChannel
	for n > 0 && name[n]&0xc0 == 0x80 {
		n--
	}
	return name[:n]
}

// channelsCommand answers SELECT pg_listening_channels(), or * FROM it; other statements with it are for replicas, which refuse it.
func channelsCommand(r *reader) (*command, *sqlError) {
	r.i++
	const function = "pg_listening_channels"
	name := function
	call := func() bool {
		if from := r.i; !r.word("pg_catalog") || !r.sign(".") {
			r.i = from
		}
		called, ok := r.name() // it is too long for a word
		return ok && called == function && r.sign("(") && r.sign(")")
	}
	named := func() bool {
		if as := r.word("as"); as || !r.end() {
			var ok bool
			if name, ok = r.name(); !ok {
				return false
			}
		}
		return r.end()
	}
	if r.sign("*") {
		if !r.word("from") || !call() || !named() {
			return nil, nil
		}
	} else if !call() || !named() {
		return nil, nil
	}
	columns := func(*session) []*wirepb.Column { return oneText(name) }
	return &command{columns: columns, run: func(x *session, formats []int16) *sqlError {
		res := &wirepb.Result{Columns: oneText(name)}
		if l := x.listening; l != nil {
			l.mu.Lock()
			for _, c := range slices.Sorted(maps.Keys(l.channels)) {
				if x.tx != nil && slices.ContainsFunc(x.tx.listens, func(a listen) bool { return a.first && a.channel == c }) {
					continue // from COMMIT on
				}
				res.Rows = append(res.Rows, &wirepb.Row{Values: []*wirepb.Value{value(c)}})
			}
			l.mu.Unlock()
		}
		res.Tag = "SELECT " + strconv.Itoa(len(res.Rows))
		return x.answerRows(res, formats)
	}}, nil
}

// offer hands a notification to a connection; it does not wait.
func (l *listening) offer(n client.Notification) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from, ok := l.channels[n.Channel]
	if !ok || l.failed != nil || n.Position.Compare(from) <= 0 {
		return
	}
	l.queue, l.bytes = append(l.queue, n), l.bytes+toldBytes+len(n.Channel)+len(n.Payload)
	if len(l.queue) > maxTold || l.bytes > maxToldBytes {
		l.lose(newError("53400", "terminating connection because its client does not read notifications").hint("read them between transactions, and connect again"))
	}
	l.signal()
}

// fail ends the connection, which would miss what comes.
func (l *listening) fail(e *sqlError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(e)
	l.signal()
}

// lose is called with mu held.
func (l *listening) lose(e *sqlError) {
	if l.failed == nil {
		l.failed, l.queue, l.bytes = e, nil, 0
	}
}

func (l *listening) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take returns what waits, and why the connection must end.
func (l *listening) take() (all []client.Notification, failed *sqlError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, l.queue, l.bytes = l.queue, nil, 0
	return all, l.failed
}

func message(n client.Notification) *pgproto3.NotificationResponse {
	return &pgproto3.NotificationResponse{Channel: n.Channel, Payload: n.Payload}
}

// deliver sends what comes while the session waits for its client.
func (l *listening) deliver() {
	for {
		select {
		case <-l.wake:
		case <-l.end:
			return
		}
		l.out.Lock()
		l.sendWaiting()
		l.out.Unlock()
	}
}

// sendWaiting is called with out held.
func (l *listening) sendWaiting() {
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	if !l.waiting || !l.idle && failed == nil {
		return
	}
	var b []byte
	add := func(m pgproto3.BackendMessage) {
		var err error
		if b, err = m.Encode(b); err != nil {
			l.x.server.log.Warn("a message was not sent", "err", err)
		}
	}
	all, failed := l.take()
	for _, n := range all {
		add(message(n))
	}
	if failed != nil {
		add(failed.message("FATAL"))
	}
	wait := l.x.server.opts.StatementTime
	if failed != nil {
		wait = time.Second
	}
	err := l.x.conn.SetWriteDeadline(time.Now().Add(wait))
	if err == nil && len(b) > 0 {
		_, err = l.x.conn.Write(b)
	}
	if err != nil || failed != nil {
		l.x.conn.Close() // which the session sees
	}
}

// waits says that the session waits for its client, or does no more.
func (x *session) waits(on bool) {
	l := x.listening
	if l == nil {
		return
	}
	l.out.Lock()
	defer l.out.Unlock()
	l.waiting, l.idle = on, on && x.synced && x.tx == nil && !x.failed && x.batch == nil
	if on {
		l.signal()
	}
}

// tell sends what waits before ReadyForQuery.
func (x *session) tell() {
	l := x.listening
	if l == nil || x.tx != nil || x.failed || x.batch != nil {
		return
	}
	all, failed := l.take()
	for _, n := range all {
		x.be.Send(message(n))
	}
	if failed != nil {
		x.fatal(failed)
		x.over = true
	}
}

// ---- Hubs

// A hubKey is an access key's name and a database's.
type hubKey struct{ key, database string }

// A hub follows a database's notifications for connections of one access key.
type hub struct {
	server *Server
	of     hubKey
	key    *Key
	stop   context.CancelFunc

	mu  sync.Mutex
	all map[*listening]struct{}
}

// join makes a connection one of its hub's, which is made where there is none.
func (s *Server) join(l *listening, from client.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := hubKey{l.x.key, l.x.name}
	h := s.hubs[k]
	if h == nil {
		ctx, stop := context.WithCancel(l.x.work)
		h = &hub{server: s, of: k, key: l.x.access, stop: stop, all: map[*listening]struct{}{}}
		s.hubs[k] = h
		s.following.Go(func() {
			defer stop()
			h.follow(ctx, from)
		})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[l], l.hub = struct{}{}, h
}

// part takes a connection out of its hub, which ends with the last.
func (s *Server) part(l *listening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := l.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(h.all, l); len(h.all) == 0 {
		h.stop()
		if s.hubs[h.of] == h {
			delete(s.hubs, h.of)
		}
	}
}

// follow hands on what comes, and opens the database again when its cell does not answer.
func (h *hub) follow(ctx context.Context, from client.Position) {
	for failures := 0; ; {
		err := h.once(ctx, func(b client.Batch) {
			failures, from = 0, b.Position
			h.mu.Lock()
			defer h.mu.Unlock()
			for l := range h.all {
				for _, n := range b.Notifications {
					l.offer(n)
				}
			}
		}, from)
		if ctx.Err() != nil {
			return
		}
		if failures++; failures >= hubFailures || mesh.KindOf(err) != mesh.Unavailable {
			h.fail(err)
			return
		}
		select {
		case <-time.After(hubFirstPause * time.Duration(failures)):
		case <-ctx.Done():
			return
		}
	}
}

// once follows until an error.
func (h *hub) once(ctx context.Context, tell func(client.Batch), from client.Position) error {
	db, err := h.server.databases.Open(ctx, h.key, h.of.database)
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			h.server.log.Warn("a database was not closed", "err", err)
		}
	}()
	for b, err := range db.Follow(ctx, from) {
		if err != nil {
			return err
		}
		tell(b)
	}
	return ctx.Err()
}

// fail ends the connections that would miss what comes; who listens next gets another hub.
func (h *hub) fail(err error) {
	s := h.server
	s.log.Warn("notifications cannot be followed", "database", h.of.database, "err", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hubs[h.of] == h {
		delete(s.hubs, h.of)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := errorOf(err)
	e.code, e.text = "08006", "terminating connection because notifications cannot be followed any more: "+e.text
	for l := range h.all {
		l.fail(e)
	}
}
