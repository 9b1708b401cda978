# make demo    place a call through the relay and show what happened to it; needs no root
# make test    style, types, floors and all tests, with real peers; needs root, for network namespaces
# make bench   what the relay costs beside rtpengine, in numbers and as a page; some fifteen minutes; by root, the kernel plane as well
# make bench-ice   how soon phones hear each other, with icerelay, rtpengine and neither; some 35 minutes (root; docs/ice-lab.md)
# make fuzz    ten minutes of random calls and packets, with new seeds
# make lint    style, types and floors only
# make bpf     build the eBPF programs again after a change of its source; needs clang
# make clean   back to a fresh clone

# Which Python makes the virtual environment: 3.11 or newer.
PYTHON ?= python3
# Debian packages of the programs that the tests call through.
PEERS := chromium iproute2 kamailio kamailio-extra-modules kamailio-tls-modules kamailio-utils-modules \
	kamailio-websocket-modules nftables openssl redis-server rtpengine-daemon sip-tester
# Debian's package of the relay that ours is measured against, and what to leave out or make shorter.
RIVAL := rtpengine-daemon
BENCH ?=
# What is measured of the kernel plane as well, by root: elsewhere it is the same, or does not take part.
KERNEL := --only=calls-100 --only=calls-1000
# What the ICE lab needs, and its options: make bench-ice LAB="--quick"
LAB_PEERS := chromium coturn iproute2 nftables rtpengine-daemon
LAB :=

BIN := .venv/bin
SOURCES := pyproject.toml $(filter-out %.c,$(wildcard ext/*))
BPF := relay/data/offload.bpf.o relay/data/steer.bpf.o
CLANG ?= clang

.PHONY: bench bench-ice demo fuzz test lint bpf clean peers

demo: .venv/installed
	$(BIN)/icerelay demo

bench: .venv/installed
	@.ci/need peers $(RIVAL)
	$(BIN)/icerelay bench --output=build/bench $(BENCH)
	[ "$$(id -u)" != 0 ] || $(BIN)/icerelay bench --output=build/bench-ebpf $(BENCH) --network=veth $(KERNEL)

test: peers lint
	$(BIN)/pytest

fuzz: .venv/for-development
	$(BIN)/python -m tests.fuzz

bench-ice: .venv/for-development
	@.ci/need peers $(LAB_PEERS)
	$(BIN)/python -m bench.ice_lab $(LAB)

lint: .venv/for-development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The object is committed: whoever installs icerelay needs no clang. A test compares the hash in it with the source.
bpf: $(BPF)

relay/data/offload.bpf.o: ext/track.h
relay/data/%.bpf.o: ext/%.bpf.c
	$(CLANG) -target bpfel -mcpu=v2 -O2 -Wall -Wextra -Werror -fno-addrsig -fno-ident \
		-DSOURCE="\"$$(cat $^ | sha256sum | cut -d ' ' -f 1)\"" -c -o $@ $<

peers:
	@.ci/need peers $(PEERS)

.venv/installed: $(SOURCES)
	@.ci/need python $(PYTHON)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/for-development: .venv/installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info $(patsubst %.pyx,%.c,$(wildcard ext/*.pyx)) relay/bench/*.so relay/forward/*.so relay/ng/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
