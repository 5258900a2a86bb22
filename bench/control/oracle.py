"""The best that a limit which never moves can do, found by trying them: what a controller is measured against.

Of all limits (and paces, where the account has a limit) with 98 % of the best goodput it is the one with the lowest
p99; among equals, within 10 %, the lowest limit, because figures that differ by chance must not decide for 512.
Where the endpoint changes there is a second oracle, which knows the right limit for each of its states.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench.control import figures, fixed, play, scenarios
from bench.control.figures import Figures
from bench.control.fixed import Fixed, Planned
from bench.control.scenarios import Scenario
from streamproc.simulation import decoding, lengths, profiles, rates, service
from streamproc.simulation.profiles import Profile

HARD_MAXIMUM = 512
ENOUGH = 0.98
EQUAL = 1.10
PACES = (0.94, 0.97, 1.0)
"""Of the account's limit."""
SEGMENT_SECONDS = 180.0
CACHE = Path(tempfile.gettempdir()) / "streamproc-bench-control"
_SOURCES = (figures, fixed, play, scenarios, decoding, lengths, profiles, rates, service)


class Static(Struct, frozen=True):
    """A limit that does not move, and what it brings.

    Attributes:
        limit: permits.
        pace: share of the account's limit at which requests are sent; `None` for no pace.
        goodput: output tokens a second.
        p99: seconds of answered attempts.
    """

    limit: int
    pace: float | None
    goodput: float
    p99: float


class Oracle(Struct, frozen=True):
    """What was found for a scenario.

    Attributes:
        best: the chosen one.
        tried: all of them.
        segment_goodput: of a plan with the right limit for each state; `None` where nothing changes.
        segment_p99: of that plan.
    """

    best: Static
    tried: list[Static]
    segment_goodput: float | None = None
    segment_p99: float | None = None


def oracle_of(scenario: Scenario) -> Oracle:
    """Give the oracle of a scenario, from the cache where it is for the same scenario and the same code."""
    path = CACHE / f"{scenario.name}-{scenario.seed}-{_fingerprint(scenario)}.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Oracle)
    found = find_oracle(scenario)
    CACHE.mkdir(exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(msgspec.json.encode(found))
    part.replace(path)
    return found


def find_oracle(scenario: Scenario) -> Oracle:
    """Sweep the fixed limits, coarsely and then around the best."""
    tried = _sweep(scenario)
    if not scenario.changes:
        return Oracle(choose(tried), tried)
    segments = segment_figures(scenario)
    return Oracle(choose(tried), tried, segments.goodput, segments.p99)


def choose(tried: list[Static]) -> Static:
    """Of those with 98 % of the best goodput, give the lowest limit with about the lowest p99."""
    enough = ENOUGH * max(static.goodput for static in tried)
    good = [static for static in tried if static.goodput >= enough]
    calm = EQUAL * min(static.p99 for static in good)
    return min((static for static in good if static.p99 <= calm), key=lambda static: (static.limit, static.p99))


def segment_figures(scenario: Scenario) -> Figures:
    """Play a scenario with the limit that is right for each state of its endpoint, as if that lasted."""
    limits: dict[bytes, int] = {}

    def right_for(profile: Profile) -> int:
        key = msgspec.json.encode(profile)
        if not profile.ready:
            return 1
        if key not in limits:
            steady = replace(scenario, profile=profile, changes=(), seconds=SEGMENT_SECONDS)
            limits[key] = choose(_sweep(steady)).limit
        return limits[key]

    plan = [(at, right_for(profile)) for at, profile in ((0.0, scenario.profile), *scenario.changes)]
    return play.play(scenario, Planned(plan))


def _sweep(scenario: Scenario) -> list[Static]:
    paced = scenario.profile.requests_per_minute is not None or scenario.profile.tokens_per_minute is not None
    tried: dict[tuple[int, float | None], Static] = {}

    def attempt(limit: int, pace: float | None) -> None:
        if (limit, pace) not in tried:
            result = play.play(scenario, fixed_at(scenario, limit, pace))
            tried[limit, pace] = Static(limit, pace, result.goodput, result.p99)

    for pace in PACES if paced else (None,):
        for exponent in range(HARD_MAXIMUM.bit_length()):
            attempt(1 << exponent, pace)
        for _ in range(3):
            of_pace = [static for static in tried.values() if static.pace == pace]
            chosen = choose(of_pace).limit
            for low, high in pairwise(sorted(static.limit for static in of_pace)):
                middle = round(math.sqrt(low * high))
                if chosen in (low, high) and low < middle < high:
                    attempt(middle, pace)
    return list(tried.values())


def fixed_at(scenario: Scenario, limit: int, pace: float | None) -> Fixed:
    """Make the controller with a limit that never moves, and a pace as a share of the account's limit."""
    profile = scenario.profile
    requests = pace * profile.requests_per_minute / 60 if pace and profile.requests_per_minute else None
    tokens = pace * profile.tokens_per_minute / 60 if pace and profile.tokens_per_minute else None
    return Fixed(limit, requests, tokens)


def _fingerprint(scenario: Scenario) -> str:
    digest = hashlib.blake2b(msgspec.json.encode(scenario), digest_size=8)
    for module in (*_SOURCES, sys.modules[__name__]):
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()
