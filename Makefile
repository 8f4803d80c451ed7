# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The one torch that is tested: an exact version keeps pip from pulling a newer build with gigabytes of CUDA.
TORCH := torch==2.13.0
# pip leaves it to the first import to keep torch's bytecode. Where this is set (as in many containers) every process
# would compile torch anew, which takes longer than importing it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test suite types site campaign coverage results install install-dev docs clean

demo: install
	$(BIN)/unpaired demo demo

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# The pip that comes with Python 3.11 takes twice as long to resolve and install all of this as one of today.
$(VENV)/.created:
	$(PYTHON) -m venv --upgrade-deps $(VENV)
	touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile "$(TORCH)" -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile "$(TORCH)" -e ".[dev,docs]"
	touch $@ $(VENV)/.installed

test: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/typos
	$(MAKE) --jobs 3 suite types site

# Side by side, so that both cores are busy while pyright, which uses one of them, works, and the suite's last file does.
suite: install-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

types: install-dev
	$(BIN)/pyright

site: install-dev
	$(BIN)/zensical build --strict

# Not part of `test`: hours of kills, full disks and hostile files; docs/explanation/reliability.md has the last answers.
campaign: install-dev
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m campaigns

# Not part of `test`: nothing is decided by it, and it takes a third more time.
coverage: install-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered

# The tables of docs/results/ from the numbers stored there.
results: install
	$(BIN)/python studies/results_pages.py

docs: install-dev
	$(BIN)/zensical serve

clean:
	rm -rf $(VENV) .cache demo site
