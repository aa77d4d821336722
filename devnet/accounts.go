package devnet

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
)

// Mnemonic is that of Foundry's Anvil: everybody knows it, so its accounts are for development only.
const Mnemonic = "test test test test test test test test test test test junk"

// Indexes of the first operator of each role under the mnemonic.
const (
	validatorKeys = 10
	authorityKeys = 20
	nodeKeys      = 100
)

// What the accounts and members of a development network begin with.
var (
	personBalance    = mesh.Stos(10_000)
	operatorBalance  = mesh.Stos(1_000)
	validatorStake   = mesh.Stos(10_000)
	authorityDeposit = mesh.Stos(1_000)
	nodeDeposit      = mesh.Stos(800) // of tier 1
)

const aliceOzone = 1_000 * mesh.NozPerOz

// A member is an account of the network whose key derives from Mnemonic.
type member struct {
	name     string
	operates string // process; empty for people
	key      wallet.Key
	balance  mesh.Wei
	ozone    mesh.Noz
}

// members returns the accounts of the network: alice and bob, then the operators, each under its process's name.
func (n Network) members() ([]member, error) {
	tree, err := wallet.ParseMnemonic(Mnemonic)
	if err != nil {
		return nil, err
	}
	out := []member{
		{name: "alice", balance: personBalance, ozone: aliceOzone},
		{name: "bob", balance: personBalance},
	}
	if n.Authorities+n.Nodes == 0 {
		out[0].ozone = 0 // deposits bring ozone into being: without members there is none to buy
	}
	index := []uint32{0, 1}
	for _, r := range []struct {
		role  string
		count int
		first uint32
	}{{RoleValidator, n.Validators, validatorKeys}, {RoleAuthority, n.Authorities, authorityKeys}, {RoleNode, n.Nodes, nodeKeys}} {
		for i := range r.count {
			name := processName(r.role, i)
			out = append(out, member{name: name, operates: name, balance: operatorBalance})
			index = append(index, r.first+uint32(i))
		}
	}
	for i := range out {
		if out[i].key, err = tree.Key(index[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keep puts the members' keys into the wallet of the home, without passwords, and an authority's operator into that of its
// own home too: it pays for the reports that the authority posts. An account that is there already stays, under whatever
// name.
func keep(h home.Home, n Network, members []member) error {
	store := wallet.OpenStore(h.Keys())
	operates := map[string]int{}
	for i := range n.Authorities {
		operates[processName(RoleAuthority, i)] = i
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	errs := make([]error, len(members))
	for i, m := range members {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if a, ok := operates[m.operates]; ok {
				own := wallet.OpenStore(filepath.Join(h.Process(RoleAuthority, a), meta.OperatorDir))
				if errs[i] = own.Add(meta.OperatorName, m.key, "", wallet.Light); errs[i] != nil {
					return
				}
			}
			if _, err := store.Find(m.key.Account().String()); err == nil {
				return
			}
			if err := store.Add(m.name, m.key, "", wallet.Light); err != nil {
				errs[i] = mesh.WithHint(fmt.Errorf("account of %s: %w", m.name, err), "use another --home: this one has an account of that name")
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
