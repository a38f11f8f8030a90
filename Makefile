# Noria's commands. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
MODEL ?= flight_delay
BIN := .venv/bin
NEW_MODEL := Name the model and where a sample of its data is: make new-model NAME=late_parcels FROM=parcels.csv, or a database in FROM and its TABLE
IMAGE_LOCK := --quiet --system-certs --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements.lock
PEER_LOCK := --quiet --system-certs --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-config
# Children of the stack and of tests keep compiled bytecode: without it every process pays the compilation of its imports.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: audit licences sbom help setup spark run up down status clean airflow test test-fast test-e2e test-faults test-spark test-kubernetes test-load lint format lock bench bench-serving bench-drift bench-source bench-parsing bench-line bench-many bench-console bench-scale bench-servers bench-definitions bench-log chaos reference images new-model backtest fuzz

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/installed ## Make the virtual environment from the lock

.venv/installed: requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed and neither python3.11 nor python3 was found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed; $(PYTHON) is another version. Say which one with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing the locked packages into .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/^    #/p' requirements.lock > .venv/uv.lock
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@touch $@

spark: .venv/spark/installed ## Install PySpark, for models with `engine: spark`

# In a folder of its own: other packages, which would use PySpark where they find it, are not to find it.
.venv/spark/installed: .venv/installed docker/spark.lock
	@echo "Installing PySpark into .venv/spark"
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --target .venv/spark --no-deps --require-hashes --build-constraint docker/installer.lock --compile-bytecode -r docker/spark.lock
	@touch $@

run: setup ## Take a model through its whole life (MODEL=flight_delay)
	@$(BIN)/python -m include.stack run --model $(MODEL)

up: setup ## Start the stack and leave it running
	@$(BIN)/python -m include.stack up

down: setup ## Stop the stack; its state stays in .noria
	@$(BIN)/python -m include.stack down

status: setup ## Say what of the stack runs, and where
	@$(BIN)/python -m include.stack status

clean: setup ## Stop the stack and delete its state: databases, lake, models, logs
	@$(BIN)/python -m include.stack clean

airflow: setup ## Airflow's command line in the stack's environment (ARGS="dags list")
	@$(BIN)/python -m include.stack exec airflow $(ARGS)

test: test-fast test-e2e test-faults ## Prove that it works: fast tests first, then the running stack

test-fast: setup ## Unit tests and tests with PostgreSQL, no running stack
	@$(BIN)/python -m pytest -q -m "not e2e and not faults and not kubernetes and not spark" -n 2 --dist loadfile --max-worker-restart 1 -o faulthandler_timeout=600 --durations 25 $(TESTS) $(ARGS)

test-e2e: setup ## The whole line in a running Airflow
	@$(BIN)/python -m pytest -q -m e2e $(or $(TESTS),tests/e2e) -n 2 --dist loadfile --max-worker-restart 1 -o faulthandler_timeout=600 --durations 12 $(ARGS)

test-faults: setup ## The whole line while its parts are killed
	@$(BIN)/python -m pytest -q -m faults $(or $(TESTS),tests/e2e) -n 1 --max-worker-restart 1 -o faulthandler_timeout=600 $(ARGS)

test-spark: setup spark ## Features, training sets and models by Spark, in processes of this machine
	@$(BIN)/python -m pytest -q -m spark $(or $(TESTS),tests/engines) -n 1 --max-worker-restart 1 -o faulthandler_timeout=300 $(ARGS)

test-kubernetes: setup ## Steps in pods, serving, the whole life on a real cluster: KUBECONFIG's, or one that is started here (TESTS=tests/kubernetes/test_life.py)
	@$(BIN)/python -m tests.kubernetes
	@$(BIN)/python -m pytest -q -m kubernetes $(or $(TESTS),tests/kubernetes) -n 1 --max-worker-restart 1 -o faulthandler_timeout=1500 --durations 12 $(ARGS)

test-load: setup ## The server under a minute of load, with workers killed and database and MLflow away
	@NORIA_LOAD_SECONDS=60 $(BIN)/python -m pytest -q tests/serving/test_under_load.py

lint: setup ## Style, types, secrets, arrows between rooms, reference page
	@.ci/secrets
	@.ci/unsafe
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m include.spec check
	@$(BIN)/python -m include.spec reference --check
	@$(BIN)/python -m include.supply_chain licences --check

format: setup ## Put the code into the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup bench-serving bench-drift bench-parsing bench-console bench-line ## Measure speed, as ratios: the server beside its peers, drift, parsing, the console, a training through Airflow, then the steps
	@$(BIN)/python -m tests.bench

bench-serving: setup ## Only the server, beside its peers and a bare floor
	@$(BIN)/python -m tests.bench.serving

bench-line: setup ## A training through Airflow beside the same steps in plain Python (ARGS="--peers": and other orchestrators)
	@$(BIN)/python -m tests.bench.line $(ARGS)

bench-many: setup ## Fifty models due in one minute: time, fairness, pools (ARGS="--models 10")
	@$(BIN)/python -m tests.bench.many $(ARGS)

bench-console: setup ## The console's data with a thousand models and 100,000 ledger rows (ARGS="--models 100")
	@$(BIN)/python -m tests.bench.console $(ARGS)

bench-drift: setup ## Only the drift check: false alarms, power, speed and memory, beside evidently
	@$(BIN)/python -m tests.bench.drift

bench-scale: setup ## The steps on 1, 10, 100 million rows under an enforced limit of memory (ARGS="--rows 1,10 --place /big/disk")
	@$(BIN)/python -m tests.bench.scale $(ARGS)

bench-definitions: setup ## One Airflow with a thousand models: parsing, memory, how long a ready task waits (ARGS="--models 10,300")
	@$(BIN)/python -m tests.bench.definitions $(ARGS)

bench-servers: setup ## Two hundred processes of servers that follow the deployment state of a thousand models (ARGS="--pollers 50")
	@$(BIN)/python -m tests.bench.servers $(ARGS)

bench-log: setup ## What a logged answer costs, and how many a second are brought into the tables
	@$(BIN)/python -W ignore -m tests.bench.log $(ARGS)

bench-loading: setup ## What a version costs a process of a server: memory, and the time to load it
	@$(BIN)/python -W ignore -m tests.bench.loading $(ARGS)

bench-source: setup ## Ten million rows from PostgreSQL: memory, killed and resumed
	@$(BIN)/python -m tests.bench.source $(ARGS)

chaos: setup ## Kill and break everything at seeded instants, then check what must always hold (ARGS="--seed 7 --only 'kill/train/*' --instants 3")
	@$(BIN)/python -m tests.chaos $(ARGS)

bench-parsing: setup ## DAG files of 500 models beside the same DAGs written by hand
	@$(BIN)/python -W ignore -m tests.bench.parsing $(ARGS)

# An address in FROM may hold a password: the environment keeps it from the arguments of any command.
new-model: export NORIA_DRAFT_FROM = $(value FROM)
new-model: setup ## Draft a definition and suites from a file or a database (NAME=late_parcels FROM=parcels.csv TABLE=… LABEL=… TIME=… ZONE=Europe/Berlin)
	@$(if $(value FROM),,$(error $(NEW_MODEL)))$(BIN)/python -m include.drafting --name "$(or $(NAME),$(error $(NEW_MODEL)))" $(if $(TABLE),--table "$(TABLE)") $(if $(LABEL),--label "$(LABEL)") $(if $(TIME),--time "$(TIME)") $(if $(ZONE),--time-zone "$(ZONE)")

backtest: setup ## What the loop would have done on a model's history (MODEL=flight_delay SINCE=2013-04-01 EVERY=month SET="key=value …")
	@$(BIN)/python -m include.backtest --model $(MODEL) $(if $(SINCE),--since $(SINCE)) $(if $(UNTIL),--until $(UNTIL)) $(if $(EVERY),--every $(EVERY)) $(foreach change,$(SET),--set '$(change)')

fuzz: setup ## Feed mutated input to the parsers of outside input (ARGS="--seconds 60 --only tensor")
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: console
console: ## Build the console's front end anew from plugins/pages/frontend (needs Node 20 and npm)
	@cd plugins/pages/frontend && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

.PHONY: pictures
pictures: setup ## Take the README's pictures anew from the stack that runs here, with Chromium (MODEL=flight_delay)
	@$(BIN)/python -m tests.e2e.walk.pictures --model $(MODEL)

reference: setup ## Write the reference page of the definition
	@$(BIN)/python -m include.spec reference

lock: setup ## Make requirements.lock anew from requirements.txt and the dev group, and from it the images' locks
	@$(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes --no-header requirements.txt --group dev -o requirements.lock
	@for name in installer steps spark steps-spark serving airflow airflow-local; do $(BIN)/uv pip compile $(IMAGE_LOCK) docker/$$name.in -o docker/$$name.lock || exit 1; done
	@sed "s/ ; sys_platform == 'never'//" docker/steps.lock > docker/steps-gpu.lock # with what pyproject.toml leaves out
	@# The peers of bench-line: from a copy, so that they get the project's versions where they can.
	@for name in metaflow prefect dagster zenml; do cp requirements.lock tests/bench/line/peers/$$name.lock; $(BIN)/uv pip compile $(PEER_LOCK) tests/bench/line/peers/$$name.in -o tests/bench/line/peers/$$name.lock || exit 1; done

audit: setup ## Known vulnerabilities of all locked packages (docker/supply-chain.toml says what is accepted, and until when)
	@$(BIN)/python -m include.supply_chain audit $(ARGS)

sbom: setup ## Bills of materials (CycloneDX) of the project and of each image, below .noria/sbom
	@$(BIN)/python -m include.supply_chain sbom $(ARGS)

licences: setup ## Write the page of the packages' licences, docker/LICENSES.md
	@$(BIN)/python -m include.supply_chain licences

images: setup ## Build the images with docker, podman or buildah, whichever is there (ARGS="--tag test steps serving")
	@$(BIN)/python -m include.stack images $(ARGS)
