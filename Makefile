# make up      build everything and run the whole network on this machine
# make test    what CI runs: lint, unit tests, and the network end to end
GO ?= go
export GOFLAGS ?= -mod=readonly
BIN := bin
CHAIN_SOURCES := $(shell find chain cmd/stchaind protocol mesh -name '*.go' -not -name '*_test.go' -not -path 'protocol/postgres/*' -not -path 'protocol/softmath/*' -o -name '*.json' -path 'protocol/abi/*') go.mod go.sum

.PHONY: up down build test test-unit test-chain test-network test-tools test-long bench lint fmt proto clean need

up: build
	./$(BIN)/stratos up

down:
	./$(BIN)/stratos down

build: need $(BIN)/stchaind
	$(GO) build -o $(BIN)/stratos ./cmd/stratos

# The value layer links for a minute and takes 3 GiB, so it is built only when its sources changed, and never twice at once.
$(BIN)/stchaind: $(CHAIN_SOURCES)
	$(GO) build -o $@ ./cmd/stchaind

# What must be there, each with the command that brings it.
need:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 is missing. Install it from https://go.dev/dl/ and put it on the PATH."; exit 1; }
	@command -v gcc >/dev/null || { echo "gcc is missing. Install it with: sudo apt-get install -y gcc libc6-dev"; exit 1; }

test: build lint test-unit test-chain test-network
	@echo "make test: all passed"

# The longest first, so that the rest runs beside them.
RACE = ./node/database/replica $(shell $(GO) list ./node/... ./gateway/... ./client/... ./protocol/... ./meta/... ./mesh/... ./internal/... | grep -v -e /fuel$$ -e /wasi$$ -e /script$$)

test-unit:
	$(GO) test -race -parallel 4 $(RACE)
	$(GO) test ./protocol/fuel ./node/compute/wasi ./node/compute/script ./cmd/stratos/...

# One package at a time: each links the Cosmos SDK.
test-chain:
	$(GO) test -p 1 ./chain/... ./cmd/stchaind/...

# Real processes; one package after the other, so that networks do not compete.
test-network: build
	$(GO) test -p 1 -parallel 4 -timeout 20m ./devnet/... ./sim/...

# Every outside client, and the suite inside versitygw's module. Installs what is missing.
TOOLS := awscli rclone restic s3cmd python3-boto3 curl postgresql python3-psycopg2 python3-sqlalchemy
test-tools: build
	@dpkg -s $(TOOLS) >/dev/null 2>&1 || { echo "installing $(TOOLS)"; apt-get install -y -q $(TOOLS) >/dev/null || { echo "Install them with: sudo apt-get install -y $(TOOLS)"; exit 1; }; }
	@command -v npm >/dev/null || { echo "npm is missing. Install Node 20 with npm."; exit 1; }
	STRATOS_TOOLS=1 $(GO) test -timeout 40m -run 'TestTools|TestConformance' ./sim/...
	STRATOS_TOOLS=1 $(GO) test -timeout 40m ./protocol/postgres ./node/database/postgres
	@echo "make test-tools: all passed"

# Full sizes, every pair of nodes down, random kills for a time budget.
test-long: build
	STRATOS_LONG=1 $(GO) test ./node/database/replica
	STRATOS_LONG=1 $(GO) test -p 1 -timeout 120m ./sim/...
	@echo "make test-long: all passed"

bench: build
	$(GO) run ./bench

lint: need
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./client/... ./cmd/stratos/... ./devnet/... ./gateway/... ./internal/... ./mesh/... ./meta/... ./node/... ./protocol/... ./sim/... ./bench/...

fmt:
	gofmt -w $$(git ls-files '*.go')

proto:
	./protocol/gen.sh

clean:
	rm -rf $(BIN)
