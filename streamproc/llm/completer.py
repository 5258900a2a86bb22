"""The roles of a client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from streamproc.completions import Completion, Request


class Completer(Protocol):
    """Turns one request into one completion, in one attempt."""

    async def complete(self, request: Request) -> Completion:
        """Ask once.

        Raises:
            ProviderError: what happened, as the class that says what to do about it.
        """


@runtime_checkable
class BatchCompleter(Protocol):
    """Turns many requests into as many completions, in one attempt; a completer that can do that, too."""

    async def complete(self, request: Request) -> Completion:
        """Ask once, see `Completer`."""

    async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
        """Ask once for all. All are answered, or none is.

        Args:
            requests: at least one; all of one kind, which is not chat completions, and with equal `terms`.

        Returns:
            The completions in the order of the requests.

        Raises:
            ProviderError: what happened. `RejectedRequest` has the requests sent again in smaller groups, until the one
                to blame is alone.
        """
