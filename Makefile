.PHONY: setup demo test check fix e2e-observe study bench bench-peers bench-fidelity image image-test lock clean

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

# The real Prometheus scrapes real proxies under traffic; every query of every dashboard, the rules and the quantiles.
e2e-observe: setup
	CI=true .venv/bin/pytest -n 0 tests/deploy/test_dashboards.py tests/deploy/test_prometheus.py tests/deploy/test_observe.py \
		tests/deploy/test_observe_proxy.py tests/record/test_exposition.py

# Announced against measured, calibrated first, with its report in runs/twitter-2021/report; docs/measuring.md.
study: setup
	mkdir -p build
	.venv/bin/shaper calibrate --output build/certificate.json
	.venv/bin/shaper measure studies/twitter-2021.yaml --certificate build/certificate.json
	.venv/bin/shaper report runs/twitter-2021

bench: setup
	$(PYTHON) -m bench

# Beside nginx, Squid, HAProxy, Envoy and mitmproxy; writes docs/benchmarks.md.
bench-peers: setup
	$(PYTHON) -m bench.peers

# How faithful each manner is to a policer that drops; needs root. Writes the tables of docs/fidelity.md.
bench-fidelity: setup
	rm -rf build/fidelity
	$(PYTHON) bench/fidelity build/fidelity --into docs/fidelity.md

# The image, with podman; docs/deploy.md.
IMAGE ?= localhost/shaper
image:
	podman build $(BUILD_OPTIONS) --format docker --file deploy/Containerfile --tag $(IMAGE) .

image-test: setup
	deploy/debian/image-test.sh

# What everything needs, what running needs, and what building the package needs.
EXPORT := uv export -q --no-emit-project --no-annotate --no-header
lock:
	uv lock
	$(EXPORT) --all-extras --all-groups -o requirements.lock
	$(EXPORT) --no-dev -o deploy/run.lock
	$(EXPORT) --only-group build -o deploy/build.lock

clean:
	rm -rf .venv build dist
