.PHONY: setup demo test check fix bench bench-peers lock clean

PYTHON := .venv/bin/python

setup: .venv/.installed

# The one place that knows how to get a suitable Python: the selected one, any python3.13, else uv's own.
.venv/.installed: requirements.lock pyproject.toml bin/setup
	bin/setup
	touch $@

demo: setup
	.venv/bin/shaper demo

test: setup
	.venv/bin/pytest

check: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest

fix: setup
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: setup
	$(PYTHON) -m bench

# Beside nginx, Squid, HAProxy, Envoy and mitmproxy; writes docs/benchmarks.md.
bench-peers: setup
	$(PYTHON) -m bench.peers

lock:
	uv lock && uv export -q --all-extras --all-groups --no-emit-project --no-annotate --no-header -o requirements.lock

clean:
	rm -rf .venv build dist
