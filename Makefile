.PHONY: install demo real test campaign lint docs wheel-smoke clean

PYTHON ?= python3
# Threads that spin while they wait make a shared machine many times slower.
export OMP_WAIT_POLICY ?= PASSIVE
BIN := .venv/bin

install: .venv/.installed

# torch first, pinned: an open range would bring gigabytes of CUDA packages to a machine without a GPU.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/tailor demo --out runs/demo

# A real LLaMA on the seven real tasks: about an hour. DATA=DIR has local rows instead of the hub's.
real: install
	$(BIN)/python -m tools.real $(if $(DATA),--data $(DATA))

test: lint
	$(BIN)/python -m pytest tests/unit -q -n 2 --dist worksteal
	$(BIN)/python -m pytest tests/integration tests/gpu -q -n 2 --dist loadfile

# Kills, corruption, full disks, generated input; CONTRIBUTING.md says more.
campaign: install
	$(BIN)/python -m tests.campaign

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet src tests benchmarks tools
	$(BIN)/mypy

docs: install
	$(BIN)/python -m tailored_llama.cli.help > docs/reference/cli.md
	$(BIN)/python -m tailored_llama.results > docs/reference/results.schema.json
	$(BIN)/python -m tailored_llama.recipe.reference docs/reference/recipe.md
	$(BIN)/python -m tools.python_page > docs/reference/python.md
	$(BIN)/python -m tools.plugin_tables docs/reference/criteria.md docs/reference/families.md docs/guide/plugins.md

# The wheel in an environment of its own; tools/wheel_smoke.sh says what is checked.
wheel-smoke:
	PYTHON=$(PYTHON) tools/wheel_smoke.sh

clean:
	rm -rf .venv runs build dist
