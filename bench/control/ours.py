"""What streamproc itself does with an endpoint, as the harness asks for it."""

from __future__ import annotations

from streamproc.control.admission import Admission
from streamproc.control.attempts import Attempt
from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer
from streamproc.control.pace import Pace
from streamproc.control.pace import Turn as PaceTurn

FIRST_LIMIT = 8
TYPICAL_TOKENS = 1000


class Streamproc:
    """The admission of one endpoint, with nothing configured.

    Args:
        maximum: permits at most.
    """

    def __init__(self, maximum: int) -> None:
        self.optimizer = ConcurrencyOptimizer(min(FIRST_LIMIT, maximum), 1, maximum)
        self.admission = Admission(self.optimizer, Pace())
        self._sent: dict[float, list[int]] = {}
        self._tokens = TYPICAL_TOKENS

    @property
    def limit(self) -> int:
        return self.admission.limit

    def turn(self, tokens: int) -> _Turn:
        return _Turn(self, tokens)

    def started(self, now: float, in_flight: int) -> None:
        tokens = self._tokens
        self._sent.setdefault(now, []).append(tokens)
        self.admission.started(tokens, now)

    def finished(self, attempt: Attempt, now: float) -> None:
        sent = self._sent[attempt.started_at]
        tokens = sent.pop(0)
        if not sent:
            del self._sent[attempt.started_at]
        self.admission.finished(attempt, tokens)

    def tick(self, now: float) -> None:
        self.admission.tick(now)

    def going(self, tokens: int) -> None:
        """Remember what the attempt that is sent next will use."""
        self._tokens = tokens


class _Turn:
    """A turn of the admission."""

    __slots__ = ("_by", "_tokens", "_turn")

    def __init__(self, by: Streamproc, tokens: int) -> None:
        self._by = by
        self._tokens = tokens
        self._turn: PaceTurn = by.admission.turn(tokens)

    def wait(self, now: float) -> float:
        self._by.going(self._tokens)
        return self._by.admission.wait(self._turn, now)
