"""One transfer's backlog and the chain of buckets that releases it.

Bytes leave in the order in which they came, none lost and none invented. A piece leaves when every bucket of the
chain has granted it, the narrowest asked first and each only once the one before has granted: a transfer held by its
own cap takes nothing from a bucket it shares. Each transfer has one piece in the queue of a shared bucket, and gives
way after each piece when several are due at once (in a window, or after a late wake). So those that want more than
their share get equal shares and what others leave goes to them: max-min fairness.

Pieces leave when wholly paid for, never before, so the line that a client sees stays on or under the ideal one.
A transfer that was woken late, or had to wait for a wider bucket, makes up for it, as long as it is not behind by more
than `LATENESS`; what is lost beyond that is not given back.
"""

from collections import deque
from collections.abc import Sequence

from shaper.pacing.limit import Bucket, quantum

LATENESS = 0.1
"""Seconds by which a transfer may be behind and still catch up. The law of its buckets holds for the bytes sent
whenever it is punctual; when it was late, at most `burst + rate * (t + LATENESS)` bytes are sent within any t."""


class Pacer:
    """Push bytes, release what is due. `free` bytes pass first; after `freeze_after` bytes nothing passes any more."""

    __slots__ = (
        "_at",
        "_chain",
        "_due",
        "_free",
        "_left",
        "_most",
        "_name",
        "_piece",
        "_queue",
        "_stage",
        "_start",
        "backlog",
        "quantum",
        "wakes",
    )

    def __init__(
        self,
        chain: Sequence[Bucket],
        *,
        free: int = 0,
        freeze_after: int | None = None,
        start_at: float = 0.0,
    ) -> None:
        self._chain = tuple(chain)
        self._name = object()
        self.quantum = min((quantum(bucket.rate) for bucket in chain), default=0)
        self._most = min((quantum(bucket.rate) for bucket in chain[1:]), default=0)
        self.wakes = min((bucket.rate for bucket in chain), default=0.0) / (self.quantum or 1)
        """How often a second this transfer is woken while it has a backlog, with its quantum as it is by nature."""
        self._queue: deque[bytes] = deque()
        self._start = 0  # how much of the queue's head has left already
        self._free = free
        self._left = freeze_after  # bytes that may still pass; None: no end
        self._at = start_at  # from when on the next piece is wanted
        self._piece = 0  # size of the piece under way, 0: none
        self._stage = 0  # how many buckets have granted it
        self._due = 0.0  # when the last of them grants it
        self.backlog = 0

    def emptied(self) -> "Pacer":
        """Return a pacer without any bucket that takes over what is held here: the way out when a bucket fails."""
        free = Pacer(())
        free._queue, free._start, free.backlog = self._queue, self._start, self.backlog
        return free

    def push(self, data: bytes, now: float) -> None:
        """Take bytes in at instant `now`."""
        if not self.backlog:
            self._at = max(self._at, now)
        if data:
            self._queue.append(data)
            self.backlog += len(data)

    def release(self, now: float, stretch: float = 1.0, grain: float = 0.0) -> tuple[bytes, float | None]:
        """Give out what is due at `now`, and when to ask again: an instant, or None for when more bytes come.

        For a proxy under load, `stretch` makes the pieces larger and fewer.
        With a `grain`, those that nobody else's depend on are due at, or just before, a multiple of so many seconds.

        An instant that is past already asks for another turn, after those whose pieces are due before.
        """
        size = 0
        while self.backlog > size:
            if not self._piece and not self._begin(self.backlog - size, now, stretch, grain):
                return self._take(size), None  # frozen
            alone = True
            while self._due <= now and self._stage < len(self._chain):
                alone = self._reserve(now) and alone
            if self._due > now or (size and not alone):
                return self._take(size), self._due
            size += self._piece
            self._piece = 0
        return self._take(size), None

    def _begin(self, waiting: int, now: float, stretch: float, grain: float) -> bool:
        """Choose the next piece out of `waiting` bytes; False when the transfer is frozen."""
        if self._left is not None:
            waiting = min(waiting, self._left)
        if not waiting:
            return False
        self._at = self._due = max(self._at, now - LATENESS)
        self._piece, self._stage = waiting, 0
        if self._free:
            self._piece, self._stage = min(waiting, self._free), len(self._chain)
            self._free -= self._piece
        elif self._chain:
            piece, own = self.quantum * stretch, self._chain[0]
            if len(self._chain) > 1:  # what its own bucket refilled while it waited for a wider one, in one piece
                piece = max(piece, min(self._most, (now - self._at) * own.rate))
            elif grain and own.taker is self._name:
                piece = (round((self._at + piece / own.rate) / grain) * grain - self._at) * own.rate
            self._piece = min(waiting, max(1, int(piece)))
        if self._left is not None:
            self._left -= self._piece
        return True

    def _reserve(self, now: float) -> bool:
        """Ask the next bucket for the piece; tell whether nobody else has asked it since we did."""
        bucket = self._chain[self._stage]
        self._due = bucket.reserve(self._piece, max(self._due, now - LATENESS))
        if not self._stage:
            self._at = self._due
        self._stage += 1
        before, bucket.taker = bucket.taker, self._name
        return before is self._name or before is None

    def _take(self, size: int) -> bytes:
        """Take `size` bytes off the queue's head."""
        self.backlog -= size
        if size and (end := self._start + size) < len(self._queue[0]):  # nearly always
            start, self._start = self._start, end
            return self._queue[0][start:end]
        taken = []
        while size:
            head, start = self._queue[0], self._start
            end = min(len(head), start + size)
            taken.append(head[start:end])
            size -= end - start
            if end == len(head):
                self._queue.popleft()
                end = 0
            self._start = end
        return taken[0] if len(taken) == 1 else b"".join(taken)
