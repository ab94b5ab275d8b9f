PYTHON ?= python3
export PYTHON
PY := .venv/bin/python

.PHONY: setup rehearse test check format bench docs lock

rehearse: setup
	@$(PY) -m flywizard rehearse $(ARGS)

test: setup
	@$(PY) -m pytest -n auto $(ARGS)

setup:
	@sh scripts/setup.sh

check: setup
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) scripts/generate_docs.py --check

format: setup
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: setup
	@$(PY) scripts/bench.py

docs: setup
	$(PY) scripts/generate_docs.py
	$(PY) scripts/screenshots.py

lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header -p 3.11 pyproject.toml -o requirements/runtime.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header -p 3.11 pyproject.toml --group dev -o requirements/dev.txt
