# Everything that a contributor runs. Each target makes .venv by itself; only Python >= 3.11 and make are needed.
#   make PYTHON=python3.12 test    choose the interpreter      make WORKERS=4 test    more test processes

PYTHON ?=
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=
# lists of tests and commands that passed a moment ago for this very tree: test-services does not run them again
PASSED ?=
# the folder of a demo that passed a moment ago for this very tree: test-services judges it and runs no other
DEMO ?=

py := $(VENV)/bin/python
stamp := $(VENV)/.aqe-ready
native_sources := $(wildcard simd/*.c simd/*.h simd/*/*.c simd/*/*.h)
fast := -m "not services and not nightly"
pytest := $(py) -m pytest -n $(WORKERS)
peers := .work/peers

# without byte code each of some thousand processes would compile every module anew
unexport PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX

.DEFAULT_GOAL := help
.PHONY: help demo test test-services nightly lint types floors bench bench-public transcript schemas public cli-docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(stamp) ## run every agent on a small shop with planted flaws; prints what it found and where the report is
	$(VENV)/bin/aqe demo

test: $(stamp) ## the fast tier: under 5 minutes, no services, no network
	$(pytest) $(fast) $(PYTEST_ARGS)

test-services: $(stamp) ## real servers, other interpreters, installs, and every command of docs/features.md
	$(pytest) -m services --passed-to=.work/services-passed $(DEMO:%=--demo-in=%) $(PYTEST_ARGS)
	$(py) tools/every_python.py $(PYTEST_ARGS)
	$(py) tools/feature_commands.py --passed-in .work/services-passed $(PASSED:%=--passed-in %)

nightly: $(stamp) ## fuzzing and soak; its last result stands in docs/nightly.md
	$(pytest) -m nightly $(PYTEST_ARGS)

lint: $(stamp) ## ruff
	$(py) -m ruff check .

types: $(stamp) ## mypy --strict over the four floors
	$(py) tools/links.py
	$(py) -m mypy
	$(py) -m mypy tests/engine/front/public_api_use.py

floors: $(stamp) ## imports go down only (import-linter)
	$(VENV)/bin/lint-imports --no-cache

bench: $(stamp) ## the benchmarks that need no network
	$(py) benchmarks/simd.py
	$(py) benchmarks/embedding.py
	$(py) benchmarks/startup.py
	$(py) benchmarks/store.py
	$(py) benchmarks/index.py fixtures/shop
	$(py) benchmarks/care.py --memories 2000
	$(py) benchmarks/evidence.py
	$(py) benchmarks/evidence.py --set life
	$(py) benchmarks/memory_tiers.py
	$(py) benchmarks/plugin.py
	$(py) benchmarks/sandbox.py
	$(py) benchmarks/cancel.py
	$(py) benchmarks/redaction.py
	$(py) benchmarks/privacy.py
	$(py) benchmarks/resilience.py
	$(py) benchmarks/query.py
	$(py) benchmarks/answers.py
	$(py) benchmarks/sessions.py
	$(py) benchmarks/batches.py
	$(py) benchmarks/feedback.py --seed 2
	$(py) benchmarks/knowledge.py
	$(py) benchmarks/flaky/measure.py --suites 1

bench-public: $(stamp) ## the benchmarks that fetch public packages first, and libraries to compare with; hours
	$(py) -m pip install --quiet --disable-pip-version-check --upgrade --target $(peers) usearch hnswlib faiss-cpu numexpr
	$(py) benchmarks/memory.py --parts search store hard growth --sizes 10k 100k 300k --peers-from $(peers)
	PYTHONPATH=$(peers) $(py) benchmarks/memory_rank.py
	$(py) benchmarks/retrieval.py --split dev --stop-words
	$(py) benchmarks/retrieval.py --split fresh --stop-words
	$(py) benchmarks/retrieval.py --graph
	$(py) benchmarks/graph.py --cost
	$(py) benchmarks/graph.py --own
	$(py) benchmarks/together.py
	$(py) benchmarks/answer_thresholds.py
	$(py) benchmarks/select.py
	$(py) benchmarks/packages.py
	$(py) benchmarks/testgen.py --json .work/testgen.json
	$(py) benchmarks/review/measure.py
	$(py) benchmarks/flaky/measure.py --peers
	$(py) benchmarks/plugin.py --installed
	$(py) benchmarks/startup.py --cold
	$(py) benchmarks/tour.py

transcript: $(stamp) ## write the README's transcript anew from a real run
	$(py) tools/transcript.py

schemas: $(stamp) ## write docs/schemas/ anew from the models
	$(py) tools/schemas.py

public: $(stamp) ## write the pinned list of public names anew (a change needs a CHANGELOG line)
	$(py) tools/pin_public.py

cli-docs: $(stamp) ## write docs/cli.md anew from --help, and the slash commands of the Claude Code plugin
	$(py) tools/cli_docs.py
	$(py) tools/claude_plugin.py

clean: ## remove what make and the tests leave behind
	rm -rf $(VENV) .work .links build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -f simd/*.so .coverage

$(stamp): pyproject.toml setup.py $(native_sources)
	@set -e; found=; \
	for candidate in $(or $(PYTHON),python3 python python3.14 python3.13 python3.12 python3.11); do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "aqe needs Python 3.11 or newer and found none as: $(or $(PYTHON),python3, python3.11 to python3.14). Name one: make PYTHON=/path/to/python" >&2; exit 2; \
	fi; \
	if [ ! -x $(py) ]; then echo "making $(VENV) with $$found"; "$$found" -m venv $(VENV); fi
	@echo "installing aqe and the development tools into $(VENV)"
	@{ $(py) -m pip install --disable-pip-version-check --upgrade "pip>=25.1" && \
	   $(py) -m pip install --disable-pip-version-check --editable . --group dev; \
	} >$(VENV)/install.log 2>&1 || { cat $(VENV)/install.log >&2; exit 1; }
	@$(py) -m compileall -q -x /data/ server agents engine simd # as pip does for a wheel: the boxes of user code write no byte code
	@touch $@
