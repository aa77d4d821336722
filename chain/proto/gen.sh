#!/usr/bin/env bash
# Generates the modules' messages from chain/proto with pinned buf and protoc-gen-gocosmos. The protos that ours import
# are copied out of the Go module cache, so it needs npm once and no schema registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=$PWD/.tools
mkdir -p "$tools"
[ -x "$tools/node_modules/.bin/buf" ] || npm i --prefix "$tools" --no-audit --no-fund --loglevel=error @bufbuild/buf@1.75.0
GOBIN=$tools go install github.com/cosmos/gogoproto/protoc-gen-gocosmos
dir() { go list -m -f '{{.Dir}}' "$1"; }
imports=$tools/chainproto
rm -rf "$imports"
mkdir -p "$imports/cosmos/msg" "$imports/gogoproto"
cp -r "$(dir github.com/cosmos/cosmos-sdk)/proto/cosmos/msg/v1" "$imports/cosmos/msg/"
cp "$(dir github.com/cosmos/gogoproto)/gogoproto/gogo.proto" "$imports/gogoproto/"
chmod -R u+w "$imports"
cat > "$tools/buf.chain.yaml" <<Y
version: v2
modules:
  - path: chain/proto
  - path: .tools/chainproto
Y
cat > "$tools/buf.chain.gen.yaml" <<Y
version: v2
plugins:
  - local: [$tools/protoc-gen-gocosmos]
    out: $tools/chainout
    opt: [plugins=grpc]
Y
rm -rf "$tools/chainout"
"$tools/node_modules/.bin/buf" generate --config "$tools/buf.chain.yaml" --template "$tools/buf.chain.gen.yaml" --path chain/proto/stratos
cp -r "$tools/chainout/github.com/stratosmesh/stratos/chain/." chain/
