"""Squid as a forward proxy that intercepts TLS, with a response delay pool for each rate, chosen by host."""

import shutil
import subprocess
from pathlib import Path

from bench.peers.reverse import RATES
from bench.program import Program, free_port
from bench.subject import SLOW, Subject, host_of

CONF = """
http_port 127.0.0.1:{port} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert={home}/ca.pem
sslcrtd_program {helper} -s {home}/certificates -M 4MB
acl all_steps at_step SslBump1
acl left_alone port {origin.tunnel_port}
ssl_bump splice left_alone
ssl_bump bump all
tls_outgoing_options cafile={origin.ca}
hosts_file {home}/hosts
http_access allow all
cache deny all
cache_mem 8 MB
access_log none
cache_log {home}/cache.log
pid_filename {home}/pid
coredump_dir {home}
pinger_enable off
shutdown_lifetime 1 second
max_filedescriptors 8192
{pools}
"""


class Squid(Subject):
    """A rate has a host name, at the origin's own port."""

    def url(self, rate=None, **kind):
        return f"https://{host_of(rate)}:{self.origin.port}" if rate else super().url(**kind)


def squid(home: Path, origin, *, shared=False):
    """A pool limits each response, or all of its responses together."""
    home.mkdir()
    port = free_port()
    program = shutil.which("squid", path="/usr/sbin:/usr/bin")
    helper = "/usr/lib/squid/security_file_certgen"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=squid",
         "-keyout", "ca.pem", "-out", "certificate.pem"], cwd=home, check=True, capture_output=True,
    )  # fmt: skip
    with (home / "ca.pem").open("a") as both:
        both.write((home / "certificate.pem").read_text())
    names = " ".join(host_of(rate) for rate in RATES)
    (home / "hosts").write_text(f"127.0.0.1 localhost {names}\n")
    pools, what = [], "aggregate" if shared else "individual"
    for rate in RATES:
        hosts = f"{host_of(rate)}{' localhost' if rate == SLOW else ''}"
        pools += [
            f"acl r{rate} dstdomain {hosts}",
            f"response_delay_pool p{rate} {what}-restore={rate // 8} {what}-maximum={rate // 8}",
            f"response_delay_pool_access p{rate} allow r{rate} pictures",
        ]
    pools.insert(0, "acl pictures rep_mime_type image/")
    (home / "conf").write_text(CONF.format(port=port, home=home, helper=helper, origin=origin, pools="\n".join(pools)))
    subprocess.run([helper, "-c", "-s", str(home / "certificates"), "-M", "4MB"], check=True, capture_output=True)
    for each in (home, home.parent):
        each.chmod(0o755)
    shutil.chown(home, "proxy", "proxy")
    for path in home.rglob("*"):
        shutil.chown(path, "proxy", "proxy")
    started = Program(program, "-N", "-f", str(home / "conf"), log=home / "log")
    seconds = started.wait_for(port=port)
    return Squid("Squid", origin, home / "certificate.pem", started, ("127.0.0.1", port), seconds, "/50m.jpg")
