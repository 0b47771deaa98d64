"""The kernel drops for us: over veth, between networks of their own, with the real proxy and curl."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy/testbed"))

import testbed  # noqa: E402

NAME = f"police{os.getpid()}"
SIZE = 64_000  # bytes; the bucket lets one second's 16 kB by, so 3 s at 128 kbit/s
POLICY = """
version: 1
study: police
targets:
  down: {hosts: [down.test]}
  up: {hosts: [up.test]}
  both: {hosts: [both.test]}
  photo: {hosts: [photo.test]}
  album: {hosts: [album.test]}
rules:
  - {name: down, target: down, level: connection, direction: down, caps: [CAP]}
  - {name: up, target: up, level: connection, direction: up, caps: [FASTER]}
  - {name: both, target: both, level: connection, direction: both, caps: [FASTER]}
  - {name: photo, target: photo, media: [image], caps: [CAP]}
  - {name: album, target: album, media: [image], direction: up, caps: [FASTER]}
""".replace("CAP", "{scope: connection, rate: 128 kbit/s, burst: 1 B, manner: police}").replace(
    "FASTER", "{scope: connection, rate: 512 kbit/s, burst: 1 B, manner: police}"
)
WANTED = "%{stderr}%{size_download} %{time_total} %{num_connects}\\n"  # of curl
LOST = f"fwd to {2**31 - 1}"  # how the rule ends
HOSTS = ("down.test", "up.test", "both.test", "photo.test", "album.test", "free.test")


def start(who, script, *arguments):
    command = [*testbed.inside(who, NAME), sys.executable, ROOT / "bench/fidelity" / script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Lab:
    """A proxy with the policy above, 20 ms from its client."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "police.yaml").write_text(POLICY)
        testbed.up(0.02, NAME)
        self.origin = start(testbed.ORIGIN, "origin.py")
        self.origin_port = self.origin.stdout.readline().strip()
        self.start_proxy()

    def start_proxy(self):
        self.journal = self.directory / f"{time.monotonic_ns()}.jsonl"
        given = self.directory / "police.yaml", self.journal, "cubic", self.origin_port, *HOSTS
        self.proxy = start(testbed.PROXY, "proxy.py", *given)
        self.port = int(self.proxy.stdout.readline())

    def curl(self, *arguments):
        """Return, for each URL, how many bytes came, in how many seconds, and on how many new connections."""
        proxied = os.environ | {"http_proxy": f"http://bench:bench@{testbed.PROXY_ADDRESS}:{self.port}"}
        command = [*testbed.inside(testbed.CLIENT, NAME), "curl", "-sS", "-w", WANTED, *arguments]
        said = subprocess.run(command, capture_output=True, timeout=60, check=True, env=proxied).stderr.decode()
        return [tuple(map(float, line.split())) for line in said.splitlines()]

    def fetch(self, host):
        """Return the seconds that a whole body took, in a tunnel of its own."""
        ((size, taken, _),) = self.curl("-p", f"http://{host}/bytes?size={SIZE}")
        assert size == SIZE
        return taken

    def tables(self):
        nft = [*testbed.inside(testbed.PROXY, NAME), "nft", "list", "ruleset"]
        return subprocess.run(nft, capture_output=True, text=True, check=True).stdout

    def dropped(self, how):
        lines = [line.split() for line in self.tables().splitlines() if line.endswith(how)]
        return sum(int(line[line.index("packets") + 1]) for line in lines)

    def retransmitted(self):
        cat = [*testbed.inside(testbed.PROXY, NAME), "cat", "/proc/net/snmp"]
        names, values = (
            line.split() for line in subprocess.check_output(cat, text=True).splitlines() if line.startswith("Tcp:")
        )
        return int(values[names.index("RetransSegs")])


@pytest.fixture(scope="module")
def built(needs, tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root: run pytest with sudo")
    for program, package in (("ip", "iproute2"), ("ethtool", "ethtool"), ("nft", "nftables"), ("curl", "curl")):
        needs(program, f"apt-get install {package}")
    try:
        yield Lab(tmp_path_factory.mktemp("police"))
    finally:
        testbed.down(NAME)


@pytest.fixture
def lab(built):
    """The lab, with a running proxy."""
    if built.proxy.poll() is not None:
        built.start_proxy()
    return built


def test_packets_to_the_client_are_lost_and_sent_again(lab):
    free = lab.fetch("free.test")
    assert lab.retransmitted() == 0
    assert lab.fetch("down.test") > max(2.0, 2 * free)
    assert lab.dropped(LOST) > 5
    assert (
        lab.retransmitted() > 5
    )  # a sender that is told of the drop, as by `drop` in an output chain, sends none again


def test_each_connection_has_a_bucket_of_its_own(lab):
    with ThreadPoolExecutor() as pool:
        together = list(pool.map(lab.fetch, ["down.test", "down.test", "down.test"]))
    assert max(together) < 10  # from one bucket the three would take 11 s


@pytest.fixture
def upload(tmp_path):
    """Curl's arguments for an upload. Up to 128 kB of it may be here before its headers are read."""
    (tmp_path / "upload").write_bytes(bytes(256_000))
    return lambda kind, url: ("-T", tmp_path / "upload", "-H", f"content-type: {kind}", "-H", "expect:", url)


@pytest.mark.parametrize("host", ["up.test", "both.test", "album.test"])
@pytest.mark.parametrize("how", [["-p"], []], ids=["in a tunnel", "in plain HTTP"])
def test_packets_of_an_upload_are_dropped_when_the_rule_says_so(lab, upload, host, how):
    before = lab.dropped(" drop")
    ((_, taken, _),) = lab.curl(*how, *upload("image/png", f"http://{host}/upload"))
    assert taken > 0.5
    assert lab.dropped(" drop") > before + 5


def test_a_rule_for_uploads_drops_nothing_of_a_download(lab):
    before = lab.dropped(LOST)
    lab.fetch("up.test")
    assert lab.dropped(LOST) == before


def test_no_packet_is_dropped_of_what_follows_a_matched_upload_on_its_connection(lab, upload):
    before, url = lab.dropped(" drop"), "http://album.test/upload"
    small = "-d", "x", "-H", "content-type: image/png", url
    _, other = lab.curl(*small, "--next", "-sS", "-w", WANTED, *upload("text/csv", url))
    assert other[2] == 0  # on one connection
    assert lab.dropped(" drop") == before


def test_a_connection_is_policed_only_while_it_carries_a_matched_response(lab):
    photo, page = (f"http://photo.test/bytes?size={SIZE}&type={kind}" for kind in ("image/png", "text/html"))
    first, second = lab.curl("-o", "/dev/null", photo, "-o", "/dev/null", page)
    assert (first[0], second[0], second[2]) == (SIZE, SIZE, 0)  # both whole, on one connection
    assert second[1] < first[1]  # policed, it would take longer: the bucket is empty


def test_a_client_that_leaves_with_the_last_byte_has_it_all(lab):
    size, found = SIZE + 1, []  # like no other's
    lab.curl("-o", "/dev/null", f"http://photo.test/bytes?size={size}&type=image/png")  # curl closes at once
    deadline = time.monotonic() + 10
    while not found and time.monotonic() < deadline:
        time.sleep(0.05)
        lines = map(json.loads, lab.journal.read_text().splitlines())
        found = [(line["outcome"], line["rule"]) for line in lines if line["received"] == size]
    assert found == [("complete", "photo")]


@pytest.mark.parametrize("end", [signal.SIGKILL, None], ids=["it is killed", "it ends by itself"])
def test_the_rules_go_with_the_proxy_when(lab, end):
    assert f"shaper_{lab.proxy.pid}" in lab.tables()
    lab.proxy.send_signal(end) if end else lab.proxy.stdin.close()
    assert lab.proxy.wait(20) == (-end if end else 0)
    deadline = time.monotonic() + 5
    while lab.tables() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lab.tables() == ""


def test_a_child_of_ours_outlives_ctrl_c_as_long_as_we_do(lab):
    """What is under way is still policed while the proxy drains."""
    children = Path(f"/proc/{lab.proxy.pid}/task/{lab.proxy.pid}/children").read_text().split()
    assert [os.getpgid(int(child)) == os.getpgid(lab.proxy.pid) for child in children] == [False]
