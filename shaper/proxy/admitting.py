"""The addon that decides, connection by connection, what mitmproxy may see.

It runs before mitmproxy's own NextLayer, asks it first, and then keeps, wraps or replaces what that chose: the
connection to a host that is no target becomes a plain tunnel before a byte of it is decrypted.
"""

import asyncio
import logging
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from mitmproxy import http, tls
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.connection import Client
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layer, layers, server_hooks
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.layers.tls import parse_client_hello
from mitmproxy.proxy.server import ConnectionHandler

from shaper.policy.admission import Admission, Admitted, Registry, Standing
from shaper.policy.model import Block, Direction
from shaper.policy.pinned import Pinned
from shaper.proxy import gate, lane
from shaper.proxy.authority import Authority
from shaper.proxy.bell import hear_bells
from shaper.proxy.bounds import HELLO
from shaper.proxy.clock import monotonic, wall
from shaper.proxy.crowd import Crowd, Room
from shaper.proxy.parting import Parting
from shaper.proxy.relay import Relay
from shaper.proxy.shaping import Shaping
from shaper.proxy.stream import ShapedHttpLayer
from shaper.proxy.tunnel import RefusedTunnel, ShapedTunnel
from shaper.proxy.visitor import Visitor
from shaper.record.bound import Bound
from shaper.record.fallback import Fallback
from shaper.record.transfer import Outcome

logger = logging.getLogger(__name__)

ORIGINS = 1000
"""Connections to one origin that a client connection may use at once. mitmproxy's own five let five slow images stop
the HTML behind them when an HTTP/2 client meets an HTTP/1 origin."""


class Admitting:
    """Visitors and their connections. `handlers` is the proxyserver addon's table of live connections."""

    def __init__(
        self, shaping: Shaping, registry: Registry | None, anonymous: Standing, room: Room | None = None
    ) -> None:
        self.shaping = shaping
        self.registry = registry
        self.anonymous = anonymous
        self.authority: Authority | None = None
        self.has_other_ca = True  # without an authority, that of a mitmproxy tool; it may sign for any host
        self.congestion: str | None = None
        self.pinned = Pinned()
        self.visitors: dict[str, Visitor] = {}
        self.crowd = Crowd(shaping, self.visitors, room)
        self.addons = [self.crowd, Parting(shaping, self.visitors)]  # mitmproxy calls their hooks too, after ours
        self._choose: Callable[[layer.NextLayer], None] | None = None
        self._handlers: Mapping[Any, ConnectionHandler] = {}
        self._has_told = False  # that the CA has expired

    def attach(self, chooser: NextLayer, handlers: Mapping[Any, ConnectionHandler]) -> None:
        """Take what belongs to mitmproxy: its NextLayer addon and its table of connections."""
        choose = self._choose = chooser.next_layer

        def choose_for_others(choice: layer.NextLayer) -> None:
            """It was asked for our visitors already; asked again, it would decide what we wait with."""
            if choice.context.client.id not in self.visitors:
                choose(choice)

        chooser.next_layer = choose_for_others  # type: ignore[assignment, method-assign]
        self._handlers = handlers
        self.crowd.attach(handlers)

    # Connections come and go

    def client_connected(self, client: Client) -> None:
        """Know the visitor, and prepare its connection for bells, gates and many origins."""
        handler = self._handlers.get(client.id)
        if handler is None:
            return
        visitor = Visitor(client, handler, str(client.peername[0]), self.anonymous, self.registry)
        visitor.quiet_since = monotonic()
        self.visitors[client.id] = visitor
        hear_bells(handler)
        handler.max_conns = defaultdict(lambda: asyncio.Semaphore(ORIGINS))
        gate.put_before(client, handler)
        self._doubt(visitor)
        lane.keep_short(client, handler)
        writer = handler.transports[client].writer
        if self.congestion and isinstance(writer, asyncio.StreamWriter):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.congestion.encode())

    def client_disconnected(self, client: Client) -> None:
        """Forget the visitor, and end what waited for something else when it left."""
        if visitor := self.visitors.pop(client.id, None):
            for each in visitor.layers:
                each.leave()

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Put a gate before the origin."""
        if handler := self._handlers.get(data.client.id):
            gate.put_before(data.server, handler)
            visitor = self.visitors.get(data.client.id)
            if visitor and visitor.is_doubted:
                self._doubt(visitor)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Stream request bodies: store-and-forward would distort uploads."""
        if visitor := self.visitors.get(flow.client_conn.id):
            visitor.quiet_since, visitor.has_asked = monotonic(), True
            self._trust(visitor)
            if flow.response is None:
                flow.request.stream = True

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuse by the name asked for, or agree and connect nothing, if what follows is to be reset."""
        visitor = self.visitors.get(flow.client_conn.id)
        if visitor:
            visitor.quiet_since, visitor.has_asked = monotonic(), False
            self._doubt(visitor)
        if visitor and flow.response is None:
            admitted = self.shaping.admit([flow.request.host], visitor)
            if admitted.admission is Admission.REFUSE:
                self._refuse(visitor, admitted)
                flow.response = http.Response.make(403, b"Refused by the policy of this study.\n")
            elif admitted.verdict.shaped and admitted.verdict.rule and admitted.verdict.rule.block is Block.RESET:
                flow.response = http.Response.make(200)  # without an answer, mitmproxy would open the origin
                flow.response.headers.clear()  # RFC 9110, 9.3.6: no Content-Length here

    def _doubt(self, visitor: Visitor) -> None:
        """Read little from client and origin until it is known what they are connected for."""
        visitor.is_doubted = True
        for reader in gate.readers(visitor.handler):
            reader.doubt()

    def _trust(self, visitor: Visitor, most: int = gate.READ[0]) -> None:
        if visitor.is_doubted:
            visitor.is_doubted = False
            for reader in gate.readers(visitor.handler):
                reader.trust(most)

    # Layers

    def next_layer(self, choice: layer.NextLayer) -> None:
        """Let mitmproxy choose, then keep, wrap or replace."""
        context = choice.context
        visitor = self.visitors.get(context.client.id)
        if visitor is None or self._choose is None or choice.layer:
            return
        before = list(context.layers)
        self._choose(choice)
        chosen = choice.layer
        if chosen is None:
            return
        if b"\x16\x03".startswith(choice.data_client() or b"?"):  # too little of a TLS record to tell
            context.layers[:] = before
            choice.layer = None
            return
        if isinstance(chosen, HttpLayer) and chosen.mode in {HTTPMode.regular, HTTPMode.transparent}:
            context.layers[:] = before
            choice.layer = self._http(choice, chosen.mode, visitor)
        elif isinstance(chosen, ServerTLSLayer) and isinstance(chosen.child_layer, ClientTLSLayer):
            hosts = self._names(choice)
            if hosts is None:  # the ClientHello is not complete yet
                context.layers[:] = before
                choice.layer = None
                if len(choice.data_client()) > HELLO:
                    self.shaping.metrics.bounded(Bound.HELLO)
                    choice.layer = RefusedTunnel(context)
                return
            self._admit(choice, before, visitor, hosts)
        elif isinstance(chosen, layers.TCPLayer) and context.server.address and not _is_decrypted(choice):
            context.layers[:] = before
            hosts = [context.server.address[0]]
            choice.layer = self._tunnel(choice, visitor, self.shaping.admit(hosts, visitor), hosts)
        elif isinstance(chosen, layers.TCPLayer):
            self._relay(chosen, visitor)

    def _admit(self, choice: layer.NextLayer, before: list[layer.Layer], visitor: Visitor, hosts: list[str]) -> None:
        """Keep the chosen layers for a connection to intercept; put a tunnel in their place otherwise."""
        admitted = self.shaping.admit(hosts, visitor)
        if admitted.admission is Admission.INTERCEPT and self._would_be_believed(visitor, hosts[0]):
            self._count(admitted)
            return
        if admitted.admission is Admission.INTERCEPT:
            self.shaping.metrics.fallback(Fallback.TLS)
        choice.context.layers[:] = before
        choice.layer = self._tunnel(choice, visitor, admitted, hosts)

    def _would_be_believed(self, visitor: Visitor, host: str) -> bool:
        """Whether the client would take our certificate: the CA may sign it, and it was not refused lately."""
        authority = self.authority
        covered = authority.covers(host) and not self._has_expired(authority) if authority else self.has_other_ca
        return covered and not self.pinned.tunnels(visitor.key, host, monotonic())

    def _has_expired(self, authority: Authority) -> bool:
        """Whether the CA expired while the proxy ran. It is told once."""
        expired = authority.not_after <= wall()
        if expired and not self._has_told:
            logger.error("%s: the CA has expired: nothing is intercepted any more", authority.pem)
        self._has_told = expired
        return expired

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """Leave the host of a volunteer whose app refused our certificate alone from now on.

        In a lab without volunteers it is only counted: there, all clients may share one address, and a single one that
        does not trust the CA yet must not take the others out of the experiment.
        """
        visitor, host = self.visitors.get(data.context.client.id), data.context.client.sni
        if self.registry is None:
            self.shaping.metrics.fallback(Fallback.TLS)
        elif visitor and host:
            hung_up = "closed" in (error := data.conn.error or "") or "disconnected" in error
            self.pinned.failed(visitor.key, host, monotonic(), silently=hung_up)

    def tls_established_client(self, data: tls.TlsData) -> None:
        """Note that our certificate was taken, after all."""
        visitor, host = self.visitors.get(data.context.client.id), data.context.client.sni
        if visitor and host:
            self.pinned.accepted(visitor.key, host)

    def _tunnel(self, choice: layer.NextLayer, visitor: Visitor, admitted: Admitted, hosts: list[str]) -> layer.Layer:
        if admitted.admission is Admission.REFUSE:
            self._refuse(visitor, admitted)
            return RefusedTunnel(choice.context)
        self._count(admitted)
        if admitted.admission is Admission.SHAPE:
            self._trust(visitor)
            return ShapedTunnel(choice.context, self.shaping, visitor, admitted.verdict, hosts)
        return self._relay(Relay(choice.context, visitor.handler, self._count_bytes), visitor)

    def _relay(self, tunnel: layers.TCPLayer, visitor: Visitor) -> layers.TCPLayer:
        """Let a tunnel relay as it is, at full speed and without keeping a copy of what it carries."""
        tunnel.flow = None
        visitor.is_opaque = True
        self._trust(visitor, gate.READ[2])
        return tunnel

    def _count_bytes(self, direction: Direction, size: int) -> None:
        self.shaping.metrics.tunnel_bytes(direction, size)

    def _http(self, choice: layer.NextLayer, mode: HTTPMode, visitor: Visitor) -> layer.Layer:
        """Wrap plain HTTP, and HTTP inside a TLS connection that was admitted already."""
        address = choice.context.server.address
        if mode is HTTPMode.transparent and address and not _is_decrypted(choice):  # plain HTTP inside a CONNECT
            admitted = self.shaping.admit([address[0]], visitor)
            if admitted.admission is not Admission.INTERCEPT:
                return self._tunnel(choice, visitor, admitted, [address[0]])
            self._count(admitted)
        return ShapedHttpLayer(choice.context, mode, self.shaping, visitor)

    def _names(self, choice: layer.NextLayer) -> list[str] | None:
        """Return the names of a TLS connection, SNI first; None while the ClientHello is incomplete."""
        data, names = choice.data_client(), []
        if starts_like_tls_record(data):
            try:
                hello = parse_client_hello(data)
                if hello is None:
                    return None
                names += [hello.sni] if hello.sni else []
            except ValueError:
                pass  # not a ClientHello: only the CONNECT name is known
        if choice.context.server.address:
            names.append(choice.context.server.address[0])
        return names

    def _refuse(self, visitor: Visitor, admitted: Admitted) -> None:
        """Account for a connection that is not made."""
        self._count(admitted)
        live = self.shaping.begin(visitor, level="connection")
        live.judged(admitted.verdict, live.start)
        self.shaping.finish(live, Outcome.BLOCKED)

    def _count(self, admitted: Admitted) -> None:
        self.shaping.metrics.connection(admitted.admission, admitted.verdict.reason)


def _is_decrypted(choice: layer.NextLayer) -> bool:
    return any(
        isinstance(each, ClientTLSLayer) and each.conn is choice.context.client for each in choice.context.layers
    )
