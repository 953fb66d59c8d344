# Two commands first: `make serve` and `make test`. Everything they need is installed into .venv from pinned requirements.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint requirements.txt
STAMPS := $(VENV)/.stamps
HOST ?= 127.0.0.1
PORT ?= 8000
VLLM_VENV ?= .venv-vllm
SGLANG_VENV ?= .venv-sglang
CLIENTS_VENV ?= .venv-clients
PEERS_VENVS ?= .venv-peers
LOCK = $(BIN)/uv pip compile --quiet --upgrade --constraint $(STAMPS)/lock.txt --generate-hashes --no-emit-package pip --no-annotate --python-version 3.11 --python-platform linux --custom-compile-command "make lock"
# One torch thread a process: with two on a busy small machine a tiny model runs many times slower.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help serve test lint demo lock test-engines test-clients train-smoke bench bench-peers docs setup setup-test setup-train setup-evals setup-ui clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# $(call extra,NAME): a stamp that pip install -e .[NAME] went through for these very pins.
define extra
$(STAMPS)/$(1): $(STAMPS)/venv pyproject.toml requirements.txt
	@echo "Installing the $(1) requirements into $(VENV) ..."
	@$(PIP) --editable '.[$(1)]'
	@touch $$@
endef
$(foreach name,local train evals ui docs dev,$(eval $(call extra,$(name))))

setup: $(STAMPS)/local
setup-train: $(STAMPS)/train ## Add what training needs to .venv
setup-evals: $(STAMPS)/evals ## Add what evaluation needs to .venv
setup-ui: $(STAMPS)/ui ## Add the web app to .venv
setup-test: $(STAMPS)/local $(STAMPS)/train $(STAMPS)/evals $(STAMPS)/ui $(STAMPS)/dev

serve: setup setup-ui ## Start the gateway with the built-in model on http://127.0.0.1:8000, and the web app
	@$(BIN)/pir serve --ui --host $(HOST) --port $(PORT)

demo: setup ## Play a scripted exchange with the OpenAI SDK against a fresh gateway
	@$(BIN)/python -m pir_serve.demo

lint: setup-test ## Linter, formatter check and strict type checker
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: lint ## Linters, type checker and the whole offline suite
	@$(BIN)/python -m pytest -m "not engines and not clients" -n 2 --dist worksteal

test-engines: setup-test ## Install real vLLM and SGLang (CPU) and run the engine contract tests against both
	@bash tests/engines/install_vllm.sh $(VLLM_VENV)
	@bash tests/engines/install_sglang.sh $(SGLANG_VENV)
	@VLLM_PYTHON=$(VLLM_VENV)/bin/python SGLANG_PYTHON=$(SGLANG_VENV)/bin/python \
	  $(BIN)/python -m pytest tests/engines -m engines

test-clients: setup-test ## Install stock clients (Python and JavaScript) and play each against a real gateway
	@PYTHON=$(PYTHON) bash tests/clients/install.sh $(CLIENTS_VENV)
	@CLIENTS_VENV=$(CLIENTS_VENV) $(BIN)/python -m pytest tests/clients -m clients

lock: $(STAMPS)/venv ## Write the hashes of what the container images install; needs an index with PyTorch for CPUs, in UV_EXTRA_INDEX_URL
	@$(PIP) uv
	@sed 's/^torch==.*/&+cpu/' requirements.txt > $(STAMPS)/lock.txt
	@$(LOCK) --output-file deploy/locks/core.txt --extra postgres --extra otel pyproject.toml
	@$(LOCK) --output-file deploy/locks/local.txt --extra postgres --extra otel --extra local pyproject.toml
	@$(LOCK) --output-file deploy/locks/ui.txt --extra ui pyproject.toml
	@echo hatchling | $(LOCK) --output-file deploy/locks/build.txt -

train-smoke: setup-train ## The whole training pipeline in miniature, asserting that it learned
	@$(BIN)/pir train tiny --config training/configs/tiny_smoke.yaml --output out/smoke --check

docs: $(STAMPS)/docs ## Build the documentation as a site, in out/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open out/site/index.html"

bench: setup-test ## Measure the gateway against the engine direct; writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks.gateway --write docs/benchmarks.md

bench-peers: setup-test ## Install smg, vllm-router and LiteLLM's proxy, and measure the gateway beside them
	@PYTHON=$(PYTHON) bash benchmarks/install_peers.sh $(PEERS_VENVS)
	@$(BIN)/python -m benchmarks.peers --venvs $(PEERS_VENVS)

clean: ## Remove the virtual environments and caches
	rm -rf $(VENV) $(VLLM_VENV) $(SGLANG_VENV) $(CLIENTS_VENV) $(PEERS_VENVS) tests/clients/js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
