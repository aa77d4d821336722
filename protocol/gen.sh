#!/usr/bin/env bash
# Generates the Go code of every .proto outside the value layer with the pinned protoc-gen-go and buf; needs npm once.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools
mkdir -p "$tools"
[ -x "$tools/node_modules/.bin/buf" ] || npm i --prefix "$tools" --no-audit --no-fund --loglevel=error @bufbuild/buf@1.75.0
GOBIN=$tools go install google.golang.org/protobuf/cmd/protoc-gen-go
cat > "$tools/buf.yaml" <<Y
version: v2
modules:
  - path: protocol/wirepb
  - path: meta/state/statepb
  - path: node/traffic/trafficpb
  - path: node/database/replica/replicapb
Y
cat > "$tools/buf.gen.yaml" <<Y
version: v2
plugins:
  - local: [$tools/protoc-gen-go]
    out: .
    opt: [module=github.com/stratosmesh/stratos]
Y
"$tools/node_modules/.bin/buf" generate --config "$tools/buf.yaml" --template "$tools/buf.gen.yaml"
