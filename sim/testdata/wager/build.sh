#!/bin/sh
# Builds prime.wasm by Debian 12's clang, lld, wasi-libc and libclang-rt-dev-wasm32, and Wager.json by solc 0.8.37 of npm; both are committed.
set -e
cd "$(dirname "$0")"
clang --target=wasm32-wasi -O2 -Wl,-s -o prime.wasm prime.c
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
npm i --prefix "$tools" --no-audit --no-fund --loglevel=error solc@0.8.37
cat > "$tools/build.js" <<'J'
const solc = require('solc'), fs = require('fs');
const read = f => ({ content: fs.readFileSync(f, 'utf8') });
const out = JSON.parse(solc.compile(JSON.stringify({
	language: 'Solidity',
	sources: { 'Wager.sol': read('Wager.sol'), 'sdc.sol': read('../../../protocol/abi/sdc.sol') },
	settings: { optimizer: { enabled: true, runs: 200 }, evmVersion: 'paris', metadata: { bytecodeHash: 'none' }, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } } },
})));
const errors = (out.errors || []).filter(e => e.severity == 'error');
if (errors.length) { console.error(errors.map(e => e.formattedMessage).join('\n')); process.exit(1); }
const c = out.contracts, text = o => JSON.stringify(o, null, 1) + '\n';
fs.writeFileSync('Wager.json', text({ abi: c['Wager.sol'].Wager.abi, bytecode: '0x' + c['Wager.sol'].Wager.evm.bytecode.object, orders: c['sdc.sol'].Orders.abi }));
J
NODE_PATH="$tools/node_modules" node "$tools/build.js"
