"""The command in this process, and an endpoint that repeats the key it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, Ended, command  # noqa: F401 - pytest finds it here
from tests.security.canaries import ENVIRON, GOOD, Parrot, parrot

Sweep = Callable[..., Ended]


@pytest.fixture(scope="session")
def _parrot() -> Iterator[Parrot]:
    with parrot() as server:
        yield server


@pytest.fixture
def echo(_parrot: Parrot) -> Parrot:
    """An endpoint that answers well, until it is told something else."""
    _parrot.answer = GOOD
    _parrot.seen = 0
    return _parrot


def job(url: str, **sections: Any) -> dict[str, Any]:
    """Give a job of three records; what is given is laid over it, key by key."""
    made: dict[str, Any] = {
        "source": {"type": "jsonl", "path": "in.jsonl", "id_field": "id"},
        "llm": {"base_url": url, "model": "m", "prompt": "Say {{ text }}", "max_attempts": 1, "ambiguous_retries": 0},
        "alerts": {"webhook_url_env": "HOOK_URL", "allow_private": True},
        "sink": {"type": "jsonl", "path": "out.jsonl"},
    }
    made["llm"] |= {"unreachable_seconds": 0.2, "parameters": {"temperature": 0}}
    for name, section in sections.items():
        made[name] = {**made.get(name, {}), **section} if isinstance(section, dict) else section
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three records."""
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": f"r{n}", "text": f"{n}"}) + "\n" for n in range(3)))
    return tmp_path


@pytest.fixture
def sweep(command: Command, folder: Path) -> Sweep:  # noqa: F811 - it is that fixture
    """Run a subcommand on a job (a tree, or the file's text), with every secret in the environment."""

    def run(name: str, tree: dict[str, Any] | str, *options: str, **environ: str) -> Ended:
        (folder / "job.yaml").write_text(tree if isinstance(tree, str) else json.dumps(tree))
        return command(*name.split(), "job.yaml", *options, **{**ENVIRON, **environ})

    return run
