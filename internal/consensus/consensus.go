// Package consensus is how a program of Stratos runs CometBFT: settings for logs on which somebody waits for each
// transaction, the signing key without CometBFT's habit of ending the process, and results for those who wait.
//
// It knows no application. Authorities and replicas of databases call it.
package consensus

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/cometbft/cometbft/config"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/privval"

	"github.com/stratosmesh/stratos/mesh"
)

// Config returns settings for a log in root on which a commit takes three quick rounds: no RPC, no discovery of peers, no index of
// transactions, nothing that waits for its own sake.
func Config(root string) *config.Config {
	c := config.DefaultConfig()
	c.SetRoot(root)
	c.RPC.ListenAddress = ""
	c.RPC.PprofListenAddress = ""
	c.P2P.AddrBookStrict = false
	c.P2P.AllowDuplicateIP = true
	c.P2P.PexReactor = false
	c.P2P.FlushThrottleTimeout = time.Millisecond
	c.P2P.SendRate, c.P2P.RecvRate = 100<<20, 100<<20
	c.Consensus.TimeoutPropose = 400 * time.Millisecond // what a block costs whose proposer is down
	c.Consensus.TimeoutProposeDelta = 400 * time.Millisecond
	c.Consensus.TimeoutPrevote = 300 * time.Millisecond
	c.Consensus.TimeoutPrecommit = 300 * time.Millisecond
	c.Consensus.TimeoutCommit = 0
	c.Consensus.SkipTimeoutCommit = true
	c.Consensus.PeerGossipSleepDuration = 5 * time.Millisecond
	c.Mempool.Size = 20_000
	c.Mempool.CacheSize = 40_000
	c.Mempool.MaxTxBytes = 2 << 20
	c.Mempool.Recheck = false
	c.TxIndex.Indexer = "null"
	c.Storage.DiscardABCIResponses = true
	c.Instrumentation.Prometheus = false
	return c
}

// Key reads the key that signs votes, and what it signed last; where there is none, it makes one. CometBFT's own reader ends the
// process on a damaged file.
func Key(c *config.Config) (*privval.FilePV, error) {
	for path, into := range map[string]any{c.PrivValidatorKeyFile(): new(privval.FilePVKey), c.PrivValidatorStateFile(): new(privval.FilePVLastSignState)} {
		b, err := os.ReadFile(path)
		if err == nil {
			err = cmtjson.Unmarshal(b, into)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, mesh.Errorf(mesh.Corrupt, "%s: %w", path, err)
		}
	}
	return privval.LoadOrGenFilePV(c.PrivValidatorKeyFile(), c.PrivValidatorStateFile()), nil
}

// Log passes CometBFT's warnings and errors on; its other messages are too many to be read.
func Log(log *slog.Logger) cmtlog.Logger { return logger{log} }

type logger struct{ log *slog.Logger }

func (logger) Debug(string, ...any)           {}
func (logger) Info(string, ...any)            {}
func (l logger) Warn(msg string, kv ...any)   { l.log.Warn(msg, kv...) }
func (l logger) Error(msg string, kv ...any)  { l.log.Error(msg, kv...) }
func (l logger) With(kv ...any) cmtlog.Logger { return logger{l.log.With(kv...)} }
