"""What control learns from: one attempt at a model call, as figures."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Ending = Literal["answered", "rejected", "rate_limited", "overloaded", "failed"]
"""How an attempt ended: with an answer; with word that this request will never do; with 429; with word that the
endpoint failed or has too much to do (500, 503), with no word in time, or with a broken connection; with anything else,
which says nothing about the endpoint (no connection, an answer that is none, ended by us)."""


class Attempt(Struct, frozen=True, gc=False):
    """One request and what came of it. Retries are attempts of their own; time spent waiting between is in none.

    Attributes:
        started_at: seconds on a monotonic clock, when the request was sent.
        ended_at: on the same clock, when its answer was whole or its failure known.
        ending: how it ended.
        prompt_tokens: text tokens sent, as the provider counts them; 0 where unknown.
        completion_tokens: text tokens received; 0 where unknown.
        retry_after: seconds the provider asked to wait; `None` where it asked nothing.
    """

    started_at: float
    ended_at: float
    ending: Ending
    prompt_tokens: int = 0
    completion_tokens: int = 0
    retry_after: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended_at - self.started_at
