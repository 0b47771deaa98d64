"""Origins that others wrote: nginx, Apache and hypercorn."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio

from shaper.lab.authority import server_context
from shaper.lab.site import ASSETS
from shaper.proxy.connecting import ConnectTo
from tests.e2e.conftest import running, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS = {name: f"{name}.media.test" for name in ("nginx", "apache", "hypercorn")}
INSTALL = {"nginx": "apt-get install nginx-light", "apache": "apt-get install apache2-bin"}

NGINX = """
daemon off; pid HOME/pid; error_log HOME/error.log; USER
events {}
http {
  access_log off; client_body_temp_path HOME/body; proxy_temp_path HOME/proxy; fastcgi_temp_path HOME/fastcgi;
  uwsgi_temp_path HOME/uwsgi; scgi_temp_path HOME/scgi;
  types { text/html html; image/jpeg jpg; image/png png; image/svg+xml svg; video/mp4 mp4; text/javascript js; }
  gzip on; gzip_types image/svg+xml; gzip_min_length 1;
  server {
    listen 127.0.0.1:PORT ssl http2; ssl_certificate HOME/leaf.pem; ssl_certificate_key HOME/leaf.pem;
    root ASSETS;
    location /few/ { alias ASSETS/photos/; }
    keepalive_requests 20;
  }
}
"""

APACHE = """
ServerName apache.media.test
Listen 127.0.0.1:PORT
PidFile HOME/apache.pid
DefaultRuntimeDir HOME
ErrorLog HOME/apache.log
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule deflate_module MODULES/mod_deflate.so
LoadModule filter_module MODULES/mod_filter.so
LoadModule mime_module MODULES/mod_mime.so
LoadModule ssl_module MODULES/mod_ssl.so
LoadModule http2_module MODULES/mod_http2.so
USER
StartServers 1
TypesConfig /dev/null
AddType text/html .html
AddType image/png .png
AddType image/svg+xml .svg
AddType video/mp4 .mp4
AddOutputFilterByType DEFLATE image/svg+xml
DocumentRoot ASSETS
Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile HOME/leaf.pem
SSLCertificateKeyFile HOME/leaf.pem
"""
MODULES = Path("/usr/lib/apache2/modules")
SERVED = ("index.html", "photos/contours.png", "photos/leaves.svg", "video/train.mp4")

ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    kind = {"/image": b"image/png", "/page": b"text/html"}[scope["path"]]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for number in range(25):
        await send({"type": "http.response.body", "body": bytes([number]) * 1000, "more_body": number < 24})
"""
ANSWER = b"".join(bytes([number]) * 1000 for number in range(25))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("foreign")
    server_context(HOSTS.values(), ["h2"], home)  # for the certificates that it leaves in `home`
    return home


@pytest.fixture(scope="module")
def nginx_port(home):
    """The port of a real nginx, which inherits its socket as in an upgrade; None when there is no nginx."""
    program = next((path for path in ("/usr/sbin/nginx", "/usr/local/sbin/nginx") if Path(path).exists()), None)
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = NGINX.replace("HOME", str(home)).replace("PORT", str(port)).replace("ASSETS", str(ASSETS))
        config = config.replace("USER", "" if os.geteuid() else "user root;")
        (home / "nginx.conf").write_text(config)
        os.set_inheritable(listener.fileno(), True)
        environment = {**os.environ, "NGINX": f"{listener.fileno()};"}
        command = [program, "-c", home / "nginx.conf", "-e", home / "error.log"]
        process = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()])
        yield port
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def apache_port(home):
    """The port of a real Apache; None when there is none. Started by root, it serves as nobody, who may read little."""
    if not (MODULES / "mod_http2.so").exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as assets, socket.socket() as reserved:
        Path(assets).chmod(0o755)
        for name in SERVED:
            (Path(assets) / name).parent.mkdir(exist_ok=True)
            shutil.copy(ASSETS / name, Path(assets) / name)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Apache may listen on it, nobody is given it
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        config = APACHE.replace("HOME", str(home)).replace("MODULES", str(MODULES)).replace("PORT", str(port))
        config = config.replace("ASSETS", assets).replace("USER", "" if os.geteuid() else "User nobody\nGroup nogroup")
        (home / "apache.conf").write_text(config)
        process = subprocess.Popen(["/usr/sbin/apache2", "-f", home / "apache.conf", "-DFOREGROUND"])
        listens = asyncio.run(until(lambda: _listens(port), 30))
        yield port if listens else (home / "apache.log").read_text()
        process.terminate()
        process.wait(20)


def _listens(port) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def hypercorn_port(home):
    (home / "application.py").write_text(ASGI)
    command = [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:0", "--certfile", home / "leaf.pem"]
    command += ["--keyfile", home / "leaf.pem", "--log-file", "-", "--error-logfile", "-", "application:app"]
    with (home / "hypercorn.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log)
    port, pattern = None, re.compile(r"Running on https://127\.0\.0\.1:([0-9]+)")
    for _ in range(600):
        if found := pattern.search((home / "hypercorn.log").read_text()):
            port = int(found[1])
            break
        asyncio.run(asyncio.sleep(0.05))
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def ports(nginx_port, apache_port, hypercorn_port):
    return {"nginx": nginx_port, "apache": apache_port, "hypercorn": hypercorn_port}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(home, ports):
    assert all(isinstance(port, int | None) for port in ports.values()), ports  # else why it did not start
    routes = [ConnectTo(HOSTS[name], 443, "127.0.0.1", port) for name, port in ports.items() if port]
    async with running(home, routes, [home / "ca.pem"], {}) as lab:
        yield lab


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("origin", ["nginx", "apache"])
async def test_what_nginx_and_apache_serve_arrives_slowed_and_whole(lab, ports, needs, origin, client):
    ports[origin] or needs(origin, INSTALL[origin])
    photo, page, film = (
        (ASSETS / name).read_bytes() for name in ("photos/contours.png", "index.html", "video/train.mp4")
    )
    already = len(lab.records)
    async with await lab.connect(client, origin) as session:
        got_photo, got_page = await asyncio.gather(
            session.request("/photos/contours.png"), session.request("/index.html")
        )
        part = await session.request("/video/train.mp4", headers=[("range", "bytes=1000-20999")])
        drawing = await session.request("/photos/leaves.svg", headers=[("accept-encoding", "gzip")])
    assert got_photo.sha256 == sha256(photo).hexdigest()
    assert got_page.sha256 == sha256(page).hexdigest()
    assert (part.status, part.sha256) == (206, sha256(film[1000:21000]).hexdigest())
    assert drawing.headers["content-encoding"] == "gzip"
    for got in (got_photo, part, drawing):
        assert got.duration > (got.size - 2048) / 50_000 - 0.1
    assert await lab.settled()
    records = lab.records[already:]
    assert sorted(r.reason for r in records) == ["matched", "matched", "matched", "no-rule"]
    assert {(r.client_protocol, r.origin_protocol) for r in records} == {(client, client)}


async def test_an_nginx_that_closes_its_connection_gracefully_cuts_nothing_short(lab, ports, needs):
    """After `keepalive_requests` it says GOAWAY, and serves the streams under way to their end."""
    ports["nginx"] or needs("nginx", INSTALL["nginx"])
    photo = sha256((ASSETS / "photos/dawn.jpg").read_bytes()).hexdigest()
    async with await lab.connect("h2", "nginx") as session:
        slow = [asyncio.create_task(session.request("/photos/dawn.jpg")) for _ in range(3)]
        assert await until(lambda: lab.proxy.shaping.levels.backlog > 0)
        pages = [await session.request("/index.html") for _ in range(25)]
        assert {got.status for got in pages} == {200}
        assert {(await task).sha256 for task in slow} == {photo}


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_what_hypercorn_serves_without_a_length_arrives_slowed_and_whole(lab, client):
    async with await lab.connect(client, "hypercorn") as session:
        image, page = await asyncio.gather(session.request("/image"), session.request("/page"))
    assert [got.sha256 for got in (image, page)] == [sha256(ANSWER).hexdigest()] * 2
    assert image.duration > (25_000 - 2048) / 50_000 - 0.1
