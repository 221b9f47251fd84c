# Everything happens in .venv and in the lab's cache: nothing is installed on the system.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: drill test test-fast test-lab test-long test-all check bench soak seeds mutations lock clean

drill: $(VENV)/ready
	$(BIN)/dr lab doctor --fix
	$(BIN)/dr drill scenarios/region-outage.yaml --report reports

test: test-fast test-lab

# no servers: on all processors at once; a file's tests stay together, they share what was set up for them
test-fast: $(VENV)/ready
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not lab and not scenario and not long and not soak"

# real servers, one test after the other: they share the machine's addresses, and drills measure time
test-lab: $(VENV)/ready
	$(BIN)/dr lab doctor --fix
	$(BIN)/python -m pytest -m "(lab or scenario) and not long and not soak"

# the drills that take longest
test-long: $(VENV)/ready
	$(BIN)/dr lab doctor --fix
	$(BIN)/python -m pytest -m "long and not soak"

test-all: test test-long

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/dr lab doctor --fix
	$(BIN)/python tests/bench/bench.py

# every scenario N times in a row: SOAK="--times 3 two-operators" for some of them
soak: $(VENV)/ready seeds
	$(BIN)/dr lab doctor --fix
	$(BIN)/python -m pytest -m soak
	$(BIN)/python -m tests.bench.kills
	$(BIN)/python tests/bench/soak.py $(SOAK)

# simulated disasters, on and on: each call goes on where the last one stopped (SEEDS="--minutes 480 lab")
seeds: $(VENV)/ready
	$(BIN)/python tests/bench/seeds.py $(SEEDS)

# do the checkers bite: every planted bug must be found
mutations: $(VENV)/ready
	$(BIN)/python tests/simulate/mutations.py

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dr needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# rewrites the lock file from pyproject.toml (needs uv)
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --all-extras --allow-unsafe -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build reports *.egg-info
