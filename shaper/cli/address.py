"""Addresses as options take them."""

import random
import re
import socket
from typing import Any

import click

from shaper.policy.refused import RefusedError

HOST = r"\[[0-9a-fA-F:.]+\]|[^][:]+"
ROUTE = re.compile(rf"(?P<host>{HOST}):(?P<port>[0-9]{{1,5}}):(?P<address>{HOST}):(?P<to_port>[0-9]{{1,5}})")

SELDOM_GIVEN = range(20_000, 32_768)
"""Ports below those that systems give to who asks for any (from 32768 on Linux, 49152 elsewhere: RFC 6335)."""


def written(address: tuple[str, int]) -> str:
    """Return the address as options and URLs have it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def settled(address: tuple[str, int]) -> tuple[str, int]:
    """Return the address with a port that is free now, if it names none: others must be told it before it is used.

    It is one that the system gives to nobody by itself, or another program might have it by then.
    """
    host, port = address
    if port:
        return address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (*random.sample(SELDOM_GIVEN, 20), 0):
        try:
            with socket.create_server((host, port), family=family) as probe:
                return host, int(probe.getsockname()[1])
        except OSError as error:
            failure = error
    raise RefusedError(f"{written(address)}: cannot listen here: {failure.strerror}", "name another address")


class Address(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`, with IPv6 hosts in brackets. Port 0 takes a free one."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return host and port."""
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            self.fail(f'"{value}" is not an address; write HOST:PORT, such as 127.0.0.1:8080', param, ctx)
        return host.strip("[]"), int(port)


class Route(click.ParamType[tuple[str, int, str, int]]):
    """`HOST:PORT:ADDR:PORT`, as curl's --connect-to takes it, with IPv6 addresses in brackets."""

    name = "HOST:PORT:ADDR:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int, str, int]:
        """Return host, port, and the address and port that replace them."""
        if isinstance(value, tuple):
            return value
        found = ROUTE.fullmatch(str(value))
        if not found or int(found["port"]) > 65_535 or int(found["to_port"]) > 65_535:
            remedy = "write HOST:PORT:ADDR:PORT, such as pbs.twimg.com:443:127.0.0.1:8443"
            self.fail(f'"{value}" is not a route; {remedy}', param, ctx)
        return found["host"].strip("[]"), int(found["port"]), found["address"].strip("[]"), int(found["to_port"])
