.PHONY: setup demo test check fix fuzz mutation e2e-observe bench bench-peers bench-fidelity players study image image-test lock clean

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

bench: setup
	$(PYTHON) -m bench

# The laws of the property tests, played for a minute each; guided if atheris is installed, see bench/fuzz.
fuzz: setup
	$(PYTHON) -m bench.fuzz

# Would the tests notice a small mistake? Needs mutmut and some hours, see bench/mutation.
mutation: setup
	$(PYTHON) -m bench.mutation pacing
	$(PYTHON) -m bench.mutation policy

# Beside nginx, Squid, HAProxy, Envoy and mitmproxy, in two separate runs; writes docs/benchmarks.md. Needs root, for veth.
PEER_RUNS := build/peers-1.json build/peers-2.json
bench-peers: setup
	for run in $(PEER_RUNS); do $(PYTHON) -m bench.peers --save $$run || exit 1; done
	$(PYTHON) -m bench.peers --write $(PEER_RUNS)

# How faithful each manner is to a policer that drops; needs root. Writes the tables of docs/fidelity.md.
bench-fidelity: setup
	rm -rf build/fidelity
	$(PYTHON) bench/fidelity build/fidelity --into docs/fidelity.md

# An HLS and a DASH player, which the lab's video pages use when they are there. Needs npm.
players: studies/players/node_modules/.installed
studies/players/node_modules/.installed: studies/players/package-lock.json
	@command -v npm > /dev/null || { echo "npm is not installed: apt-get install npm"; exit 1; }
	cd studies/players && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Announced against measured against control: calibrates, measures, reports, and fills in docs/announced-and-measured.md.
# Interrupted, it goes on where it was; `rm -r $(STUDY)` begins anew.
STUDY := runs/twitter-2021
study: setup players $(STUDY)/certificate.json
	.venv/bin/shaper measure studies/twitter-2021.yaml -o $(STUDY) --certificate $(STUDY)/certificate.json --require-calibration
	.venv/bin/shaper report $(STUDY)
	$(PYTHON) studies/summary.py $(STUDY) docs/announced-and-measured.md

$(STUDY)/certificate.json: | setup
	.venv/bin/shaper calibrate -o $@ --policy policies/twitter-2021-announced.yaml --policy policies/twitter-2021-measured.yaml \
	  || { rm -f $@; exit 1; }

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
