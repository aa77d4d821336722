package devnet

import (
	"fmt"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/internal/supervise"
)

// The roles of processes.
const (
	RoleValidator = "validator"
	RoleAuthority = "authority"
	RoleNode      = "node"
	RoleGateway   = "gateway"
)

// programs are the binaries that the processes run.
type programs struct {
	stchaind string
	stratos  string
}

// A role makes the rows of the process table for one kind of process. Stages start one after the other.
type role struct {
	name  string
	stage int
	count func(Network) int
	row   func(row) (argv []string, ready string)
}

// A row is what a role may use to make the row of one process.
type row struct {
	programs
	home  string // of the process, below the network's home
	ports Ports
}

// roles lists which processes a network consists of. Whoever adds a kind of process adds it here and nowhere else.
func roles() []role {
	return []role{
		{RoleValidator, 0, func(n Network) int { return n.Validators }, func(r row) ([]string, string) {
			return []string{r.stchaind, "start", "--home", r.home, "--log_no_color"},
				// It answers 200 when there is a block.
				fmt.Sprintf("http://%s/cosmos/base/tendermint/v1beta1/blocks/latest", hostPort(r.ports["rest"]))
		}},
		{RoleAuthority, 1, func(n Network) int { return n.Authorities }, func(r row) ([]string, string) {
			return []string{r.stratos, "meta", "run", "--home", r.home}, "http://" + hostPort(r.ports["http"]) + "/readyz"
		}},
		{RoleNode, 1, func(n Network) int { return n.Nodes }, func(r row) ([]string, string) {
			return []string{r.stratos, "node", "run", "--home", r.home}, "http://" + hostPort(r.ports["http"]) + "/readyz"
		}},
		{RoleGateway, 2, Network.gateways, func(r row) ([]string, string) {
			return []string{r.stratos, "gateway", "run", "--home", r.home}, "http://" + hostPort(r.ports["status"]) + "/readyz"
		}},
	}
}

// runs tells whether the network has processes of a role.
func (n Network) runs(name string) bool {
	for _, r := range roles() {
		if r.name == name {
			return r.count(n) > 0
		}
	}
	return false
}

// processTable lists the children of the supervisor.
func processTable(h home.Home, n Network, p programs) []supervise.Process {
	ports := n.portTable()
	var out []supervise.Process
	for _, r := range roles() {
		for i := range r.count(n) {
			name := processName(r.name, i)
			argv, ready := r.row(row{programs: p, home: h.Process(r.name, i), ports: ports[name]})
			out = append(out, supervise.Process{
				Role: r.name, Name: name, Stage: r.stage, Argv: argv, Ready: ready, Dir: h.Dir(), Log: h.Log(name),
			})
		}
	}
	return out
}
