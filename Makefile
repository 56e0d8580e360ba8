# make demo   train, evaluate and report on generated radiographs (no data needed)
# make test   lint, types, import rules, tests
# Both make .venv and install the locked dependencies when they are not there yet.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(BIN)/uv --no-config
# Debian ships Python without ensurepip; then the system's pip installs into the environment
GET_UV = { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null 2>&1; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null \
	|| $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check uv; }

.PHONY: demo test lint types imports unit lock wheel clean
.DEFAULT_GOAL := demo

demo: $(READY)
	@$(BIN)/python -m lungseg paths.outputs=outputs/demo
	@echo "report: $$(ls -td outputs/demo/phantom/*/report.html | head -n 1)"

test: lint types imports unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

unit: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile $(PYTEST)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "lungseg needs Python 3.11, 3.12 or 3.13 on the PATH; or name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@test -x $(BIN)/uv || $(GET_UV) || { echo "uv could not be installed; is there pip (Debian: apt install python3-venv) and a network?" >&2; exit 4; }
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

# every dependency of every extra, with hashes and without addresses
lock: pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --all-extras \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock

wheel: $(READY)
	$(UV) build --quiet --python $(BIN)/python --no-build-isolation --wheel --out-dir dist

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
