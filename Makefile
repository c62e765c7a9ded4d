# Every recipe works on a fresh machine that has Python 3.11+, make and the package indexes.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .venv/bin/uv)
BIN := .venv/bin
READY := .venv/.ready
export DAGSTER_DISABLE_TELEMETRY := yes
# Many short processes import large libraries: their bytecode is kept.
export PYTHONDONTWRITEBYTECODE :=
# A slow or busy machine takes longer than uv waits by default.
export UV_COMPILE_BYTECODE_TIMEOUT ?= 900

.PHONY: setup demo test test-values test-slow test-dbt test-trino test-scale test-sql test-chaos test-readers test-browser test-superset test-installed \
	mutants calendars soak lint types fmt docs bench build pins clean help up down rebuild

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## Make a ready .venv (the other targets call this)

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet uv

$(READY): pyproject.toml $(wildcard packages/*/pyproject.toml) | $(UV)
	$(UV) sync --quiet --compile-bytecode --all-packages --all-groups --python $(PYTHON)
	@touch $@

demo: $(READY)  ## Load, check, model and publish an example: EXAMPLE=flights or nightscout
	@$(BIN)/python examples/$(or $(EXAMPLE),flights)/demo.py

test: $(READY)  ## Run all tests but the slow ones
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow and not trino and not scale and not readers and not values and not dbt_adapter and not browser and not superset"

test-values: $(READY)  ## Run 100,000 generated values of every type through every lane: PHLO_VALUES_SEED repeats a run
	PHLO_VALUES=100000 $(BIN)/pytest -n 2 --timeout 900 packages/phlo-dlt/tests/values

test-slow: $(READY)  ## Run the slow tests: a whole year of flights, long kill tests
	$(BIN)/pytest -n 2 --dist loadfile -m "slow and not trino and not scale and not readers and not values" --timeout 3000 $(PYTEST)

test-dbt: $(READY)  ## Hold the materializations to dbt's own conformance suite
	$(BIN)/pytest -n 2 --dist loadgroup -m dbt_adapter packages/phlo-dbt/tests/adapter

test-trino: $(READY)  ## Run the tests on a real Trino, which Maven downloads once
	@command -v mvn >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends maven; }
	$(BIN)/pytest -m "trino and not readers" --timeout 900 \
		--ignore packages/phlo-iceberg/tests/integration/test_trino_answers.py

test-scale: $(READY)  ## Run the examples on Trino, S3 and PostgreSQL, and compare every table
	@command -v mvn >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends maven; }
	$(BIN)/pytest -m scale tests/scale

test-sql: $(READY)  ## Ask a real Trino and DuckDB the recorded queries and 2,000 random ones: PHLO_SQL_SEED repeats a run
	@command -v mvn >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends maven; }
	@seed=$${PHLO_SQL_SEED:-$$($(BIN)/python -c "import random; print(random.randrange(2**32))")}; \
		echo "PHLO_SQL_SEED=$$seed"; PHLO_SQL_SEED=$$seed $(BIN)/pytest --timeout 1800 \
		packages/phlo-iceberg/tests/integration/test_trino_answers.py

test-chaos: $(READY)  ## Attack a project for MINUTES: kill and stop its writers, judge every read; POSTGRES=1, S3=1
	$(BIN)/python scripts/chaos.py --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED)) \
		$(if $(POSTGRES),--postgres) $(if $(S3),--s3)

soak: $(READY)  ## Soak `phlo dev` for MINUTES: stop and kill its processes, judge what is left
	$(BIN)/python scripts/soak.py --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

test-readers: $(READY)  ## Let Polars, Daft, DuckDB, Trino and Spark read what phlo writes
	@command -v mvn >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends maven; }
	$(BIN)/pytest -m readers tests/readers

test-browser: $(READY)  ## Look at the report in Chromium, both sizes and themes, by axe's rules
	@command -v chromium >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium; }
	$(BIN)/pytest -m browser tests/browser

test-superset: $(READY)  ## Show marts in a real Superset, installed once, and look at them in Chromium
	@command -v chromium >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium; }
	$(BIN)/pytest -m superset packages/phlo-superset

test-installed: $(READY)  ## Install the wheels as users do and run what they run: ONLY="newest lowest 3.12 3.13"
	$(BIN)/python scripts/test_installed.py $(ONLY)

mutants: $(READY)  ## Mutate the modules that decide about data: SAMPLE a module, SEED, CHANGED=commit
	$(BIN)/python scripts/mutants.py $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) \
		$(if $(CHANGED),--changed $(CHANGED))

calendars: $(READY)  ## Simulate schedules over two years in twelve time zones (half an hour)
	PHLO_CALENDARS=all $(BIN)/pytest -q -n 2 tests/calendars --timeout 3000

lint: $(READY)  ## Style, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)  ## Static types
	$(BIN)/basedpyright packages/*/src

fmt: $(READY)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Build the documentation in site/, every link checked; SERVE=1 shows it
	@$(BIN)/python scripts/errors_page.py
	$(BIN)/zensical $(if $(SERVE),serve,build) --strict
	@$(BIN)/python scripts/llms_txt.py

bench: $(READY)  ## Measure against the named peers; tables and pictures go to benchmarks/results
	$(BIN)/python -m benchmarks

build: $(READY)  ## Build every wheel
	$(UV) build --quiet --all-packages --out-dir dist

pins: | $(UV)  ## Refresh the pinned versions in pyproject.toml
	$(PYTHON) scripts/refresh_pins.py $(UV)

up: stack/docker-compose.yml build  ## Run an example with PostgreSQL, MinIO, Trino, Dagster and Superset in containers: EXAMPLE=flights
	rm -rf stack/dist && cp -R dist stack/dist
	@$(MAKE) -C stack up

down:  ## Stop what `make up` started; its data stay
	@$(MAKE) -C stack down

rebuild: build  ## Build the image of `make up` anew, and start Dagster with it
	rm -rf stack/dist && cp -R dist stack/dist
	@$(MAKE) -C stack rebuild

stack/docker-compose.yml: $(READY)
	$(BIN)/phlo init stack --template $(or $(EXAMPLE),flights)
	cd stack && PHLO_PROJECT_DIR=. ../$(BIN)/phlo new stack

clean:  ## Remove what the other targets made
	rm -rf .venv dist site .pytest_cache .ruff_cache examples/*/.phlo
