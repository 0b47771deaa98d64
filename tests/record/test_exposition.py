"""The metrics as a scraper, a supervisor and a stranger meet them, over real sockets."""

import gzip
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from shaper.policy.refused import RefusedError
from shaper.record.exposition import SCRAPERS, serve
from shaper.record.metrics import Metrics


@pytest.fixture(scope="module")
def server(make_policy, make_record):
    metrics = Metrics()
    metrics.policy_loaded(make_policy())
    metrics.record(make_record(id="feedbeef"))
    server = serve(metrics, "127.0.0.1", 0)
    yield server
    server.close()


def fetch(url, **headers):
    request = urllib.request.Request(url, headers={k.replace("_", "-"): v for k, v in headers.items()})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.headers, response.read()


def test_a_plain_scraper_gets_prometheus_text(server):
    headers, body = fetch(server.url)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in parse_text(body.decode())}
    assert {"shaper_responses", "shaper_held_seconds", "shaper_policy_info"} <= names


def test_prometheus_gets_openmetrics_with_exemplars(server):
    headers, body = fetch(server.url, Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    exemplars = {
        sample.exemplar.labels["record"]
        for family in parse_openmetrics(body.decode())
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars == {"feedbeef"}


def test_it_is_compressed_for_who_asks(server):
    headers, body = fetch(server.url, Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert b"shaper_responses_total" in gzip.decompress(body)


def test_a_supervisor_finds_it_healthy(server):
    host, port = server.address
    assert fetch(f"http://{host}:{port}/healthz")[1] == b"ok\n"


@pytest.mark.parametrize("path", ["/", "/metrics/", "/../etc/passwd", "/%00"])
def test_any_other_path_is_not_found(server, path):
    host, port = server.address
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"http://{host}:{port}{path}")


def test_a_scraper_that_hangs_keeps_nobody_waiting(server):
    host, port = server.address
    with socket.create_connection((host, port)) as stuck, socket.create_connection((host, port)) as rude:
        stuck.sendall(b"GET /metrics HT")
        rude.sendall(b"\x16\x03\x01 no http at all\r\n\r\n")
        assert b"shaper_responses_total" in fetch(server.url)[1]


def test_scrapers_that_hang_cost_few_threads_and_the_next_is_served_once_they_left(server):
    before, hanging = threading.active_count(), []
    for _ in range(SCRAPERS + 8):
        hanging.append(socket.create_connection(server.address))
        time.sleep(0.01)  # few can wait to be accepted
    soon = time.monotonic() + 5
    while len(select.select(hanging, [], [], 0.1)[0]) < 8:  # hung up on
        assert time.monotonic() < soon
    assert threading.active_count() <= before + SCRAPERS
    for each in hanging:
        each.close()
    while threading.active_count() > before:
        assert time.monotonic() < soon
        time.sleep(0.01)
    assert b"shaper_responses_total" in fetch(server.url)[1]


def test_a_taken_port_is_refused_in_one_line_with_a_remedy(server):
    host, port = server.address
    with pytest.raises(RefusedError) as refused:
        serve(Metrics(), host, port)
    assert str(refused.value) == (
        f"{host}:{port}: metrics cannot be served here: Address already in use; "
        "name another HOST:PORT, or stop what listens there"
    )


@pytest.mark.parametrize("address", [("127.0.0.1", 70_000), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_had_is_refused_in_one_line(address):
    with pytest.raises(RefusedError, match=r"^[^\n]*: metrics cannot be served here: [^\n]*; name another"):
        serve(Metrics(), *address)


def test_a_closed_server_gives_its_port_back(metrics):
    first = serve(metrics, "127.0.0.1", 0)
    first.close()
    second = serve(metrics, *first.address)
    assert second.address == first.address
    second.close()


def test_a_scrape_lets_the_event_loop_in_within_half_a_millisecond(server):
    assert sys.getswitchinterval() <= 0.0005


def test_promtool_finds_nothing_to_say_about_names_types_and_help(server, needs):
    promtool = needs("promtool", "apt-get install prometheus")
    check = subprocess.run(
        [promtool, "check", "metrics"], check=False, input=fetch(server.url)[1], capture_output=True, timeout=60
    )
    assert (check.stdout, check.stderr, check.returncode) == (b"", b"", 0)
