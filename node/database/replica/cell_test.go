package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	cmted "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/privval"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A group is a cell of real replicas on loopback, in this process or in children.
type group struct {
	*world
	homes   []string
	configs []Config
	opts    Options
	members []*running // nil: does not run
}

type running struct {
	replica *Replica
	cancel  context.CancelFunc
	ended   chan error
}

var taken sync.Map // ports, by tests that run side by side

// ports takes free ports of loopback, below those that the system gives to connections.
func ports(t testing.TB, n int) (all []string) {
	for range 1000 {
		p := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(10_000))
		if _, known := taken.LoadOrStore(p, true); known {
			continue
		}
		if l, err := net.Listen("tcp", p); err == nil {
			l.Close()
			all = append(all, p)
		}
		if len(all) == n {
			return all
		}
	}
	t.Fatal("no free ports")
	return nil
}

// newGroup founds a cell as the meta layer would: each replica makes its keys, and what they told is the genesis.
func newGroup(t testing.TB, n int, opts Options) *group {
	g := &group{world: newWorld(t, n, 4), opts: opts, members: make([]*running, n)}
	free := ports(t, 2*n)
	a := g.answer()
	a.FoundedMs = time.Now().UnixMilli()
	dir := folder(t)
	for i, m := range a.Members {
		home := filepath.Join(dir, fmt.Sprint(i))
		id, err := Init(home)
		if err != nil {
			t.Fatal(err)
		}
		m.ConsensusKey, m.AnswerKey, m.Peer, m.Address = id.ConsensusKey[:], id.AnswerKey[:], free[2*i], free[2*i+1]
		g.homes = append(g.homes, home)
	}
	for i, home := range g.homes {
		c, err := NewConfig(g.domain.Network, g.domain.Group, a)
		if err != nil {
			t.Fatal(err)
		}
		c.Peer, c.Service = free[2*i], free[2*i+1]
		if err := WriteConfig(home, c); err != nil {
			t.Fatal(err)
		}
		g.configs = append(g.configs, c)
	}
	t.Cleanup(func() {
		var all sync.WaitGroup
		for i := range g.members {
			all.Go(func() { g.stop(i) })
		}
		all.Wait()
	})
	return g
}

func (g *group) start(which ...int) {
	g.t.Helper()
	for _, i := range which {
		r, err := New(g.homes[i], g.opts, quiet())
		if err != nil {
			g.t.Fatalf("replica %d: %v", i, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		m := &running{r, cancel, make(chan error, 1)}
		go func() { m.ended <- r.Run(ctx) }()
		g.members[i] = m
	}
}

func (g *group) stop(i int) {
	m := g.members[i]
	if m == nil {
		return
	}
	g.members[i] = nil
	m.cancel()
	if err := <-m.ended; err != nil {
		g.t.Errorf("replica %d: %v", i, err)
	}
	for range 2 {
		if err := m.replica.Close(); err != nil {
			g.t.Errorf("closing replica %d: %v", i, err)
		}
	}
}

// call asks a replica as a user does: by its address, and its key alone.
func (g *group) call(u *user, i int, path string, req, resp proto.Message) error {
	cert, err := tlsid.Certificate(u.key)
	if err != nil {
		g.t.Fatal(err)
	}
	m := g.configs[0].Members[i]
	tr := &http.Transport{TLSClientConfig: tlsid.Client(cert, m.AnswerKey), ExpectContinueTimeout: 5 * time.Second}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	return rpc.Call(ctx, &http.Client{Transport: tr}, "https://"+m.Address+path, database.MaxReply, req, resp)
}

// eventually repeats what may fail while replicas find each other.
func (g *group) eventually(what string, f func() error) {
	g.t.Helper()
	deadline := time.Now().Add(90 * time.Second) // other tests may run beside this one
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

// submit sends a transaction to a replica, and again while that says that it may.
func (g *group) submit(u *user, i int, raw []byte) (reply *wirepb.DatabaseReply, err error) {
	tx := new(wirepb.CellTx)
	if err := proto.Unmarshal(raw, tx); err != nil {
		g.t.Fatal(err)
	}
	for range 1000 {
		reply = new(wirepb.DatabaseReply)
		if err = g.call(u, i, wirepb.CellSubmitPath, tx, reply); err == nil || mesh.KindOf(err) != mesh.Unavailable {
			return reply, err
		}
		time.Sleep(50 * time.Millisecond) // it does not listen yet, or follow
	}
	return reply, err
}

func (g *group) mustSubmit(u *user, i int, raw []byte) *wirepb.DatabaseReply {
	g.t.Helper()
	reply, err := g.submit(u, i, raw)
	if err != nil {
		g.t.Fatalf("replica %d: %v", i, err)
	}
	return reply
}

// write sends an envelope that goes well, and checks the answer.
func (g *group) write(u *user, i int, sql ...string) *wirepb.Answer {
	g.t.Helper()
	e := u.envelope(time.Now().UnixMilli(), sql...)
	reply := g.mustSubmit(u, i, u.send(e))
	if reply.Outcome.GetCode() != "" {
		g.t.Fatalf("%q: %s %s", sql, reply.Outcome.Code, reply.Outcome.Text)
	}
	return g.open(i, reply)
}

// open checks that a reply is signed by the replica that sent it.
func (g *group) open(i int, reply *wirepb.DatabaseReply) *wirepb.Answer {
	g.t.Helper()
	a, by, err := database.OpenReply(g.domain, reply)
	if err != nil || by != g.configs[0].Members[i].AnswerKey || mesh.CellID(a.Cell) != g.cell {
		g.t.Fatalf("the answer of replica %d: %v by %s, %v", i, a, by, err)
	}
	return a
}

func (g *group) query(u *user, i int, min int64, sql string) (*wirepb.DatabaseReply, error) {
	reply := new(wirepb.DatabaseReply)
	return reply, g.call(u, i, wirepb.CellQueryPath, &wirepb.DatabaseQuery{Database: u.database[:], Statements: []*wirepb.Statement{{Sql: sql}}, GasLimit: 10_000_000, MinHeight: min}, reply)
}

// status asks how a replica stands: a user, or without one its neighbour.
func (g *group) status(u *user, i int) (*wirepb.CellStatus, error) {
	if u == nil {
		k, err := keyfile.Read(filepath.Join(g.homes[(i+1)%len(g.homes)], answerFile))
		if err != nil {
			g.t.Fatal(err)
		}
		u = &user{key: k}
	}
	s := new(wirepb.CellStatus)
	return s, g.call(u, i, wirepb.CellStatusPath, new(wirepb.CellStatusRequest), s)
}

// equal waits until all replicas have the same digests, at least of a height.
func (g *group) equal(height int64) {
	g.t.Helper()
	g.eventually("equal digests", func() error {
		first := ""
		for i := range g.homes {
			s, err := g.status(nil, i)
			if err != nil {
				return err
			}
			if s.Height < height {
				return fmt.Errorf("replica %d is at height %d, not yet at %d", i, s.Height, height)
			}
			text := fmt.Sprint(s.Databases)
			if first == "" {
				first = text
			}
			if text != first {
				return fmt.Errorf("replica %d has %s, another %s", i, text, first)
			}
		}
		return nil
	})
}

// forgeConsensusKey replaces the key that votes with another.
func forgeConsensusKey(home string) {
	cfg := consensus.Config(filepath.Join(home, consensusDir))
	privval.NewFilePV(cmted.GenPrivKey(), cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()).Save()
}

func TestCell(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 4, Options{Rules: Rules{CheckpointMs: 1000}, IdleBlock: 300 * time.Millisecond})
	g.start(0, 1, 2, 3)
	u := g.user("anna")
	g.equal(g.mustSubmit(u, 0, u.opened()).Height)
	if _, err := g.submit(u, 1, u.send(u.envelope(time.Now().UnixMilli(), "SELECT 1"))); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("an envelope of an unknown session: %v", err)
	}
	if s, err := g.status(nil, 2); err != nil || len(s.Databases) != 1 {
		t.Errorf("what a member sees: %v, %v", s, err)
	}
	if s, err := g.status(u, 1); err != nil || len(s.Databases) != 0 {
		t.Errorf("what a stranger sees: %v, %v", s, err)
	}
	l := u.link()
	g.equal(g.mustSubmit(u, 1, u.session(l)).Height) // who goes on with another replica waits until that has it
	l.Label = "other bytes"
	g.mustSubmit(u, 3, u.session(l)) // known, which is as good
	if s, err := g.status(u, 3); err != nil || len(s.Databases) != 1 {
		t.Errorf("what an owner sees: %v, %v", s, err)
	}
	g.write(u, 2, "CREATE TABLE t(id INTEGER PRIMARY KEY, at, v)")

	// Through each replica at once.
	var all sync.WaitGroup
	for i := range 4 {
		mine := *u
		w := *u.w
		w.ids = uint64(1000 * (i + 1))
		mine.w = &w
		all.Go(func() {
			for n := range 10 {
				reply, err := g.submit(&mine, i, mine.send(mine.envelope(time.Now().UnixMilli(), fmt.Sprintf("INSERT INTO t(at, v) VALUES(datetime('now'), %d)", n))))
				if err != nil || reply.Outcome.Code != "" {
					t.Errorf("replica %d: %v %v", i, reply, err)
				}
			}
		})
	}
	all.Wait()
	last := g.write(u, 3, "INSERT INTO t(v) VALUES('last') RETURNING id")

	// A query waits for the height that its author has seen, and all answer the same of it, signed.
	var answers []*wirepb.Answer
	for i := range 4 {
		reply, err := g.query(u, i, last.Height, "SELECT count(*), sum(v), min(at) FROM t")
		if err != nil || reply.Outcome.Code != "" {
			t.Fatalf("replica %d: %v %v", i, reply, err)
		}
		if got := reply.Outcome.Results[0].Rows[0].Values[0].GetInteger(); got != 41 {
			t.Errorf("replica %d counts %d rows", i, got)
		}
		answers = append(answers, g.open(i, reply))
	}
	for i, a := range answers {
		if a.Height != last.Height || database.Contradict(a, answers[0]) || string(a.Question) != string(answers[0].Question) || string(a.Outcome) != string(answers[0].Outcome) {
			t.Errorf("replica %d answers %v, the first %v", i, a, answers[0])
		}
	}
	g.lie(u, last.Height)
	g.refusals(u, last)
	g.once(u)
	last = g.transaction(u)
	g.equal(last.Height)
	g.certified(u, last.Height)
}

// refusals are what the service does not do.
func (g *group) refusals(u *user, last *wirepb.Answer) {
	t := g.t
	stranger := g.user("bert")
	if _, err := g.query(stranger, 0, 0, "SELECT 1"); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("a stranger's query: %v", err)
	}
	borrowed := *u
	borrowed.key = stranger.key
	if _, err := g.query(&borrowed, 0, 0, "SELECT 1"); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("a stranger's query of another's database: %v", err)
	}
	// That there is a database, and what it has used, is for who may read it.
	if s, err := g.status(u, 0); err != nil || len(s.Databases) != 1 || s.Databases[0].Usage.GetGas() == 0 {
		t.Errorf("what an owner is told: %v, %v", s, err)
	}
	if s, err := g.status(stranger, 0); err != nil || len(s.Databases) != 0 {
		t.Errorf("what a stranger is told: %v, %v", s, err)
	}
	if reply, err := g.query(u, 0, 0, "DELETE FROM t"); err != nil || reply.Outcome.Code != "25006" {
		t.Errorf("a query that writes: %v, %v", reply, err)
	}
	if reply, err := g.query(u, 0, 0, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c"); err != nil || reply.Outcome.Code != "53400" {
		t.Errorf("an endless query: %v, %v", reply, err)
	}
	dear := &wirepb.DatabaseQuery{Database: u.database[:], Statements: []*wirepb.Statement{{Sql: "SELECT 1"}}, GasLimit: 1 << 39}
	if err := g.call(u, 0, wirepb.CellQueryPath, dear, new(wirepb.DatabaseReply)); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a query with too much gas: %v", err)
	}
	altered := u.envelope(time.Now().UnixMilli(), "INSERT INTO t(v) VALUES('altered')")
	raw := u.send(altered)
	raw[len(raw)-1] ^= 1
	if _, err := g.submit(u, 0, raw); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("an altered envelope: %v", err)
	}
	late := u.envelope(time.Now().UnixMilli()-120_000, "INSERT INTO t(v) VALUES('late')")
	if _, err := g.submit(u, 0, u.send(late)); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("an envelope whose time is over: %v", err)
	}
	// Another key where a replica's should be is found before anything is said.
	wrong := g.configs[0].Members[1]
	g.configs[0].Members[1].AnswerKey = g.configs[0].Members[2].AnswerKey
	if _, err := g.status(u, 1); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("a replica with another key: %v", err)
	}
	g.configs[0].Members[1] = wrong
	if _, err := g.query(u, 0, last.Height+1_000_000, "SELECT 1"); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("a height that does not come: %v", err)
	}
}

// transaction goes statement by statement at one replica, and then through the log, where what was seen must still be so.
func (g *group) transaction(u *user) *wirepb.Answer {
	t := g.t
	view := &wirepb.View{TimeMs: time.Now().UnixMilli(), Seed: make([]byte, 32)}
	var done []*wirepb.Statement
	ask := func(sql string) *wirepb.Outcome {
		done = append(done, &wirepb.Statement{Sql: sql})
		reply := new(wirepb.DatabaseReply)
		q := &wirepb.DatabaseQuery{Database: u.database[:], Statements: done, GasLimit: 10_000_000, View: view, Tentative: true}
		if err := g.call(u, 1, wirepb.CellQueryPath, q, reply); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if a := g.open(1, reply); mesh.DatabaseID(a.Database) != u.database || string(a.Question) != string(question(q)) {
			t.Errorf("%s: signed as %v", sql, a)
		}
		return reply.Outcome
	}
	see := func(o *wirepb.Outcome) *wirepb.Result {
		if o.Code != "" || len(o.Results) != 1 {
			t.Fatalf("got %v, want one result", o)
		}
		sum := engine.ResultDigest(o.Results[0])
		view.Results = append(view.Results, sum[:])
		return o.Results[0]
	}
	see(ask("INSERT INTO t(v) VALUES('in a transaction')"))
	mine := see(ask("SELECT count(*) FROM t WHERE v = 'in a transaction'"))
	if n := mine.Rows[0].Values[0].GetInteger(); n != 1 {
		t.Errorf("the transaction sees %d of its rows", n)
	}
	if o := ask("INSERT INTO t(id) VALUES(NULL), (1)"); o.Code != "23505" {
		t.Errorf("a statement that fails: %v", o)
	}
	done = done[:2] // back to the savepoint before it
	for i := range 4 {
		reply, err := g.query(u, i, 0, "SELECT count(*) FROM t WHERE v = 'in a transaction'")
		if err != nil || reply.Outcome.Results[0].Rows[0].Values[0].GetInteger() != 0 {
			t.Errorf("replica %d shows what was not committed: %v, %v", i, reply, err)
		}
	}
	commit := func() (*wirepb.DatabaseReply, int) {
		i := 2
		e := u.envelope(time.Now().UnixMilli())
		e.Statements, e.View = done, view
		return g.mustSubmit(u, i, u.send(e)), i
	}
	if reply, i := commit(); reply.Outcome.Code != "" {
		t.Errorf("the commit: %v", reply.Outcome)
	} else {
		g.open(i, reply)
	}
	reply, i := commit() // the same again is another transaction, which sees the first
	if reply.Outcome.Code != "40001" {
		t.Errorf("a transaction that another one overtook: %v", reply.Outcome)
	}
	if o := ask("SELECT 1"); o.Code != "40001" {
		t.Errorf("a statement of such a transaction: %v", o)
	}
	return g.open(i, reply)
}

func question(q *wirepb.DatabaseQuery) []byte {
	sum := database.QueryQuestion(q, grant.Role{})
	return sum[:]
}

// once sends one envelope to each replica.
func (g *group) once(u *user) {
	raw := u.send(u.envelope(time.Now().UnixMilli(), "INSERT INTO t(v) VALUES('once') RETURNING random()"))
	first := g.open(0, g.mustSubmit(u, 0, raw))
	for i := range 4 {
		if a := g.open(i, g.mustSubmit(u, i, raw)); a.Height != first.Height || string(a.Outcome) != string(first.Outcome) || string(a.Question) != string(first.Question) {
			g.t.Errorf("replica %d answers %v, the first %v", i, a, first)
		}
	}
}

// certified waits for a certificate of at least a height, which each replica has.
func (g *group) certified(u *user, height int64) {
	g.t.Helper()
	g.eventually("a certificate", func() error {
		for i := range g.members {
			s, err := g.status(u, i)
			if err != nil || s.Checkpoint < height {
				return fmt.Errorf("replica %d: the newest certificate is of height %d, %w", i, s.GetCheckpoint(), err)
			}
		}
		return nil
	})
	m := g.members[0].replica
	c := m.app.view().certificate()
	p, err := database.CheckCertificate(g.domain, c, m.config.AnswerKeys())
	if err != nil || !slices.ContainsFunc(p.Databases, func(d *wirepb.CheckedDatabase) bool {
		return mesh.DatabaseID(d.Database) == u.database && d.Usage.Gas > 0
	}) {
		g.t.Errorf("the certificate: %v, %v", p, err)
	}
}

// lie has a replica sign what its log does not say: it is found by comparing answers, and its signature proves it.
func (g *group) lie(u *user, height int64) {
	const liar = 2
	answers := map[mesh.PublicKey]*wirepb.Answer{}
	for i := range 4 {
		reply, err := g.query(u, i, height, "SELECT v FROM t")
		if err != nil {
			g.t.Fatal(err)
		}
		if i == liar { // what it would send, if it lied
			reply.Outcome.Results[0].Rows[0].Values[0] = &wirepb.Value{Value: &wirepb.Value_Integer{Integer: 43}}
			if _, _, err := database.OpenReply(g.domain, reply); mesh.KindOf(err) != mesh.Corrupt {
				g.t.Errorf("another outcome than it signed: %v", err)
			}
			a := g.members[liar].replica
			reply = a.answer(u.database, uint64(height), database.QueryQuestion(&wirepb.DatabaseQuery{Database: u.database[:],
				Statements: []*wirepb.Statement{{Sql: "SELECT v FROM t"}}, GasLimit: 10_000_000}, grant.Role{}), reply.Outcome)
		}
		a, by, err := database.OpenReply(g.domain, reply)
		if err != nil {
			g.t.Fatal(err)
		}
		answers[by] = a
	}
	for i, m := range g.configs[0].Members {
		for j, o := range g.configs[0].Members {
			if got, want := database.Contradict(answers[m.AnswerKey], answers[o.AnswerKey]), (i == liar) != (j == liar); got != want {
				g.t.Errorf("replicas %d and %d contradict each other: %v, want %v", i, j, got, want)
			}
		}
	}
}
