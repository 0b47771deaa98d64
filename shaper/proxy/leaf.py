"""The certificates that the proxy shows to clients: one name each, signed by the study's CA, for a month at most.

mitmproxy would copy every name of the origin's certificate; one name outside the CA's constraints and the client must
refuse all of them. Here a leaf carries only the name that the client asked for. The leaves' key is not the CA's and
lives in memory alone.
"""

from collections.abc import Iterable
from datetime import timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mitmproxy import http
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.certs import Cert, CertStore, CertStoreEntry, DHParams
from mitmproxy.proxy.context import Context

from shaper.proxy.authority import SKEW, Authority
from shaper.proxy.clock import wall

LIFE = timedelta(days=30)
RENEW = timedelta(days=1)
KEPT = 1000


class Leaves(CertStore):
    """Stands in for mitmproxy's store; issues on demand and keeps the newest."""

    def __init__(self, authority: Authority) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        super().__init__(key, Cert(authority.certificate), None, b"", DHParams(b""))  # type: ignore[arg-type]
        self._authority, self._key = authority, key
        self._leaves: dict[str, CertStoreEntry] = {}

    def leaf(self, host: str) -> CertStoreEntry:
        """Return a certificate for this host, and its key."""
        entry = self._leaves.get(host)
        if entry is None or entry.cert.notafter - wall() < RENEW:
            self._leaves.pop(host, None)
            if len(self._leaves) >= KEPT:
                self._leaves.pop(next(iter(self._leaves)))
            entry = CertStoreEntry(self._issue(host), self._key, None, [self.default_ca])  # type: ignore[arg-type]
            self._leaves[host] = entry
        return entry

    def _issue(self, host: str) -> Cert:
        ca, now = self._authority.certificate, wall()
        name = _alternative(host)
        # An address as common name would be held to the constraints on host names (OpenSSL).
        named = isinstance(name, x509.DNSName) and len(host) <= 64
        common = [x509.NameAttribute(NameOID.COMMON_NAME, host)] if named else []
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(common))
            .issuer_name(ca.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(ca.not_valid_before_utc, now - SKEW))
            .not_valid_after(min(ca.not_valid_after_utc, now + LIFE))
            .add_extension(x509.SubjectAlternativeName([name]), critical=not named)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._authority.key.public_key()), critical=False
            )
        )
        return Cert(builder.sign(self._authority.key, SHA256()))


class StudyTls(TlsConfig):
    """mitmproxy's TLS addon with the study's CA in place of mitmproxy's own; nothing in `confdir` is read or made."""

    def __init__(self, authority: Authority) -> None:
        self.certstore = Leaves(authority)

    def configure(self, updated: Iterable[str]) -> None:
        super().configure(set(updated) - {"certs", "confdir", "key_size", "cert_passphrase"})  # type: ignore[no-untyped-call]

    def running(self) -> None:
        """Do not let mitmproxy load its own CA after all."""

    def get_cert(self, conn_context: Context) -> CertStoreEntry:
        client, server = conn_context.client, conn_context.server
        host = client.sni or (server.address[0] if server.address else client.sockname[0])
        assert isinstance(self.certstore, Leaves)
        return self.certstore.leaf(host.lower().encode("idna").decode())

    def request(self, flow: http.HTTPFlow) -> None:
        """Serve no revocation list: the leaves name none."""


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
