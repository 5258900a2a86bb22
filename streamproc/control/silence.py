"""Whose fault it is that attempts fail: one record's, or that of an endpoint that answers nobody."""

from __future__ import annotations

FRESH_WITNESSES = 5
"""So many that were sent since the last sign of life, and have never been to blame, speak against the endpoint."""
WITNESSES = 15
"""So many of whatever kind do. Fewer may be what the endpoint fails at: the last records of a run often are."""


class Silence:
    """The time between two signs of life of an endpoint, and who failed in it.

    Where many failed and nobody was answered between, it was the endpoint, and their attempts cost them nothing. Where
    few did, they are to blame themselves.

    Attributes:
        began: when the last sign of life was, in seconds.
        since: when the first attempt failed; `None` while none has.
        of_endpoint: it is the endpoint's: it takes no connection, refuses whatever is asked, or many failed.
        over: it has ended with a sign of life.
        in_flight: requests in the air, each of which may still tell.
        saw_life: whether the attempt that failed last was sent before the last sign of life.
    """

    __slots__ = ("_fresh", "_who", "began", "in_flight", "of_endpoint", "over", "saw_life", "since")

    def __init__(self, *, in_flight: int = 0, over: bool = False) -> None:
        self.began = 0.0
        self.since: float | None = None
        self.of_endpoint = False
        self.over = over
        self.in_flight = in_flight
        self.saw_life = False
        self._who: set[object] = set()
        self._fresh: set[object] = set()

    def failed(self, who: object, *, blamed_before: bool) -> None:
        """Enter who failed last.

        Args:
            who: the same object each time it fails.
            blamed_before: whether it was to blame for an earlier failure.
        """
        if self.of_endpoint:
            return
        self._who.add(who)
        if not blamed_before and not self.saw_life:
            self._fresh.add(who)
        self.of_endpoint = len(self._fresh) >= FRESH_WITNESSES or len(self._who) >= WITNESSES

    @property
    def blames(self) -> bool | None:
        """Tell whether those who failed in it are to blame; `None` while those in the air may yet tell."""
        if self.of_endpoint:
            return False
        return True if self.over or not self.in_flight else None

    def lasted(self, now: float) -> float:
        """Give the seconds since the first attempt failed; 0 while none has."""
        return 0.0 if self.since is None else now - self.since
