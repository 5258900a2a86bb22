"""The role of a client."""

from __future__ import annotations

from typing import Protocol

from streamproc.completions import Completion, Request


class Completer(Protocol):
    """Turns one request into one completion, in one attempt."""

    async def complete(self, request: Request) -> Completion:
        """Ask once.

        Raises:
            ProviderError: what happened, as the class that says what to do about it.
        """
