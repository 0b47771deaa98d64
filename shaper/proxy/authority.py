"""The certificate authority of one lab and one study: short-lived, and good for the study's targets only.

Volunteers import its certificate, so what it may sign is confined in the certificate itself (RFC 5280, 4.2.1.10):
a thief of the key could pose as a target and as nobody else. A constraint on a name also permits the names below it;
it has no way to leave those out. A `contains:` pattern cannot be constrained at all: hosts that only such a pattern
matches are not covered, and the proxy must not intercept them. See docs/threat-model.md.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from publicsuffixlist import PublicSuffixList

from shaper.policy.model import Contains
from shaper.policy.refused import RefusedError
from shaper.proxy.clock import wall
from shaper.record import private

type Pattern = str | Contains
type Name = str | IPv4Address | IPv6Address

NOBODY = "invalid"  # permitted when no host name is, for "no name" cannot be written (RFC 2606 keeps this one unused)
SKEW = timedelta(days=1)  # clocks that run late still accept a fresh certificate


@dataclass(frozen=True, slots=True)
class Authority:
    """A loaded CA. `pem` is the certificate for people to import, without the key."""

    pem: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    names: tuple[Name, ...]  # permitted; each host name with all below it

    @property
    def fingerprint(self) -> str:
        """Return SHA-256 in the form that browsers show it in, AB:CD:EF and so on."""
        return self.certificate.fingerprint(SHA256()).hex(":").upper()

    @property
    def not_after(self) -> datetime:
        return self.certificate.not_valid_after_utc

    def covers(self, host: str) -> bool:
        """Whether a certificate for this host would be believed. The proxy intercepts no other."""
        return _covered(_name(host), self.names)


def ensure(ca_dir: Path, hosts: Sequence[Pattern], study: str, days: int = 90) -> Authority:
    """Load the CA in `ca_dir`, or make it. Refuses, in one line, one that is exposed, expired or another study's."""
    try:
        return _ensure(ca_dir, hosts, study, days)
    except OSError as error:
        problem = f"{error.filename or ca_dir}: CA: {error.strerror}"
        raise RefusedError(problem, "name another directory with --ca-dir") from None


def _ensure(ca_dir: Path, hosts: Sequence[Pattern], study: str, days: int) -> Authority:
    pem, key_file = ca_dir / "shaper-ca.pem", ca_dir / "shaper-ca-key.pem"
    needed = _names(hosts)
    if not pem.exists() and not key_file.exists():
        _make(pem, key_file, needed, study, days)
    remedy = f"delete {pem} and {key_file}; a new one is made, which everybody must import"
    if not pem.exists() or not key_file.exists():
        raise RefusedError(f"{ca_dir}: CA: certificate or key is missing", remedy)
    try:
        certificate = x509.load_pem_x509_certificate(pem.read_bytes())
        key = load_pem_private_key(private.read(key_file), None)
        permitted = _permitted(certificate)
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError(f"{pem}: CA: not one that shaper made", remedy) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise RefusedError(f"{pem}: CA: the key in {key_file.name} is not this certificate's", remedy)
    if not permitted or certificate.issuer != certificate.subject:
        raise RefusedError(f"{pem}: CA: not confined to any host", remedy)
    if _study(certificate) != study:
        raise RefusedError(f'{pem}: CA: made for the study "{_study(certificate)}", not "{study}"', remedy)
    if certificate.not_valid_after_utc <= wall():
        raise RefusedError(f"{pem}: CA: expired on {certificate.not_valid_after_utc:%Y-%m-%d}", remedy)
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > SKEW + timedelta(days=days):
        raise RefusedError(f"{pem}: CA: good for longer than {days} days", f"name more with --ca-days, or {remedy}")
    if missing := [str(name) for name in needed if not _covered(name, permitted)]:
        raise RefusedError(f"{pem}: CA: does not cover the target {missing[0]}", remedy)
    return Authority(pem, certificate, key, permitted)


def _names(hosts: Iterable[Pattern]) -> tuple[Name, ...]:
    """Return the names that the patterns need, none below another."""
    found = {_name(pattern.removeprefix("*.")) for pattern in hosts if isinstance(pattern, str)}
    for name in found:
        if isinstance(name, str) and _suffixes().publicsuffix(name) == name:
            raise RefusedError(f'CA: "{name}" is no one\'s domain but all of them', "name a host or a domain below it")
    return tuple(sorted((n for n in found if not _covered(n, found - {n})), key=str))


def _name(host: str) -> Name:
    try:
        return ip_address(host)
    except ValueError:
        return host.lower().rstrip(".").encode("idna").decode()


def _covered(name: Name, names: Iterable[Name]) -> bool:
    return any(name == one or (isinstance(one, str) and str(name).endswith(f".{one}")) for one in names)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False, only_icann=True)


def _make(pem: Path, key_file: Path, names: Sequence[Name], study: str, days: int) -> None:
    if not names:
        raise RefusedError("CA: no target names a host to confine it to", 'name exact hosts or "*.suffix" patterns')
    key, now = ec.generate_private_key(ec.SECP256R1()), wall()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Shaper lab CA {secrets.token_hex(4)}"),  # unlike any other lab's
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, study),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_constraints(names), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_usage(), critical=True)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.parent.mkdir(parents=True, exist_ok=True)
    private.make(key_file, secret)
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))


def _constraints(names: Sequence[Name]) -> x509.NameConstraints:
    """Return constraints that leave no kind of host open: a kind that is not named is unconstrained (RFC 5280)."""
    hosts: list[x509.GeneralName] = [x509.DNSName(name) for name in names if isinstance(name, str)]
    addresses: list[x509.GeneralName] = [
        x509.IPAddress(ip_network(name)) for name in names if not isinstance(name, str)
    ]
    everywhere: list[x509.GeneralName] = [x509.IPAddress(ip_network(net)) for net in ("0.0.0.0/0", "::/0")]
    return x509.NameConstraints([*(hosts or [x509.DNSName(NOBODY)]), *addresses], None if addresses else everywhere)


def _permitted(certificate: x509.Certificate) -> tuple[Name, ...]:
    subtrees = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    hosts = [tree.value for tree in subtrees if isinstance(tree, x509.DNSName) and tree.value != NOBODY]
    addresses = [ip_interface(str(tree.value)).ip for tree in subtrees if isinstance(tree, x509.IPAddress)]
    return (*hosts, *addresses)


def _study(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
