"""The table of scenarios: what is measured, by whom, and what is asked of it."""

from __future__ import annotations

from bench.control import held_out
from bench.figures import at_least, at_most
from bench.measures import (
    cache_paths,
    cold_start,
    control_http,
    durability,
    embeddings,
    hit_path,
    lru_get,
    million,
    miss_path,
    policies,
    resume,
    supervisor_cost,
)
from bench.scenario import Scenario

SCENARIOS = (
    Scenario(
        "miss",
        "every record is a model call; journal, checkpoint, monitor and progress on",
        miss_path.measure,
        {
            "64 at once": at_least(0.90),
            "256 at once": at_least(0.90),
            "64 at once: CPU a record beyond it": at_most(60),
        },
    ),
    Scenario(
        "hit",
        "every answer is in the cache; JSONL to JSONL, durable",
        hit_path.measure,
        {
            "memory": at_least(0.40),
            "memory: records a second": at_least(40_000),
            "SQLite": at_least(0.20),
            "Redis": at_least(0.20),
        },
    ),
    Scenario(
        "durable",
        "what flushing everything to the disk costs",
        durability.measure,
        {"miss path": at_most(1.05), "hit path": at_most(1.05)},
    ),
    Scenario(
        "start",
        "cold start",
        cold_start.measure,
        {"import streamproc": at_most(4), "streamproc --help": at_most(8)},
    ),
    Scenario(
        "resume",
        "continuing a run of a million rows with nine tenths done",
        resume.measure,
        {"seconds to the first request": at_most(10)},
    ),
    Scenario(
        "million",
        "memory and the cost of a record over a million records",
        million.measure,
        {"most resident memory": at_most(32), "CPU of a record": at_most(1.10)},
    ),
    Scenario(
        "get",
        "a hit in LRUCache",
        lru_get.measure,
        {"LRUCache.get": at_least(0.334), "with deadlines": at_least(0.20)},
    ),
    Scenario(
        "cache",
        "lookups in batches, a hit and a miss, a dead server",
        cache_paths.measure,
        {
            "64 at once in Redis: us a lookup": at_most(15),
            "64 at once in SQLite: us a lookup": at_most(25),
            "a run with a dead Redis": at_least(0.95),
        },
    ),
    Scenario("policies", "how often each policy hits; --trace adds requests of real caches", policies.measure),
    Scenario("control", "the search for concurrency, in virtual time", held_out.measure),
    Scenario(
        "control-http",
        "the same over real HTTP; 9 minutes",
        control_http.measure,
        {
            "hard-knee: goodput": at_least(0.9),
            "rate-limited: goodput": at_least(0.9),
            "hard-knee: refused after 10 s": at_most(2),
            "rate-limited: refused after 10 s": at_most(2),
        },
        default=False,
    ),
    Scenario(
        "embeddings", "sizes of batches that are learned", embeddings.measure, {"sizes that are learned": at_most(1.3)}
    ),
    Scenario(
        "supervisor",
        "what watching over a run costs",
        supervisor_cost.measure,
        {"ticks and guards": at_most(supervisor_cost.MOST_MS_A_SECOND)},
    ),
)
