// Package devnet runs a whole Stratos network on one machine: from one declarative Network it creates keys, genesis
// and homes, and supervises the processes until it is told to stop.
//
// It implements no layer itself; every process is a child that runs stchaind or stratos. Command `stratos up` calls
// it, and tests that need a real network do.
package devnet

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database"
)

// Identity of the development network.
const (
	ChainID    = "stratos-dev-1"
	EVMChainID = 20481
)

// A Network declares a development network. It is recorded when the network is created and holds from then on.
type Network struct {
	Validators    int      `json:"validators"`
	Authorities   int      `json:"authorities"`
	Nodes         int      `json:"nodes"`
	Gateways      int      `json:"gateways"`  // none where there are no authorities
	BasePort      int      `json:"base_port"` // 0 takes a free block of ports
	Epoch         Duration `json:"epoch"`
	BlockInterval Duration `json:"block_interval"`
}

// Default is the network of a plain `stratos up`.
func Default() Network {
	return Network{
		Validators:    1,
		Authorities:   4,
		Nodes:         8,
		Gateways:      1,
		BasePort:      26000,
		Epoch:         Duration(30 * time.Second),
		BlockInterval: Duration(500 * time.Millisecond),
	}
}

// Limits of a network; they follow from the ports that each role has.
const (
	MaxValidators  = 10
	MaxAuthorities = 10
	MaxNodes       = 70
	MaxGateways    = 10
	maxBasePort    = 65535 - blockPorts
)

// Check tells what in the declaration cannot be.
func (n Network) Check() error {
	for _, c := range []struct {
		what           string
		got, low, high int
	}{
		{"validators", n.Validators, 1, MaxValidators},
		{"authorities", n.Authorities, 0, MaxAuthorities},
		{"nodes", n.Nodes, 0, MaxNodes},
		{"gateways", n.Gateways, 0, MaxGateways},
	} {
		if c.got < c.low || c.got > c.high {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%d %s", c.got, c.what), "a development network has %d to %d", c.low, c.high)
		}
	}
	if n.BasePort != 0 && (n.BasePort < 1024 || n.BasePort > maxBasePort) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "base port %d", n.BasePort), "it is 1024 to %d, or 0 for a free one", maxBasePort)
	}
	if n.BlockInterval < Duration(10*time.Millisecond) || n.BlockInterval > Duration(time.Minute) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "a block every %s", n.BlockInterval), "it is 10ms to 1m")
	}
	if n.Epoch < n.BlockInterval || n.Epoch > Duration(24*time.Hour) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "an epoch of %s", n.Epoch), "it is one block interval (%s) to 24h", n.BlockInterval)
	}
	if n.Nodes > 0 && n.Authorities == 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s and no authority to use them", plural(n.Nodes, "node")), "give --authorities too, or --nodes 0")
	}
	return nil
}

// EpochBlocks is how many blocks an epoch has, rounded up.
func (n Network) EpochBlocks() uint64 {
	return uint64((n.Epoch + n.BlockInterval - 1) / n.BlockInterval)
}

// The names of the settings of a Network that a person can give.
const (
	SetValidators  = "validators"
	SetAuthorities = "authorities"
	SetNodes       = "nodes"
	SetGateways    = "gateways"
	SetBasePort    = "base_port"
	SetEpoch       = "epoch"
)

// Settings writes the settings that a person can give as text, by name.
func (n Network) Settings() map[string]string {
	return map[string]string{
		SetValidators:  strconv.Itoa(n.Validators),
		SetAuthorities: strconv.Itoa(n.Authorities),
		SetNodes:       strconv.Itoa(n.Nodes),
		SetGateways:    strconv.Itoa(n.Gateways),
		SetBasePort:    strconv.Itoa(n.BasePort),
		SetEpoch:       n.Epoch.String(),
	}
}

// Agrees refuses a setting that was given and is another than the recorded one. given maps settings to where
// they were given. Base port 0 asks for nothing particular.
func (n Network) Agrees(recorded Network, given map[string]string) error {
	for _, name := range []string{SetValidators, SetAuthorities, SetNodes, SetGateways, SetBasePort, SetEpoch} {
		where, asked := given[name]
		want, is := n.Settings()[name], recorded.Settings()[name]
		if !asked || want == is || name == SetBasePort && n.BasePort == 0 {
			continue
		}
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "%s asks for %s = %s, but this network was created with %s", where, name, want, is),
			"leave it out, use another --home, or remove this one")
	}
	return nil
}

// A Duration is a time.Duration that JSON shows as text, like "30s".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "duration %q", b), "write it as 30s, 500ms or 10m")
	}
	*d = Duration(v)
	return nil
}

// Ports of each process, as offsets from the base port. The guard port is held by the supervisor itself, so that two
// networks never start on one block.
const (
	guardPort     = 99
	validatorBase = 0 // 10 for each
	authorityBase = 100
	gatewayBase   = 200
	nodeBase      = 300
	blockPorts    = nodeBase + 10*MaxNodes
)

// Ports maps the purposes of one process's ports to their numbers.
type Ports map[string]int

// portTable numbers the ports of every process of the network, by process.
func (n Network) portTable() map[string]Ports {
	out := map[string]Ports{}
	role := func(name string, count, base int, purposes ...string) {
		for i := range count {
			p := Ports{}
			for j, purpose := range purposes {
				p[purpose] = n.BasePort + base + 10*i + j
			}
			out[processName(name, i)] = p
		}
	}
	role(RoleValidator, n.Validators, validatorBase, "p2p", "rpc", "eth", "eth_ws", "rest", "grpc")
	role(RoleAuthority, n.Authorities, authorityBase, "api", "p2p", "http")
	role(RoleGateway, n.gateways(), gatewayBase, "s3", "http", "status", "postgres", "databases")
	role(RoleNode, n.Nodes, nodeBase, nodePorts()...)
	return out
}

// nodePorts are the purposes of a node's ports; those of its replicas of databases follow each other.
func nodePorts() []string {
	all := []string{"transfer", "http"}
	for i := range database.Ports {
		all = append(all, fmt.Sprintf("replica_%d", i))
	}
	return all
}

// gateways is how many gateways run.
func (n Network) gateways() int {
	if n.Authorities == 0 {
		return 0
	}
	return n.Gateways
}

// allPorts lists the ports of the network in rising order, the guard's among them.
func (n Network) allPorts() []int {
	out := []int{n.BasePort + guardPort}
	for _, ports := range n.portTable() {
		for _, p := range ports {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func processName(role string, i int) string { return fmt.Sprintf("%s-%d", role, i) }
