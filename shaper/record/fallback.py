"""Where traffic fell back to passing unshaped because a part of the shaper failed. A closed list: it labels metrics."""

from enum import StrEnum


class Fallback(StrEnum):
    ADMISSION = "admission"  # the connection's admission failed: tunnelled as it is
    TLS = "tls"  # the client does not accept the lab's certificate: tunnelled from now on
    VERDICT = "verdict"  # the decision on a response failed
    PACING = "pacing"  # a pacer or bucket failed: what it held was passed on at once
    GATE = "gate"  # the origin could not be held back
    POLICE = "police"  # the kernel could not be told to drop
    RECORD = "record"  # the record of a transfer could not be made or taken
