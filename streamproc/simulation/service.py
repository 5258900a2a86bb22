"""An endpoint's behaviour under load, as arithmetic without a clock: callers bring the time, in seconds.

The model is continuous batching as a fluid. A request waits in a first-come queue
for one of `max_running` places and for room in cache memory; there its prompt is read, one prompt after another, and
then it decodes (`decoding.py`). When the memory is full, the latest to get a place gives it up and is read again, with
what it wrote. An event costs O(log n). Reading does not slow decoding.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from itertools import accumulate
from typing import Literal

from msgspec import Struct

from streamproc.simulation.decoding import Decoder, Sequence
from streamproc.simulation.profiles import Fault, Profile
from streamproc.simulation.rates import Budget

_FAULT_STATUS: dict[Fault, tuple[int, str]] = {
    "503": (503, "service_unavailable"),
    "500": (500, "server_error"),
    "429": (429, "rate_limit_exceeded"),
}
_FAULT_RETRY_SECONDS = 1.0
_ADMITTED_SHARE = 0.99
"""Of the cache memory: a sequence gets a place while its prompt leaves that much or less in use."""


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
        self._due: float | None = None  # when the next change is due, if known, and then which
        self._change: Literal["first token", "last token", "full"] = "last token"
        self._tickets = 0
        self._turns = 0
        self._sequences: dict[int, Sequence] = {}
        self._places: dict[int, Sequence] = {}  # who has one, in the order of admission
        # Whoever was cancelled stays in these two until its turn comes; its stage or turn tells.
        self._queue: deque[Sequence] = deque()
        self._reading: list[tuple[float, int, Sequence]] = []  # heap of (when the first token is due, turn, who)
        self._decoder = Decoder(profile)
        self._reader_free_at = -math.inf
        self._finished: list[int] = []

    @property
    def cache_tokens(self) -> float:
        """The tokens in cache memory, as of the last call."""
        return self._decoder.cache_tokens

    def arrive(self, prompt_tokens: int, output_tokens: int, now: float) -> Accepted | Rejected | Broken:
        """Take a request that will write `output_tokens` tokens (>= 1), or refuse it.

        Whether it is ready comes first, then a fault, then the account's limits, then room in the queue. Only what is
        accepted counts against the limits, with its prompt and output tokens.
        """
        self._run_until(now)
        if not self.profile.ready:
            return Rejected(503, "not_ready")
        fault = self._draw_fault()
        if fault is not None and fault in _FAULT_STATUS:
            status, code = _FAULT_STATUS[fault]
            return Rejected(status, code, self._hint(_FAULT_RETRY_SECONDS) if status == 429 else None)
        if fault in ("reset", "hang", "html"):
            return Broken(fault)
        if wait := self.budget.seconds_until(prompt_tokens + output_tokens, now):
            return Rejected(429, "rate_limit_exceeded", self._hint(wait))
        profile = self.profile
        if profile.max_concurrent is not None and self.running + self.queued >= profile.max_concurrent:
            return Rejected(429, "concurrency_limit_exceeded")
        sequence = Sequence(self._tickets + 1, prompt_tokens, output_tokens)
        full = profile.max_queued is not None and self.queued >= profile.max_queued
        if full and (self.queued or not self._has_place_for(sequence)):
            return Rejected(503, "overloaded")
        self.budget.take(prompt_tokens + output_tokens, now)
        self._tickets += 1
        self._sequences[self._tickets] = sequence
        self._queue.append(sequence)
        self.queued += 1
        self._fill_places()
        return Accepted(self._tickets, fault)

    def change(self, profile: Profile, now: float) -> None:
        """Behave otherwise from `now` on. Nobody who runs loses a place for it; prompts under way are read as begun.

        Limits that differ from the old ones start with what an idle minute saves up. Faults stay as they were.
        """
        self._run_until(now)
        old, self.profile, self._decoder.profile = self.profile, profile, profile
        limits = (profile.requests_per_minute, profile.tokens_per_minute, profile.burst_seconds)
        if limits != (old.requests_per_minute, old.tokens_per_minute, old.burst_seconds):
            self.budget = Budget(*limits)
        self._due = None
        self._fill_places()

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
            self._vacate(sequence)
        sequence.stage = "gone"
        self._fill_places()
        return True

    def _run_until(self, now: float) -> None:
        self._check_time(now)
        while (due := self._next_change()) <= now:
            self._happen(due)
        self._decoder.move(now - self._now if self._now > -math.inf else 0.0)
        self._now = now

    def _next_change(self) -> float:
        """Give the time of the next first token, last token or preemption; infinity if none is due."""
        if self._due is None:
            reading = self._reading
            while reading and (reading[0][2].turn != reading[0][1] or reading[0][2].stage != "reading"):
                heapq.heappop(reading)
            due, self._change = (reading[0][0] if reading else math.inf), "first token"
            first = self._decoder.first()
            if first is not None and (end := self._now + self._decoder.seconds_to(first)) <= due:
                due, self._change = end, "last token"
            if self.running > 1 and (full := self._now + self._decoder.seconds_to_full()) < due:
                due, self._change = full, "full"
            self._due = due
        return self._due

    def _happen(self, due: float) -> None:
        """Let time pass until `due`, which is the next change, and let that change happen."""
        decoder = self._decoder
        if self._change == "last token":
            first = decoder.first()
            assert first is not None
            decoder.move_to(first)
            self._vacate(first)
            first.stage = "gone"
            del self._sequences[first.ticket]
            self._finished.append(first.ticket)
        else:
            decoder.move(due - self._now)
            if self._change == "first token":
                _, _, sequence = heapq.heappop(self._reading)
                decoder.reading_tokens -= sequence.prompt_tokens
                decoder.add(sequence)
            else:
                self._preempt()
        self._now = due
        self._due = None
        self._fill_places()

    def _preempt(self) -> None:
        """Take the place of whoever got one last, and let it wait before all others."""
        sequence = next(reversed(self._places.values()))
        written = self._vacate(sequence)
        sequence.prompt_tokens += written
        sequence.output_tokens -= written
        sequence.stage = "queued"
        self._queue.appendleft(sequence)
        self.queued += 1

    def _vacate(self, sequence: Sequence) -> float:
        """Free the place of a sequence that has one; give the tokens that it wrote there."""
        self._due = None
        self.running -= 1
        del self._places[sequence.ticket]
        if sequence.stage == "decoding":
            return self._decoder.remove(sequence)
        self._decoder.reading_tokens -= sequence.prompt_tokens
        return 0.0

    def _has_place_for(self, sequence: Sequence) -> bool:
        profile = self.profile
        if self.running + profile.neighbours >= profile.max_running:
            return False
        if profile.kv_tokens is None or not self.running:  # one alone may be of any length
            return True
        return self._decoder.cache_tokens + sequence.prompt_tokens <= _ADMITTED_SHARE * profile.kv_tokens

    def _fill_places(self) -> None:
        profile = self.profile
        while self.queued:
            sequence = self._queue[0]
            if sequence.stage == "gone":
                self._queue.popleft()
                continue
            if not self._has_place_for(sequence):
                break
            self._queue.popleft()
            self.queued -= 1
            self.running += 1
            self.peak_running = max(self.peak_running, self.running)
            self._turns += 1
            sequence.turn = self._turns
            sequence.stage = "reading"
            self._places[sequence.ticket] = sequence
            self._decoder.reading_tokens += sequence.prompt_tokens
            self._reader_free_at = (
                max(self._reader_free_at, self._now) + sequence.prompt_tokens * profile.prefill_seconds_per_token
            )
            heapq.heappush(self._reading, (self._reader_free_at + profile.ttft_seconds, sequence.turn, sequence))
            self._due = None

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
