# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test check format bench fuzz oracle soak chaos clean

help: ## what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/ready ## the whole job on a simulated company
	$(BIN)/bellwether demo

test: .venv/ready ## the tests
	$(BIN)/pytest -n 2 --dist loadfile

check: .venv/ready ## format, lint, types, import rules, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile

format: .venv/ready ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready ## speed and size beside plain code (SIZE=small: a minute; SIZE=million: scoring alone)
	$(BIN)/python -m benchmarks --size $(or $(SIZE),full)

fuzz: .venv/ready ## a million changed inputs, by target (INPUTS=20000: half a minute; SEED=2)
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000) --seed $(or $(SEED),1)

oracle: .venv/ready ## random scorecards and facts against a slow reference (CASES=500: two minutes; SEED=2)
	ORACLE_CASES=$(or $(CASES),5000) ORACLE_SEED=$(or $(SEED),1) \
		$(BIN)/pytest -n 2 tests/test_scoring_oracle.py

soak: .venv/ready ## days of the daemon in a storm, beside its twin (DAYS=6: eleven minutes beside other work)
	$(BIN)/python -m tests.soak --days $(or $(DAYS),7)

chaos: .venv/ready ## kills, a storm of faults, full disks and more, a row a proof (SIZE=small: minutes; STATE=postgresql; DAYS=30)
	$(BIN)/python -m tests.chaos --size $(or $(SIZE),full) --state $(or $(STATE),sqlite) --days $(or $(DAYS),0)

clean: ## take away what make made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
