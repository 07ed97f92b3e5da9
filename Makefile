# Every target sets itself up from nothing but Python >= 3.11 and reuses the environment afterwards.
# Python compiles what it imports: for pip to compile all of PyTorch takes longer than to install it.
PYTHON ?= python3
VENV := .venv
OUT ?= demo

BIN := $(VENV)/bin
# On two processes; one that ends ends the run, or its test would be tried again and again. Files in
# the order of tests/conftest.py, not those with many tests first.
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
READY := $(VENV)/.ready
export MPLBACKEND = Agg

.PHONY: demo test lint docs pictures bench fuzz test-newest clean

demo: $(READY)
	$(BIN)/python examples/annealing_series.py --out "$(OUT)"

# ARGS="--cov" says besides which lines and branches of the package no test reaches.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) --durations=25 $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages for people: offline, a warning is an error, and no page is left of a name that went.
# Then every page is looked at: pictures, links, and in chromium, where that is, scripts.
docs: $(READY)
	rm -rf docs/generated docs/gallery
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python tools/check_pages.py docs/_build/html

# What the examples draw, for the gallery: minutes, so that it is kept; ARGS="live_stream" is one.
pictures: $(READY)
	$(BIN)/python tools/gallery_pictures.py $(ARGS)

bench: $(READY)
	@set -e; for script in benchmarks/*.py; do \
	  test -e "$$script" || { echo "benchmarks/ holds no script"; exit 1; }; \
	  echo "== $$script"; $(BIN)/python "$$script"; \
	done

# Hours of damaged files, odd spectra, killed programs and threads; ARGS="kills --moments 20" is less.
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/robustness.py $(ARGS)

# The newest release of everything that the declared ranges allow, in an environment of its own.
test-newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade pip
	.venv-newest/bin/python -m pip install --quiet --no-compile --upgrade --upgrade-strategy eager -e '.[test,onnx,distributed]'
	OMP_NUM_THREADS=1 .venv-newest/bin/python $(PYTEST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -e '.[test,lint,bench,onnx,docs,release,distributed]' -c constraints.txt
	touch $@

clean:
	rm -rf .venv .venv-newest demo bench build dist docs/_build docs/gallery docs/generated
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
