# Each target sets up .venv first; nothing else is needed but Python 3.11 to 3.14 and make.
#   make demo            the main job on a simulated screen; prints where the report is
#   make test            the tests; EXTRAS=all also those of every extra
#   make check           formatting, lint, types
#   make bench           accuracy and speed on the real data beside the checkout (some hours); see docs/benchmarks.md
#   make bench-speed     speed, memory and scaling alone (an hour); fails where a ratio fell below benchmarks/ratios.json
#   make nightly         fuzzing of every reader, and fits that are killed and resumed (some hours)
#   make docs            the documentation, in docs/_build
# The tests run on every core, a file at a time, with one thread each: threads that wait for each other cost more than they save.
# In the order of their folders, so that no long file is begun last.
# TORCH_INDEX=URL takes torch from another index, for example one with wheels for the CPU only.

PYTHON ?= python3
EXTRAS ?= scale
DATA ?= ../shared/data
SPEED := runs/speed
ENGINES ?= loky
PROFILES ?= 200000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))

.PHONY: demo test browser check bench bench-speed nightly docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The marker is older than pyproject.toml or constraints.txt whenever one of them changed.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) $(TORCH) torch
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev-%: $(VENV)/.installed
	$(PIP) -e ".[dev,$*]"
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/galenic demo --out demo --overwrite

test: $(VENV)/.installed-dev-$(EXTRAS) $(if $(filter all,$(EXTRAS)),browser)
	GALENIC_EXTRAS=$(EXTRAS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST)

# Debian's Chromium, put there where that needs no question; where it cannot be, the tests in a browser say so and skip.
browser:
	@command -v chromium > /dev/null || { \
		sudo=$$(test "$$(id -u)" = 0 || echo "sudo -n"); \
		{ $$sudo apt-get update && $$sudo apt-get install -y --no-install-recommends chromium; } > /dev/null 2>&1; \
	} || echo "chromium could not be installed: the tests in a browser will skip"

check: $(VENV)/.installed-dev-$(EXTRAS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/galenic benchmark benchmarks/gdsc1.toml --out runs/gdsc1 --jobs 2 --overwrite
	$(BIN)/python benchmarks/tables.py runs/gdsc1 docs/benchmarks.md
	$(BIN)/galenic benchmark benchmarks/gdsc1_inputs.toml --out runs/inputs --jobs 2 --overwrite
	$(BIN)/python benchmarks/kdrug.py benchmarks/gdsc1.toml --out runs/kdrug --jobs 2 --page docs/benchmarks.md
	$(BIN)/python benchmarks/retrieval.py --data $(DATA) --out runs/retrieval --jobs 2 --page docs/benchmarks.md
	$(BIN)/python benchmarks/retrieval_variants.py --data $(DATA)
	$(BIN)/python benchmarks/cross_study.py --data $(DATA) --out runs/cross_study
	$(MAKE) bench-speed

# COPAIRS=PYTHON names an interpreter that has copairs, ENGINES=loky,dask,ray the engines that are installed;
# SPEED_PAGE=--store keeps the ratios for the next comparison.
bench-speed: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/scaling.py --out $(SPEED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/speed.py --data $(DATA) --out $(SPEED)
	$(BIN)/python benchmarks/kdrug_speed.py --data $(DATA) --out $(SPEED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/perturbation_speed.py --out $(SPEED)
	$(BIN)/python benchmarks/deeppert_speed.py --out $(SPEED)
	$(BIN)/python benchmarks/cells_speed.py --large 512 --out $(SPEED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/search_speed.py $(if $(COPAIRS),--copairs-python $(COPAIRS)) --out $(SPEED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/encoders.py --out $(SPEED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/cells_scale.py --out runs/cells_scale --results $(SPEED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/engines.py --engines $(ENGINES) --out $(SPEED)
	$(BIN)/python benchmarks/ratios.py $(SPEED) benchmarks/scale_profiles.py --out runs/scale_profiles --profiles $(PROFILES)
	$(BIN)/python benchmarks/speed_page.py $(SPEED) --page docs/benchmarks.md $(SPEED_PAGE)

# Some hours: every reader against 100,000 hostile files, and 500 fits that are killed and resumed.
nightly: $(VENV)/.installed-dev-$(EXTRAS)
	$(BIN)/python tests/fuzz/nightly.py --cases 100000
	GALENIC_NIGHTLY=1 GALENIC_KILLS=500 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/science/test_killed.py tests/e2e/test_engines.py tests/e2e/test_wheel.py tests/docs/test_cluster.py

docs: $(VENV)/.installed-dev-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	@echo "documentation: docs/_build/html/index.html"

clean:
	rm -rf $(VENV) docs/_build docs/api demo
