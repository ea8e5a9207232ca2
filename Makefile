# The commands of TMS Dashboard. The README shows what they stand for, for machines without make.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
PY := .venv/bin/python
export PORT TMS_PORT DEMO_ONCE

.PHONY: demo test serve prove

demo: .venv/installed
	@$(PY) -m setactions.demo

serve: .venv/installed
	@$(PY) manage.py migrate_all -v0
	@exec $(PY) manage.py serve --host $(HOST) --port $(PORT)

# The long forms of the crash proofs: take about half an hour.
prove: .venv/installed
	@$(PY) manage.py prove --kills 1000
	@$(PY) manage.py prove --batch-kills 200

test: .venv/installed-dev
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .ci/gate

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; choose one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
