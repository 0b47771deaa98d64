"""Peers that stand in front of one origin: nginx, HAProxy and Envoy choose the rate by the path, /rN/.

The rates are those of single responses, and the caps that ten share.
"""

import json
from pathlib import Path

from bench import fairness, subject
from bench.program import Program, free_port
from bench.subject import SLOW, Subject

RATES = sorted({*subject.RATES, *fairness.CAPS})


class Reverse(Subject):
    """A reverse proxy, reached as `localhost` at a port of its own."""

    def __init__(self, name, origin, program, port):
        super().__init__(name, origin, origin.ca, program, picture=f"/r{SLOW}/50m.jpg")
        self.started_in = program.wait_for(port=port)
        self._port = port

    def url(self, rate=None, **kind):
        _ = rate, kind
        return f"https://localhost:{self._port}"

    def path(self, rate, size):
        return f"/r{rate}/{size}.jpg"


NGINX = """
daemon off; {user} pid {home}/pid; error_log {home}/err; worker_processes 1; events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 10000000; http2_max_concurrent_streams 2000; tcp_nodelay on;
  client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; proxy_max_temp_file_size 0; fastcgi_temp_path {home}/t3;
  uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
  ssl_certificate {origin.home}/leaf.pem; ssl_certificate_key {origin.home}/leaf.pem;
  upstream origin {{ server 127.0.0.1:{origin.port}; keepalive 300; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    location / {{ proxy_pass https://origin; }}
    {limits}
  }}
}}
"""


def nginx(home: Path, origin):
    """limit_rate counts in whole seconds and gives the first second's bytes at once.

    With its temporary files it would take whole bodies from the origin at once, and have no time for anything else.
    """
    home.mkdir()
    port = free_port()
    limits = "\n".join(f"location /r{rate}/ {{ limit_rate {rate // 8}; proxy_pass https://origin; }}" for rate in RATES)
    (home / "conf").write_text(NGINX.format(home=home, origin=origin, port=port, limits=limits, user=origin.user))
    program = Program(origin.nginx, "-p", str(home), "-c", str(home / "conf"), log=home / "log")
    return Reverse("nginx", origin, program, port)


HAPROXY = """
global
  maxconn 8000
  nbthread 1
  tune.h2.max-concurrent-streams 2000
  ssl-server-verify none
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  http-reuse always
frontend slow
  bind 127.0.0.1:{port} ssl crt {origin.home}/leaf.pem alpn h2,http/1.1
  http-request set-var(txn.rate) path,field(2,/)
  {limits}
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin.port} ssl alpn http/1.1
"""


def haproxy(home: Path, origin, root: Path, *, shared=False):
    """bwlim-out: a limit for each stream, by period; or one for all streams of a client, by a stick table."""
    home.mkdir()
    port = free_port()
    own, table = "default-limit {} default-period 1s", "limit {} key src table r{}"
    limits = [f"filter bwlim-out r{rate} {(table if shared else own).format(rate // 8, rate)}" for rate in RATES]
    tables = [f"backend r{rate}\n  stick-table type ip size 1k expire 600s store bytes_out_rate(1s)" for rate in RATES]
    limits += [f"http-response set-bandwidth-limit r{rate} if {{ var(txn.rate) -m str r{rate} }}" for rate in RATES]
    conf = HAPROXY.format(port=port, origin=origin, limits="\n  ".join(limits))
    (home / "conf").write_text("\n".join([conf, *tables, ""]))
    library = root / "usr/lib/x86_64-linux-gnu"
    program = Program(
        str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(library), str(root / "usr/sbin/haproxy"),
        "-db", "-f", str(home / "conf"), log=home / "log",
    )  # fmt: skip
    return Reverse("HAProxy", origin, program, port)


BUCKETS = 1024


class Envoy(Reverse):
    """Its limits are whole KiB/s, and the responses of a route share one: each slowed picture has its own route."""

    def configured(self, rate):
        return round(rate / 8192) * 8192

    def picture_of(self, index):
        return f"/r{SLOW}/{index % BUCKETS}/50m.jpg"


def envoy(home: Path, origin, binary: Path):
    """bandwidth_limit: a bucket for each route that is filled every 20 ms."""
    home.mkdir()
    port = free_port()
    typed = "type.googleapis.com/envoy.extensions."
    limit = "envoy.filters.http.bandwidth_limit"
    prefixes = [(f"/r{SLOW}/{index}/", SLOW) for index in range(BUCKETS)] + [(f"/r{rate}/", rate) for rate in RATES]
    routes = [
        {
            "match": {"prefix": prefix},
            "route": {"cluster": "origin", "timeout": "0s"},
            "typed_per_filter_config": {
                limit: {
                    "@type": typed + "filters.http.bandwidth_limit.v3.BandwidthLimit",
                    "stat_prefix": prefix.strip("/").replace("/", "_"),
                    "enable_mode": "RESPONSE",
                    "limit_kbps": round(rate / 8192),
                    "fill_interval": "0.02s",
                }
            },
        }
        for prefix, rate in prefixes
    ]

    def freely(match):
        return {"match": match, "route": {"cluster": "origin", "timeout": "0s"}}

    certificate = {"filename": f"{origin.home}/leaf.pem"}
    manager = {
        "@type": typed + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "AUTO",
        "http2_protocol_options": {"max_concurrent_streams": 2000},
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [freely({"path": "/page.html"}), *routes, freely({"prefix": "/"})],
                }
            ]
        },
        "http_filters": [
            {"name": limit, "typed_config": {"@type": typed + "filters.http.bandwidth_limit.v3.BandwidthLimit",
                                             "stat_prefix": "none"}},
            {"name": "router", "typed_config": {"@type": typed + "filters.http.router.v3.Router"}},
        ],
    }  # fmt: skip
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [{"name": "http", "typed_config": manager}],
                "transport_socket": {
                    "name": "tls",
                    "typed_config": {
                        "@type": typed + "transport_sockets.tls.v3.DownstreamTlsContext",
                        "common_tls_context": {
                            "alpn_protocols": ["h2", "http/1.1"],
                            "tls_certificates": [{"certificate_chain": certificate, "private_key": certificate}],
                        },
                    },
                },
            }
        ],
    }
    cluster = {
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "60s",
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1",
                                                                     "port_value": origin.port}}}}
                    ]
                }
            ],
        },
        "circuit_breakers": {"thresholds": [{"max_connections": 4000, "max_pending_requests": 4000,
                                             "max_requests": 4000}]},
        "transport_socket": {
            "name": "tls",
            "typed_config": {"@type": typed + "transport_sockets.tls.v3.UpstreamTlsContext", "sni": "localhost"},
        },
    }  # fmt: skip
    conf = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    (home / "conf.json").write_text(json.dumps(conf))
    program = Program(
        str(binary), "-c", str(home / "conf.json"), "--concurrency", "1", "--use-dynamic-base-id", "-l", "error",
        log=home / "log",
    )  # fmt: skip
    return Envoy("Envoy", origin, program, port)
