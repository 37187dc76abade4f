# Onsale. `make help` lists the targets.
GO ?= go
TEST_TIMEOUT ?= 9m

.PHONY: help run test check bench build setup fmt

help: ## List the targets.
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing: Postgres and Redis.
	@scripts/setup

build: ## Build the five binaries into bin/.
	$(GO) build -o bin/ ./cmd/...

run: setup build ## Run everything, with a demo crowd, until Ctrl-C.
	@exec bin/onsale up --demo 1500 $(ARGS)

test: setup ## Run all tests, with the race detector, against real servers.
	$(GO) test -race -timeout $(TEST_TIMEOUT) ./...

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
