package devspec

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
)

const good = `{
 "chain_id": "stratos-dev-1", "evm_chain_id": 20481, "epoch_blocks": 10, "maturity_epochs": 2, "block_interval_ms": 500,
 "validators": [{"name": "v", "home": "/tmp/v", "operator": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
  "stake_wei": "1000000000000000000", "ports": {"p2p": 1, "rpc": 2, "eth": 3, "eth_ws": 4, "rest": 5, "grpc": 6}}],
 "accounts": [{"name": "a", "address": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "balance_wei": "5", "ozone_noz": 7}],
 "authorities": [{"name": "m", "operator": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "report_key": "KEY", "consensus_key": "KEY",
  "tls_key": "KEY", "address": "127.0.0.1:1", "deposit_wei": "1"}],
 "nodes": [{"name": "n", "operator": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "node_key": "KEY", "tls_key": "KEY", "kinds": 4,
  "tier": 1, "address": "127.0.0.1:2", "domain": "d", "deposit_wei": "1"}]
}`

func document() string {
	return strings.ReplaceAll(good, "KEY", strings.Repeat("ab", 32))
}

func TestDecode(t *testing.T) {
	s, err := Decode(strings.NewReader(document()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(strings.NewReader(string(b)))
	if err != nil || again.Accounts[0] != s.Accounts[0] && again.Accounts[0].Ozone != 7 {
		t.Errorf("%+v, %v", again, err)
	}
	for name, edit := range map[string][2]string{
		"unknown field":  {`"kinds": 4`, `"kinds": 4, "colour": "red"`},
		"no chain":       {`"stratos-dev-1"`, `""`},
		"no epochs":      {`"epoch_blocks": 10`, `"epoch_blocks": 0`},
		"no interval":    {`"block_interval_ms": 500`, `"block_interval_ms": 0`},
		"no EVM chain":   {`"evm_chain_id": 20481`, `"evm_chain_id": 0`},
		"relative home":  {`"/tmp/v"`, `"v"`},
		"no port":        {`"rpc": 2`, `"rpc": 0`},
		"small stake":    {`"1000000000000000000"`, `"999999999999999999"`},
		"negative wei":   {`"balance_wei": "5"`, `"balance_wei": "-5"`},
		"too much ozone": {`"ozone_noz": 7`, `"ozone_noz": 9223372036854775808`},
		"kinds":          {`"kinds": 4`, `"kinds": 8`},
		"tier":           {`"tier": 1`, `"tier": 0`},
		"address":        {`"127.0.0.1:2"`, `"127.0.0.1:70000"`},
		"nameless":       {`"name": "n"`, `"name": ""`},
		"short key":      {`"node_key": "ab`, `"node_key": "`},
		"bad account":    {`0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "balance`, `0x70997970", "balance`},
		"second document": {`"d", "deposit_wei": "1"}]
}`, `"d", "deposit_wei": "1"}]
}{}`},
	} {
		changed := strings.Replace(document(), edit[0], edit[1], 1)
		if changed == document() {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := Decode(strings.NewReader(changed)); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(strings.NewReader(strings.Repeat(" ", MaxBytes+1))); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("too long: %v", err)
	}
}
