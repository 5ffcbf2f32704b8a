# Every target sets up what it needs: .venv/ with uv inside it, then the project and its tools.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Waiting threads sleep: spinning ones crawl as soon as the machine has other work (docs/log.md).
export OMP_WAIT_POLICY ?= PASSIVE
STAMP := $(VENV)/.installed

.PHONY: env demo test browser bench real reliability clean
.DEFAULT_GOAL := test

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

env: $(STAMP)

demo: env
	$(BIN)/cairn demo

# The page's tests drive Debian's Chromium; where it cannot be had they are skipped, and say so.
browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; } || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  chromium; } >/dev/null 2>&1 || echo "Chromium could not be installed: tests of the page are skipped"

test: env browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

bench: env
	-@$(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,bench]'
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

real: env
	$(BIN)/python benchmarks/real/photos.py

# The server under damaged files, made-up requests, and kills at saturation: about half an hour.
reliability: env
	$(BIN)/python benchmarks/reliability/fuzz.py
	CAIRN_API_EXAMPLES=200 $(BIN)/python -m pytest tests/contracts/test_serve_openapi.py
	$(BIN)/python benchmarks/reliability/soak.py

clean:
	rm -rf $(VENV) runs
