"""Whatever is wrong with a job, with a disk or with us, no secret is in what is said about it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from streamproc.pipeline.sink import SinkHandler
from streamproc.pipeline.task import Task
from streamproc.sinks.append_file import AppendFile
from tests.faults.recording import Figure
from tests.redis_server import RedisServer, free_port
from tests.security.canaries import DSN, PASSWORD, VARIABLE, hits_below
from tests.security.conftest import Parrot, Sweep, job

pytestmark = pytest.mark.promise("P17")
DEAD = {"backend": "redis", "url": "${DSN}"}
TOKEN = "${MY_TOKEN}"

MISTAKES: dict[str, tuple[int, dict[str, Any] | str]] = {
    "no YAML": (2, "llm: ['${MY_TOKEN}'\n - ]"),
    "an unknown section": (2, {"cach": {"url": TOKEN}}),
    "an unknown key": (2, {"cache": {"urls": TOKEN}}),
    "a secret where a number should be": (2, {"cache": {"ttl_hours": TOKEN}}),
    "a secret where a count should be": (2, {"concurrency": {"initial": TOKEN}}),
    "a secret where a section should be": (2, {"cache": TOKEN}),
    "a secret in a list": (2, {"cache": {"path": [TOKEN, {"a": TOKEN}]}}),
    "a secret for a choice": (2, {"cache": {"policy": TOKEN}}),
    "a secret for a type": (2, {"sink": {"type": TOKEN}}),
    "a secret for a namespace": (2, {"cache": {"namespace": f"not a name {TOKEN}"}}),
    "a secret in the prompt": (2, {"llm": {"prompt": f"{TOKEN} {{{{ text }}}}"}}),
    "a secret in the parameters": (2, {"llm": {"parameters": {"user": TOKEN}}}),
    "a secret in the address": (2, {"llm": {"base_url": f"https://gateway.invalid/{TOKEN}/v1"}}),
    "the key in the file": (2, {"llm": {"api_key": "${OPENAI_API_KEY}"}}),
    "the key for its name": (2, {"llm": {"api_key_env": "${OPENAI_API_KEY}"}}),
    "no such variable": (2, {"cache": {"path": "${NOT_SET}", "url": TOKEN}}),
    "no such authorities": (2, {"llm": {"ca_file": "/none.pem"}}),
    "no such input": (2, {"source": {"path": f"/none/{TOKEN}.jsonl"}}),
    "an input that is a folder": (2, {"source": {"path": "."}}),
    "an output that is the input": (2, {"source": {"path": f"{TOKEN}.jsonl"}, "sink": {"path": f"{TOKEN}.jsonl"}}),
    "an output in no folder": (2, {"sink": {"path": f"none/{TOKEN}/out.jsonl"}}),
    "a NUL in a path": (2, {"sink": {"path": f"{TOKEN}\0"}}),
    "a cache of another scheme": (2, {"cache": {"backend": "redis", "url": f"http://u:{VARIABLE}@h"}}),
    "a cache that is no address": (2, {"cache": {"backend": "redis", "url": f"redis://u:{VARIABLE}@h:port"}}),
    "a cache with odd options": (2, {"cache": {"backend": "redis", "url": f"redis://h/?db=x&password={VARIABLE}"}}),
    "a cache of the wrong kind": (2, {"cache": {"backend": "sqlite", "url": "${DSN}"}}),
    "a cache in a list": (2, {"cache": {"backend": "redis", "url": ["${DSN}"]}}),
    "a webhook by its address": (2, {"alerts": {"webhook_url_env": "${HOOK_URL}"}}),
    "a webhook that is refused": (2, {"alerts": {"allow_private": False}}),
    "a webhook that is none": (2, {"alerts": {"webhook_url_env": "MY_TOKEN"}}),
    "refused connections": (4, {"llm": {"base_url": "http://127.0.0.1:1/v1"}}),
    "an unknown host": (4, {"llm": {"base_url": "http://nobody.invalid/v1"}}),
    "no TLS": (4, {"llm": {"base_url": "https://127.0.0.1:{port}/v1"}}),
    "a dead Redis": (0, {"cache": DEAD}),
    "a Redis without a port": (0, {"cache": {"backend": "redis", "url": f"redis://{VARIABLE}@127.0.0.1:1"}}),
}


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake(sweep: Sweep, echo: Parrot, folder: Path, mistake: str, form: str, figure: Figure) -> None:
    """The command, its check and its looks at the cache say what is wrong, and no secret in it."""
    code, given = MISTAKES[mistake]
    tree = given if isinstance(given, str) else job(echo.url, **given)
    if isinstance(tree, dict):
        tree["llm"]["base_url"] = tree["llm"]["base_url"].replace("{port}", str(echo.server_address[1]))
    dsn = DSN.format(port=free_port())
    ended = sweep("run", tree, "--log-level", "debug", "--log-format", form, DSN=dsn)
    names = ("check", "verify", "cache stats", "cache prune", "cache clear") if form == "console" else ()
    others = [sweep(name, tree, DSN=dsn) for name in names]
    assert ended.code == code, ended
    (folder / "job.yaml").unlink()  # some jobs hold a secret as it is
    assert hits_below(folder, *(text for each in [ended, *others] for text in (each.out, each.err))) == []
    figure.add(1 + len(others), "error cases, at debug level")


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_server_that_knows_another_password(
    sweep: Sweep, echo: Parrot, folder: Path, own_redis: RedisServer, form, figure: Figure
):
    """A wrong password for the cache costs the cache, and is not shown, by `cache stats` neither."""
    own_redis.ask("CONFIG SET requirepass another")
    tree, dsn = job(echo.url, cache={"backend": "redis", "url": "${DSN}"}), DSN.format(port=own_redis.port)
    ended = sweep("run", tree, "--log-level", "debug", "--log-format", form, DSN=dsn)
    looked = sweep("cache stats", tree, DSN=dsn)
    assert (ended.code, looked.code) == (0, 74)
    assert "invalid username-password" in looked.err
    assert hits_below(folder, ended.err, looked.out, looked.err) == []
    figure.add(2, "error cases, at debug level")


def _raising(error: Exception) -> Any:
    def broken(*_: object, **__: object) -> None:
        raise error

    return broken


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize(
    ("place", "error", "code"),
    [
        ((SinkHandler, "handle"), RuntimeError(f"\x1b]0;a bug with {VARIABLE} and {PASSWORD}"), 70),
        ((AppendFile, "append"), OSError(errno.EIO, "failed", f"/{VARIABLE}"), 74),
        ((AppendFile, "sync"), OSError(errno.EIO, f"failed {VARIABLE}"), 74),
    ],
)
def test_a_bug_or_a_disk(
    sweep: Sweep, echo: Parrot, folder: Path, monkeypatch, place, error, code, form, figure: Figure
) -> None:
    """The traceback of a bug and the sentence about a disk hold no secret, and nothing that a terminal obeys."""
    monkeypatch.setattr(*place, _raising(error))
    tree = job(echo.url, cache={"backend": "redis", "url": "${DSN}", "namespace": "${MY_TOKEN}"})
    options = ("--log-level", "debug", "--log-format", form)
    ended = sweep("run", tree, *options, DSN=DSN.format(port=1))
    assert ended.code == code, ended
    assert "\x1b" not in ended.err
    assert hits_below(folder, ended.out, ended.err) == []
    figure.add(1, "error cases, at debug level")


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_full_disk_that_is_waited_for(
    sweep: Sweep, echo: Parrot, folder: Path, monkeypatch: pytest.MonkeyPatch, form: str, figure: Figure
) -> None:
    """What is said while a run waits for room holds no secret, and the run goes on."""
    failures = [OSError(errno.ENOSPC, f"no room {VARIABLE}", f"/{VARIABLE}")]
    append = AppendFile.append

    def full_once(self: AppendFile, data: bytes) -> Any:
        if failures:
            raise failures.pop()
        return append(self, data)

    monkeypatch.setattr(AppendFile, "append", full_once)
    tree = job(echo.url, cache={"backend": "redis", "url": "${DSN}", "namespace": "${MY_TOKEN}"})
    options = ("--log-level", "debug", "--log-format", form)
    ended = sweep("run", tree, *options, DSN=DSN.format(port=1))
    assert (ended.code, "storage.blocked" in ended.err) == (0, True), ended
    assert hits_below(folder, ended.out, ended.err) == []
    figure.add(1, "error cases, at debug level")


def test_a_task_that_raises_with_a_secret_at_hand(
    sweep: Sweep, echo: Parrot, folder: Path, monkeypatch, figure: Figure
) -> None:
    """Where user code raises is logged by file and line; its words and its variables are not."""

    def render(record: Any) -> Any:
        key = VARIABLE
        raise ValueError(f"{record.id} {key}")

    monkeypatch.setattr("streamproc.pipeline.pipeline.prompt_task", lambda _: Task(render, str))
    ended = sweep("run", job(echo.url), "--log-level", "debug")
    assert ended.code == 1
    assert "user_code.raised" in ended.err
    assert "test_canary_jobs.py" in ended.err
    assert hits_below(folder / "none", ended.out, ended.err) == []
    figure.add(1, "error cases, at debug level")
