package wallet

import (
	"strings"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/cosmos/go-bip39"

	"github.com/stratosmesh/stratos/mesh"
)

// A Tree is what grows from a mnemonic: the keys m/44'/60'/0'/0/i of BIP-44 for Ethereum.
type Tree struct{ branch *hdkeychain.ExtendedKey }

// NewMnemonic draws 24 words of BIP-39.
func NewMnemonic() (string, error) {
	entropy, err := bip39.NewEntropy(256)
	if err != nil {
		return "", mesh.Errorf(mesh.Internal, "draw a mnemonic: %w", err)
	}
	words, err := bip39.NewMnemonic(entropy)
	if err != nil {
		return "", mesh.Errorf(mesh.Internal, "draw a mnemonic: %w", err)
	}
	return words, nil
}

// ParseMnemonic reads 12 to 24 words of BIP-39, whose checksum must hold.
func ParseMnemonic(words string) (Tree, error) {
	words = strings.Join(strings.Fields(strings.ToLower(words)), " ")
	seed, err := bip39.NewSeedWithErrorChecking(words, "")
	if err != nil {
		// The cause may quote words, which are secret.
		return Tree{}, mesh.WithHint(mesh.Errorf(mesh.Invalid, "these %d words are not a mnemonic of BIP-39", len(strings.Fields(words))),
			"check their spelling and order")
	}
	node, err := hdkeychain.NewMaster(seed, &chaincfg.MainNetParams)
	for _, i := range []uint32{hdkeychain.HardenedKeyStart + 44, hdkeychain.HardenedKeyStart + 60, hdkeychain.HardenedKeyStart, 0} {
		if err != nil {
			break
		}
		node, err = node.Derive(i)
	}
	if err != nil {
		return Tree{}, mesh.Errorf(mesh.Internal, "derive keys from a mnemonic: %w", err)
	}
	return Tree{node}, nil
}

// Key derives the key with index i.
func (t Tree) Key(i uint32) (Key, error) {
	node, err := t.branch.Derive(i)
	if err != nil {
		return Key{}, mesh.Errorf(mesh.Internal, "derive key %d: %w", i, err)
	}
	priv, err := node.ECPrivKey()
	if err != nil {
		return Key{}, mesh.Errorf(mesh.Internal, "derive key %d: %w", i, err)
	}
	return keyOf(priv.Serialize())
}
