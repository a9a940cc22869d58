# `make up` runs the product, `make test` proves it; everything else helps those who change it.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Every job starts a process, and most of them read torch. Byte code is made when a module is first imported, not of all of torch at once; it is kept,
# whatever the shell says, and away from the sources.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/byte-code
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: help up test lint format types bench front clean

help:
	@echo "make up      run Dreamfork here (http://127.0.0.1:8000); UP='--port 9000 --no-demo' passes options"
	@echo "make test    run all tests; T='tests/core -k jobs' runs some"
	@echo "make lint    check style, imports between the parts, and types"
	@echo "make format  put the code into its form"
	@echo "make front   rebuild frontend/dist (needs Node 20)"
	@echo "make bench   measure what the README claims"

up: $(VENV)/installed
	@sh docker/system-libraries.sh
	@exec $(BIN)/python manage.py up $(UP)

# Most tests run side by side, one worker per core. Those that start whole products, or drive a browser, wait more than they compute: they run in three
# lanes behind the others, which are nice to them, take what they leave, and begin when the lanes have compiled what all of them import. What the lanes
# have to say is heard when the others have ended. Ctrl-C reaches all, and all stop their products.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
STORY := tests/e2e/test_story.py

test: $(VENV)/installed-dev
	@sh docker/system-libraries.sh
ifdef T
	$(PYTEST) $(T)
else
	@failed=0; lanes=; logs=; \
	lane() { log=$(VENV)/lane-$$1.log; shift; $(PYTEST) "$$@" >$$log 2>&1 & lanes="$$lanes $$!"; logs="$$logs $$log"; }; \
	lane chaos tests/chaos; \
	lane browser tests/e2e --ignore=$(STORY); \
	lane story $(STORY); \
	trap : INT; trap 'kill -INT $$lanes' TERM; \
	sleep 15 && nice -n 5 env $(PYTEST) -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --ignore=tests/chaos --ignore=tests/e2e || failed=1; \
	echo "Waiting for the tests that start whole products and drive a browser."; \
	for lane in $$lanes; do wait $$lane || failed=1; done; \
	cat $$logs; \
	exit $$failed
endif

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory types

types: $(VENV)/installed-dev
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

front:
	cd frontend && npm ci --no-audit --no-fund && npm run build

bench: $(VENV)/installed-dev
	@for script in $(filter-out __init__ common held_out tables,$(basename $(notdir $(wildcard bench/*.py)))); do echo "== $$script"; OMP_NUM_THREADS=1 $(BIN)/python -m bench.$$script || exit 1; done

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Dreamfork needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt constraints.txt | $(BIN)/python
	@echo "Installing what Dreamfork needs; the first time takes some minutes."
	$(PIP) -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements.txt constraints.txt | $(BIN)/python
	$(PIP) -r requirements-dev.txt -c constraints.txt
	@touch $@ $(VENV)/installed
