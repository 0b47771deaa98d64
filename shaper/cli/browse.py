"""How to look at the demo with a browser: where the proxy is, what to trust, and a command for Chromium."""

import asyncio
import signal
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from ssl import DER_cert_to_PEM_cert

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from rich.console import Console

from shaper.cli.visit import Page
from shaper.lab.origin import Origin
from shaper.measure.probe import connect
from shaper.proxy.server import Proxy

QUIET = "--no-first-run --no-default-browser-check --disable-background-networking --disable-component-update"


async def browse(page: Page, proxy: Proxy, origin: Origin, console: Console) -> None:
    """Say how, and wait for Ctrl-C or SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    host, port = proxy.address
    trust = {page.pictures: proxy.ca_pem, page.elsewhere: origin.ca_pem}
    console.print(f"\nThe origin and the proxy stay up. Proxy: {host}:{port}", highlight=False)
    console.print(f"Targeted: https://{page.pictures}/   Not targeted: https://{page.elsewhere}/", highlight=False)
    console.print(f"CA of the proxy, for targets: {proxy.ca_pem}", highlight=False, soft_wrap=True)
    console.print(f"CA of the origin, for the rest: {origin.ca_pem}", highlight=False, soft_wrap=True)
    console.print("\nIn Chromium, with a profile of its own that trusts these two keys and no more:\n")
    keys = [await shown_key(name, proxy.address, ca) for name, ca in trust.items() if ca]
    console.print(chromium(page, proxy.address, keys), highlight=False, soft_wrap=True, markup=False)
    console.print("\nCtrl-C ends the demo.", highlight=False)
    await stop.wait()


def chromium(page: Page, proxy: tuple[str, int], keys: Sequence[str]) -> str:
    """Return the command that opens the page under both names and believes these two keys."""
    return (
        f'chromium --user-data-dir="$(mktemp -d)" {QUIET} --proxy-server=http://{proxy[0]}:{proxy[1]}'
        f" --ignore-certificate-errors-spki-list={','.join(keys)} https://{page.pictures}/ https://{page.elsewhere}/"
    )


async def shown_key(host: str, proxy: tuple[str, int], ca: Path) -> str:
    """Return the SHA-256 of the public key that `host` shows through the proxy, as Chromium takes it."""
    async with await connect(f"https://{host}", proxy=proxy, ca=ca) as session:
        certificate = session.wire.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return public_key_hash(DER_cert_to_PEM_cert(certificate))


def public_key_hash(pem: str) -> str:
    """Return the SHA-256 of a certificate's public key, as Chromium takes it."""
    key = load_pem_x509_certificate(pem.encode()).public_key()
    return b64encode(sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()
