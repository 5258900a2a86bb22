"""Which calls share a request, and what becomes of those who shared one that failed. Decisions only."""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.control.retries import Retries, RetryPolicy
from streamproc.errors import BadAnswer, ProviderError, RejectedBatch, Unavailable
from streamproc.llm.batches import Batch
from streamproc.pipeline.task import Call


class Rejection:
    """A batch that was rejected as a whole.

    Attributes:
        size: how many records it had.
    """

    __slots__ = ("_halves_answered", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._halves_answered = 0

    def half_answered(self) -> bool:
        """Enter that one of its halves was answered; tell whether both were: then it was its size that was wrong."""
        self._halves_answered += 1
        return self._halves_answered == 2


class Part:
    """Calls that are made as one, and the attempts at it.

    Attributes:
        calls: at least one, with equal terms.
        batch: their requests.
        retries: attempts, those included in which they were parts of something larger.
        half_of: what was rejected and is now tried in halves, this being one.
    """

    __slots__ = ("batch", "calls", "half_of", "retries")

    def __init__(self, calls: Sequence[Call], retries: Retries, half_of: Rejection | None = None) -> None:
        self.calls = calls
        self.batch = Batch(tuple([call.request for call in calls]))
        self.retries = retries
        self.half_of = half_of

    def halves(self, error: ProviderError) -> list[Part]:
        """Divide a part for which there will be no further attempt as a whole.

        A rejected one is divided until the record to blame is alone. One that used up its attempts is divided, too, as
        a single record may be what the endpoint fails at; its halves have one attempt left. What may have been paid
        is not tried again.

        Returns:
            Two parts that have all the calls between them; none if the error is that of each record.
        """
        count = len(self.calls)
        if count == 1 or not isinstance(error, RejectedBatch | Unavailable | BadAnswer):
            return []
        rejection = Rejection(count) if isinstance(error, RejectedBatch) else None
        half = (count + 1) // 2
        return [Part(calls, self.retries.copy(), rejection) for calls in (self.calls[:half], self.calls[half:])]


def parts_of(calls: Sequence[Call], policy: RetryPolicy) -> list[Part]:
    """Group calls that may share a request; conversations cannot.

    Returns:
        Parts that have all the calls between them, each in the order of `calls`.
    """
    alone = [[call] for call in calls if call.request.text is None]
    together: dict[bytes, list[Call]] = {}
    for call in calls:
        if call.request.text is not None:
            together.setdefault(call.request.terms, []).append(call)
    return [Part(group, Retries(policy)) for group in (*together.values(), *alone)]
