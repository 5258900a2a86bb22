"""`streamproc check`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from streamproc.cli import exits
from streamproc.cli.jobs import load_job
from streamproc.completions import Request
from streamproc.errors import ConfigError
from streamproc.llm.openai import body_of
from streamproc.observe.printable import lines, one_line
from streamproc.pipeline.plugins import name_of
from streamproc.pipeline.task import prompt_task
from streamproc.records import Row, Unreadable
from streamproc.sources.source import Source, never_delivered


def check_job(job: Path, settings: list[str]) -> int:
    """Print a job's settings as they resolve, and the first request it would send.

    Returns:
        The exit code: that of dead letters if the first record would become one.

    Raises:
        ConfigError: something is wrong with it.
    """
    config = load_job(job, settings)
    task = prompt_task(config.llm)
    tree = msgspec.to_builtins(config)
    for name, section in (("source", config.source), ("sink", config.sink)):
        if section is None:
            raise ConfigError(f"{name}: is required to run")
        tree[name] = {"type": name_of(f"{name}s", section), **tree[name]}
    tree["llm"]["base_url"] = config.llm.address
    tree["cache"]["url"] = config.cache.shown_url or None
    _print(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip())
    is_set = "set" if os.environ.get(config.llm.api_key_env, "").strip() else "not set"
    _print(
        f"\n# {config.llm.api_key_env} is {is_set}; {config.fixed_concurrency} calls at once (fixed in this version)"
    )
    assert config.source is not None
    row = asyncio.run(_first_row(config.source.build()))
    if row is None:
        _print("# the input has no records")
        return exits.COMPLETED
    if isinstance(row.content, Unreadable):
        return _dead_letter(row.content.error.message)
    try:
        shown = _shown(task.render(row.content))
    except ValueError as error:
        return _dead_letter(str(error))
    _print(f"# the first request, for record {row.content.id!r}:")
    _print(shown)
    return exits.COMPLETED


def _dead_letter(reason: str) -> int:
    _print(f"# the first record would become a dead letter: {one_line(reason)}")
    return exits.DEAD_LETTERS


async def _first_row(source: Source) -> Row | None:
    async with source:
        await source.open(None, never_delivered)
        return next(iter(await source.read(1)), None)


def _shown(request: Request) -> str:
    body: dict[str, Any] = body_of(request)
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def _print(text: str) -> None:
    sys.stdout.write(lines(text) + "\n")
