# make demo: install, bring the stack up here, show a real prediction.  make test: install what the tests need, run them.
PYTHON ?= python3
VENV ?= .venv
IMAGE ?=
BIN := $(VENV)/bin
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export IMAGE
APT := $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install
SOURCES := pyproject.toml

.PHONY: help demo down test check bench screenshots clean
help:
	@grep -E '^# make|^## ' Makefile | sed 's/^## //'

## make demo [IMAGE=chest.png]   the stack on this machine, and a prediction
demo: $(VENV)/.local
	@test -z "$$IMAGE" || test -f "$$IMAGE" || { echo "there is no picture $$IMAGE"; exit 2; }
	$(BIN)/pneumoctl up -y
ifeq ($(IMAGE),)
	@mkdir -p build
	$(BIN)/python -P -m model.phantom build/drawing.png --seed 22 --opacity
	$(BIN)/pneumoctl predict --remote build/drawing.png
else
	$(BIN)/pneumoctl predict --remote "$$IMAGE"
endif
	@$(BIN)/pneumoctl status

## make down                     end the demo's stack; results are exported
down: $(VENV)/.local
	$(BIN)/pneumoctl teardown -y

## make test                     everything that a clean machine can prove (real X-rays: PNEUMO_DATA=folder)
test: $(VENV)/.dev packages
	$(BIN)/python -m pytest

## make check                    format, lint, types
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

## make bench                    the speed of the hot paths, as ratios
bench: $(VENV)/.dev
	for one in startup predict api; do $(BIN)/python -m tests.bench.bench_$$one || exit 1; done

## make screenshots              the README's pictures, from the real thing
screenshots: $(VENV)/.dev packages
	$(BIN)/python tests/browser/readme_pictures.py docs

clean:
	rm -rf $(VENV) build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pneumoctl needs Python 3.11 or newer (PYTHON=python3.12 make ...)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "installing python3-venv"; { $(AS_ROOT) apt-get -q update && $(APT) python3-venv; } || { echo "ask an administrator for: apt-get install python3-venv"; exit 1; }; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/.dev: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.local

# What the tests use beside Python; a test skips, saying so, where one of them cannot be had.
.PHONY: packages
packages:
	@command -v redis-server >/dev/null && { command -v chromium || command -v chromium-browser; } >/dev/null || \
		{ $(AS_ROOT) apt-get -q update && $(APT) redis-server chromium; } || echo "not installed: redis-server or chromium"
