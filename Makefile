# Every target sets up by itself; after the first time that takes a moment.
#   VENV=dir      environment to use or to make (.venv); VENV="$VIRTUAL_ENV" takes the active one
#   PYTHON=path   interpreter for a new environment, 3.10 to 3.13
#   OPERATORS=compiled    compile mmcv's operators (minutes, needs a C++ compiler)
#   WORKERS=n     processes that share the tests, a file at a time (one a core)
VENV ?=
PYTHON ?=
OPERATORS ?=
WORKERS ?= auto
export VENV PYTHON OPERATORS

# Any Python 3.8 can run the set-up script, which then chooses one that fits the project.
define run_with_setup
@for python in "$$PYTHON" python3 python3.11 python3.12 python3.13 python3.10; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then \
		exec "$$python" tools/setup_env.py --venv "$$VENV" --python "$$PYTHON" --operators "$$OPERATORS" -- $(1); \
	fi; \
done; \
echo 'No Python 3 found: install Python 3.11 with its venv package.' >&2; exit 2
endef

.PHONY: help setup demo test lint report clean

help:
	@echo 'make demo    set up, then train, evaluate and draw the demonstration'
	@echo 'make test    set up, then run all tests'
	@echo 'make lint    set up, then check style and format'
	@echo 'make report  set up, then show versions, operators and devices'
	@echo 'make setup   only set up'
	@echo 'make clean   remove builds and caches (.venv and work_dirs stay)'

setup:
	$(call run_with_setup,)

demo:
	$(call run_with_setup,tools/demo.py)

test:
	$(call run_with_setup,-m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder)

lint:
	$(call run_with_setup,-m ruff check .)
	$(call run_with_setup,-m ruff format --check .)

report:
	$(call run_with_setup,-m mmdet_alrp)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
