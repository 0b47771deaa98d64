"""The origin of all benchmarks: nginx, foreign and fast, on loopback with TLS, with and without HTTP/2.

Any path may begin with /slow/ (nginx itself then limits the rate to 150 kbit/s) or with /rN/ or /rN/I/, which is for
proxies that choose a rate by path and is ignored here.
"""

import os
import shutil
from pathlib import Path

from bench.program import Program, free_port
from shaper.lab.authority import server_context

SIZES = {"100k": 100_000, "1m": 1_000_000, "10m": 10_000_000, "50m": 50_000_000}
PAGE = 2000

CONF = """
daemon off; {user} pid {home}/nginx.pid; error_log {home}/nginx.err; worker_processes 1;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 10000000; keepalive_timeout 600s; sendfile on; tcp_nodelay on; root {home}/www;
  http2_max_concurrent_streams 2000; http2_recv_timeout 600s; ssl_session_cache off; ssl_protocols TLSv1.2 TLSv1.3;
  types {{ text/html html; image/jpeg jpg; application/octet-stream bin; }}
  client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
  uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
  ssl_certificate {home}/leaf.pem; ssl_certificate_key {home}/leaf.pem;
  server {{
    listen 127.0.0.1:{h2} ssl http2 backlog=4096; listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tunnel} ssl http2;
    rewrite ^/r[0-9]+(?:/[0-9]+)?(/.*)$ $1 last;
    location /slow/ {{ rewrite ^/slow(/.*)$ $1 break; limit_rate 18750; }}
  }}
}}
"""


class Origin:
    """nginx with bodies of known sizes: /page.html, and /SIZE.jpg and /SIZE.bin.

    `tunnel_port` is for connections that proxies are to leave alone, as 127.0.0.1; the others are for `localhost`.
    """

    def __init__(self, home: Path, names):
        if not (nginx := shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")):
            raise SystemExit("the origin is nginx, and it is not here: apt-get install nginx-light")
        self.home = home
        self.port, self.plain_port, self.tunnel_port = (free_port() for _ in range(3))
        server_context(names, ["h2", "http/1.1"], home)
        self.ca = home / "ca.pem"
        www = home / "www"
        www.mkdir()
        (www / "page.html").write_bytes(os.urandom(PAGE))
        for name, size in SIZES.items():
            (www / f"{name}.jpg").write_bytes(os.urandom(size))
            (www / f"{name}.bin").symlink_to(www / f"{name}.jpg")
        conf = home / "nginx.conf"
        self.nginx = nginx
        self.user = "user root;" if os.geteuid() == 0 else ""  # nobody cannot enter a private directory
        ports = {"h2": self.port, "plain": self.plain_port, "tunnel": self.tunnel_port}
        conf.write_text(CONF.format(home=home, user=self.user, **ports))
        self.program = Program(nginx, "-p", str(home), "-c", str(conf), log=home / "nginx.log")
        self.program.wait_for(self.plain_port)
