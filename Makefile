# The same commands for people and for CI. Each sets up what it needs: a virtual environment in .venv, from hashed locks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.ready
.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-faults mutants test-peers audit gate check format bench bench-quick bench-peers docs \
  lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "streamproc needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.11 ..." >&2; exit 2; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## the main job on real text with a simulated endpoint: nothing to configure
	@$(BIN)/streamproc demo

test: $(READY) ## every fast test
	@$(BIN)/python -m pytest -n auto -m "not slow" -q

test-slow: $(READY) ## what takes real seconds, but for the faults (needs memcached and valgrind, Linux)
	@sh .ci/install-debian memcached valgrind
	@$(BIN)/python -m pytest -n auto -m "slow and not (fault or promise)" -q

test-faults: $(READY) ## every fault and every promise: kills, full disks, storms; writes docs/promises.md (Linux)
	@sh .ci/install-debian strace
	@$(BIN)/python -m pytest -n auto -m "fault or promise" -q --fault-results .fault-results.json
	@$(BIN)/python -m tests.faults.promises .fault-results.json

mutants: $(READY) ## plant faults in the code that keeps the promises, one by one: the tests must find each
	@$(BIN)/python -m tests.mutants.run

# An environment of its own: the plug-ins of the peers' suites must not load in ours.
$(PEERS_READY): requirements/peers.txt requirements/peers-sources.txt
	@echo "setting up $(PEERS) (once)"
	@rm -rf $(PEERS)
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@$(PEERS)/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --no-build-isolation --no-binary :all: --dest $(PEERS)/sources -r requirements/peers-sources.txt
	@cd $(PEERS)/sources && for name in *.tar.gz; do tar -xzf "$$name" "$${name%.tar.gz}/tests"; done
	@touch $@

test-peers: $(PEERS_READY) ## the suites of aiocache, cachetools and LangChain on our caches
	@PYTHONPATH=.:tests $(PEERS)/bin/python tests/peers/run.py $(PEERS)/sources

audit: $(READY) ## whether a version that we ship with is known to be vulnerable, where PyPI tells
	@sh .ci/audit $(BIN)/python .venv-audit

gate: $(READY) ## whether what a record costs has grown since its baseline (counts instructions, with valgrind)
	@$(BIN)/python -m bench.gate

check: $(READY) ## format, lint, types, import contracts, known vulnerabilities, what a record costs, fast tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory audit
	@$(MAKE) --no-print-directory gate
	@$(MAKE) --no-print-directory test

format: $(READY) ## rewrite the code in the house format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(READY) ## measure against loops by hand, as ratios, with plots: 15 minutes
	@$(BIN)/streamproc bench

bench-quick: $(READY) ## the same with a tenth of the work: 2 minutes
	@$(BIN)/streamproc bench --quick

bench-peers: $(READY) ## measure against the openai SDK, LangChain, litellm and a loop by hand (minutes)
	@$(BIN)/python -m bench.peers

docs: $(READY) ## run every example in docs/ and check that what it names exists
	@$(BIN)/python -m pytest -q tests/test_docs.py

lock: ## renew the hashed locks (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-header --group dev -o requirements/dev.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-header -o requirements/run.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-header --group pyproject.toml:audit -o requirements/audit.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --group peers -o requirements/peers.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-header --no-deps \
	  -o requirements/peers-sources.txt requirements/peers-sources.in
	cd requirements/bench-peers && for peer in *.in; do \
	  uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	  --exclude-newer "$$(date -d '4 weeks ago' +%F)" -o "$${peer%.in}.txt" "$$peer" || exit 1; done

clean: ## remove what the other commands made
	rm -rf $(VENV) $(PEERS) .venv-audit .venv-bench-peers .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist streamproc-demo
