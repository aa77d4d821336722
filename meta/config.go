package meta

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	cmted "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/types"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/registration"
)

// votingPower is the power of every authority: members are equal.
const votingPower = 10

// Config is how an authority is set up; it lies in its home as authority.json.
type Config struct {
	Name     string         `json:"name"`
	Network  mesh.NetworkID `json:"network"`
	Group    mesh.GroupID   `json:"group"`
	API      string         `json:"api"`       // host:port for sessions, nodes and other authorities, mutual TLS
	P2P      string         `json:"p2p"`       // host:port for consensus
	Status   string         `json:"status"`    // host:port for people and monitors, plain HTTP
	Peers    []string       `json:"peers"`     // consensus peers, id@host:port
	ValueRPC []string       `json:"value_rpc"` // CometBFT RPC of value-layer nodes; none of them is trusted
	ValueEth string         `json:"value_eth"` // JSON-RPC of a value-layer node, to post reports
	EVMChain uint64         `json:"evm_chain"` // its chain id
}

// Files in an authority's home.
const (
	configFile    = "authority.json"
	genesisFile   = "genesis.json"
	reportKeyFile = "report.pem"
	tlsKeyFile    = "tls.pem"
	consensusDir  = "consensus"
	stateDir      = "state"
	ticketsDir    = "tickets"
)

// Where an authority's home keeps the account that pays for posting reports: a wallet with one account of this name.
// It may be missing; then others post.
const (
	OperatorDir  = "operator"
	OperatorName = "operator"
)

// Identity is what others must know of an authority.
type Identity struct {
	ID           mesh.AuthorityID `json:"id"`
	ReportKey    mesh.PublicKey   `json:"report_key"`
	ConsensusKey mesh.PublicKey   `json:"consensus_key"`
	TLSKey       mesh.PublicKey   `json:"tls_key"`
	PeerID       string           `json:"peer_id"` // of consensus
}

// Init makes an authority's home with keys of its own, or returns the identity of the one that is there.
func Init(home string) (Identity, error) {
	cfg := consensusConfig(home)
	for _, d := range []string{cmtcfg.DefaultConfigDir, cmtcfg.DefaultDataDir} {
		if err := os.MkdirAll(filepath.Join(cfg.RootDir, d), 0o700); err != nil {
			return Identity{}, fmt.Errorf("making the authority's home: %w", err)
		}
	}
	pv, err := consensus.Key(cfg)
	if err != nil {
		return Identity{}, err
	}
	nk, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return Identity{}, fmt.Errorf("making the consensus peer key: %w", err)
	}
	report, err := keyfile.ReadOrCreate(filepath.Join(home, reportKeyFile))
	if err != nil {
		return Identity{}, err
	}
	tls, err := keyfile.ReadOrCreate(filepath.Join(home, tlsKeyFile))
	if err != nil {
		return Identity{}, err
	}
	consensus, ok := pv.Key.PubKey.(cmted.PubKey)
	if !ok {
		return Identity{}, mesh.Errorf(mesh.Corrupt, "the consensus key in %s is not ed25519", cfg.PrivValidatorKeyFile())
	}
	id := Identity{ReportKey: mesh.PublicKeyOf(report), TLSKey: mesh.PublicKeyOf(tls), ConsensusKey: mesh.PublicKey(consensus), PeerID: string(nk.ID())}
	id.ID = mesh.AuthorityIDOf(id.ReportKey)
	return id, nil
}

// founding is the application's part of the group's genesis.
type founding struct {
	Network      mesh.NetworkID `json:"network"`
	Group        mesh.GroupID   `json:"group"`
	EpochBlocks  uint64         `json:"epoch_blocks"`
	TrustedBlock []byte         `json:"trusted_block"`           // what value-layer headers are first verified against
	CheckpointMs int64          `json:"checkpoint_ms,omitempty"` // between checkpoints of cells; 0: their default
}

// Genesis is the document that founds a group; every founding member has the same.
type Genesis struct {
	Network     mesh.NetworkID
	Group       mesh.GroupID
	Time        time.Time
	EpochBlocks uint64
	Trusted     []byte // see protocol/chainproof
	Members     []Identity
	// Checkpoint is how much time lies between checkpoints of databases' cells, by which databases are paid for. Default 10 minutes;
	// where epochs are shorter, it should be shorter than they are.
	Checkpoint time.Duration
}

// Encode writes the genesis document.
func (g Genesis) Encode() ([]byte, error) {
	state, err := json.Marshal(founding{g.Network, g.Group, g.EpochBlocks, g.Trusted, g.Checkpoint.Milliseconds()})
	if err != nil {
		return nil, fmt.Errorf("encoding the group's genesis: %w", err)
	}
	cp := types.DefaultConsensusParams()
	cp.Block.MaxBytes = 8 << 20
	cp.Evidence.MaxBytes = 1 << 20
	d := &types.GenesisDoc{ChainID: chainID(g.Network, g.Group), GenesisTime: g.Time, InitialHeight: 1, ConsensusParams: cp, AppState: state}
	for _, m := range g.Members {
		d.Validators = append(d.Validators, types.GenesisValidator{PubKey: cmted.PubKey(m.ConsensusKey[:]), Power: votingPower})
	}
	if err := d.ValidateAndComplete(); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the group's genesis: %w", err)
	}
	return cmtjson.MarshalIndent(d, "", "  ")
}

// readGenesis reads a genesis document and the application's part of it.
func readGenesis(b []byte) (g *types.GenesisDoc, f founding, err error) {
	if g, err = types.GenesisDocFromJSON(b); err == nil {
		err = json.Unmarshal(g.AppState, &f)
	}
	if err != nil {
		return nil, f, mesh.Errorf(mesh.Corrupt, "the group's genesis: %w", err)
	}
	return g, f, nil
}

// chainID names a group's log, so that its votes count nowhere else.
func chainID(n mesh.NetworkID, g mesh.GroupID) string {
	return fmt.Sprintf("stratos-meta-%s-%d", n.String()[:16], g)
}

// Check tells what in the settings cannot be.
func (c Config) Check() error {
	for what, addr := range map[string]string{"API": c.API, "consensus": c.P2P, "status": c.Status} {
		if err := checkHostPort(addr); err != nil {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the %s address %q", what, addr), "it looks like 203.0.113.7:26100")
		}
	}
	for _, p := range c.Peers {
		id, addr, _ := strings.Cut(p, "@")
		if b, err := hex.DecodeString(id); err != nil || len(b) != p2p.IDByteLength || checkHostPort(addr) != nil {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the consensus peer %q", p), "it looks like 40 hexadecimal digits, @, and 203.0.113.7:26101")
		}
	}
	return nil
}

func checkHostPort(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && host == "" {
		err = errors.New("no host")
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err
}

// WriteConfig writes an authority's settings and its group's genesis into its home.
func WriteConfig(home string, c Config, genesis []byte) error {
	if err := c.Check(); err != nil {
		return err
	}
	if _, f, err := readGenesis(genesis); err != nil {
		return err
	} else if f.Network != c.Network || f.Group != c.Group {
		return mesh.Errorf(mesh.Denied, "the genesis founds group %d of the network %s, not group %d of %s", f.Group, f.Network, c.Group, c.Network)
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the authority's settings: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(home, genesisFile), genesis, 0o644); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(home, configFile), append(b, '\n'), 0o644)
}

// ReadConfig reads an authority's settings.
func ReadConfig(home string) (Config, error) {
	var c Config
	b, err := os.ReadFile(filepath.Join(home, configFile))
	if os.IsNotExist(err) {
		return c, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no authority in %s", home), "make one with 'stratos meta init'")
	}
	if err != nil {
		return c, fmt.Errorf("reading the authority's settings: %w", err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, mesh.Errorf(mesh.Invalid, "%s: %w", filepath.Join(home, configFile), err)
	}
	return c, c.Check()
}

// Prove returns the identity of the authority in a home, and the proofs of its report and consensus keys with which an
// account may register it.
func Prove(home string, network mesh.NetworkID, operator mesh.Account) (id Identity, report, vote mesh.Signature, err error) {
	if id, err = Init(home); err != nil {
		return id, report, vote, err
	}
	k, err := keyfile.Read(filepath.Join(home, reportKeyFile))
	if err != nil {
		return id, report, vote, err
	}
	pv, err := consensus.Key(consensusConfig(home))
	if err != nil {
		return id, report, vote, err
	}
	claim := registration.AuthorityClaim(operator, id.ReportKey, id.ConsensusKey, id.TLSKey)
	return id, claim.Prove(network, k), claim.Prove(network, ed25519.PrivateKey(pv.Key.PrivKey.Bytes())), nil
}

// consensusConfig is that of the group's log.
func consensusConfig(home string) *cmtcfg.Config {
	c := consensus.Config(filepath.Join(home, consensusDir))
	// A block's time is that of the votes for the block before, so an idle group would live in the past: leases would not
	// end, and headers of the value layer would seem to come from the future. A transaction does not wait for this.
	c.Consensus.CreateEmptyBlocks = true
	c.Consensus.CreateEmptyBlocksInterval = 3 * time.Second
	return c
}
