# Needs Python 3.11 and make; everything else comes from requirements.lock, each package checked by its hash.
#   make run     the whole of it on synthetic courses: train, track, promote, serve on 127.0.0.1:3000
#   make test    every test, from nothing, two files at a time; make test JOBS=0 one after the other
#   make check   format, lint, types, import directions
# Another interpreter: make PYTHON=/usr/bin/python3.11 run. More arguments: make run ARGS="--port 3001".
PYTHON ?= python3.11
ARGS ?=
# Processes that share the test files; a file stays with one, so that what it starts is started once.
JOBS ?= 2
VENV := .venv
INSTALLED := $(VENV)/.installed
BIN := $(VENV)/bin

# The libraries send usage figures unless told not to; BentoML takes "True" only.
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True

.PHONY: run test check format bench lock clean
.DEFAULT_GOAL := run

run: $(INSTALLED)
	$(BIN)/crs demo $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	for file in benchmarks/*.py; do $(BIN)/python "$$file" $(ARGS) || exit 1; done

# Newer versions within pyproject.toml's bounds. uv lives in a throw-away environment and is no part of the product.
lock:
	rm -rf build/uv
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet uv
	build/uv/bin/uv pip compile --quiet pyproject.toml --extra dev --python $(PYTHON) --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --upgrade --output-file requirements.lock
	rm -rf build/uv

# Leaves .crs-risk alone: it is the state of a deployment.
clean:
	rm -rf $(VENV) build crs_risk.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew when the lock or the project file changes. The stamp comes last, so a half-made environment is finished.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed: set PYTHON to its path" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@
