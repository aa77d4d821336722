// Package abi holds the interfaces and addresses of the value layer's precompiled contracts, so that whatever speaks
// to the chain encodes its calls from the same files that the chain decodes them with.
//
// It sends nothing: package client and command stratos do. The JSON files are what wallets and contract tools load.
package abi

import (
	"bytes"
	_ "embed"
	"sync"

	ethabi "github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// A Contract is a precompiled contract: where it is and what it understands.
type Contract struct {
	ethabi.ABI
	Name    string
	Address common.Address
	JSON    []byte // the ABI as wallets load it; not to be changed
}

var (
	//go:embed send.json
	sendJSON []byte
	//go:embed register.json
	registerJSON []byte
	//go:embed sds.json
	sdsJSON []byte
	//go:embed pot.json
	potJSON []byte
	//go:embed sdd.json
	sddJSON []byte
	//go:embed sdc.json
	sdcJSON []byte
)

var (
	send     = contract("send", 0x5300, sendJSON)
	register = contract("register", 0x5301, registerJSON)
	sds      = contract("sds", 0x5302, sdsJSON)
	pot      = contract("pot", 0x5303, potJSON)
	sdd      = contract("sdd", 0x5304, sddJSON)
	sdc      = contract("sdc", 0x5305, sdcJSON)
)

// Send moves STOS: to one account, or to several in one transaction.
func Send() Contract { return send() }

// Register adds, changes and removes resource nodes and authorities.
func Register() Contract { return register() }

// SDS sells ozone.
func SDS() Contract { return sds() }

// Pot takes epoch reports and pays rewards.
func Pot() Contract { return pot() }

// SDD anchors databases.
func SDD() Contract { return sdd() }

// SDC has tasks run.
func SDC() Contract { return sdc() }

// All returns every contract, by rising address.
func All() []Contract { return []Contract{send(), register(), sds(), pot(), sdd(), sdc()} }

// contract parses an ABI when it is first asked for. One that does not parse is a programmer's mistake.
func contract(name string, address uint16, json []byte) func() Contract {
	return sync.OnceValue(func() Contract {
		a, err := ethabi.JSON(bytes.NewReader(json))
		if err != nil {
			panic("abi: " + name + ".json: " + err.Error())
		}
		var to common.Address
		to[18], to[19] = byte(address>>8), byte(address)
		return Contract{ABI: a, Name: name, Address: to, JSON: json}
	})
}
