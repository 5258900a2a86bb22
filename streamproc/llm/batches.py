"""A batch of requests as an endpoint sees it: one thing that is asked, answered and paid for as a whole."""

from __future__ import annotations

from msgspec import Struct

from streamproc.completions import Completion, Request, Usage
from streamproc.errors import BadAnswer, RejectedBatch, RejectedRequest
from streamproc.llm.completer import BatchCompleter
from streamproc.llm.rate_limits import RateLimits


class Batch(Struct, frozen=True):
    """Requests that are sent as one; at least one, with equal `terms`."""

    requests: tuple[Request, ...]


class Answers(Struct, frozen=True):
    """What a batch was answered, request by request."""

    completions: list[Completion]

    @property
    def usage(self) -> Usage:
        """What all of it cost."""
        usages = [completion.usage for completion in self.completions]
        return Usage(sum(usage.prompt_tokens for usage in usages), sum(usage.completion_tokens for usage in usages))


class Batches:
    """Ask a completer for batches.

    Args:
        completer: answers them.
    """

    def __init__(self, completer: BatchCompleter) -> None:
        self._completer = completer

    @property
    def limits(self) -> RateLimits | None:
        """The account's limits, where the completer knows them."""
        return getattr(self._completer, "limits", None)

    @property
    def resent(self) -> int:
        """Requests that the completer sent again at once, where it does that."""
        return getattr(self._completer, "resent", 0)

    async def complete(self, batch: Batch) -> Answers:
        """Ask once.

        Raises:
            RejectedBatch: a batch of several was rejected, which says nothing about any one of them.
            ProviderError: what else happened.
        """
        requests = batch.requests
        if len(requests) == 1:
            return Answers([await self._completer.complete(requests[0])])
        try:
            completions = await self._completer.complete_many(requests)
        except RejectedRequest as error:
            raise RejectedBatch(error.message, status=error.status, code=error.code) from error
        if len(completions) != len(requests):
            raise BadAnswer(f"{len(completions)} completions came for {len(requests)} requests")
        return Answers(completions)
