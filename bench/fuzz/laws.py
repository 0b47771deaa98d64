"""The laws that are fuzzed, by name: property tests of the suite that need no fixture."""

from collections.abc import Callable
from importlib import import_module

LAWS = {
    "policy-bytes": "tests.policy.test_load:test_any_bytes_are_a_policy_or_refused_in_one_line",
    "policy-damage": "tests.policy.test_load:test_any_damage_to_a_policy_is_survived_or_refused_in_one_line",
    "policy-shape": "tests.policy.test_load:test_any_data_of_the_wrong_shape_is_refused_in_one_line",
    "hosts": "tests.policy.test_host:test_a_pattern_is_read_or_refused",
    "media": "tests.policy.test_media:test_whatever_the_message_there_is_a_class_and_a_reason",
    "verdicts": "tests.policy.test_judge:test_every_message_and_connection_gets_a_verdict",
    "proxy-protocol": "tests.proxy.test_proxy_protocol:test_no_bytes_do_harm",
    "channel": "tests.proxy.test_channel:test_bytes_leave_as_they_came_and_the_books_balance",
    "response": "tests.proxy.test_stream_laws:test_the_client_gets_what_was_sent_or_an_error_and_nothing_stays_behind",
    "tunnel": "tests.robust.test_laws:test_a_tunnel_passes_on_what_it_was_given_and_nothing_else",
    "streams": "tests.robust.test_laws:test_each_stream_carries_its_own_bytes_in_both_directions",
    "garbage": "tests.robust.test_laws:test_no_bytes_from_either_side_do_harm",
}


def play(name: str) -> Callable[[bytes], bytes | None]:
    """Return what plays one round of a law by a string of bytes; it raises when the law is broken."""
    module, _, function = LAWS[name].partition(":")
    return getattr(import_module(module), function).hypothesis.fuzz_one_input
