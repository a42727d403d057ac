# Each target sets up .venv first; nothing else is needed but Python 3.11 to 3.14 and make.
#   make demo            the main job on a simulated screen; prints where the report is
#   make test            the tests; EXTRAS=all also those of every extra
#   make check           formatting, lint, types
#   make bench           accuracy and speed on the real data beside the checkout (some hours); see docs/benchmarks.md
#   make docs            the documentation, in docs/_build
# The tests run on every core, a file at a time, with one thread each: threads that wait for each other cost more than they save.
# TORCH_INDEX=URL takes torch from another index, for example one with wheels for the CPU only.

PYTHON ?= python3
EXTRAS ?= scale
DATA ?= ../shared/data
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))

.PHONY: demo test check bench docs clean

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

test: $(VENV)/.installed-dev-$(EXTRAS)
	GALENIC_EXTRAS=$(EXTRAS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST)

check: $(VENV)/.installed-dev-$(EXTRAS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/galenic benchmark benchmarks/gdsc1.toml --out runs/gdsc1 --jobs 2 --overwrite
	$(BIN)/python benchmarks/tables.py runs/gdsc1 docs/benchmarks.md
	$(BIN)/galenic benchmark benchmarks/gdsc1_inputs.toml --out runs/inputs --jobs 2 --overwrite
	$(BIN)/python benchmarks/kdrug.py benchmarks/gdsc1.toml --out runs/kdrug --jobs 2 --page docs/benchmarks.md
	$(BIN)/python benchmarks/kdrug_speed.py --data $(DATA)
	$(BIN)/python benchmarks/retrieval.py --data $(DATA) --out runs/retrieval --jobs 2 --page docs/benchmarks.md
	$(BIN)/python benchmarks/retrieval_variants.py --data $(DATA)
	$(BIN)/python benchmarks/search_speed.py
	$(BIN)/python benchmarks/cross_study.py --data $(DATA) --out runs/cross_study
	$(BIN)/python benchmarks/speed.py --data $(DATA)

docs: $(VENV)/.installed-dev-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	@echo "documentation: docs/_build/html/index.html"

clean:
	rm -rf $(VENV) docs/_build docs/api demo
