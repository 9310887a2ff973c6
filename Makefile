# The commands of Muster. Each finds or makes what it needs; none asks a question.
.DEFAULT_GOAL := help
.ONESHELL:
.SHELLFLAGS := -euc
.PHONY: help run test test-full test-openstack bench check agent lock vendor

PY := .venv/bin/python
# One more than the two cores that it is timed on: tests wait for processes that they started.
WORKERS ?= 3
# Files come in their own order, so that the long ones of tests/e2e are not the last.
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# What `check --deploy` looks at: the settings of a production that does not exist. The secrets are made up on the spot.
PRODUCTION = env -u DEMO DATABASE_URL=postgres://muster:muster@db.example/muster REDIS_URL=redis://broker.example/0 \
	PUBLIC_URL=https://console.example TRUSTED_PROXIES=192.0.2.1 EMAIL_URL=smtp+tls://mail.example:587 \
	"MAIL_FROM=Muster <no-reply@console.example>" SECRET_KEY=$$(head -c 48 /dev/urandom | base64 -w 0) \
	SEAL_KEYS=k1:$$(head -c 32 /dev/urandom | base64 -w 0) \
	SIGN_KEYS=k1:$$(head -c 32 /dev/urandom | base64 -w 0)
COMPILE = .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(ARGS)

help:
	@printf '%s\n' \
	'make run        everything on this machine: http://127.0.0.1:8000 (PORT=…, MUSTER_HOME=…, DEMO=0)' \
	'make test       the suite (ARGS="tests/test_jobs.py -n 0" for a part of it)' \
	'make test-full  the suite with the large numbers' \
	'make test-openstack  our driver against a real OpenStack on this machine (needs RabbitMQ; minutes)' \
	'make bench      the benchmarks (ARGS="sync list" for some of them)' \
	'make check      ruff, mypy, import contracts, Django checks, migrations' \
	'make agent      the agent as one file, build/muster-agent.pyz' \
	'make lock       lock the dependencies anew        make vendor  copy front-end files from npm anew'

run: .venv/.run
	@exec $(PY) manage.py up

test: .venv/.dev
	@exec $(PYTEST) $(ARGS)

test-full: .venv/.dev
	@MUSTER_FULL=1 exec $(PYTEST) $(ARGS)

test-openstack: .venv/.dev
	@$(PY) -m tests.realstack.ground
	$(MAKE) -s .venv-openstack/.done
	MUSTER_OPENSTACK=1 exec $(PY) -m pytest tests/realstack $(ARGS)

bench: .venv/.dev .venv-bench/.done
	@exec $(PY) -m tests.bench $(ARGS)

check: .venv/.dev
	@$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PRODUCTION) $(PY) manage.py check --deploy --fail-level WARNING
	$(PRODUCTION) $(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

agent: .venv/.run
	@mkdir -p build
	exec $(PY) -m servers.agents.program.build build/muster-agent.pyz

lock: .venv/.dev
	@$(PY) -m pip install -q uv
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --group bench -o requirements-bench.lock
	$(COMPILE) --group openstack -o requirements-openstack.lock

vendor:
	@exec python3 static/vendor.py

# A folder is finished when its stamp is there; an installation that was cut off is done again.
.venv/.run: requirements.lock | .venv/bin/python
	@echo 'Installing the locked dependencies into .venv (once; a minute or two).'
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

.venv/.dev: requirements-dev.lock | .venv/bin/python
	@echo 'Installing the locked dependencies and the tools of the tests into .venv (once; a minute or two).'
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch .venv/.run $@

.venv-bench/.done: requirements-bench.lock | .venv/bin/python
	@echo 'Installing what the benchmarks compare with into .venv-bench (once).'
	$(PY) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bench.lock
	touch $@

.venv-openstack/.done: requirements-openstack.lock | .venv/bin/python
	@echo 'Installing OpenStack into .venv-openstack (once; 600 MB, a minute or two).'
	$(PY) -m venv --clear .venv-openstack
	.venv-openstack/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-openstack.lock
	touch $@

.venv/bin/python:
	@python=''
	for one in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
		if command -v "$$one" >/dev/null && "$$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
			python=$$one
			break
		fi
	done
	if [ -z "$$python" ]; then
		echo 'Muster needs Python 3.11 or newer, and none is on the PATH. On Debian 12: apt install python3 python3-venv' >&2
		exit 1
	fi
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then
		echo "$$python cannot make virtual environments. On Debian: apt install python3-venv" >&2
		exit 1
	fi
	"$$python" -m venv --clear .venv
