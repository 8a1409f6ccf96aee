# The one front door. `make help` lists what it opens.
PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 3000
KILLS ?= 100
RUN := $(VENV)/bin/python
MANAGE := $(RUN) manage.py
# Tests of what knows no database: the same on each. What the browser does, test_actions.py does
# to the rows of either.
WITHOUT_DATABASE := tests/agent tests/events tests/outbound tests/runtime \
	tests/accounts/test_base_urls.py tests/admin/test_browser.py tests/api/test_file_race.py \
	tests/api/test_options.py tests/commands/test_package.py tests/commands/test_refused_starts.py \
	tests/project/test_client_watch.py tests/project/test_env.py tests/project/test_guard.py \
	tests/project/test_proxies.py tests/project/test_web_client.py

.PHONY: help setup setup-dev migrate run demo test test-sqlite test-postgresql chaos bench lint fix lock

help: ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

setup: $(VENV)/.installed ## Install what Handrail runs on: packages in .venv, bubblewrap
	@sh scripts/ensure_package.sh bubblewrap bwrap "Handrail runs an agent's commands in a sandbox"

setup-dev: setup $(VENV)/.installed-dev ## And what it is tested and checked with
	@sh scripts/ensure_package.sh chromium chromium "A test walks the operators' console in a browser"

$(VENV)/.installed: requirements.txt
	@$(PYTHON) scripts/check_python.py
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "Installing packages (a minute or two) …"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing packages for tests and checks …"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

migrate: setup
	@$(MANAGE) migrate --verbosity 0

run: migrate ## Serve on 127.0.0.1:3000 (HOST, PORT)
	@exec $(MANAGE) serve --host $(HOST) --port $(PORT)

demo: migrate ## See an agent work on a task now; leaves the server running
	@$(MANAGE) demo --host $(HOST) --port $(PORT)

test: test-sqlite test-postgresql ## All tests on SQLite, then on PostgreSQL

test-sqlite: setup-dev
	@$(RUN) -m pytest -n 2 --dist worksteal

test-postgresql: setup-dev
	@sh scripts/test_on_postgresql.sh $(RUN) -n 2 --dist worksteal $(WITHOUT_DATABASE:%=--ignore=%)

chaos: setup-dev ## The long runs with kills and load, on SQLite, then on PostgreSQL
	@$(RUN) -m pytest -m chaos
	@sh scripts/test_on_postgresql.sh $(RUN) -m chaos
	@$(RUN) -m chaos --kills $(KILLS)
	@$(RUN) -m chaos --kills $(KILLS) --database postgresql --web 2 --workers 2

bench: setup-dev ## Measure against what is under it; writes docs/performance.md
	@$(RUN) -m benchmarks

lint: setup-dev ## Format, rules, types, imports, migrations, settings: check all
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(RUN) scripts/check_settings.py

fix: setup-dev ## Format, and mend what can be mended by itself
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

lock: setup-dev ## Write the requirements files anew, with hashes
	@CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links -o requirements.txt requirements.in
	@CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links -c requirements.txt -o requirements-dev.txt requirements-dev.in
