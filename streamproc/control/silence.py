"""Whose fault it is that attempts fail: one record's, or that of an endpoint that answers nobody."""

from __future__ import annotations


class Silence:
    """The time between two signs of life of an endpoint, and who failed in it.

    Who failed while nobody else did is to blame for it. Where several failed and nobody was answered between, it was
    the endpoint, and their attempts cost them nothing. One who was to blame before is no witness against the endpoint:
    the last records of a run are often those at which it fails.

    Attributes:
        since: when the first attempt failed, in seconds; `None` while none has.
        of_endpoint: it is the endpoint's: it takes no connection, refuses whatever is asked, or several failed.
        over: it has ended with a sign of life.
        in_flight: requests in the air, each of which may still tell.
    """

    __slots__ = ("_who", "in_flight", "of_endpoint", "over", "since")

    def __init__(self, in_flight: int = 0) -> None:
        self.since: float | None = None
        self.of_endpoint = False
        self.over = False
        self.in_flight = in_flight
        self._who: object = None

    def failed(self, who: object) -> None:
        """Enter a witness: who failed in it, the same object each time it does."""
        if self._who is None:
            self._who = who
        elif self._who is not who:
            self.of_endpoint = True

    @property
    def blames(self) -> bool | None:
        """Tell whether who failed in it is to blame; `None` while those in the air may yet tell."""
        if self.of_endpoint:
            return False
        return True if self.over or not self.in_flight else None

    def lasted(self, now: float) -> float:
        """Give the seconds since the first attempt failed; 0 while none has."""
        return 0.0 if self.since is None else now - self.since
