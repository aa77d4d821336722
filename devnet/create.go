package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/types"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/gateway"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
	"github.com/stratosmesh/stratos/node"
	"github.com/stratosmesh/stratos/protocol/chainproof"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/group"
)

// A Record is a network as it was created: network.json.
type Record struct {
	Format     int              `json:"format"` // 1
	Network    Network          `json:"network"`
	NetworkID  mesh.NetworkID   `json:"network_id"`
	ChainID    string           `json:"chain_id"`
	EVMChainID uint64           `json:"evm_chain_id"`
	Created    time.Time        `json:"created"`
	Ports      map[string]Ports `json:"ports"` // process -> purpose -> port
}

const recordFormat = 1

func recordPath(h home.Home) string { return h.Path("network.json") }

// ReadRecord reads network.json. Without one the error is NotFound.
func ReadRecord(h home.Home) (*Record, error) {
	b, err := os.ReadFile(recordPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "no network was created in %s", h.Dir()), "create one with: stratos up")
	}
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "read network: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "network %s: %w", recordPath(h), err)
	}
	if r.Format != recordFormat {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "network %s has format %d, this program knows %d", recordPath(h), r.Format, recordFormat), "use a newer stratos")
	}
	return &r, nil
}

// create makes keys, genesis, profile and, last, the record of a network. One that was left half made is made anew.
func create(ctx context.Context, h home.Home, n Network, stchaind string) (*Record, error) {
	marker := h.Path("creating")
	if err := clearHalfMade(h, marker); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(marker, nil, 0o600); err != nil {
		return nil, err
	}
	members, err := n.members()
	if err != nil {
		return nil, err
	}
	kept := make(chan error, 1)
	go func() { kept <- keep(h, n, members) }() // it takes as long as the genesis
	rec, profile, err := n.found(ctx, h, members, stchaind)
	if err := errors.Join(err, <-kept); err != nil {
		return nil, err
	}
	alice, err := wallet.OpenStore(h.Keys()).Find(members[0].key.Account().String())
	if err != nil {
		return nil, err
	}
	profile.Account = alice.Name
	if err := h.SetProfile(profile); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(recordPath(h), append(b, '\n'), 0o600); err != nil {
		return nil, err
	}
	return rec, os.Remove(marker)
}

// clearHalfMade removes what an interrupted creation left. Without its marker nothing is ever removed.
func clearHalfMade(h home.Home, marker string) error {
	var found []string
	for _, role := range []string{RoleValidator, RoleAuthority, RoleNode, RoleGateway} {
		dirs, err := filepath.Glob(h.Path(role + "-*"))
		if err != nil {
			return err
		}
		found = append(found, dirs...)
	}
	if _, err := os.Lstat(marker); errors.Is(err, fs.ErrNotExist) && len(found) > 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "%s is there, but no network.json that says what it belongs to", found[0]),
			"put network.json back, or use another --home")
	}
	for _, dir := range found {
		if err := os.RemoveAll(dir); err != nil {
			return mesh.Errorf(mesh.Internal, "clear a half-made network: %w", err)
		}
	}
	return nil
}

// found draws the members' keys and has stchaind write the genesis.
func (n Network) found(ctx context.Context, h home.Home, members []member, stchaind string) (*Record, *home.Profile, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	ports := n.portTable()
	spec := &devspec.Spec{
		ChainID: ChainID, EVMChainID: EVMChainID, GenesisTime: &now,
		EpochBlocks: n.EpochBlocks(), MaturityEpochs: 2,
		BlockInterval: uint64(time.Duration(n.BlockInterval).Milliseconds()),
		Validators:    []devspec.Validator{}, Authorities: []devspec.Authority{}, Nodes: []devspec.Node{},
	}
	operators := map[string]mesh.Account{}
	for _, m := range members {
		operators[m.name] = m.key.Account()
		spec.Accounts = append(spec.Accounts, devspec.Account{Name: m.name, Address: m.key.Account(), Balance: m.balance, Ozone: m.ozone})
	}
	for i := range n.Validators {
		name := processName(RoleValidator, i)
		p := ports[name]
		spec.Validators = append(spec.Validators, devspec.Validator{
			Name: name, Home: h.Process(RoleValidator, i), Operator: operators[name], Stake: validatorStake,
			Ports: devspec.Ports{P2P: uint16(p["p2p"]), RPC: uint16(p["rpc"]), Eth: uint16(p["eth"]), EthWS: uint16(p["eth_ws"]), REST: uint16(p["rest"]), GRPC: uint16(p["grpc"])},
		})
	}
	profile := &home.Profile{ChainID: ChainID, EVMChainID: EVMChainID, Endpoints: n.endpoints()}
	authorities, err := initAll(n.Authorities, func(i int) (meta.Identity, error) { return meta.Init(h.Process(RoleAuthority, i)) })
	if err != nil {
		return nil, nil, err
	}
	for i, id := range authorities {
		name := processName(RoleAuthority, i)
		a := devspec.Authority{
			Name: name, Operator: operators[name], ReportKey: id.ReportKey, ConsensusKey: id.ConsensusKey, TLSKey: id.TLSKey,
			Address: hostPort(ports[name]["api"]), Deposit: authorityDeposit,
		}
		spec.Authorities = append(spec.Authorities, a)
		profile.Authorities = append(profile.Authorities, home.Authority{Name: name, Member: group.Member{ID: id.ID, Address: a.Address,
			TLSKey: id.TLSKey, ReportKey: id.ReportKey, ConsensusKey: id.ConsensusKey}})
	}
	gateways, err := initAll(n.gateways(), func(i int) (mesh.PublicKey, error) { return gateway.Init(h.Process(RoleGateway, i)) })
	if err != nil {
		return nil, nil, err
	}
	for i, key := range gateways {
		name := processName(RoleGateway, i)
		profile.Gateways = append(profile.Gateways, home.Gateway{Name: name, Key: key, S3: "http://" + hostPort(ports[name]["s3"]), HTTP: "http://" + hostPort(ports[name]["http"]), Postgres: "postgres://" + hostPort(ports[name]["postgres"]), Databases: "http://" + hostPort(ports[name]["databases"])})
	}
	nodes, err := initAll(n.Nodes, func(i int) (node.Identity, error) { return node.Init(h.Process(RoleNode, i)) })
	if err != nil {
		return nil, nil, err
	}
	for i, id := range nodes {
		name := processName(RoleNode, i)
		spec.Nodes = append(spec.Nodes, devspec.Node{
			Name: name, Operator: operators[name], NodeKey: id.NodeKey, TLSKey: id.TLSKey,
			Kinds: devspec.Compute | devspec.Database | devspec.Storage, Tier: 1,
			Address: hostPort(ports[name]["transfer"]), Domain: name, Deposit: nodeDeposit,
		})
	}
	result, err := devnetInit(ctx, h, spec, stchaind)
	if err != nil {
		return nil, nil, err
	}
	profile.Network = result.NetworkID
	if err := n.settle(h, spec, profile, authorities); err != nil {
		return nil, nil, err
	}
	return &Record{
		Format: recordFormat, Network: n, NetworkID: result.NetworkID, ChainID: ChainID, EVMChainID: EVMChainID,
		Created: now, Ports: ports,
	}, profile, nil
}

func hostPort(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// initAll makes count homes.
func initAll[T any](count int, init func(int) (T, error)) ([]T, error) {
	out := make([]T, count)
	for i := range out {
		var err error
		if out[i], err = init(i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// settle writes the settings of authorities and nodes, and the genesis of the authorities' group, now that the value
// layer's genesis is known.
func (n Network) settle(h home.Home, spec *devspec.Spec, p *home.Profile, authorities []meta.Identity) error {
	if n.Authorities == 0 {
		return nil
	}
	ports := n.portTable()
	anchor, err := trustAnchor(spec)
	if err != nil {
		return err
	}
	genesis, err := meta.Genesis{Network: p.Network, Time: *spec.GenesisTime, EpochBlocks: spec.EpochBlocks, Trusted: anchor, Members: authorities,
		Checkpoint: max(min(time.Duration(n.Epoch)/2, 10*time.Minute), time.Second)}.Encode()
	if err != nil {
		return err
	}
	var rpcs []string
	for i := range n.Validators {
		rpcs = append(rpcs, "http://"+hostPort(ports[processName(RoleValidator, i)]["rpc"]))
	}
	var peers []string
	for i, id := range authorities {
		peers = append(peers, id.PeerID+"@"+hostPort(ports[processName(RoleAuthority, i)]["p2p"]))
	}
	for i := range authorities {
		name := processName(RoleAuthority, i)
		at := ports[name]
		err := meta.WriteConfig(h.Process(RoleAuthority, i), meta.Config{Name: name, Network: p.Network, API: hostPort(at["api"]), P2P: hostPort(at["p2p"]),
			Status: hostPort(at["http"]), Peers: slices.Delete(slices.Clone(peers), i, i+1), ValueRPC: rpcs, ValueEth: p.Endpoints.Eth, EVMChain: EVMChainID}, genesis)
		if err != nil {
			return err
		}
	}
	var members []group.Member
	for _, a := range p.Authorities {
		members = append(members, a.Member)
	}
	for i := range n.Nodes {
		name := processName(RoleNode, i)
		err := node.WriteConfig(h.Process(RoleNode, i), node.Config{Name: name, Network: p.Network, Transfer: hostPort(ports[name]["transfer"]),
			Status: hostPort(ports[name]["http"]), Authorities: members, SettleEvery: node.Every(time.Duration(n.Epoch) / 3),
			Database: hostPort(ports[name]["replica_0"]), Tasks: 1})
		if err != nil {
			return err
		}
	}
	for i := range n.gateways() {
		name := processName(RoleGateway, i)
		err := gateway.WriteConfig(h.Process(RoleGateway, i), gateway.Config{Name: name, Network: p.Network, S3: hostPort(ports[name]["s3"]), HTTP: hostPort(ports[name]["http"]), Postgres: hostPort(ports[name]["postgres"]),
			Databases: hostPort(ports[name]["databases"]),
			Status:    hostPort(ports[name]["status"]), AccessLog: "access.log", Authorities: members})
		if err != nil {
			return err
		}
	}
	return nil
}

// trustAnchor is what the authorities trust of the value layer before its first block: the validators of its genesis.
func trustAnchor(spec *devspec.Spec) ([]byte, error) {
	var vals []*types.Validator
	for _, v := range spec.Validators {
		// Not privval's own loader: it ends the program when something is wrong.
		path := filepath.Join(v.Home, "config", "priv_validator_key.json")
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, mesh.Errorf(mesh.Internal, "the validator's key: %w", err)
		}
		var key privval.FilePVKey
		if err := cmtjson.Unmarshal(b, &key); err != nil {
			return nil, mesh.Errorf(mesh.Internal, "the validator's key in %s: %w", path, err)
		}
		power := new(big.Int).Div(v.Stake.Big(), big.NewInt(mesh.WeiPerStos))
		vals = append(vals, types.NewValidator(key.PubKey, power.Int64()))
	}
	return chainproof.Found(spec.ChainID, *spec.GenesisTime, types.NewValidatorSet(vals))
}

// devnetInit runs `stchaind devnet-init`. The spec stays in the home: it is what the genesis was made from.
func devnetInit(ctx context.Context, h home.Home, spec *devspec.Spec, stchaind string) (*devspec.Result, error) {
	if err := spec.Check(); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "spec of the network: %w", err)
	}
	b, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return nil, err
	}
	path := h.Path("spec.json")
	if err := atomicfile.Write(path, append(b, '\n'), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, stchaind, "devnet-init", "--spec", path)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, mesh.Errorf(mesh.Internal, "write the genesis: %s devnet-init: %w\n%s", stchaind, err, strings.TrimSpace(errOut.String()))
	}
	var result devspec.Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || result.NetworkID == (mesh.NetworkID{}) {
		return nil, mesh.Errorf(mesh.Internal, "write the genesis: %s devnet-init answered %q: %w", stchaind, clip(out.String()), errors.Join(err, errors.New("no network id")))
	}
	return &result, nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// FindStchaind returns the path of the value layer's program: the given one; else STRATOS_STCHAIND, which says what a
// person wants; else beside the running program; else on the PATH.
func FindStchaind(given string) (string, error) {
	if given == "" {
		given = os.Getenv("STRATOS_STCHAIND")
	}
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", mesh.WithHint(mesh.Errorf(mesh.NotFound, "stchaind: %w", err), "mend STRATOS_STCHAIND or the setting stchaind")
		}
		return filepath.Abs(path)
	}
	if exe, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(exe), "stchaind")); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("stchaind")
	if err != nil {
		return "", mesh.WithHint(mesh.Errorf(mesh.NotFound, "stchaind, the program of the value layer, is neither beside stratos nor on the PATH"),
			"build it with: go build -o bin/ ./cmd/stchaind, or name it with STRATOS_STCHAIND")
	}
	return filepath.Abs(path)
}

func (n Network) endpoints() home.Endpoints {
	v := n.portTable()[processName(RoleValidator, 0)]
	url := func(purpose string) string { return fmt.Sprintf("http://%s", hostPort(v[purpose])) }
	e := home.Endpoints{REST: url("rest"), Eth: url("eth"), CometBFT: url("rpc")}
	if a, ok := n.portTable()[processName(RoleAuthority, 0)]; ok && n.runs(RoleAuthority) {
		e.Status = "http://" + hostPort(a["http"])
	}
	if g, ok := n.portTable()[processName(RoleGateway, 0)]; ok {
		e.S3, e.HTTP = "http://"+hostPort(g["s3"]), "http://"+hostPort(g["http"])
		e.Postgres, e.Databases = "postgres://"+hostPort(g["postgres"]), "http://"+hostPort(g["databases"])
	}
	return e
}
