"""Names that take long to look up."""

import asyncio
import socket
import time

import pytest

from shaper.measure.run import Outcome

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("bystander")]


async def test_names_whose_servers_do_not_answer_keep_no_other_waiting(lab, monkeypatch):
    real = socket.getaddrinfo

    def getaddrinfo(host, *rest, **more):
        if host.endswith(".slow.test"):
            time.sleep(3)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    lab.rough.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    stuck = [asyncio.create_task(lab.fetch("/", host=f"{number}.slow.test")) for number in range(30)]
    await asyncio.sleep(0.2)
    got = await lab.fetch("/", host=f"localhost:{lab.rough.ports[0]}", timeout=2)
    assert (got.outcome, got.size) == (Outcome.COMPLETE, 2)
    assert {got.status for got in await asyncio.gather(*stuck)} == {502}
