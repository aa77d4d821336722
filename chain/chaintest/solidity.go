package chaintest

import "github.com/ethereum/go-ethereum/common"

// An Op is an EVM opcode that calls another contract.
type Op byte

// How a Forwarder can call.
const (
	Call         Op = 0xf1
	CallCode     Op = 0xf2
	DelegateCall Op = 0xf4
	StaticCall   Op = 0xfa
)

// Keeper is Forwarder with a plain call, but the contract keeps the value that came with it.
func Keeper(target common.Address) []byte { return forwarder(target, Call, false, true) }

// Forwarder returns the creation code of a contract that passes its call data and value on to target with op. Then it
// returns what came back, unless reverts is set: then it reverts everything after the inner call has succeeded.
func Forwarder(target common.Address, op Op, reverts bool) []byte {
	return forwarder(target, op, reverts, false)
}

func forwarder(target common.Address, op Op, reverts, keeps bool) []byte {
	code := []byte{
		0x36, 0x60, 0x00, 0x60, 0x00, 0x37, // calldatacopy(0, 0, calldatasize)
		0x60, 0x00, 0x60, 0x00, 0x36, 0x60, 0x00, // out size, out offset, in size, in offset
	}
	switch {
	case keeps:
		code = append(code, 0x60, 0x00) // no value
	case op == Call || op == CallCode:
		code = append(code, 0x34) // callvalue
	}
	code = append(code, 0x73) // push20 target
	code = append(code, target[:]...)
	code = append(code, 0x5a, byte(op))                     // gas, call
	code = append(code, 0x3d, 0x60, 0x00, 0x60, 0x00, 0x3e) // returndatacopy(0, 0, returndatasize)
	if reverts {
		code = append(code, 0x60, 0x00, 0x60, 0x00, 0xfd)
	} else {
		ok := byte(len(code) + 9)
		code = append(code, 0x60, ok, 0x57, // if success jump
			0x3d, 0x60, 0x00, 0xfd, // revert(0, returndatasize)
			0x00, 0x00, 0x5b, 0x3d, 0x60, 0x00, 0xf3) // return(0, returndatasize)
	}
	return deploy(code)
}

// Twice returns the creation code of a contract that calls target twice with its call data and half of its value each,
// and gives up the second call's effects only if that call fails.
func Twice(target common.Address) []byte {
	code := []byte{0x36, 0x60, 0x00, 0x60, 0x00, 0x37}
	for range 2 {
		code = append(code, 0x60, 0x00, 0x60, 0x00, 0x36, 0x60, 0x00, 0x60, 0x02, 0x34, 0x04, 0x73)
		code = append(code, target[:]...)
		code = append(code, 0x5a, 0xf1, 0x50)
	}
	return deploy(append(code, 0x00))
}

// deploy wraps code in what returns it at creation.
func deploy(code []byte) []byte {
	n := byte(len(code))
	return append([]byte{0x60, n, 0x60, 0x0c, 0x60, 0x00, 0x39, 0x60, n, 0x60, 0x00, 0xf3}, code...)
}
