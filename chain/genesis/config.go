package genesis

import (
	"fmt"
	"path/filepath"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"

	sdkcfg "github.com/cosmos/cosmos-sdk/server/config"
	evmcfg "github.com/cosmos/evm/server/config"

	"github.com/stratosmesh/stratos/chain/app"
	"github.com/stratosmesh/stratos/protocol/devspec"
)

const loopback = "127.0.0.1"

// gossipSleep replaces CometBFT's 100 ms, which alone costs some 300 ms a block.
const gossipSleep = 5 * time.Millisecond

// proposeTimeout is how long a round waits for a validator that may be down; CometBFT's 3 s suit a wide network.
const proposeTimeout = time.Second

// iavlCacheNodes bounds the state tree's cache, by far the largest part of a small validator's memory.
const iavlCacheNodes = 20_000

// gasCap bounds what a query or an estimate may spend; the largest page of a report takes about half of it.
const gasCap = 50_000_000

// AppConfigTemplate is the form of app.toml.
const AppConfigTemplate = sdkcfg.DefaultConfigTemplate + evmcfg.DefaultEVMConfigTemplate

func writeConfig(spec *devspec.Spec, v devspec.Validator, peers string) {
	cmtcfg.WriteConfigFile(filepath.Join(v.Home, "config", "config.toml"), cometConfig(spec, v, peers))
	sdkcfg.SetConfigTemplate(AppConfigTemplate)
	sdkcfg.WriteConfigFile(filepath.Join(v.Home, "config", "app.toml"), appConfig(spec, v))
}

func cometConfig(spec *devspec.Spec, v devspec.Validator, peers string) *cmtcfg.Config {
	c := cmtcfg.DefaultConfig().SetRoot(v.Home)
	c.Moniker = v.Name
	c.DBBackend = "goleveldb"
	c.LogLevel = "warn" // a line for every step of every block would fill a disk
	c.P2P.ListenAddress = listen(v.Ports.P2P)
	c.P2P.PersistentPeers = peers
	c.P2P.PexReactor = false
	c.P2P.AddrBookStrict = false
	c.P2P.AllowDuplicateIP = true
	c.P2P.FlushThrottleTimeout = gossipSleep
	c.RPC.ListenAddress = listen(v.Ports.RPC)
	c.RPC.PprofListenAddress = ""
	// Epochs count heights, so blocks are made whether or not there is anything to put in.
	c.Consensus.CreateEmptyBlocks = true
	c.Consensus.TimeoutCommit = time.Duration(spec.BlockInterval) * time.Millisecond
	c.Consensus.TimeoutPropose = proposeTimeout
	c.Consensus.PeerGossipSleepDuration = gossipSleep
	c.Mempool.Type = cmtcfg.MempoolTypeFlood
	c.TxIndex.Indexer = "kv" // receipts of Ethereum transactions are found through it
	c.Instrumentation.Prometheus = false
	return c
}

func appConfig(spec *devspec.Spec, v devspec.Validator) *evmcfg.Config {
	c := evmcfg.Config{
		Config:  *sdkcfg.DefaultConfig(),
		EVM:     *evmcfg.DefaultEVMConfig(),
		JSONRPC: *evmcfg.DefaultJSONRPCConfig(),
		TLS:     *evmcfg.DefaultTLSConfig(),
	}
	c.MinGasPrices = fmt.Sprintf("%d%s", int64(app.MinGasPrice), app.Denom)
	c.IAVLCacheSize = iavlCacheNodes
	c.Telemetry.Enabled = false
	c.Mempool.MaxTxs = -1 // no pool in the application: CometBFT's own
	c.API.Enable = true
	c.API.Address = listen(v.Ports.REST)
	c.GRPC.Enable = v.Ports.GRPC != 0
	c.GRPC.Address = fmt.Sprintf("%s:%d", loopback, v.Ports.GRPC)
	c.GRPCWeb.Enable = false
	c.EVM.EVMChainID = spec.EVMChainID
	c.JSONRPC.Enable = true
	c.JSONRPC.API = []string{"eth", "net", "web3", "debug", "txpool"}
	c.JSONRPC.Address = fmt.Sprintf("%s:%d", loopback, v.Ports.Eth)
	c.JSONRPC.WsAddress = fmt.Sprintf("%s:%d", loopback, v.Ports.EthWS)
	c.JSONRPC.GasCap = gasCap
	return &c
}

func listen(port uint16) string { return fmt.Sprintf("tcp://%s:%d", loopback, port) }
