# Entente. `make help` explains itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests are grouped by file, so that each file's broker is started once.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test attack drill policy proof fuzz mutants check format proto baseline bench lock clean

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

# How much more than `make test` does.
PROOF_SCALE ?= 3

proof: $(READY) ## every way of reading agrees, and nothing is an oracle: in large numbers, each figure printed
	PROOF_SCALE=$(PROOF_SCALE) $(BIN)/python -m pytest -q -s tests/reference tests/proof tests/contract/test_two_worlds.py

policy: $(READY) ## 10,000 questions to both engines, 100,000 pairs beside the naive decision, what a grant costs
	$(BIN)/python -m tests.policy.drill

drill: $(READY) ## what a broken OPA does to callers, and how soon another policy is in force; CALLS=100
	DRILL_CALLS=$(or $(CALLS),100) $(BIN)/python -m pytest -q -s tests/flows/test_broken_opa.py tests/flows/test_policy_workers.py

# For each target.
SECONDS ?= 60

fuzz: $(READY) ## fuzz what reads tokens, keys, certificates and metadata; SECONDS=60 for each
	set -e; for target in token keys certificate metadata; do $(BIN)/python -m tests.fuzz $$target $(SECONDS); done

# How many of all mutants, by a fixed seed; 0: each of them.
N ?= 400

mutants: $(READY) ## faults put into the policies and the code of authorisation, and how many the tests notice; N=400
	$(BIN)/python -m tests.mutants --most $(N)

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

bench: $(READY) ## the whole pipeline against a bare mTLS call, side by side; grants, mark sets and pages at scale
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.revocation
	$(BIN)/python -m tests.bench.policy

lock: ## resolve pyproject.toml into requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra broker --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock

clean: ## remove what the targets above made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache dist var
