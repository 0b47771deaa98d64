"""Addresses as options take them."""

from typing import Any

import click


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
    """`HOST:PORT:ADDR:PORT`, as curl's --connect-to takes it."""

    name = "HOST:PORT:ADDR:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int, str, int]:
        """Return host, port, and the address and port that replace them."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(":")
        if len(parts) != 4 or not all(parts) or not (parts[1].isdigit() and parts[3].isdigit()):
            remedy = "write HOST:PORT:ADDR:PORT, such as pbs.twimg.com:443:127.0.0.1:8443"
            self.fail(f'"{value}" is not a route; {remedy}', param, ctx)
        return parts[0], int(parts[1]), parts[2], int(parts[3])
