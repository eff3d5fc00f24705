# `make` builds the paper from nothing, `make test` checks everything, `make help` lists the targets.
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
	@mv -f results/.report.html results/report.html && echo "Wrote results/report.html"

# Tests of one file share fixtures that are slow to make, so one process runs them all. More than
# six processes would only wait for the longest file. OpenBLAS threads sleep after 2^4 idle cycles,
# so that other tests can use their cores.
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
	    "pixelflow needs Python 3.11 or newer, but $(PYTHON) is older or missing." \
	    "Choose another: make PYTHON=python3.12"; \
	    exit 1; }
	@bash workflow/scripts/system_packages.sh "$(PYTHON)"

# Without the stamp there is no complete environment, so it is created from nothing. If the stamp is
# older than the requirements, the environment is updated in place. Scikit-fmm comes last, because
# it is built with packages that the lock has installed: pip does not verify the hashes of build
# packages that it downloads itself.
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
	    echo "There is no C++ compiler, or no Python headers. So scikit-fmm is not installed, and"; \
	    echo "the experiment eikonal can't run. Install both, then type: rm $@ && make setup"; \
	fi
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# Pins that still fit are kept. To get the newest version of everything, delete the file first.
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
	@echo "make          build all that is out of date, and last paper/pixelflow.pdf"
	@echo "make report   the same, then results/report.html: figures, results and rules, with captions"
	@echo "make test     make lint, then all tests, among them a small run of the whole workflow"
	@echo "make lint     check style and types, with ruff and pyright"
	@echo "make lab      open notebooks/ in JupyterLab"
	@echo "make setup    create the environment .venv, and install missing system packages"
	@echo "make lock     write requirements.lock again, from pyproject.toml"
	@echo "make clean    delete what was built, but keep data and .venv"
	@echo "PYTHON=python3.12 chooses the interpreter, CORES=2 the number of cores."
	@echo "ARGS='eikonal --configfile config/smoke.yaml' is passed to snakemake; of make test, to pytest"
