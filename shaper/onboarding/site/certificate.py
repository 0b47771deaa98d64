"""The lab's CA as a volunteer sees it: a file to download, a fingerprint to compare, the names it is good for."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

# A browser that gets this type offers to trust the file; Android and iOS want DER or PEM under it alike.
MIME = "application/x-x509-ca-cert"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Public parts only: the key is never read here."""

    pem: bytes
    name: str
    fingerprint: str
    until: datetime
    hosts: tuple[str, ...]  # permitted by its name constraints; empty: unconstrained

    @classmethod
    def read(cls, path: Path) -> "Certificate":
        """Read the first certificate of a PEM file. Whatever else is in the file, a key above all, is left out."""
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return cls(
            pem=found.public_bytes(Encoding.PEM),
            name=str(names[0].value) if names else found.subject.rfc4514_string(),
            fingerprint=found.fingerprint(SHA256()).hex(":").upper(),
            until=found.not_valid_after_utc,
            hosts=_permitted(found),
        )


def _permitted(found: x509.Certificate) -> tuple[str, ...]:
    try:
        constraints = found.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    permitted = constraints.permitted_subtrees or []
    return tuple(str(name.value) for name in permitted if isinstance(name, x509.DNSName))
