# One command for each thing, the same by hand and in CI. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help
help: ## List all targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the chat on its embedded store and print its URL
	@$(CARGO) run --release --quiet -- serve

.PHONY: build
build: ## Build the release binary
	$(CARGO) build --release --locked

.PHONY: test
test: ## Install what the tests need, then run all of them
	@tests/run

.PHONY: test-long
test-long: ## The long lists and campaigns: more cases, fuzzing for minutes
	@tests/run --long

.PHONY: lint
lint: ## Formatting, clippy, shellcheck, terraform fmt
	@tests/lint

.PHONY: faults
faults: ## Break real processes under load and judge what clients saw: prints a table
	@tests/setup cc redis
	$(CARGO) build --release --locked
	$(CARGO) run --quiet --locked --manifest-path faults/Cargo.toml -- $(FAULTS)

.PHONY: bench
bench: ## Measure against the floor: prints the table of the README; BENCH=redis for the part over Redis
	@benches/$(or $(BENCH),bench)

.PHONY: fuzz
fuzz: ## Fuzz every target for a minute each (needs a nightly toolchain and cargo-fuzz)
	@tests/fuzz 60

.PHONY: docs
docs: ## Write the generated tables of the documentation again
	$(CARGO) run --quiet -- check --markdown > docs/settings.md
	$(CARGO) run --quiet -- check --metrics > docs/metrics.md
	tests/terraform/tables
	UPDATE_GOLDEN=1 tests/local/run test_observability.py -k grafana

.PHONY: screenshots
screenshots: ## Take pictures of the page in its states
	@tests/web/run --screenshots

.PHONY: image
image: ## Build the container image with whatever engine the machine has
	docker build --tag confab:local --build-arg REVISION="$$(git rev-parse HEAD)" \
		--build-arg VERSION="$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)" .

.PHONY: local-up
local-up: ## The cloud on this machine: instances, Redis with a replica, the front; LOCAL_RUNTIME picks on what
	@k8s-local/local up

.PHONY: local-down
local-down: ## Take it down; nothing is left
	@k8s-local/local down

.PHONY: local-status
local-status: ## What of it runs
	@k8s-local/local status

.PHONY: local-logs
local-logs: ## The end of all its logs
	@k8s-local/local logs

.PHONY: local-open
local-open: ## Open its page
	@k8s-local/local open

.PHONY: local-smoke
local-smoke: ## Check that it does what it is for
	@k8s-local/local smoke

.PHONY: local-chaos
local-chaos: ## Break it while recorded clients chat, and judge what it cost (k8s-local/local chaos --menu: by hand)
	@k8s-local/local chaos
