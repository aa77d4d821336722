// Package wallet holds the accounts of a person: keys of Ethereum accounts, made from a mnemonic or imported, kept
// encrypted under a name, and used to sign.
//
// It is not a client of any network (package client/chain is), and it never writes a secret anywhere but into an
// encrypted file; who wants to see one asks for it by Secret. Commands, the SDK and the development network call it.
package wallet

import (
	"crypto/ecdsa"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
)

// A Key signs for one account. Printing it in any way shows the account, never the secret.
type Key struct{ priv *ecdsa.PrivateKey }

// NewKey draws a key.
func NewKey() (Key, error) {
	priv, err := crypto.GenerateKey()
	if err != nil {
		return Key{}, mesh.Errorf(mesh.Internal, "draw a key: %w", err)
	}
	return Key{priv}, nil
}

// ParseKey reads a private key: 64 hexadecimal digits, with or without 0x.
func ParseKey(s string) (Key, error) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "0x")
	if len(s) != 64 {
		return Key{}, mesh.Errorf(mesh.Invalid, "a private key has 64 hexadecimal digits, this has %d characters", len(s))
	}
	priv, err := crypto.HexToECDSA(s)
	if err != nil {
		return Key{}, mesh.Errorf(mesh.Invalid, "this is not a private key") // the cause may quote it
	}
	return Key{priv}, nil
}

// Account is the account that the key signs for.
func (k Key) Account() mesh.Account { return mesh.Account(crypto.PubkeyToAddress(k.priv.PublicKey)) }

// Secret is the private key: 0x and 64 hexadecimal digits.
func (k Key) Secret() string { return "0x" + hex.EncodeToString(crypto.FromECDSA(k.priv)) }

// String names the account.
func (k Key) String() string { return "key of " + k.Account().String() }

// Format keeps every verb of package fmt from showing the secret.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// SignTx signs a transaction for one chain.
func (k Key) SignTx(tx *types.Transaction, chainID *big.Int) (*types.Transaction, error) {
	signed, err := types.SignTx(tx, types.LatestSignerForChainID(chainID), k.priv)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "sign transaction: %w", err)
	}
	return signed, nil
}

// SignPersonal signs a message as EIP-191 has it, for package protocol/account.
func (k Key) SignPersonal(msg []byte) ([]byte, error) {
	return account.NewKey(k.priv).SignPersonal(msg)
}

// EthAddress writes an account in its Ethereum form, with the capitals of EIP-55.
func EthAddress(a mesh.Account) string { return common.Address(a).Hex() }

// ParseAccount reads an account as st1... or 0x.... Capitals in the second form are a checksum (EIP-55), which must
// hold; all small or all capital letters carry none.
func ParseAccount(s string) (mesh.Account, error) {
	a, err := mesh.ParseAccount(s)
	if err != nil || !strings.HasPrefix(s, "0x") {
		return a, err
	}
	digits := s[2:]
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && s != EthAddress(a) {
		return mesh.Account{}, mesh.WithHint(mesh.Errorf(mesh.Invalid, "account %s: the capitals do not match the address: a typing error", s),
			"copy the address again")
	}
	return a, nil
}

func keyOf(b []byte) (Key, error) {
	priv, err := crypto.ToECDSA(b)
	if err != nil {
		return Key{}, mesh.Errorf(mesh.Internal, "derived key: %w", err)
	}
	return Key{priv}, nil
}
