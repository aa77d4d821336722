// Package genesis turns the description of a development network into validator homes and one genesis document.
//
// It starts nothing. Command `stchaind devnet-init` and tests call it.
package genesis

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	cmttypes "github.com/cometbft/cometbft/types"

	"github.com/stratosmesh/stratos/chain/app"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/devspec"
)

// Write creates the home of every validator and writes the genesis document into each. It refuses, with kind
// Conflict, to touch a home that has a genesis already.
func Write(spec *devspec.Spec) (*devspec.Result, error) {
	for _, v := range spec.Validators {
		if _, err := os.Stat(genesisFile(v.Home)); !errors.Is(err, fs.ErrNotExist) {
			return nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "%s holds a network already", v.Home), "choose another home, or remove it")
		}
	}
	if spec.GenesisTime == nil {
		now := time.Now().UTC()
		spec.GenesisTime = &now
	}
	result := &devspec.Result{ChainID: spec.ChainID}
	keys := make([]cmttypes.PrivValidator, len(spec.Validators))
	for i, v := range spec.Validators {
		key, id, err := makeKeys(v.Home)
		if err != nil {
			return nil, fmt.Errorf("validator %s: %w", v.Name, err)
		}
		keys[i] = key
		result.Validators = append(result.Validators, devspec.ValidatorResult{Name: v.Name, Home: v.Home, CometNodeID: string(id)})
	}
	doc, err := document(spec, keys)
	if err != nil {
		return nil, err
	}
	for i, v := range spec.Validators {
		writeConfig(spec, v, peers(spec, result, i))
		// The genesis comes last: a home that has one is complete.
		if err := writeDurably(genesisFile(v.Home), doc); err != nil {
			return nil, err
		}
	}
	result.NetworkID = app.NetworkOf(doc)
	return result, nil
}

func genesisFile(home string) string { return filepath.Join(home, "config", "genesis.json") }

// makeKeys draws a validator's consensus key and peer key.
func makeKeys(home string) (*privval.FilePV, p2p.ID, error) {
	cfg := cmtcfg.DefaultConfig().SetRoot(home)
	for _, dir := range []string{home, filepath.Join(home, "config"), filepath.Join(home, "data")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, "", err
		}
	}
	key := privval.LoadOrGenFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile())
	node, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return nil, "", err
	}
	return key, node.ID(), nil
}

// peers lists the other validators as validator i dials them.
func peers(spec *devspec.Spec, result *devspec.Result, i int) string {
	var out []string
	for j, v := range spec.Validators {
		if j != i {
			out = append(out, fmt.Sprintf("%s@127.0.0.1:%d", result.Validators[j].CometNodeID, v.Ports.P2P))
		}
	}
	return strings.Join(out, ",")
}

func writeDurably(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
