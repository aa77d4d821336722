// Package fakechain stands in for the program stchaind in tests that are about processes and commands, not about the
// value layer: it understands devnet-init and start, answers the requests that package devnet makes, and counts
// heights, which survive its death.
//
// It keeps no balances and checks nothing. Test binaries call it; nothing else may.
package fakechain

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/protocol/devspec"
)

// Env names the variable that tells a fake how to fail: "init" refuses devnet-init, "start" dies when started.
const Env = "FAKECHAIN_FAIL"

// Main is the program. It returns the exit code.
func Main() int {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fakechain:", err)
		return 1
	}
	return 0
}

func run(args []string) error {
	fail := os.Getenv(Env)
	switch {
	case len(args) == 1 && args[0] == "version":
		fmt.Println("fake")
		return nil
	case len(args) == 3 && args[0] == "devnet-init" && fail != "init":
		return found(args[2])
	case len(args) > 2 && args[0] == "start" && fail != "start":
		return start(args[2])
	}
	return fmt.Errorf("told to fail, or asked for something unknown: %q", args)
}

func found(spec string) error {
	f, err := os.Open(spec)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := devspec.Decode(f)
	if err != nil {
		return err
	}
	doc, err := json.Marshal(s)
	if err != nil {
		return err
	}
	r := devspec.Result{NetworkID: sha256.Sum256(doc), ChainID: s.ChainID}
	for _, v := range s.Validators {
		b, err := json.Marshal(struct {
			devspec.Ports
			Chain uint64
		}{v.Ports, s.EVMChainID})
		if err == nil {
			err = os.MkdirAll(v.Home, 0o700)
		}
		if err == nil {
			err = atomicfile.Create(filepath.Join(v.Home, "fake.json"), b, 0o600)
		}
		if err != nil {
			return err
		}
		r.Validators = append(r.Validators, devspec.ValidatorResult{Name: v.Name, Home: v.Home})
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func start(home string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	b, err := os.ReadFile(filepath.Join(home, "fake.json"))
	if err != nil {
		return err
	}
	var conf struct {
		devspec.Ports
		Chain uint64
	}
	if err := json.Unmarshal(b, &conf); err != nil {
		return err
	}
	c := &chain{id: conf.Chain}
	heightFile := filepath.Join(home, "height")
	if b, err := os.ReadFile(heightFile); err == nil {
		h, err := strconv.ParseUint(string(b), 10, 64)
		if err != nil {
			return err
		}
		c.height.Store(h)
	}
	server := rpc.NewServer()
	if err := server.RegisterName("eth", c); err != nil {
		return err
	}
	defer server.Stop()
	rest := http.NewServeMux()
	rest.HandleFunc("/cosmos/base/tendermint/v1beta1/blocks/latest", func(w http.ResponseWriter, _ *http.Request) {
		if c.height.Load() == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	served := make(chan error, 2)
	for port, h := range map[uint16]http.Handler{conf.Eth: server, conf.REST: rest} {
		srv := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), Handler: h}
		defer srv.Close()
		go func() { served <- srv.ListenAndServe() }()
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h := strconv.FormatUint(c.height.Load()+1, 10)
			if err := atomicfile.Write(heightFile, []byte(h), 0o600); err != nil {
				return err
			}
			c.height.Add(1)
		case err := <-served:
			return errors.Join(errors.New("serve"), err)
		case <-ctx.Done():
			fmt.Println("stopped in order")
			return nil
		}
	}
}

// chain is the part of the Ethereum interface that devnet asks for.
type chain struct {
	id     uint64
	height atomic.Uint64
}

func (c *chain) ChainId() hexutil.Uint64     { return hexutil.Uint64(c.id) }
func (c *chain) BlockNumber() hexutil.Uint64 { return hexutil.Uint64(c.height.Load()) }
