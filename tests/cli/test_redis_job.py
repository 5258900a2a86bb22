"""A job whose answers are kept on a Redis server, from its first run to an emptied cache."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_run_command import Job
from tests.redis_server import RedisServer, free_port

SECRET = "hush-0123456789"


@pytest.fixture
def job(tmp_path, command, endpoint):
    return Job(tmp_path, command, endpoint)


def redis(url: str) -> list[str]:
    return ["--set", "cache.backend=redis", "--set", f"cache.url={url}"]


def test_jobs_share_their_answers_through_a_server(job, redis_server: RedisServer):
    """Another job that asks the same pays nothing; its rows say so and keep the usage that was paid once."""
    settings = [*redis(redis_server.url), "--set", "llm.parameters={temperature: 0}"]
    assert job.run(*settings)["model_calls"] == 30
    first = {row["id"]: row for row in job.rows()}
    summary = job.run(*settings, "--output", "other.jsonl")
    assert (summary["model_calls"], summary["cache_hits"], summary["prompt_tokens"]) == (0, 30, 0)
    for line in (job.folder / "other.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert (row["origin"], row["attempts"]) == ("cache", 0)
        assert row["usage"] == first[row["id"]]["usage"]


def test_the_cache_on_a_server_can_be_looked_at_and_cleared(job, redis_server: RedisServer):
    """`cache` counts the answers of the job's namespace and clears these only."""
    settings = redis(redis_server.url)
    job.run(*settings)
    other = [*settings, "--set", "cache.namespace=other"]
    job.run(*other, "--output", "other.jsonl")
    said = [
        job._command("cache", name, "job.yaml", *options)
        for name, options in (("stats", settings), ("prune", settings), ("clear", settings), ("stats", settings))
    ]
    expected = ("namespace default: 30 answers, ", "0 answers removed", "30 answers removed", "0 answers, 0 bytes")
    assert [word for word, ended in zip(expected, said, strict=True) if word not in ended.out] == []
    assert "other: 30 answers" in job._command("cache", "stats", "job.yaml", *other).out


def test_a_run_without_its_server_completes_and_says_so(job):
    """With nobody at the address every record is asked, the run ends with 0, and a warning says why, once for lookups
    and once for writes."""
    job.grow(30, 400)
    ended = job("run", "--summary-json", "-", *redis(f"redis://me:{SECRET}@127.0.0.1:{free_port()}/0"))
    assert (ended.code, ended.err.count("cache.unavailable")) == (0, 2)
    assert json.loads(ended.out)["completed"] == 400
    assert "the cache failed" in ended.err
    assert SECRET not in ended.err + ended.out
    assert job.ids() == {f"r{n}": 1 for n in range(400)}


def test_a_server_that_is_not_there_cannot_be_looked_at(job):
    """`cache stats` without a server ends with 74 and a sentence; a password is never shown, by `check` neither."""
    settings = redis(f"redis://me:{SECRET}@127.0.0.1:{free_port()}/0")
    ended = job._command("cache", "stats", "job.yaml", *settings)
    assert (ended.code, "redis: " in ended.err) == (74, True)
    checked = job("check", *settings)
    assert (checked.code, "redis://***@127.0.0.1:" in checked.out) == (0, True)
    assert SECRET not in ended.err + ended.out + checked.out + checked.err


def test_a_resumed_run_finds_its_own_answers_on_the_server(job, redis_server: RedisServer):
    """Samples drawn at random are each record's own, also for the same job begun anew; not for another record."""
    settings = redis(redis_server.url)
    with (job.folder / "in.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": f"r{n}", "text": "the same"}) + "\n" for n in range(30))
    assert job.run(*settings)["model_calls"] == 30
    assert job.run(*settings, "--overwrite")["model_calls"] == 0
    shared = [*settings, "--set", "cache.share_samples=true", "--output", "other.jsonl"]
    assert job.run(*shared)["model_calls"] == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:p@ss@host:6379/0", "redis://***@host:6379/0"),
        ("redis://me:word@host", "redis://***@host"),
        ("redis://host/0?password=word&db=1", "redis://host/0?password=***&db=1"),
        ("unix://:word@/run/redis.sock", "unix://***@/run/redis.sock"),
        ("redis://host:6379/0", "redis://host:6379/0"),
    ],
)
def test_a_shown_address_has_no_password(url: str, shown: str):
    """Wherever a password stands in an address, and whatever it holds, it is struck out."""
    from streamproc import CacheConfig

    assert CacheConfig(backend="redis", url=url).shown_url == shown
