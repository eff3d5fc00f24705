# `make` rebuilds the paper from nothing, `make test` checks everything; `make help` lists the rest.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
BUILD_PRODUCTS := $(addprefix paper/pixelflow.,aux bbl blg fdb_latexmk fls log out pdf synctex.gz)
HEADERS := import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: all report setup system test lint lab lock clean help
.NOTPARALLEL:
.DELETE_ON_ERROR:

all: setup
	@$(BIN)/python workflow/scripts/build.py --cores $(CORES) $(ARGS)

report: all
	@$(BIN)/python -m snakemake $(ARGS) --report results/.report.html
	@mv -f results/.report.html results/report.html && echo "results/report.html is made"

# A file's tests share what is slow to make, so one process runs them all; more than six would wait
# for the longest file. OpenBLAS's threads, told to sleep as soon as they have nothing to do (after
# 2^4 cycles), leave their cores to the tests beside.
test: lint
	@OPENBLAS_THREAD_TIMEOUT=4 $(BIN)/python -m pytest -n $(CORES) --maxprocesses 6 \
	    --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright

lab: setup
	@$(BIN)/jupyter-lab --allow-root notebooks $(ARGS)

setup: system $(STAMP)

system:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	    "pixelflow needs Python 3.11 or newer; $(PYTHON) is not. Name another: make PYTHON=python3.12"; \
	    exit 1; }
	@bash workflow/scripts/system_packages.sh "$(PYTHON)"

# No stamp means no environment, or one that was cut short: it starts afresh. With a stamp, and newer
# requirements, the environment is brought up to date in place. Scikit-fmm comes last and is built by
# what the lock has just installed: pip verifies no hashes of what it fetches for a build of its own.
$(STAMP): requirements.lock pyproject.toml
	@echo "Installing requirements.lock into .venv (a minute or two)"
	@test -e $@ || "$(PYTHON)" -m venv --clear .venv
	@rm -f $@
	@sed '/^scikit-fmm==/,/[^\]$$/d' requirements.lock >.venv/requirements.lock
	@$(BIN)/python -m pip install -qq --require-hashes -r .venv/requirements.lock
	@if command -v c++ >/dev/null && $(BIN)/python -c '$(HEADERS)' 2>/dev/null; then \
	    sed -n '/^scikit-fmm==/,/[^\]$$/p' requirements.lock >.venv/scikit-fmm.lock && \
	    PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install -qq --require-hashes --no-deps \
	        --no-build-isolation -r .venv/scikit-fmm.lock; \
	else \
	    echo "No C++ compiler or Python headers, so without scikit-fmm, the eikonal reference."; \
	    echo "Once they are there: rm $@ && make setup"; \
	fi
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# Keeps the pins that still fit; for newer versions of everything, delete the file first.
lock:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	"$(PYTHON)" -m venv "$$tmp" && "$$tmp/bin/python" -m pip install -qq uv && \
	"$$tmp/bin/uv" pip compile --quiet --no-config --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	    --extra workflow --extra dev --output-file requirements.lock pyproject.toml

clean:
	@rm -rf paper/generated paper/build $(BUILD_PRODUCTS)
	@if [ -d results ]; then \
	    find results -mindepth 1 -maxdepth 1 ! -name recorded -exec rm -rf {} +; fi

help:
	@echo "make          build everything that is out of date, up to paper/pixelflow.pdf"
	@echo "make report   the same, and results/report.html: figures, results and rules, with captions"
	@echo "make test     lint, types and tests, with a small run of the whole workflow"
	@echo "make lint     ruff and pyright"
	@echo "make lab      JupyterLab on notebooks/"
	@echo "make setup    the environment .venv and what is missing on the system"
	@echo "make lock     write requirements.lock anew from pyproject.toml"
	@echo "make clean    delete what was built; data and .venv stay"
	@echo "PYTHON=python3.12 picks the interpreter, CORES=2 the cores,"
	@echo "ARGS='eikonal --configfile config/smoke.yaml' is passed on to snakemake, others to pytest"
