# `make` alone lists the targets. Each does the set-up it needs by itself (see .ci/setup).

BIN := .venv/bin
PY := framework progs tests benchmarks fixtures conftest.py setup.py
C = $(shell find progs benchmarks framework -name '*.[ch]' ! -name _kernel.c)
C_STYLE := --style=file:progs/.clang-format
WORKERS ?= 2
KERNELS ?= 6.1
ARGS ?=

# The .venv that was made is the one that is used, whatever else is active.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup gate test test-fast pytest captures finds kills campaigns matrix bench lint format docs-check lock clean distclean

help: ## List the targets
	@echo 'packetrig: a test-first rig for XDP and TC programs'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	    while IFS='|' read -r target what; do printf '  make %-12s %s\n' "$$target" "$$what"; done
	@echo
	@echo 'gate and test need root, or CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN. CLANG= chooses the'
	@echo 'compiler, PYTHON= the interpreter, ARGS= adds to the command line of pytest and of the gate.'

setup: ## Install what is missing: system packages, .venv, the compiled core
	@.ci/setup

gate: setup ## The main job: may each program in progs/ be deployed? A table of answers
	@$(BIN)/packetrig gate progs/*.bpf.c --policy fixtures/policy/gate.toml --evidence build/evidence \
	    --html build/gate.html $(ARGS)

test: lint pytest ## Everything that CI runs

test-fast: setup ## The tests that need no kernel and no root (seconds)
	@$(BIN)/pytest tests/unit -m "not slow" $(ARGS)

pytest: ## The tests alone, none skipped
	@.ci/setup tests
	@[ "$$(id -u)" = 0 ] || echo 'packetrig: not root: the tests that load programs may fail' >&2
	@$(BIN)/pytest --bpf-require -n $(WORKERS) $(ARGS)

captures: ## Record fixtures/pcap again, from real clients and servers
	@.ci/setup captures
	@$(BIN)/python fixtures/record.py $(ARGS)

finds: setup ## Prove that each known fault is found, and that no right program is accused (minutes)
	@$(BIN)/python -m tests.finds $(ARGS)

campaigns: setup ## What campaigns reach in a minute for each program, and how soon they find each fault
	@$(BIN)/python -m tests.finds.campaigns $(ARGS)

kills: setup ## Kill attach, watch and detach a hundred times under traffic; a frame that got through fails it
	@$(BIN)/python -m tests.deploy.kills $(ARGS)

matrix: ## Run the tests of the programs on other kernels, in virtual machines (KERNELS="6.1 6.12")
	@.ci/setup tests
	@$(BIN)/packetrig matrix $(KERNELS:%=--kernel %) --kernel host --timeout 60m -- \
	    pytest -q -p no:cacheprovider -m "not slow" tests/progs $(ARGS)

bench: setup ## Measure the promised figures: a table of targets and what was measured
	@$(BIN)/python benchmarks/run.py $(ARGS)

lint: setup ## Format, lint and types: Python and C
	@$(BIN)/ruff format --check $(PY)
	@$(BIN)/ruff check $(PY)
	@$(BIN)/mypy
	@$(BIN)/clang-format $(C_STYLE) --dry-run --Werror $(C)

format: setup ## Put Python and C into the house style
	@$(BIN)/ruff check --fix-only -q $(PY)
	@$(BIN)/ruff format $(PY)
	@$(BIN)/clang-format $(C_STYLE) -i $(C)

docs-check: setup ## Run every example in README.md and docs/
	@$(BIN)/pytest --bpf-require tests/repo/test_docs.py $(ARGS)

lock: setup ## Renew requirements.lock from pyproject.toml
	@.ci/lock

clean: ## Remove what was built, keep .venv
	@rm -rf build .hypothesis .pytest_cache .mypy_cache .ruff_cache
	@find . -name .venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## And remove .venv and the compiled core
	@rm -rf .venv framework/*.egg-info framework/packetrig/_bpf/_kernel*.so framework/packetrig/_bpf/_kernel.c
