# `make demo` and `make test` need a Rust toolchain, a C++ compiler, and python3 with pip. They fetch the rest
# (scripts/setup.py) into ~/.cache/mnas, once.

CACHE := $(or $(MNAS_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mnas)
# Everything is built in the release profile, so that the dependencies are compiled once.
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

.PHONY: setup demo test lint bench bench-search

setup:
	python3 scripts/setup.py

# A whole search on this machine: data drawn, host calibrated, networks sampled, trained, timed, the best re-timed.
demo: setup
	cargo build --locked --release
	scripts/demo.sh

# The gate: formatting, lints, docs, licences, spelling, and every test.
test: lint
	cargo test --locked --release --workspace

lint: $(DENY)
	python3 scripts/setup.py --tools
	cargo fmt --all --check
	cargo clippy --locked --release --workspace --all-targets -- -D warnings
	cargo clippy --locked --release --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --release --workspace --no-deps
	# cargo-deny reads the crates of every system, of which the build has fetched only its own.
	cargo fetch --locked --quiet
	$(DENY) --offline --log-level error check licenses bans sources
	.deps/typos/typos

# The quick benchmarks; `cargo bench --bench proxy_study` is the half-hour study of the proxy.
bench: setup
	cargo bench --locked --bench controller --bench predict --bench tflite

# How good a network the search finds for how many trainings and timings; BENCH="seeds=5 budgets=50,100" for minutes
# instead of hours (benches/search/main.rs has the keys).
bench-search: setup
	cargo bench --locked --bench search -- $(or $(BENCH),svg=target/search.svg) 2>/dev/null

$(DENY):
	cargo install --locked --quiet --debug --root $(CACHE)/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)
