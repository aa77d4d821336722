// Package devspec describes a development network in one JSON document: what `stchaind devnet-init` turns into
// validator homes and a genesis, and what it prints in return.
//
// It holds no network logic and no SDK type, so that the program that writes a spec need not link the value layer.
package devspec

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// Limits of a spec: a development network is small.
const (
	MaxBytes      = 4 << 20 // of the document
	MaxValidators = 100
	MaxAccounts   = 10_000
	MaxMembers    = 100 // authorities
	MaxNodes      = 10_000
	MaxName       = 64
)

// Bits of Node.Kinds.
const (
	Compute  = 1
	Database = 2
	Storage  = 4
)

// A Spec is a development network from its first block. Amounts are decimal strings of wei; keys are ed25519 public
// keys in hexadecimal; addresses are host:port.
type Spec struct {
	ChainID        string      `json:"chain_id"`
	EVMChainID     uint64      `json:"evm_chain_id"`
	GenesisTime    *time.Time  `json:"genesis_time,omitempty"` // absent: now
	EpochBlocks    uint64      `json:"epoch_blocks"`           // heights in an epoch
	MaturityEpochs uint64      `json:"maturity_epochs"`        // epochs until a reward can be withdrawn
	BlockInterval  uint64      `json:"block_interval_ms"`
	Validators     []Validator `json:"validators"`
	Accounts       []Account   `json:"accounts"`
	Authorities    []Authority `json:"authorities"`
	Nodes          []Node      `json:"nodes"`
}

// A Validator gets a home with fresh keys. Its stake is minted for it, beyond its operator's balance.
type Validator struct {
	Name     string       `json:"name"`
	Home     string       `json:"home"` // absolute path; created
	Operator mesh.Account `json:"operator"`
	Stake    mesh.Wei     `json:"stake_wei"`
	Ports    Ports        `json:"ports"`
}

// Ports of one validator, all on 127.0.0.1.
type Ports struct {
	P2P   uint16 `json:"p2p"`
	RPC   uint16 `json:"rpc"`    // CometBFT
	Eth   uint16 `json:"eth"`    // Ethereum JSON-RPC over HTTP
	EthWS uint16 `json:"eth_ws"` // Ethereum JSON-RPC over WebSocket
	REST  uint16 `json:"rest"`   // Cosmos REST
	GRPC  uint16 `json:"grpc"`   // Cosmos gRPC; 0: not served
}

// An Account holds a balance from the start. Its ozone is bought on the curve with wei that is minted for it.
type Account struct {
	Name    string       `json:"name"`
	Address mesh.Account `json:"address"`
	Balance mesh.Wei     `json:"balance_wei"`
	Ozone   mesh.Noz     `json:"ozone_noz"`
}

// An Authority is a member of the meta layer from the start. Its deposit is minted for it.
type Authority struct {
	Name         string         `json:"name"`
	Operator     mesh.Account   `json:"operator"`
	ReportKey    mesh.PublicKey `json:"report_key"`
	ConsensusKey mesh.PublicKey `json:"consensus_key"`
	TLSKey       mesh.PublicKey `json:"tls_key"`
	Address      string         `json:"address"`
	Deposit      mesh.Wei       `json:"deposit_wei"`
}

// A Node is a resource node from the start. Its deposit is minted for it.
type Node struct {
	Name     string         `json:"name"`
	Operator mesh.Account   `json:"operator"`
	NodeKey  mesh.PublicKey `json:"node_key"`
	TLSKey   mesh.PublicKey `json:"tls_key"`
	Kinds    uint32         `json:"kinds"` // sum of Compute, Database, Storage
	Tier     uint32         `json:"tier"`  // 1 to 3
	Address  string         `json:"address"`
	Domain   string         `json:"domain"` // declared failure domain
	Deposit  mesh.Wei       `json:"deposit_wei"`
}

// A Result is what devnet-init prints: one JSON object.
type Result struct {
	NetworkID  mesh.NetworkID    `json:"network_id"` // SHA-256 of genesis.json
	ChainID    string            `json:"chain_id"`
	Validators []ValidatorResult `json:"validators"`
}

// A ValidatorResult names a validator whose home is ready.
type ValidatorResult struct {
	Name        string `json:"name"`
	Home        string `json:"home"`
	CometNodeID string `json:"comet_node_id"`
}

// Decode reads a spec strictly: a field that it does not know, a second document or a value out of bounds is an error.
func Decode(r io.Reader) (*Spec, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "read spec: %w", err)
	}
	if len(b) > MaxBytes {
		return nil, mesh.Errorf(mesh.Invalid, "the spec is longer than %d bytes", MaxBytes)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var s Spec
	if err := d.Decode(&s); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "spec: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, mesh.Errorf(mesh.Invalid, "the spec is followed by something else")
	}
	return &s, s.Check()
}

// Check tells what in the spec cannot be.
func (s *Spec) Check() error {
	switch {
	case s.ChainID == "" || len(s.ChainID) > 50:
		return mesh.Errorf(mesh.Invalid, "chain_id %q has %d characters, want 1 to 50", s.ChainID, len(s.ChainID))
	case s.EVMChainID == 0:
		return mesh.Errorf(mesh.Invalid, "evm_chain_id is missing")
	case s.EpochBlocks == 0 || s.EpochBlocks > 1<<32:
		return mesh.Errorf(mesh.Invalid, "epoch_blocks is %d, want 1 to 2^32", s.EpochBlocks)
	case s.MaturityEpochs > 1<<32:
		return mesh.Errorf(mesh.Invalid, "maturity_epochs is %d, at most 2^32", s.MaturityEpochs)
	case s.BlockInterval == 0 || s.BlockInterval > 60_000:
		return mesh.Errorf(mesh.Invalid, "block_interval_ms is %d, want 1 to 60000", s.BlockInterval)
	case len(s.Validators) == 0 || len(s.Validators) > MaxValidators:
		return mesh.Errorf(mesh.Invalid, "%d validators, want 1 to %d", len(s.Validators), MaxValidators)
	case len(s.Accounts) > MaxAccounts:
		return mesh.Errorf(mesh.Invalid, "%d accounts, at most %d", len(s.Accounts), MaxAccounts)
	case len(s.Authorities) > MaxMembers:
		return mesh.Errorf(mesh.Invalid, "%d authorities, at most %d", len(s.Authorities), MaxMembers)
	case len(s.Nodes) > MaxNodes:
		return mesh.Errorf(mesh.Invalid, "%d nodes, at most %d", len(s.Nodes), MaxNodes)
	}
	for _, v := range s.Validators {
		if err := v.check(); err != nil {
			return err
		}
	}
	for _, a := range s.Accounts {
		if err := checkMember("account", a.Name, a.Balance, ""); err != nil {
			return err
		}
		if a.Ozone > mesh.MaxNoz {
			return mesh.Errorf(mesh.Invalid, "account %q: more ozone than an account can hold", a.Name)
		}
	}
	for _, a := range s.Authorities {
		if err := checkMember("authority", a.Name, a.Deposit, a.Address); err != nil {
			return err
		}
	}
	for _, n := range s.Nodes {
		if err := checkMember("node", n.Name, n.Deposit, n.Address); err != nil {
			return err
		}
		if n.Kinds == 0 || n.Kinds > Compute|Database|Storage {
			return mesh.Errorf(mesh.Invalid, "node %q: kinds is %d, want a sum of 1, 2 and 4", n.Name, n.Kinds)
		}
		if n.Tier < 1 || n.Tier > 3 {
			return mesh.Errorf(mesh.Invalid, "node %q: tier is %d, want 1 to 3", n.Name, n.Tier)
		}
	}
	return nil
}

func (v *Validator) check() error {
	if err := checkMember("validator", v.Name, v.Stake, ""); err != nil {
		return err
	}
	if !filepath.IsAbs(v.Home) {
		return mesh.Errorf(mesh.Invalid, "validator %q: home %q is not an absolute path", v.Name, v.Home)
	}
	if v.Stake.Cmp(mesh.Stos(1)) < 0 {
		return mesh.Errorf(mesh.Invalid, "validator %q: stake is %s, at least 1 STOS counts", v.Name, v.Stake)
	}
	p := v.Ports
	if p.P2P == 0 || p.RPC == 0 || p.Eth == 0 || p.EthWS == 0 || p.REST == 0 {
		return mesh.Errorf(mesh.Invalid, "validator %q: ports p2p, rpc, eth, eth_ws and rest must be given", v.Name)
	}
	return nil
}

// checkMember examines what validators, accounts, authorities and nodes have in common.
func checkMember(what, name string, amount mesh.Wei, address string) error {
	if name == "" || len(name) > MaxName {
		return mesh.Errorf(mesh.Invalid, "%s name %q has %d bytes, want 1 to %d", what, name, len(name), MaxName)
	}
	if v := amount.Big(); v.Sign() < 0 || v.Cmp(maxAmount) > 0 {
		return mesh.Errorf(mesh.Invalid, "%s %q: the amount %s is out of range", what, name, amount)
	}
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "%s %q: address: %w", what, name, err)
	}
	return nil
}

// maxAmount is far above the whole supply and far below what sums could overflow.
var maxAmount = new(big.Int).Lsh(big.NewInt(1), 160)
