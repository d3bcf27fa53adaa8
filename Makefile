# make run [SCALE=ci|laptop|gpu], make test, make lab, make refresh, make exercises. Without make: see the README.
SCALE ?= laptop
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export SCALE

.PHONY: run test lab refresh exercises clean

# The set-up runs again only when the requirements change, so that both commands start within seconds afterwards.
$(VENV)/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

run: $(VENV)/.ready
	$(BIN)/o1lib run --scale $(SCALE)

test: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest
	$(BIN)/o1lib run --scale ci

lab: $(VENV)/.ready
	$(BIN)/jupyter lab notebooks

# Execute the committed notebooks in place at scale laptop: their outputs are what a reader of the repository sees.
refresh: $(VENV)/.ready
	$(BIN)/o1lib run --scale laptop --in-place

# The exercises a reader gets, made from notebooks/solutions.
exercises: $(VENV)/.ready
	$(BIN)/python -m o1lib.exercises.generate

clean:
	rm -rf outputs build *.egg-info
