# Onsale. `make help` lists the targets.
GO ?= go
TEST_TIMEOUT ?= 12m

.PHONY: help run test model fuzz check bench build setup fmt

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
	@$(MAKE) --no-print-directory model fuzz

model: ## Play ten thousand sequences of the payment machine against its model; without the race detector, which has played fewer.
	$(GO) test -timeout $(TEST_TIMEOUT) -run '^TestPaymentsAreAsTheModelSays$$' ./internal/payworker

# Bounded by a number of inputs: with a time, go test may take its own end for a failure.
FUZZ = $(GO) test -timeout 5m -run '^$$' -fuzzminimizetime 10x
FUZZ_TIMES ?= 1

fuzz: ## Fuzz what reads tickets, passes, access codes and chunks; FUZZ_TIMES=100 for longer.
	$(FUZZ) -fuzz '^FuzzTicketVerify$$' -fuzztime $$((200000 * $(FUZZ_TIMES)))x ./internal/line
	$(FUZZ) -fuzz '^FuzzPassVerify$$' -fuzztime $$((100000 * $(FUZZ_TIMES)))x ./internal/pass
	$(FUZZ) -fuzz '^FuzzCodes_Read$$' -fuzztime $$((200000 * $(FUZZ_TIMES)))x ./internal/access
	$(FUZZ) -fuzz '^FuzzDecodeChunk$$' -fuzztime $$((100000 * $(FUZZ_TIMES)))x ./events

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
