"""The bucket table: which transfers share which bucket.

A bucket is known by its limit and by whom it serves: nobody else for a response, else the connection, the client or
everyone. It lives while a transfer holds it, or else two transfers of one client might have two buckets, and until it
is full again, so that closing and reopening gives no free burst; then it is forgotten.
"""

from collections.abc import Iterable
from weakref import WeakValueDictionary

from shaper.pacing.limit import Bucket, Limit, Scope

type Key = tuple[str, Limit, str]


class BucketTable:
    """Hands out chains of buckets and forgets those that have nothing left to remember."""

    def __init__(self) -> None:
        self._buckets: dict[Key, Bucket] = {}
        self._sweep_at = float("-inf")

    def __len__(self) -> int:
        return len(self._buckets)

    def chain(
        self,
        name: str,
        limits: Iterable[Limit],
        *,
        connection: str,
        client: str,
        now: float,
        direction: str = "down",
    ) -> list[Bucket]:
        """Return the buckets for one transfer under the rule `name`, in the order of `limits` (narrow to wide)."""
        self._sweep(now)
        whom = {Scope.CONNECTION: connection, Scope.CLIENT: client, Scope.AGGREGATE: ""}
        chain: list[Bucket] = []
        for limit in limits:
            if limit.scope is Scope.RESPONSE:
                chain.append(limit.make_bucket())
                continue
            key = (f"{name}/{direction}", limit, whom[limit.scope])
            if key not in self._buckets:
                self._buckets[key] = limit.make_bucket()
            chain.append(self._buckets[key])
        return chain

    def _sweep(self, now: float) -> None:
        """Once a minute at most, forget the buckets that are full and that nobody holds: fresh ones grant the same."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + 60.0
        all_of_them = WeakValueDictionary(self._buckets)
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now)}
        self._buckets.update(all_of_them)  # what a transfer holds is still there
