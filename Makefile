# Every target sets up by itself. Another interpreter: `PYTHON=python3.12 make test`.
# More options for pytest: `make test ARGS="-k otf -x"`; with `-n0` among them the tests run in one process.

PYTHON ?= python3
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin

# The stamps carry the interpreter's version, so that another PYTHON gets an environment of its own.
PYTHON_VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())')
CREATED        := $(VENV)/.created-$(PYTHON_VERSION)
INSTALLED      := $(VENV)/.installed

DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help:  ## Show this list.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "  make %-6s %s\n", $$1, $$2 }'

demo: $(INSTALLED)  ## Train a small guided network on simulated F-actin, score it and the one in the package against classical SIM, reconstruct.
	$(BIN)/python train.py --config=configs/guided.py:quick --workdir=$(DEMO)
	$(BIN)/python evaluate.py --config=configs/guided.py:quick --workdir=quick=$(DEMO) --workdir=guided --methods=widefield,wiener,network --out=$(DEMO)/evaluation --overwrite --save-raw
	$(BIN)/python reconstruct.py $(DEMO)/evaluation/raw_low.tif --config=configs/guided.py:quick --out=$(DEMO)/reconstruction --overwrite --preview --trust
	$(BIN)/python reconstruct.py $(DEMO)/evaluation/raw_medium.tif --method=wiener --config=configs/guided.py:quick --out=$(DEMO)/wiener --overwrite --preview --diagnostics
	$(BIN)/oidn-jax measure $(DEMO)/wiener/raw_medium_sr.tif --plot=$(DEMO)/wiener/raw_medium_sr_resolution.png --overwrite
	@echo "Report: $(DEMO)/evaluation/report.html (open it in a browser)"
	@echo "Pictures:"
	@find $(DEMO)/evaluation $(DEMO)/reconstruction $(DEMO)/wiener -name '*.png' | sort | sed 's/^/  /'

test: $(INSTALLED)  ## Run the tests.
	$(BIN)/python -m pytest -n2 --dist=loadfile $(ARGS)

lint: $(INSTALLED)  ## Check style, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

bench: $(INSTALLED)  ## Measure speed, memory and accuracy of the network, the simulation, classical SIM and the metrics.
	$(BIN)/python -m benchmarks.network --record
	$(BIN)/python -m benchmarks.simulation --record
	$(BIN)/python -m benchmarks.classical --record
	$(BIN)/python -m benchmarks.metrics --full-map --record
	$(BIN)/python -m benchmarks.tables

clean:  ## Remove the environment and the caches; keep runs/.
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@test -n "$(PYTHON_VERSION)" || { echo "make: $(PYTHON) is not a Python interpreter; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $(PYTHON) is Python $(PYTHON_VERSION), oidn_jax needs 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Silent unless it fails: the log of a good installation says nothing that anybody needs.
$(INSTALLED): $(CREATED) pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (Python $(PYTHON_VERSION)); this takes a minute or two the first time ..."
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]' -c constraints.txt > $(VENV)/install.log 2>&1 \
	  || { cat $(VENV)/install.log >&2; exit 1; }
	@touch $@
