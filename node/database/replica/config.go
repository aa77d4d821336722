package replica

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	cmted "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/types"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// votingPower is the power of every member: they are equal.
const votingPower = 10

// maxCheckpointMs bounds how rarely a cell makes checkpoints: a day.
const maxCheckpointMs = 24 * 3600 * 1000

// Files in a replica's home.
const (
	configFile   = "replica.json"
	answerFile   = "answer.pem"
	consensusDir = "consensus"
	stateDir     = "state"
	filesDir     = "databases"
)

// Config is what a replica knows of its cell; it lies in its home as replica.json. All but where it listens is from the meta
// layer, the same on every replica.
type Config struct {
	Network     mesh.NetworkID   `json:"network"`
	Group       mesh.GroupID     `json:"group"` // of the meta layer
	Cell        mesh.CellID      `json:"cell"`
	Version     uint32           `json:"version"`    // of the member set
	FoundedMs   int64            `json:"founded_ms"` // time of the genesis
	Members     []Member         `json:"members"`    // in the drawn order
	Authorities []mesh.PublicKey `json:"authorities"`
	// CheckpointMs is a rule of the cell's; 0 means its default.
	CheckpointMs int64 `json:"checkpoint_ms,omitempty"`

	Peer    string `json:"peer"`    // host:port to listen on for other replicas
	Service string `json:"service"` // host:port to listen on for clients
}

// Member is one replica as the others know it.
type Member struct {
	Node         mesh.NodeID    `json:"node"`
	ConsensusKey mesh.PublicKey `json:"consensus_key"`
	AnswerKey    mesh.PublicKey `json:"answer_key"` // its name among peers, too
	Peer         string         `json:"peer"`
	Address      string         `json:"address"`
}

// NewConfig makes a replica's settings of what the meta layer answers of its cell. Where it listens is for the caller to set.
func NewConfig(network mesh.NetworkID, group mesh.GroupID, a *wirepb.CellAnswer) (c Config, err error) {
	if a.FoundedMs == 0 {
		return c, mesh.Errorf(mesh.Unavailable, "the cell %x is not founded: not all of its members have told their keys", a.Id)
	}
	c = Config{Network: network, Group: group, Version: a.Version, FoundedMs: a.FoundedMs, CheckpointMs: a.CheckpointMs}
	if c.Cell, err = mesh.FromBytes[mesh.CellID](a.Id); err != nil {
		return c, err
	}
	for _, m := range a.Members {
		r := Member{Peer: m.Peer, Address: m.Address}
		var errs [3]error
		r.Node, errs[0] = mesh.FromBytes[mesh.NodeID](m.Node)
		r.ConsensusKey, errs[1] = mesh.FromBytes[mesh.PublicKey](m.ConsensusKey)
		r.AnswerKey, errs[2] = mesh.FromBytes[mesh.PublicKey](m.AnswerKey)
		if err := errors.Join(errs[:]...); err != nil {
			return c, mesh.Errorf(mesh.Invalid, "a member of cell %s: %w", c.Cell, err)
		}
		c.Members = append(c.Members, r)
	}
	for _, b := range a.Authorities {
		k, err := mesh.FromBytes[mesh.PublicKey](b)
		if err != nil {
			return c, mesh.Errorf(mesh.Invalid, "an authority of cell %s: %w", c.Cell, err)
		}
		c.Authorities = append(c.Authorities, k)
	}
	return c, c.checkCell()
}

// checkCell checks what of the settings the whole cell has.
func (c Config) checkCell() error {
	n := len(c.Members)
	switch {
	case n%3 != 1 || n < database.Replicas(1) || n > database.Replicas(database.MaxFaults):
		return mesh.Errorf(mesh.Invalid, "a cell of %d members, want 3f+1 for f from 1 to %d", n, database.MaxFaults)
	case c.FoundedMs <= 0:
		return mesh.Errorf(mesh.Invalid, "a cell that was never founded")
	case c.CheckpointMs < 0 || c.CheckpointMs > maxCheckpointMs:
		return mesh.Errorf(mesh.Invalid, "a cell that makes a checkpoint every %d ms, want at most %d", c.CheckpointMs, maxCheckpointMs)
	case len(c.Authorities) == 0 || len(c.Authorities) > database.MaxAuthorities:
		return mesh.Errorf(mesh.Invalid, "a cell under %d authorities, want 1 to %d", len(c.Authorities), database.MaxAuthorities)
	}
	keys, peers := map[mesh.PublicKey]bool{}, map[string]bool{}
	once := func(k mesh.PublicKey) error {
		if keys[k] {
			return mesh.Errorf(mesh.Invalid, "a cell in which two have the key %s", k)
		}
		keys[k] = true
		return nil
	}
	for _, m := range c.Members {
		if err := database.CheckCellKey(&wirepb.CellKey{Cell: c.Cell[:], Version: c.Version, ConsensusKey: m.ConsensusKey[:], AnswerKey: m.AnswerKey[:],
			Peer: m.Peer, Address: m.Address}); err != nil {
			return err
		}
		if err := errors.Join(once(m.ConsensusKey), once(m.AnswerKey)); err != nil {
			return err
		}
		if peers[m.Peer] {
			return mesh.Errorf(mesh.Invalid, "a cell in which two have the address %s", m.Peer)
		}
		peers[m.Peer] = true
	}
	for _, a := range c.Authorities {
		if err := once(a); err != nil {
			return err
		}
	}
	return nil
}

// Check tells what in the settings cannot be.
func (c Config) Check() error {
	for what, addr := range map[string]string{"peers": c.Peer, "the service": c.Service} {
		if !strings.Contains(addr, ":") {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the address for %s %q", what, addr), "it looks like 203.0.113.7:26300")
		}
	}
	return c.checkCell()
}

// Domain is where the cell's signatures count.
func (c Config) Domain() sign.Domain { return sign.Domain{Network: c.Network, Group: c.Group} }

// AnswerKeys are those of the members, in order.
func (c Config) AnswerKeys() []mesh.PublicKey {
	var all []mesh.PublicKey
	for _, m := range c.Members {
		all = append(all, m.AnswerKey)
	}
	return all
}

// ChainID names the cell's log, so that its votes count nowhere else: of network, group, cell and version.
func (c Config) ChainID() string {
	h := sha256.New()
	fmt.Fprintf(h, "stratos-cell-v1\x00%s/%d/%s/%d", c.Network, c.Group, c.Cell, c.Version)
	return "stratos-cell-" + hex.EncodeToString(h.Sum(nil)[:18])
}

// founding is the application's part of the genesis.
type founding struct {
	Network     mesh.NetworkID   `json:"network"`
	Group       mesh.GroupID     `json:"group"`
	Cell        mesh.CellID      `json:"cell"`
	Version     uint32           `json:"version"`
	AnswerKeys  []mesh.PublicKey `json:"answer_keys"`
	Authorities []mesh.PublicKey `json:"authorities"`
	Rules       Rules            `json:"rules"`
}

// Genesis returns the document that founds the cell's log. It follows from the settings and the rules, so that every replica
// makes it for itself.
func (c Config) Genesis(r Rules) (*types.GenesisDoc, error) {
	state, err := json.Marshal(founding{c.Network, c.Group, c.Cell, c.Version, c.AnswerKeys(), c.Authorities, r})
	if err != nil {
		return nil, fmt.Errorf("encoding the cell's genesis: %w", err)
	}
	hash := sha256.Sum256(state)
	cp := types.DefaultConsensusParams()
	cp.Block.MaxBytes = -1 // the application chooses among all that wait, and refuses blocks that are too large
	cp.Evidence.MaxBytes = 1 << 20
	d := &types.GenesisDoc{ChainID: c.ChainID(), GenesisTime: time.UnixMilli(c.FoundedMs).UTC(), InitialHeight: 1, ConsensusParams: cp, AppState: state, AppHash: hash[:]}
	for _, m := range c.Members {
		d.Validators = append(d.Validators, types.GenesisValidator{PubKey: cmted.PubKey(m.ConsensusKey[:]), Power: votingPower})
	}
	if err := d.ValidateAndComplete(); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the cell's genesis: %w", err)
	}
	return d, nil
}

// peers are the other members as CometBFT names them.
func (c Config) peers(own mesh.PublicKey) string {
	var all []string
	for _, m := range c.Members {
		if m.AnswerKey != own {
			all = append(all, string(p2p.PubKeyToID(cmted.PubKey(m.AnswerKey[:])))+"@"+m.Peer)
		}
	}
	return strings.Join(all, ",")
}

// Identity is what the meta layer must know of a replica before its cell is founded.
type Identity struct {
	ConsensusKey mesh.PublicKey
	AnswerKey    mesh.PublicKey
}

// Init makes a replica's home with keys of its own, or returns the identity of the one that is there.
func Init(home string) (id Identity, err error) {
	cfg := consensus.Config(filepath.Join(home, consensusDir))
	for _, d := range []string{filepath.Join(consensusDir, cmtcfg.DefaultConfigDir), filepath.Join(consensusDir, cmtcfg.DefaultDataDir), filesDir} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o700); err != nil {
			return id, fmt.Errorf("making the replica's home: %w", err)
		}
	}
	pv, err := consensus.Key(cfg)
	if err != nil {
		return id, err
	}
	k, ok := pv.Key.PubKey.(cmted.PubKey)
	if !ok {
		return id, mesh.Errorf(mesh.Corrupt, "the consensus key in %s is not ed25519", cfg.PrivValidatorKeyFile())
	}
	answer, err := keyfile.ReadOrCreate(filepath.Join(home, answerFile))
	if err != nil {
		return id, err
	}
	return Identity{mesh.PublicKey(k), mesh.PublicKeyOf(answer)}, nil
}

// AnswerKey is the key with which the replica in a home answers, and by which the others know it.
func AnswerKey(home string) (ed25519.PrivateKey, error) {
	return keyfile.Read(filepath.Join(home, answerFile))
}

// WriteConfig writes a replica's settings into its home. Those of another cell or version are never replaced: Conflict.
func WriteConfig(home string, c Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	old, err := ReadConfig(home)
	if err == nil && (old.Cell != c.Cell || old.Version != c.Version || old.Network != c.Network) {
		return mesh.Errorf(mesh.Conflict, "%s is the home of a replica of cell %s, version %d", home, old.Cell, old.Version)
	}
	if err != nil && mesh.KindOf(err) != mesh.NotFound {
		return err
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the replica's settings: %w", err)
	}
	return atomicfile.Write(filepath.Join(home, configFile), append(b, '\n'), 0o644)
}

// ReadConfig reads a replica's settings.
func ReadConfig(home string) (c Config, err error) {
	b, err := os.ReadFile(filepath.Join(home, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, mesh.Errorf(mesh.NotFound, "there is no replica in %s", home)
	}
	if err != nil {
		return c, fmt.Errorf("reading the replica's settings: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, mesh.Errorf(mesh.Invalid, "%s: %w", filepath.Join(home, configFile), err)
	}
	return c, c.Check()
}
