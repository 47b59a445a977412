# Everything runs in .venv, made by `make setup`; nothing needs to be installed by hand.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
DATA ?= ../shared/data/scifact

.PHONY: help setup run test test-full coverage check format format-check lint types imports security audit bench-quality bench-database clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "%-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything pinned in it

$(STAMP): requirements.txt requirements-dev.txt constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off -r requirements.txt -r requirements-dev.txt
	touch $(STAMP)

run: setup ## serve on http://127.0.0.1:8000, everything embedded below ./data
	exec $(BIN)/python -m advanced_rag serve

test: setup ## all tests but the slow ones
	$(BIN)/python -m pytest tests/ -v -n $(WORKERS) --dist loadgroup

test-full: setup ## all tests, slow ones included
	$(BIN)/python -m pytest tests/ -v -m "not benchmark_suite"

coverage: setup ## line and branch coverage of the tests, at least 90 %
	$(BIN)/python -m pytest tests/ -n $(WORKERS) --dist loadgroup --cov --cov-report=term-missing:skip-covered

check: format-check lint types imports security audit ## the whole static gate

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: setup ## is the code formatted
	$(BIN)/ruff format --check .

lint: setup ## lint
	$(BIN)/ruff check .

types: setup ## mypy --strict
	$(BIN)/mypy

imports: setup ## imports point one way
	$(BIN)/lint-imports

security: setup ## bandit
	$(BIN)/bandit -q -c pyproject.toml -r advanced_rag service.py scripts migrations

audit: setup ## known vulnerabilities of the pinned packages, where an advisory source can be reached
	bash scripts/audit.sh $(BIN)

bench-quality: setup ## nDCG@10 and recall@100 over HTTP, DATA=folder in BEIR's layout
	$(BIN)/python scripts/benchmark_quality.py $(DATA)

bench-database: setup ## pooled against fresh connections, history against its length, on a real Postgres
	$(BIN)/python scripts/benchmark_database.py

clean: ## remove caches (not .venv, not data)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage
