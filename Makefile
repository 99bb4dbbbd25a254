# StableNew: `make run` and `make test` need Python 3.11 or newer, nothing else.
PYTHON ?= python3
BIN := .venv/bin
CONSTRAINTS := scripts/constraints.txt
DESKTOP := chromium xvfb xdotool libegl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1
UV := $(shell command -v uv 2>/dev/null)

ifdef UV
  VENV := $(UV) venv -q --allow-existing --python $(PYTHON) .venv
  INSTALL := VIRTUAL_ENV=.venv $(UV) pip install -q -c $(CONSTRAINTS)
else
  VENV := $(PYTHON) -m venv .venv && $(BIN)/python -m pip install -q -c $(CONSTRAINTS) --upgrade pip
  INSTALL := $(BIN)/python -m pip install -q -c $(CONSTRAINTS)
endif

# Set in many container images; every process that a test starts would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
# Every thread that draws had a heap of its own, which keeps what was freed: half a gigabyte a worker.
export MALLOC_ARENA_MAX := 2

.PHONY: run studio test coverage test-thorough test-desktop bench lint type page-types docs ci clean

run: .venv/.run
	$(BIN)/python -m stablenew.run --pack tiny --prompt-index 1 --sweep txt2img.cfg_scale=1,3,5,8 \
	    --images-per-step 4 --set img2img.enabled=true --set img2img.cfg_scale=2 \
	    --set upscale.enabled=true --seed 7 --experiment-name "cfg scale" --learn

studio: .venv/.run
	$(BIN)/stablenew studio

test: .venv/.test
	$(BIN)/python -m pytest -n 6 --dist worksteal

coverage: .venv/.test
	$(BIN)/python -m pytest -n 6 --dist worksteal --cov --cov-report term-missing:skip-covered

test-thorough: .venv/.test
	STABLENEW_THOROUGH=1 $(BIN)/python -m pytest -n 4 --dist worksteal -o faulthandler_timeout=3000 \
	    $$(grep -lrE '\b(rounds|moments|given)\(' tests --include='test_*.py')

test-desktop: .venv/.desktop
	@dpkg -s $(DESKTOP) >/dev/null 2>&1 || \
	    { apt-get update -q && apt-get install -y -q --no-install-recommends $(DESKTOP); } || \
	    { echo "for these tests, install what these Debian packages have: $(DESKTOP)"; exit 1; }
	STABLENEW_DESKTOP=1 $(BIN)/python -m pytest tests/desktop

bench: .venv/.test
	$(BIN)/python scripts/bench_spine.py
	$(BIN)/python scripts/bench_embedded.py
	$(BIN)/python scripts/bench_records.py
	$(BIN)/python scripts/bench_plans.py
	$(BIN)/python scripts/bench_webui.py
	$(BIN)/python scripts/bench_comfyui.py
	$(BIN)/python scripts/bench_pool.py
	$(BIN)/python scripts/bench_recommend.py
	$(BIN)/python scripts/bench_advice_speed.py
	$(BIN)/python scripts/bench_advice.py --people 4
	$(BIN)/python scripts/bench_watchers.py
	$(BIN)/python scripts/bench_reuse.py
	$(BIN)/python scripts/bench_studio.py
	$(BIN)/python scripts/bench_library.py

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: .venv/.dev
	$(BIN)/mypy

# The page's modules as a browser sees them: the studio serves the report's as shared/.
page-types: .venv/npm/node_modules/.bin/tsc
	@mkdir -p .venv/page
	@ln -sfn ../../stablenew/studio/static .venv/page/static
	@ln -sfn ../../stablenew/report/static .venv/page/shared
	$< --allowJs --checkJs --noEmit --preserveSymlinks --target es2022 --module es2022 \
	    --strict false --moduleResolution bundler --lib es2023,dom,dom.iterable .venv/page/*/*.js

docs: .venv/.docs
	$(BIN)/python -m sphinx -qEW --keep-going -b html -d site/.doctrees docs site
	@echo "site/index.html"

ci: lint type page-types docs test test-thorough test-desktop
	$(BIN)/python scripts/check_main_job.py

.venv/bin/python:
	$(VENV)

.venv/.run: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(INSTALL) -e .
	@touch $@

.venv/.test: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(INSTALL) -e . --group test
	@touch $@ .venv/.run

.venv/.desktop: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(INSTALL) -e . --group desktop
	@touch $@ .venv/.run .venv/.test

.venv/.docs: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(INSTALL) -e . --group docs
	@touch $@ .venv/.run

.venv/npm/node_modules/.bin/tsc: | .venv/bin/python
	@command -v npm >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends npm; } || \
	    { echo "to check the page's types, install npm"; exit 1; }
	npm install --silent --no-audit --no-fund --prefix .venv/npm typescript@7.0.2

.venv/.dev: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(INSTALL) -e . --group dev
	@touch $@ .venv/.run .venv/.test .venv/.desktop

clean:
	rm -rf .venv runs site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
