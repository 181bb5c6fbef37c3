# Two commands do everything on a fresh Debian or Ubuntu with Python 3.11: `make up` and `make test`.
.PHONY: help up down test fuzz test-fast test-clients check fmt bench
.DEFAULT_GOAL := help
BIN := .venv/bin
# Options for pytest, such as: make test ARGS="-k wire -x"
ARGS ?=
# Processes that share the tests: one for each flavour of server.
PROCESSES ?= 2

up: ## set up what is missing and start the demo cluster (Ctrl-C stops it)
	@scripts/setup.sh up
	@exec $(BIN)/clusterctl up $(ARGS)

down: ## stop the demo cluster
	@$(BIN)/clusterctl down $(ARGS)

test: ## set up both servers and every client, then lint, types and all tests
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadscope --ignore=tests/clients/test_suites.py $(ARGS)

test-fast: ## the tests that need no server
	@$(BIN)/python -m pytest -q -m "not e2e and not slow and not fault" $(ARGS)

test-clients: ## suites of SQLAlchemy, mysqlclient and Go's driver, through the router and on the plain server
	@scripts/setup.sh clients
	@$(BIN)/python -m pytest tests/clients $(ARGS)

fuzz: ## coverage-guided fuzzing of the protocol: make fuzz ARGS="--seconds 600 login"
	@scripts/setup.sh test
	@$(BIN)/python -c "import atheris" 2> /dev/null || $(BIN)/python -m pip install -q --disable-pip-version-check -e ".[fuzz]"
	@$(BIN)/python -m tests.fuzz $(ARGS)

check: ## lint, formatting, types, imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: ## format, and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: ## the same load direct and through the router
	@$(BIN)/clusterctl bench oltp $(ARGS)

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
