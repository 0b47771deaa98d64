"""The addon's options in a mitmproxy tool: taken when they are right, and as they were when they are not."""

import socket
from urllib.request import urlopen

import pytest
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.exceptions import OptionsError
from mitmproxy.test import taddons

from shaper.proxy.addon import ShaperAddon
from tests.proxy.conftest import POLICY


@pytest.fixture
async def tool(tmp_path):
    addon = ShaperAddon()
    with taddons.context(NextLayer(), Proxyserver(), addon) as tool:
        addon.running()
        yield tool
        addon.done()


@pytest.fixture
def addon(tool):
    return tool.master.addons.get("shaperaddon")


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def in_force(addon):
    return [admitting.shaping.policy.rules[0].caps[0].rate for admitting in addon.addons]


def count(addon, name, **labels):
    return addon._metrics.registry.get_sample_value(f"shaper_{name}", labels)


def scrape(url):
    return urlopen(url).read()


async def test_a_policy_named_again_is_read_again(tool, addon, policy):
    assert in_force(addon) == []
    tool.options.update(shaper_policy=str(policy))
    assert in_force(addon) == [8000]
    policy.write_text(POLICY.replace("8 kbit/s", "9 kbit/s"))
    tool.options.update(shaper_policy=str(policy))
    assert in_force(addon) == [9000]


@pytest.mark.parametrize(("text", "reason"), [("fast", '"fast" is not a rate'), (None, "cannot be read")])
async def test_a_policy_that_is_refused_leaves_option_and_policy_and_is_counted(tool, addon, policy, text, reason):
    other = policy.with_name("other.yaml")
    if text:
        other.write_text(POLICY.replace("8 kbit/s", text))
    tool.options.update(shaper_policy=str(policy))
    with pytest.raises(OptionsError, match=reason):
        tool.options.update(shaper_policy=str(other))
    assert tool.options.shaper_policy == str(policy)
    assert in_force(addon) == [8000]
    assert (count(addon, "reloads_total", result="ok"), count(addon, "reloads_total", result="refused")) == (1, 1)
    assert count(addon, "reload_success") == 0
    tool.options.update(shaper_policy=str(policy))
    assert count(addon, "reload_success") == 1


async def test_a_policy_is_not_taken_away(tool, addon, policy):
    tool.options.update(shaper_policy=str(policy))
    with pytest.raises(OptionsError, match=r"name a policy that asks for nothing, such as policies/baseline\.yaml"):
        tool.options.update(shaper_policy="")
    assert (tool.options.shaper_policy, in_force(addon)) == (str(policy), [8000])


async def test_a_journal_moves_and_ends(tool, addon, policy, tmp_path):
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    tool.options.update(shaper_policy=str(policy), shaper_journal=str(first))
    (shaping,) = (admitting.shaping for admitting in addon.addons)
    with pytest.raises(OptionsError, match="the journal cannot be written: No such file or directory; name another"):
        tool.options.update(shaper_journal=str(tmp_path / "none" / "3.jsonl"))
    assert tool.options.shaper_journal == str(first)
    assert count(addon, "reload_success") == 1
    kept = list(shaping.recorders)
    tool.options.update(shaper_journal=str(second))
    assert (len(kept), len(shaping.recorders), kept == shaping.recorders) == (1, 1, False)
    tool.options.update(shaper_journal="")
    assert shaping.recorders == []
    assert (first.exists(), second.exists()) == (True, True)


async def test_metrics_move_and_end_and_tell_the_state(tool, addon, policy):
    tool.options.update(shaper_policy=str(policy), shaper_metrics="127.0.0.1:0")
    first = addon._exposition.url
    assert b'shaper_active_transfers{media="image",shaped="true"} 0.0' in scrape(first)
    for wrong in ("9464", "127.0.0.1:http", ":1"):
        with pytest.raises(OptionsError, match=f'shaper_metrics: "{wrong}" is not an address; write HOST:PORT'):
            tool.options.update(shaper_metrics=wrong)
    assert addon._exposition.url == first
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OptionsError, match="Address already in use"):
        tool.options.update(shaper_metrics=f"127.0.0.1:{taken.getsockname()[1]}")
    assert b"shaper_reload_success 1.0" in scrape(first)
    tool.options.update(shaper_metrics="localhost:0")
    assert b"shaper_reload_success 1.0" in scrape(addon._exposition.url)
    with pytest.raises(OSError, match="refused"):
        scrape(first)
    tool.options.update(shaper_metrics="")
    assert addon._exposition is None
