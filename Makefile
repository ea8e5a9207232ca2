# The commands of TMS Dashboard. The README shows what they stand for, for machines without make.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
SBOM ?= sbom.json
DIR ?= /opt/tms-dashboard
PY := .venv/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(LOCK_OPTIONS)
# What checks the pages for accessibility; without npm, tests that need it are left out, and say so.
AXE := $(if $(shell command -v npm 2>/dev/null),.ci/node_modules/.package-lock.json)
export PORT TMS_PORT DEMO_ONCE

.PHONY: demo check test axe serve install prove lock sbom

demo: .venv/installed
	@$(PY) -m setactions.devtools.demo

serve: .venv/installed
	@$(PY) manage.py migrate_all -v0
	@exec $(PY) manage.py serve --host $(HOST) --port $(PORT)

# Into DIR, which belongs to whoever runs it: a first installation, and a newer or an older version over it. docs/install.md
# says what root has to do besides. CELERY=1 also installs what batches through a queue need, TIMESTAMPS=1 what time-stamps do.
install:
	@PYTHON=$(PYTHON) CELERY=$(CELERY) TIMESTAMPS=$(TIMESTAMPS) deploy/install "$(DIR)"

# The long forms of the crash proofs: take about three quarters of an hour.
prove: .venv/installed-dev
	@$(PY) manage.py prove --kills 1000
	@$(PY) manage.py prove --batch-kills 200
	@$(PY) manage.py prove --queue-faults 60
	@.ci/with-postgres $(PY) manage.py prove --postgresql --queue-faults 60

# Seconds: all that can be said without running the product.
check: .venv/installed-dev
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .ci/check

# `check`, and all tests on SQLite and on PostgreSQL. ARGS="-k name", or a file, runs that part of the tests alone, on both.
test: .venv/installed-dev $(AXE)
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .ci/gate $(ARGS)

# The long form of what `make test` asks axe-core about pages: every state that the tests show, everything in it, at each
# size and in each theme; names each. Takes a quarter of an hour or more. ARGS as above.
axe: .venv/installed-dev $(AXE)
	@AXE_FORM=long $(PY) -m pytest -q -s -m axe $(ARGS)

# Writes down every package with its hashes; LOCK_OPTIONS=--upgrade takes newer ones of those that others need.
lock: .venv/installed-dev
	@$(LOCK) requirements.txt -o requirements.lock
	@$(LOCK) requirements-celery.txt -o requirements-celery.lock
	@$(LOCK) requirements-timestamps.txt -o requirements-timestamps.lock
	@$(LOCK) requirements-dev.txt -c requirements.lock -o requirements-dev.lock

# The bill of materials of what `make serve` installs, CycloneDX JSON; SBOM=- prints it.
sbom: .venv/installed-dev
	@$(PY) -W ignore -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --of JSON -o $(SBOM)

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; choose one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(INSTALL) requirements.lock
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	$(INSTALL) requirements-dev.lock
	@touch $@

.ci/node_modules/.package-lock.json: .ci/package-lock.json .ci/package.json
	@npm ci --prefix .ci --loglevel=error && touch $@ || echo "npm could not install axe-core: the tests that need it are left out."
