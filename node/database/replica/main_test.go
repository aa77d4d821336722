package replica

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/ethereum/go-ethereum/crypto"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/internal/pebbledb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) {
	if home := os.Getenv(childHome); home != "" {
		child(home)
		return
	}
	goleak.VerifyTestMain(m,
		// CometBFT's own: a log whose file nobody closes, and routines that see only after their sleep that all is over.
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.(*AutoFile).closeFileRoutine"),
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.OpenAutoFile.func1"),
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/consensus.(*Reactor).queryMaj23Routine"),
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/p2p.(*Switch).reconnectToPeer"),
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/p2p.(*Switch).dialPeersAsync.func1"),
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/blocksync.(*BlockPool).makeRequestersRoutine"),
		goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"),
	)
}

// folder is for files that need no disk behind them: syncing is most of what these tests would wait for.
func folder(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "replica-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// keyOf makes the same key of the same name.
func keyOf(name string) ed25519.PrivateKey {
	seed := hashOf([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(k ed25519.PrivateKey) []byte { p := mesh.PublicKeyOf(k); return p[:] }

// A world is a network with authorities, and a cell whose members' keys are known.
type world struct {
	t           testing.TB
	domain      sign.Domain
	authorities []ed25519.PrivateKey
	cell        mesh.CellID
	members     int
	ids         uint64
}

func newWorld(t testing.TB, members, authorities int) *world {
	w := &world{t: t, domain: sign.Domain{Network: mesh.NetworkID(hashOf([]byte("network"))), Group: 3}, members: members}
	copy(w.cell[:], "the cell of this")
	for i := range authorities {
		w.authorities = append(w.authorities, keyOf(fmt.Sprint("authority ", i)))
	}
	return w
}

// answer is what the meta layer says of the cell, whose members have keys by their number.
func (w *world) answer() *wirepb.CellAnswer {
	a := &wirepb.CellAnswer{Id: w.cell[:], Version: 1, FoundedMs: genesisMs}
	for i := range w.members {
		id := hashOf([]byte(fmt.Sprint("node ", i)))
		a.Members = append(a.Members, &wirepb.CellMember{Node: id[:20], Operator: id[:20], ConsensusKey: public(keyOf(fmt.Sprint("consensus ", i))),
			AnswerKey: public(w.answerKey(i)), Peer: fmt.Sprintf("127.0.0.1:%d", 1000+2*i), Address: fmt.Sprintf("127.0.0.1:%d", 1001+2*i)})
	}
	for _, k := range w.authorities {
		a.Authorities = append(a.Authorities, public(k))
	}
	return a
}

func (w *world) answerKey(i int) ed25519.PrivateKey { return keyOf(fmt.Sprint("answer ", i)) }

const genesisMs = 1_700_000_000_000

// notice is a database's, signed by the authorities of these numbers.
func (w *world) notice(n *wirepb.Notice, by ...int) []byte {
	tx := &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_NOTICE}
	for _, i := range by {
		tx.Messages = append(tx.Messages, signed.Seal(w.domain, w.authorities[i], sign.Notice, n))
	}
	return wire.Encode(tx)
}

// A user is an account with a session and a database.
type user struct {
	w        *world
	account  account.Key
	key      ed25519.PrivateKey // of the session
	database mesh.DatabaseID
	name     string
	dialect  string // default SQLite
}

func (w *world) user(name string) *user {
	seed := hashOf([]byte("account of " + name))
	k, err := crypto.ToECDSA(seed[:])
	if err != nil {
		w.t.Fatal(err)
	}
	id := hashOf([]byte("database of " + name))
	return &user{w: w, account: account.NewKey(k), key: keyOf("session of " + name), database: mesh.DatabaseID(id[:16]), name: name}
}

func (u *user) notice(sequence uint64, state uint32) *wirepb.Notice {
	a := u.account.Account()
	return &wirepb.Notice{Database: u.database[:], Cell: u.w.cell[:], Sequence: sequence, State: state, Name: u.name, Owner: a[:], Dialect: cmp.Or(u.dialect, database.SQLite),
		AllowanceNoz: 1 << 50, Prices: database.DefaultPrices()}
}

// opened is the notice that f+1 authorities sign when the database is made.
func (u *user) opened() []byte {
	by := []int{}
	for i := 0; !database.Believed(len(by), len(u.w.authorities)); i++ {
		by = append(by, i)
	}
	return u.w.notice(u.notice(1, database.Open), by...)
}

func (u *user) link() *wirepb.Link {
	id := hashOf(u.key)
	return &wirepb.Link{Id: id[:16], Holder: public(u.key), Operations: uint32(grant.All), NotBeforeMs: genesisMs - 1000, ExpiresMs: time.Now().UnixMilli() + 3_600_000}
}

// session is shown under a grant of one link.
func (u *user) session(l *wirepb.Link) []byte {
	c, err := grant.Root(u.w.domain, u.account, l)
	if err != nil {
		u.w.t.Fatal(err)
	}
	return u.tx(wirepb.CellTxKind_CELL_TX_SESSION, &wirepb.Session{Chain: c})
}

func (u *user) tx(k wirepb.CellTxKind, m proto.Message) []byte {
	p, _ := kindOf(k)
	return wire.Encode(&wirepb.CellTx{Kind: k, Messages: []*wirepb.Signed{signed.Seal(u.w.domain, u.key, p, m)}})
}

// envelope of statements without parameters, with a new id.
func (u *user) envelope(nowMs int64, sql ...string) *wirepb.Envelope {
	u.w.ids++
	e := &wirepb.Envelope{Database: u.database[:], Id: binary.BigEndian.AppendUint64(make([]byte, 8), u.w.ids), NotAfterMs: nowMs + 60_000, GasLimit: 1_000_000}
	for _, s := range sql {
		e.Statements = append(e.Statements, &wirepb.Statement{Sql: s})
	}
	return e
}

// part of a program.
func (u *user) part(nowMs int64, data []byte) []byte {
	return u.tx(wirepb.CellTxKind_CELL_TX_PART, &wirepb.ProgramPart{Database: u.database[:], Data: data, NotAfterMs: nowMs + 60_000})
}

// divided is an envelope of statements that come in parts.
func (u *user) divided(nowMs int64, sql ...string) (e *wirepb.Envelope, parts [][]byte) {
	e = u.envelope(nowMs, sql...)
	parts = database.Divide(e.Statements, e)
	e.GasLimit = database.MaxGas
	return e, parts
}

func (u *user) send(e *wirepb.Envelope) []byte { return u.tx(wirepb.CellTxKind_CELL_TX_ENVELOPE, e) }

// A rig is a replica's application without consensus: blocks are what the test says.
type rig struct {
	w     *world
	own   int
	rules Rules
	fs    vfs.FS
	dir   string
	db    *pebble.DB
	app   *app
	at    func(string)
}

func newRig(w *world, own int, rules Rules) *rig {
	r := &rig{w: w, own: own, rules: rules, fs: vfs.NewMem(), dir: folder(w.t)}
	r.open()
	w.t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	t := r.w.t
	t.Helper()
	c, err := NewConfig(r.w.domain.Network, r.w.domain.Group, r.w.answer())
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Rules: r.rules, reached: r.at}.withDefaults()
	if err := opts.validate(); err != nil {
		t.Fatal(err)
	}
	g, err := c.Genesis(opts.Rules)
	if err != nil {
		t.Fatal(err)
	}
	if r.db, err = pebbledb.Open("state", pebbledb.Options{FS: r.fs, Cache: 1 << 20, MemTable: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	f := newFiles(r.dir, opts.Engine)
	e, err := newExports(filepath.Join(folder(t), exportsDir), time.Hour, quiet())
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBackups(filepath.Join(folder(t), backupsDir), e, opts, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if r.app, err = newApp(&cell{config: c, domain: c.Domain(), rules: opts.Rules}, g.AppState, g.AppHash, r.db, f, e, b, opts, quiet()); err != nil {
		t.Fatal(err)
	}
	if err := r.app.resume(r.own); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) close() {
	if r.app == nil {
		return
	}
	for _, f := range []func() error{r.app.close, r.app.files.close, r.db.Close} {
		if err := f(); err != nil {
			r.w.t.Error(err)
		}
	}
	r.app = nil
}

// finalize applies the block of a height, and does not commit it.
func (r *rig) finalize(height int64, txs ...[]byte) ([]*abci.ExecTxResult, error) {
	resp, err := r.app.FinalizeBlock(context.Background(), blockOf(height, txs...))
	return resp.GetTxResults(), err
}

func blockOf(height int64, txs ...[]byte) *abci.RequestFinalizeBlock {
	hash := hashOf(binary.BigEndian.AppendUint64(nil, uint64(height)))
	return &abci.RequestFinalizeBlock{Height: height, Time: time.UnixMilli(timeOf(height)), Hash: hash[:], Txs: txs}
}

func timeOf(height int64) int64 { return genesisMs + height*1000 }

// run applies and commits the next block.
func (r *rig) run(txs ...[]byte) []*abci.ExecTxResult {
	r.w.t.Helper()
	tip, _ := r.app.at()
	res, err := r.finalize(tip.Height+1, txs...)
	if err == nil {
		_, err = r.app.Commit(context.Background(), nil)
	}
	if err != nil {
		r.w.t.Fatalf("block %d: %v", tip.Height+1, err)
	}
	return res
}

// must is run for transactions that are all applied.
func (r *rig) must(txs ...[]byte) []*abci.ExecTxResult {
	r.w.t.Helper()
	res := r.run(txs...)
	for i, x := range res {
		if x.Code != 0 {
			r.w.t.Fatalf("transaction %d is refused: %s %s", i, mesh.Kind(x.Code-1), x.Log)
		}
	}
	return res
}

func (r *rig) height() int64 { tip, _ := r.app.at(); return tip.Height }

// next is the time of the next block.
func (r *rig) next() int64 { return timeOf(r.height() + 1) }

// outcome is what the record of a user's database says of an envelope.
func (r *rig) outcome(u *user, e *wirepb.Envelope) *wirepb.Outcome {
	r.w.t.Helper()
	f, err := r.app.files.use(u.database)
	if err != nil {
		r.w.t.Fatal(err)
	}
	s, err := f.Snapshot()
	if err != nil {
		r.w.t.Fatal(err)
	}
	o, _, err := s.Program(programID(mesh.PublicKeyOf(u.key), e.Id), database.SentDigest(e))
	if err != nil {
		r.w.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		r.w.t.Fatal(err)
	}
	if err := r.app.files.done(u.database); err != nil {
		r.w.t.Fatal(err)
	}
	return o
}

// digests are the rolling digests of the databases that there are.
func (r *rig) digests() map[mesh.DatabaseID][32]byte {
	all := map[mesh.DatabaseID][32]byte{}
	names, err := filepath.Glob(filepath.Join(r.dir, "*.db"))
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, n := range names {
		var id mesh.DatabaseID
		if err := id.UnmarshalText([]byte(filepath.Base(n)[:32])); err != nil {
			r.w.t.Fatal(err)
		}
		f, err := r.app.files.use(id)
		if mesh.KindOf(err) == mesh.NotFound {
			continue // dropped, and read still for a checkpoint
		}
		if err != nil {
			r.w.t.Fatal(err)
		}
		all[id] = f.Digest()
		if err := r.app.files.done(id); err != nil {
			r.w.t.Fatal(err)
		}
	}
	return all
}

// seedOfTest prints the seed of a random test, so that it can be given again in STRATOS_SEED.
func seedOfTest(t *testing.T) uint64 {
	t.Helper()
	var seed uint64
	if s := os.Getenv("STRATOS_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	} else {
		var b [8]byte
		rand.Read(b[:])
		seed = binary.BigEndian.Uint64(b[:])
	}
	t.Logf("STRATOS_SEED=%d", seed)
	return seed
}
