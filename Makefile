# Two commands on a fresh machine: `make demo` and `make test`. Each does its own set-up, with Python, make and git.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUNS   ?= runs

# Where no NVIDIA GPU is found, the CPU build is asked for by its own version, so that no CUDA packages come along;
# an index that doesn't carry that name (macOS, some mirrors) has the CPU build under the plain version.
TORCH      := 2.13.0
TORCH_SPEC := $(if $(shell command -v nvidia-smi 2>/dev/null),torch==$(TORCH),torch==$(TORCH)+cpu)
PIP        := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-nightly lint docs wheel setup clean

demo: setup  ## the main job: compare parameterisations on real digit images, in about two minutes
	$(BIN)/distill compare classification --recipe digits \
	  --parameterisation exponential,cayley,riemannian --seeds 3 --run $(RUNS)/demo --resume

test: setup lint  ## lint, types and the quick profile of all tests
	$(BIN)/python -m pytest -n 2 -m "not nightly"

test-nightly: setup lint  ## every test, more hypothesis examples
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: setup  ## build the site: docs/_build/html/index.html
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet -c docs . docs/_build/html

wheel: setup  ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) "$(TORCH_SPEC)" 2>/dev/null || $(PIP) torch==$(TORCH)
	$(PIP) --editable ".[dev]" torch==$(TORCH)
	touch $@

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .hypothesis
