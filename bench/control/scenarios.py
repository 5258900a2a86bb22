"""The endpoints that a controller must cope with, as data drawn from ranges: a seed gives one endpoint of a kind.

The middle of the ranges is what engines were measured at (`simulation/profiles.py`). Prompts are kept a few hundred to
a few thousand tokens and rates some ten requests a second, so that a run of ten minutes takes about half a second.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from streamproc.simulation.lengths import WORKLOADS, LogNormal, Workload
from streamproc.simulation.profiles import Profile

TUNING_SEEDS = range(8)
HELD_OUT_SEEDS = range(2000, 2004)


class Scenario(Struct, frozen=True):
    """One endpoint and the work for it.

    Attributes:
        name: of its kind.
        seed: it was drawn from; also of the lengths and of the spread of retries.
        workload: lengths of prompts and answers.
        profile: the endpoint at the start.
        changes: seconds and what the endpoint is from then on.
        seconds: how long it is watched.
    """

    name: str
    seed: int
    workload: Workload
    profile: Profile
    changes: tuple[tuple[float, Profile], ...] = ()
    seconds: float = 600.0


def hard_knee(draw: random.Random) -> Scenario:
    """Steps take the same time for any number; so many places, and a queue without end."""
    return _scenario(draw, _engine(draw))


def soft_knee(draw: random.Random) -> Scenario:
    """A 70B model: each sequence slows the step, and reading takes its time; more places than anybody needs."""
    return _scenario(draw, _soft(draw, max_running=1024))


def kv_knee(draw: random.Random) -> Scenario:
    """Cache memory runs out before the places do, and whoever lost its place is read again."""
    profile = Profile(
        name="kv",
        ttft_seconds=0.03,
        prefill_seconds_per_token=draw.uniform(10e-6, 25e-6),
        step_seconds_floor=0.012,
        step_seconds_base=draw.uniform(0.009, 0.014),
        step_seconds_per_sequence=66e-6,
        step_seconds_per_cached_token=draw.uniform(0.05e-6, 0.12e-6),
        kv_tokens=draw.randrange(40_000, 160_000),
        max_running=1024,
    )
    return _scenario(draw, profile)


def requests_per_minute(draw: random.Random) -> Scenario:
    """A quick endpoint for an account with a limit on requests; 429 with Retry-After."""
    return _scenario(draw, replace(_hosted(draw), requests_per_minute=round(draw.uniform(180, 900))))


def tokens_per_minute(draw: random.Random) -> Scenario:
    """A quick endpoint for an account with a limit on tokens; 429 with Retry-After."""
    return _scenario(draw, replace(_hosted(draw), tokens_per_minute=round(draw.uniform(250_000, 900_000))))


def concurrency_cap(draw: random.Random) -> Scenario:
    """A quick endpoint that takes so many at once; 429 without a hint."""
    return _scenario(draw, replace(_hosted(draw), max_concurrent=draw.randint(16, 128)))


def full_queue(draw: random.Random) -> Scenario:
    """A hard knee with a bounded queue; 503 when it is full."""
    engine = _engine(draw)
    return _scenario(draw, replace(engine, max_queued=round(engine.max_running * draw.uniform(0.3, 1.5))))


def random_refusals(draw: random.Random) -> Scenario:
    """A hard knee that answers 503 to one request in fifty to two hundred, whatever the load."""
    return _scenario(draw, replace(_engine(draw), fault_ratio={"503": draw.uniform(0.005, 0.02)}))


def slow_down(draw: random.Random) -> Scenario:
    """A soft knee whose steps take 2.5 times as long from some moment on."""
    profile = replace(_soft(draw, max_running=draw.randint(48, 160)), name="soft")
    slow = replace(
        profile,
        step_seconds_floor=2.5 * profile.step_seconds_floor,
        step_seconds_base=2.5 * profile.step_seconds_base,
        step_seconds_per_sequence=2.5 * profile.step_seconds_per_sequence,
    )
    return _scenario(draw, profile, (draw.uniform(200, 300), slow))


def capacity_drop(draw: random.Random) -> Scenario:
    """A cap on concurrency that falls to a third and returns; 429 without a hint."""
    cap = draw.randint(60, 130)
    full = replace(_hosted(draw), max_concurrent=cap)
    low = replace(full, max_concurrent=cap // 3)
    return _scenario(draw, full, (draw.uniform(150, 220), low), (draw.uniform(350, 420), full))


def noisy_neighbour(draw: random.Random) -> Scenario:
    """Others take none, a quarter or half of the places of a soft knee, changing every 20 to 60 seconds."""
    profile = _soft(draw, max_running=draw.randint(48, 160))
    changes, at = [], 0.0
    while (at := at + draw.uniform(20, 60)) < 600:
        others = round(draw.choice((0.0, 0.25, 0.5)) * profile.max_running)
        changes.append((at, replace(profile, neighbours=others)))
    return _scenario(draw, profile, *changes)


def heavy_tail(draw: random.Random) -> Scenario:
    """A hard knee, and answers of very different lengths."""
    output = LogNormal(draw.uniform(4.2, 4.8), 1.3)
    workload = Workload("heavy-tail", WORKLOADS["azure-conversation"].prompt, output, longest=8192)
    return replace(_scenario(draw, _engine(draw)), workload=workload, seconds=900.0)


def cold_start(draw: random.Random) -> Scenario:
    """503 to everything until the model is loaded; then a hard knee."""
    profile = _engine(draw)
    return _scenario(draw, replace(profile, ready=False), (draw.uniform(20, 90), profile))


def never_refuses(draw: random.Random) -> Scenario:
    """A small GPU as engines come: each sequence slows the step, some places, and a queue without end."""
    profile = Profile(
        name="small",
        ttft_seconds=0.03,
        prefill_seconds_per_token=draw.uniform(20e-6, 40e-6),
        step_seconds_floor=0.012,
        step_seconds_base=draw.uniform(0.009, 0.02),
        step_seconds_per_sequence=draw.uniform(150e-6, 400e-6),
        max_running=draw.choice((64, 128, 256)),
    )
    return _scenario(draw, profile)


SCENARIOS: dict[str, Callable[[random.Random], Scenario]] = {
    kind.__name__.replace("_", "-"): kind
    for kind in (
        hard_knee,
        soft_knee,
        kv_knee,
        requests_per_minute,
        tokens_per_minute,
        concurrency_cap,
        full_queue,
        random_refusals,
        slow_down,
        capacity_drop,
        noisy_neighbour,
        heavy_tail,
        cold_start,
        never_refuses,
    )
}
"""Each kind by name."""


def scenario_of(name: str, seed: int) -> Scenario:
    """Draw the endpoint of a kind that a seed stands for."""
    return replace(SCENARIOS[name](random.Random(f"{name}:{seed}")), name=name, seed=seed)


def _scenario(draw: random.Random, profile: Profile, *changes: tuple[float, Profile]) -> Scenario:
    workload = WORKLOADS[draw.choice(("azure-conversation", "azure-conversation", "arxiv-summaries"))]
    return Scenario("", 0, replace(workload, longest=8192), profile, changes)


def _engine(draw: random.Random) -> Profile:
    return Profile(
        name="hard",
        ttft_seconds=0.05,
        step_seconds_floor=draw.uniform(0.015, 0.045),
        max_running=draw.randint(24, 160),
    )


def _soft(draw: random.Random, max_running: int) -> Profile:
    return Profile(
        name="soft",
        ttft_seconds=0.08,
        prefill_seconds_per_token=draw.uniform(10e-6, 40e-6),
        step_seconds_floor=0.0147,
        step_seconds_base=draw.uniform(0.010, 0.020),
        step_seconds_per_sequence=draw.uniform(0.2e-3, 0.6e-3),
        max_running=max_running,
    )


def _hosted(draw: random.Random) -> Profile:
    return Profile(
        name="hosted",
        ttft_seconds=0.3,
        step_seconds_floor=draw.uniform(0.012, 0.040),
        max_running=4096,
    )
