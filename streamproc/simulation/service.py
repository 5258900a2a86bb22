"""An endpoint's behaviour under load, as arithmetic without a clock: callers bring the time, in seconds.

The model is continuous batching as a fluid (`CONTROL.md`, section 4). A request waits in a first-come queue
for one of `max_running` places; there its prompt is read, one prompt after another, and then it decodes.
All that decode gain a token in each step of T(n) seconds, so one virtual clock V, counting tokens with
dV/dt = 1/T(n), serves all of them: whoever begins at V and writes k tokens is finished at V + k. An event
costs O(log n). Reading does not slow decoding, and there is no shortage of cache memory.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from itertools import accumulate
from typing import Literal

from msgspec import Struct

from streamproc.simulation.profiles import Fault, Profile
from streamproc.simulation.rates import Budget

_FAULT_STATUS: dict[Fault, tuple[int, str]] = {
    "503": (503, "service_unavailable"),
    "500": (500, "server_error"),
    "429": (429, "rate_limit_exceeded"),
}
_FAULT_RETRY_SECONDS = 1.0


class Accepted(Struct, frozen=True):
    """The request will be worked on; `advance` reports `ticket` when its answer is whole.

    Attributes:
        ticket: counts up from 1 in the order of arrival.
        fault: what will happen to the answer on its way, if anything: `truncate_body` or `reset_after_work`.
    """

    ticket: int
    fault: Fault | None = None


class Rejected(Struct, frozen=True):
    """The endpoint says no, at once.

    Attributes:
        status: 429, 500 or 503.
        code: its name, as providers write it (`rate_limit_exceeded`).
        retry_after: seconds to wait, where the endpoint says so.
    """

    status: int
    code: str
    retry_after: float | None = None


class Broken(Struct, frozen=True):
    """The request gets no proper answer and no work: `reset`, `hang` or `html`."""

    fault: Fault


class _Sequence(Struct):
    prompt_tokens: int
    output_tokens: int
    stage: Literal["queued", "reading", "decoding"] = "queued"


class Service:
    """One endpoint. Equal seeds and equal calls give equal replies, to the last bit.

    Every method that takes `now` expects times that never go back.

    Args:
        profile: how it behaves.
        seed: of its faults, drawn once for each arrival.

    Raises:
        ValueError: from any method, when `now` is before an earlier one.
    """

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.profile = profile
        self.budget = Budget(profile.requests_per_minute, profile.tokens_per_minute, profile.burst_seconds)
        self.running = 0
        self.queued = 0
        self.peak_running = 0
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, guards nothing
        self._faults = tuple(profile.fault_ratio)
        self._fault_edges = tuple(accumulate(profile.fault_ratio.values()))
        self._now = -math.inf
        self._tokens = 0.0  # the virtual clock V at _now
        self._tickets = 0
        self._sequences: dict[int, _Sequence] = {}
        # Whoever was cancelled stays in these three until its turn comes; _sequences says who is still there.
        self._queue: deque[int] = deque()
        self._reading: deque[tuple[float, int]] = deque()  # (when the first token is due, ticket), in order
        self._decoding: list[tuple[float, int]] = []  # heap of (V at which it is finished, ticket)
        self._reader_free_at = -math.inf
        self._decoding_count = 0
        self._finished: list[int] = []

    def arrive(self, prompt_tokens: int, output_tokens: int, now: float) -> Accepted | Rejected | Broken:
        """Take a request that will write `output_tokens` tokens (>= 1), or refuse it.

        A fault comes first, then the account's limits, then room in the queue. Only what is accepted counts
        against the limits, with its prompt and output tokens.
        """
        self._run_until(now)
        fault = self._draw_fault()
        if fault is not None and fault in _FAULT_STATUS:
            status, code = _FAULT_STATUS[fault]
            return Rejected(status, code, self._hint(_FAULT_RETRY_SECONDS) if status == 429 else None)
        if fault in ("reset", "hang", "html"):
            return Broken(fault)
        if wait := self.budget.seconds_until(prompt_tokens + output_tokens, now):
            return Rejected(429, "rate_limit_exceeded", self._hint(wait))
        max_queued = self.profile.max_queued
        if self.running >= self.profile.max_running and max_queued is not None and self.queued >= max_queued:
            return Rejected(503, "overloaded")
        self.budget.take(prompt_tokens + output_tokens, now)
        self._tickets += 1
        self._sequences[self._tickets] = _Sequence(prompt_tokens, output_tokens)
        self._queue.append(self._tickets)
        self.queued += 1
        self._fill_places()
        return Accepted(self._tickets, fault)

    def next_event(self, now: float) -> float | None:
        """Give the time at which something will change if nobody arrives or leaves; `None` if nothing will.

        It is never before `now`, and `now` itself when `advance` has something to report already.
        """
        self._check_time(now)
        if self._finished:
            return now
        due = self._next_change()
        return max(now, due) if due < math.inf else None

    def advance(self, now: float) -> list[int]:
        """Let time pass until `now`; give the tickets finished since the last call, each once, in order."""
        self._run_until(now)
        finished, self._finished = self._finished, []
        return finished

    def cancel(self, ticket: int, now: float) -> bool:
        """Stop working for a client that left, and give its place to the next in the queue.

        The time for reading its prompt stays spent.

        Returns:
            Whether that stopped anything: `False` if the answer was finished by `now` (`advance` still
            reports it) or the ticket is unknown. Asking again changes nothing.
        """
        self._run_until(now)
        sequence = self._sequences.pop(ticket, None)
        if sequence is None:
            return False
        if sequence.stage == "queued":
            self.queued -= 1
        else:
            self._leave(sequence)
        return True

    def _run_until(self, now: float) -> None:
        self._check_time(now)
        while (due := self._next_change()) <= now:
            self._move_clocks(due)
            if self._decoding and self._decoding[0][0] <= self._tokens:
                _, ticket = heapq.heappop(self._decoding)
                self._finished.append(ticket)
                self._leave(self._sequences.pop(ticket))
            else:
                _, ticket = self._reading.popleft()
                sequence = self._sequences[ticket]
                sequence.stage = "decoding"
                self._decoding_count += 1
                heapq.heappush(self._decoding, (self._tokens + sequence.output_tokens, ticket))
        self._move_clocks(now)

    def _next_change(self) -> float:
        """Give the time of the next first token or last token, not before `_now`; infinity if none is due."""
        while self._reading and self._reading[0][1] not in self._sequences:
            self._reading.popleft()
        while self._decoding and self._decoding[0][1] not in self._sequences:
            heapq.heappop(self._decoding)
        first_token = self._reading[0][0] if self._reading else math.inf
        if not self._decoding:
            return first_token
        tokens_left = max(0.0, self._decoding[0][0] - self._tokens)
        return min(first_token, self._now + tokens_left * self.profile.step_seconds(self._decoding_count))

    def _move_clocks(self, until: float) -> None:
        """Move to `until`, which is no later than the next change."""
        if self._decoding:
            end = self._decoding[0][0]
            step = self.profile.step_seconds(self._decoding_count)
            if self._now + max(0.0, end - self._tokens) * step <= until:
                self._tokens = max(self._tokens, end)  # exactly: a rounding error must not leave it short
            else:
                self._tokens += (until - self._now) / step
        else:
            self._tokens = 0.0  # nobody holds a mark on it, and small numbers are the exact ones
        self._now = until

    def _leave(self, sequence: _Sequence) -> None:
        self.running -= 1
        if sequence.stage == "decoding":
            self._decoding_count -= 1
        self._fill_places()

    def _fill_places(self) -> None:
        profile = self.profile
        while self.queued and self.running < profile.max_running:
            ticket = self._queue.popleft()
            sequence = self._sequences.get(ticket)
            if sequence is None:
                continue
            self.queued -= 1
            self.running += 1
            self.peak_running = max(self.peak_running, self.running)
            sequence.stage = "reading"
            self._reader_free_at = (
                max(self._reader_free_at, self._now) + sequence.prompt_tokens * profile.prefill_seconds_per_token
            )
            self._reading.append((self._reader_free_at + profile.ttft_seconds, ticket))

    def _draw_fault(self) -> Fault | None:
        if not self._faults:
            return None
        drawn = self._random.random()
        return next((fault for fault, edge in zip(self._faults, self._fault_edges, strict=True) if drawn < edge), None)

    def _hint(self, seconds: float) -> float | None:
        return seconds if self.profile.retry_after == "seconds" else None

    def _check_time(self, now: float) -> None:
        if now < self._now:
            raise ValueError(f"now must be >= {self._now}, the time of an earlier call, got {now}")
