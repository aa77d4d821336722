// Package account signs and verifies with an account's Ethereum key, in the form of EIP-191 personal messages, so that
// any Ethereum wallet can make the signatures that Stratos asks of an account.
//
// It holds no keys; package client/wallet does.
package account

import (
	"crypto/ecdsa"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// SignatureLen is the length of an account's signature: r, s, and v in {27, 28}.
const SignatureLen = 65

// A Signer signs a personal message (EIP-191, version 0x45 'E') with an account's key.
type Signer interface {
	Account() mesh.Account
	SignPersonal(message []byte) ([]byte, error) // 65 bytes
}

// Sign asks s to sign content for purpose p in domain d.
func Sign(s Signer, d sign.Domain, p sign.Purpose, content []byte) ([]byte, error) {
	return s.SignPersonal(d.Message(p, content))
}

// Recover returns the account that signed content for purpose p in domain d. Only signatures with a low s are accepted,
// so that nobody can make a second valid signature from a first.
func Recover(d sign.Domain, p sign.Purpose, content, sig []byte) (mesh.Account, error) {
	if len(sig) != SignatureLen || sig[64] != 27 && sig[64] != 28 {
		return mesh.Account{}, mesh.Errorf(mesh.Invalid, "an account's signature has %d bytes ending in 27 or 28", SignatureLen)
	}
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:64])
	if !crypto.ValidateSignatureValues(sig[64]-27, r, s, true) {
		return mesh.Account{}, mesh.Errorf(mesh.Denied, "the account's signature for %s is out of range", p)
	}
	raw := append([]byte(nil), sig...)
	raw[64] -= 27
	pub, err := crypto.SigToPub(PersonalHash(d.Message(p, content)), raw)
	if err != nil {
		return mesh.Account{}, mesh.Errorf(mesh.Denied, "the account's signature for %s recovers no key", p) // err's text differs with and without cgo
	}
	return mesh.Account(crypto.PubkeyToAddress(*pub)), nil
}

// PersonalHash is the EIP-191 digest of a personal message.
func PersonalHash(message []byte) []byte {
	return crypto.Keccak256([]byte(fmt.Sprintf("\x19Ethereum Signed Message:\n%d", len(message))), message)
}

// A Key is a Signer that holds its key in memory.
type Key struct{ key *ecdsa.PrivateKey }

// NewKey wraps an Ethereum private key.
func NewKey(k *ecdsa.PrivateKey) Key { return Key{k} }

// Account returns the key's account.
func (k Key) Account() mesh.Account { return mesh.Account(crypto.PubkeyToAddress(k.key.PublicKey)) }

// SignPersonal signs a personal message.
func (k Key) SignPersonal(message []byte) ([]byte, error) {
	sig, err := crypto.Sign(PersonalHash(message), k.key)
	if err != nil {
		return nil, fmt.Errorf("signing with account %s: %w", k.Account(), err)
	}
	sig[64] += 27
	return sig, nil
}
