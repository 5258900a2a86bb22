"""An endless backlog sent to a simulated service by an admission, event by event, without an event loop."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from streamproc.control.admission import Admission
from streamproc.control.attempts import Attempt, Ending
from streamproc.control.pace import Turn
from streamproc.simulation.profiles import Profile
from streamproc.simulation.question import draw_output_tokens
from streamproc.simulation.service import Accepted, Rejected, Service

PROMPT_TOKENS = 100


@dataclass
class Seen:
    """What happened: answers with the time they came and their tokens, refusals, and the limit over time."""

    answers: list[tuple[float, int, float]] = field(default_factory=list)
    sends: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)

    def goodput(self, since: float, until: float) -> float:
        """Give the output tokens a second between two times."""
        return sum(tokens for at, tokens, _ in self.answers if since <= at < until) / (until - since)


def run(
    admission: Admission,
    profile: Profile,
    seconds: float,
    *,
    seed: int = 0,
    changes: tuple[tuple[float, Callable[[Service], None]], ...] = (),
    most_waiting: int = 10_000,
) -> Seen:
    """Send for `seconds` of virtual time; refused requests come back after their hint or half a second, doubling."""
    service, seen, draw = Service(profile, seed), Seen(), random.Random(seed)
    events: list[tuple[float, int, str, int]] = [(0.0, 0, "tick", 0)]
    number, retries = 0, 0
    tries: dict[int, int] = {}
    turns: dict[int, Turn] = {}
    sent: dict[int, tuple[int, float, int, int]] = {}
    again: list[int] = []
    holding = 0  # permits taken: those in the air and those that wait for their turn
    now = 0.0
    due = list(changes)

    def push(at: float, what: str, who: int) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (at, number, what, who))

    fresh = 0

    def fill() -> None:
        nonlocal holding, fresh
        while holding < admission.limit and holding < most_waiting:
            who = again.pop(0) if again else fresh
            if who == fresh:
                fresh += 1
            holding += 1
            turns[who] = admission.turn(PROMPT_TOKENS + 130)
            push(now, "turn", who)

    def finish(who: int, attempt: Attempt) -> None:
        nonlocal holding
        holding -= 1
        admission.finished(attempt, PROMPT_TOKENS + 130, spread=draw.random())

    while now < seconds:
        service_due = service.next_event(now)
        if service_due is not None and service_due <= events[0][0]:
            now = service_due
            for ticket in service.advance(now):
                who, at, _, tokens = sent.pop(ticket)
                seen.answers.append((now, tokens, now - at))
                finish(who, Attempt(at, now, "answered", PROMPT_TOKENS, tokens))
            fill()
            continue
        now, _, what, who = heapq.heappop(events)
        while due and due[0][0] <= now:
            due.pop(0)[1](service)
        if what == "tick":
            admission.tick(now)
            seen.limits.append((now, admission.limit))
            push(now + 1, "tick", 0)
        elif what == "again":
            again.append(who)
        elif (wait := turns[who].wait(now)) > 0:
            push(now + wait, "turn", who)
        else:
            del turns[who]
            admission.started(PROMPT_TOKENS + 130, now)
            seen.sends.append(now)
            tokens = draw_output_tokens(profile, seed, f"{who}")
            reply = service.arrive(PROMPT_TOKENS, tokens, now)
            if isinstance(reply, Accepted):
                sent[reply.ticket] = (who, now, PROMPT_TOKENS, tokens)
            elif isinstance(reply, Rejected):
                seen.refusals.append(now)
                kind: Ending = "rate_limited" if reply.status == 429 else "overloaded"
                tries[who] = tries.get(who, 0) + 1
                hint = reply.retry_after
                wait = hint * (1 + 0.25 * draw.random()) if hint else 0.5 * 2 ** min(tries[who], 7)
                push(now + wait * (0.5 + 0.5 * draw.random() if not hint else 1), "again", who)
                finish(who, Attempt(now, now + 0.01, kind, retry_after=hint))
        fill()
    return seen
