package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	dbm "github.com/cometbft/cometbft-db"
	cmtcfg "github.com/cometbft/cometbft/config"
	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/internal/pebbledb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What stands in a home while, and after, a checkpoint was put there.
const (
	joiningFile = "joining" // there is only a part of it
	joinedFile  = "joined"  // the log begins behind it
)

// Reset empties a home but for its keys, what they have signed of the log, and the settings, after its databases were found damaged.
// No replica runs in it.
func Reset(home string) error {
	data := filepath.Join(home, consensusDir, cmtcfg.DefaultDataDir)
	if err := atomicfile.Write(filepath.Join(home, joiningFile), nil, 0o600); err != nil { // killed from here on, it is begun again
		return err
	}
	var errs []error
	for _, p := range []string{filepath.Join(home, stateDir), filepath.Join(home, filesDir), filepath.Join(home, exportsDir), filepath.Join(home, backupsDir), filepath.Join(data, "blockstore.db"),
		filepath.Join(data, "state.db"), filepath.Join(data, "evidence.db"), filepath.Join(data, "cs.wal"), filepath.Join(home, joinedFile)} {
		errs = append(errs, os.RemoveAll(p))
	}
	errs = append(errs, os.MkdirAll(filepath.Join(home, filesDir), 0o700), atomicfile.SyncDir(home), atomicfile.SyncDir(data))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("emptying a replica's home: %w", err)
	}
	if err := os.Remove(filepath.Join(home, joiningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("emptying a replica's home: %w", err)
	}
	return nil
}

// Join puts the newest checkpoint of the cell into a home that has no log yet, if the log is long. It believes no member: 2f+1 have
// signed the checkpoint, and the header after it; what is fetched is checked against them. Without a checkpoint to be had, the
// replica takes the whole log, which New then begins with. Call it before New.
func Join(ctx context.Context, home string, opts Options, log *slog.Logger) error {
	c, err := ReadConfig(home)
	if err != nil {
		return err
	}
	opts = opts.of(c)
	if err := opts.validate(); err != nil {
		return err
	}
	if interrupted(home) { // it is begun again
		if err := Reset(home); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(home, stateDir)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := keyfile.Read(filepath.Join(home, answerFile))
	if err != nil {
		return err
	}
	others, err := newPeers(c, key, opts.HeightWait)
	if err != nil {
		return err
	}
	defer others.close()
	// Is the log short, it is taken as it is.
	if n := others.count(ctx, func(s *wirepb.CellStatus) bool { return s.Height >= opts.JoinBlocks }); !database.Believed(n, len(c.Members)) {
		return nil
	}
	j := &joiner{config: c, opts: opts, home: home, log: log}
	for _, s := range others.all {
		err := j.from(ctx, s)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		log.Warn("no checkpoint was had from a member", "member", s.member.AnswerKey, "err", err)
		if err := Reset(home); err != nil {
			return err
		}
	}
	return nil
}

type joiner struct {
	config Config
	opts   Options
	home   string
	log    *slog.Logger
}

// from takes a checkpoint from one member.
func (j *joiner) from(ctx context.Context, s peer) error {
	ctx, cancel := context.WithTimeout(ctx, j.opts.JoinTime)
	defer cancel()
	a, err := j.snapshot(ctx, s)
	if err != nil {
		return err
	}
	p, err := database.CheckCertificate(j.config.Domain(), a.Certificate, j.config.AnswerKeys())
	if err != nil {
		return err
	}
	if mesh.CellID(p.Cell) != j.config.Cell || p.Version != j.config.Version {
		return mesh.Errorf(mesh.Denied, "the checkpoint is of another cell")
	}
	state, commit, err := j.logState(p, a)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(j.home, joiningFile), nil, 0o600); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(j.home, filesDir), 0o700), j.databases(ctx, s, p)); err != nil {
		return err
	}
	if err := j.state(ctx, s, p, a.Certificate); err != nil {
		return err
	}
	if err := j.bootstrap(state, commit); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(j.home, joinedFile), nil, 0o600); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(j.home, joiningFile)); err != nil {
		return fmt.Errorf("joining the cell: %w", err)
	}
	j.log.Info("joined by a checkpoint", "height", p.Height, "databases", len(p.Databases))
	return atomicfile.SyncDir(j.home)
}

// snapshot waits until a member has an export.
func (j *joiner) snapshot(ctx context.Context, s peer) (*wirepb.SnapshotAnswer, error) {
	for {
		a := new(wirepb.SnapshotAnswer)
		err := rpc.Call(ctx, s.client, s.url(wirepb.CellSnapshotPath), database.MaxReply, new(wirepb.SnapshotRequest), a)
		if err != nil || a.Certificate != nil {
			return a, err
		}
		select {
		case <-ctx.Done():
			return nil, mesh.Errorf(mesh.Unavailable, "the member has exported no checkpoint in time")
		case <-time.After(j.opts.JoinPoll):
		}
	}
}

// fetch opens a file of the export.
func (j *joiner) fetch(ctx context.Context, s peer, height int64, what string) (io.ReadCloser, error) {
	path := strings.NewReplacer("{height}", fmt.Sprint(height), "{what}", what).Replace(wirepb.CellExportPath)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(path), nil)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "fetching a checkpoint: %w", err)
	}
	r, err := s.client.Do(q)
	if err != nil {
		return nil, rpc.Failed(err)
	}
	if r.StatusCode != http.StatusOK {
		defer r.Body.Close()
		return nil, rpc.ReadError(r)
	}
	return r.Body, nil
}

// databases fetches each database; the engine believes nothing but what the certificate says.
func (j *joiner) databases(ctx context.Context, s peer, p *wirepb.Checkpoint) error {
	f := newFiles(filepath.Join(j.home, filesDir), j.opts.Engine)
	for _, d := range p.Databases {
		id := mesh.DatabaseID(d.Database)
		r, err := j.fetch(ctx, s, p.Height, id.String())
		if err != nil {
			return err
		}
		// Which dialect it has the state says, which comes last; what Postgres' indexes need harms no other file.
		want := engine.Mark{Height: uint64(d.Height), Digest: [32]byte(d.Digest), Content: [32]byte(d.Content)}
		if err := errors.Join(engine.Import(ctx, f.path(id), r, want, dialectOptions(j.opts.Engine, database.Postgres)), r.Close()); err != nil {
			return fmt.Errorf("database %s: %w", id, err)
		}
	}
	return nil
}

// state fetches what the cell keeps besides, and puts the checkpoint beside it as it was when its block was committed.
func (j *joiner) state(ctx context.Context, s peer, p *wirepb.Checkpoint, c *wirepb.Certificate) (err error) {
	r, err := j.fetch(ctx, s, p.Height, stateName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	db, err := pebbledb.Open(filepath.Join(j.home, stateDir), storeOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sum, err := readState(r, func(k, b []byte) error { return db.Set(k, b, pebble.NoSync) })
	if err != nil {
		return err
	}
	if !bytes.Equal(sum[:], p.State) {
		return mesh.Errorf(mesh.Corrupt, "the member sent another state than was certified")
	}
	asked := &replicapb.Pending{Checkpoint: withoutContents(p)}
	return errors.Join(db.Set([]byte{pendingKey}, wire.Encode(asked), nil), db.Set([]byte{certificateKey}, wire.Encode(c), nil),
		db.Set([]byte{tipKey}, wire.Encode(&replicapb.Tip{Height: p.Height, TimeMs: p.TimeMs}), pebble.Sync))
}

// logState is where consensus goes on behind a checkpoint. The members of a cell never change, so that their signatures under two
// headers are all that it takes.
func (j *joiner) logState(p *wirepb.Checkpoint, a *wirepb.SnapshotAnswer) (state sm.State, commit *types.Commit, err error) {
	genesis, err := j.config.Genesis(j.opts.Rules)
	if err != nil {
		return state, nil, err
	}
	if state, err = sm.MakeGenesisState(genesis); err != nil {
		return state, nil, mesh.Errorf(mesh.Invalid, "the cell's genesis: %w", err)
	}
	first := state.Validators
	header, err := verified(state.ChainID, first, a.Header, p.Height)
	if err != nil {
		return state, nil, err
	}
	next, err := verified(state.ChainID, first, a.Next, p.Height+1)
	if err != nil {
		return state, nil, err
	}
	if !next.LastBlockID.Equals(header.Commit.BlockID) || header.Time.UnixMilli() != p.TimeMs || !bytes.Equal(next.AppHash, genesis.AppHash) {
		return state, nil, mesh.Errorf(mesh.Corrupt, "the headers of the checkpoint are not of this log")
	}
	state.Version = cmtstate.Version{Consensus: next.Version, Software: version.TMCoreSemVer}
	state.LastBlockHeight, state.LastBlockTime, state.LastBlockID = p.Height, header.Time, header.Commit.BlockID
	state.AppHash, state.LastResultsHash = next.AppHash, next.LastResultsHash
	state.LastValidators, state.Validators, state.NextValidators = after(first, p.Height-1), after(first, p.Height), after(first, p.Height+1)
	state.LastHeightValidatorsChanged, state.LastHeightConsensusParamsChanged = p.Height+2, p.Height+1
	return state, header.Commit, nil
}

// after is the set of members when so many blocks have been decided: whose turn it is, is in it. All have the same power, so that the
// turns repeat.
func after(first *types.ValidatorSet, blocks int64) *types.ValidatorSet {
	v := first.Copy()
	for range blocks % int64(first.Size()) {
		v.IncrementProposerPriority(1)
	}
	return v
}

// verified returns a header that more than two thirds of the members have signed.
func verified(chain string, members *types.ValidatorSet, b []byte, height int64) (*types.SignedHeader, error) {
	m := new(cmtproto.SignedHeader)
	if err := m.Unmarshal(b); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "a header that cannot be decoded: %w", err)
	}
	h, err := types.SignedHeaderFromProto(m)
	if err == nil {
		err = h.ValidateBasic(chain)
	}
	if err == nil && (h.Height != height || !bytes.Equal(h.ValidatorsHash, members.Hash())) {
		err = errors.New("it is of another height or other members")
	}
	if err == nil {
		err = members.VerifyCommitLight(chain, h.Commit.BlockID, height, h.Commit)
	}
	if err != nil {
		return nil, mesh.Errorf(mesh.Denied, "a header of block %d that the members did not sign: %w", height, err)
	}
	return h, nil
}

// bootstrap writes consensus' own stores, as its state sync does.
func (j *joiner) bootstrap(state sm.State, commit *types.Commit) error {
	cfg := consensus.Config(filepath.Join(j.home, consensusDir))
	return withStores(cfg, func(blocks *store.BlockStore, states sm.Store) error {
		return errors.Join(blocks.SaveSeenCommit(state.LastBlockHeight, commit), states.Bootstrap(state))
	})
}

// joined tells consensus, before it opens its stores, that the log begins behind a checkpoint and no block has come since. It forgets
// that itself with the first start.
func joined(cfg *cmtcfg.Config) error {
	return withStores(cfg, func(blocks *store.BlockStore, states sm.Store) error {
		state, err := states.Load()
		if err != nil || blocks.Height() > 0 || state.IsEmpty() {
			return err
		}
		return states.SetOfflineStateSyncHeight(state.LastBlockHeight)
	})
}

func withStores(cfg *cmtcfg.Config, f func(*store.BlockStore, sm.Store) error) (err error) {
	var stores consensus.Stores
	var dbs []dbm.DB
	defer func() {
		if err = errors.Join(err, stores.Close()); err != nil {
			err = fmt.Errorf("the log's stores: %w", err)
		}
	}()
	for _, id := range []string{"blockstore", "state"} {
		db, err := stores.Open(&cmtcfg.DBContext{ID: id, Config: cfg})
		if err != nil {
			return err
		}
		dbs = append(dbs, db)
	}
	return f(store.NewBlockStore(dbs[0]), sm.NewStore(dbs[1], sm.StoreOptions{DiscardABCIResponses: cfg.Storage.DiscardABCIResponses}))
}

// interrupted tells whether a home holds a part of a checkpoint.
func interrupted(home string) bool {
	_, err := os.Stat(filepath.Join(home, joiningFile))
	return err == nil
}
