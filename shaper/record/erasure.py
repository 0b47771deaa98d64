"""Taking a person out of journals that are being written: their lines stay, and are nobody's.

The pseudonym is overwritten in place by `null` and blanks, which JSON allows and no appending writer notices: no line
moves, none is lost. Rotated neighbours of the file are done too, unless they are compressed.
"""

import mmap
import os
from pathlib import Path


def erase(journal: Path, pseudonym: str) -> int:
    """Overwrite the pseudonym in the journal and in the files rotated from it; return in how many lines."""
    return sum(_erase(path, pseudonym) for path in sorted(journal.parent.glob(f"{journal.name}*")))


def _erase(path: Path, pseudonym: str) -> int:
    wanted = f'"client":"{pseudonym}"'.encode()
    nobody = b'"client":null'.ljust(len(wanted))
    found = 0
    with path.open("r+b") as file:
        if not os.fstat(file.fileno()).st_size:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(wanted)
            while at >= 0:
                os.pwrite(file.fileno(), nobody, at)
                found += 1
                at = data.find(wanted, at + len(wanted))
        os.fsync(file.fileno())
    return found
