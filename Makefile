# Onsale. `make help` lists the targets.
GO ?= go
TEST_TIMEOUT ?= 12m
FUZZ_TIME ?= 10s

.PHONY: help run test fuzz check bench build setup fmt

help: ## List the targets.
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing: Postgres and Redis.
	@scripts/setup

build: ## Build the five binaries into bin/.
	$(GO) build -o bin/ ./cmd/...

run: setup build ## Run everything, with a demo crowd, until Ctrl-C.
	@exec bin/onsale up --demo 1500 $(ARGS)

test: ## Run all tests, with the race detector, against real servers, and fuzz the parsers of tickets and passes for a little while.
	@scripts/setup nginx
	$(GO) test -race -timeout $(TEST_TIMEOUT) ./...
	@$(MAKE) --no-print-directory fuzz

fuzz: ## Fuzz what reads tickets, passes, access codes and chunks, FUZZ_TIME each.
	$(GO) test -run '^$$' -fuzz '^FuzzTicketVerify$$' -fuzztime $(FUZZ_TIME) ./internal/line
	$(GO) test -run '^$$' -fuzz '^FuzzPassVerify$$' -fuzztime $(FUZZ_TIME) ./internal/pass
	$(GO) test -run '^$$' -fuzz '^FuzzCodes_Read$$' -fuzztime $(FUZZ_TIME) ./internal/access
	$(GO) test -run '^$$' -fuzz '^FuzzDecodeChunk$$' -fuzztime $(FUZZ_TIME) ./events

check: ## Everything about the code that needs no servers: format, vet, staticcheck, import rules.
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt would change:" $$unformatted; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool depguard ./...

bench: setup build ## Measure, each against a baseline in the same run.
	@bin/onsale bench $(ARGS)

fmt: ## Format the code.
	gofmt -w .
