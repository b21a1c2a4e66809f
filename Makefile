# Entente. `make help` explains itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests are grouped by file, so that each file's broker is started once.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test attack fuzz check format proto baseline bench lock clean

help: ## this text
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Entente needs Python 3.11 or newer"; exit 1)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## five parties exchange reports; each sees its own fields; an auditor proves it
	$(BIN)/entente demo

test: $(READY) ## every test: unit, contract, policy on both engines, flows over TLS
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# What must hold while things change, each with its figure: `-s` prints it.
DRILLS := tests/flows/test_revocation_streams.py tests/flows/test_tls_rotation.py \
  tests/flows/test_identity_provider.py tests/flows/test_workers_restart.py tests/clients/test_rotation.py

attack: $(READY) ## the attack suite, an outside TLS judge, and what must hold while things rotate, each figure printed
	$(BIN)/python -m tests.attacks.suite
	$(BIN)/python -m pytest -q -s $(DRILLS)

# For each target.
SECONDS ?= 60

fuzz: $(READY) ## fuzz what reads tokens, keys, certificates and metadata; SECONDS=60 for each
	set -e; for target in token keys certificate metadata; do $(BIN)/python -m tests.fuzz $$target $(SECONDS); done

check: $(READY) ## format, lint, types, imports, protos, classes, policies, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	cd proto && ../$(BIN)/buf breaking --against baseline.binpb
	$(BIN)/python -m broker.release.classes --baseline proto/classes.json
	$(BIN)/python scripts/check_policies.py --require-opa
	$(BIN)/python scripts/unasync_sdk.py --check
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python scripts/generate.py --check

format: $(READY) ## put every file into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd proto && ../$(BIN)/buf format -w

proto: $(READY) ## generate the stubs from the protos
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python scripts/generate.py

baseline: $(READY) ## accept the present protos and classes as the released contract
	cd proto && ../$(BIN)/buf build -o baseline.binpb
	$(BIN)/python -m broker.release.classes --baseline proto/classes.json --write

bench: $(READY) ## the whole pipeline against a bare mTLS call, side by side
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.revocation

lock: ## resolve pyproject.toml into requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra broker --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock

clean: ## remove what the targets above made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache dist var
