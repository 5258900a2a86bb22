"""A job for the real command, its process, and its judgement."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system import oracle
from tests.system.nursery import ROOT


class Job:
    """A job over an input of the oracle's, in a folder of its own.

    Attributes:
        folder: holds input and output.
        ledger: the bill.
        dead: the dead letters.

    Args:
        home: where the folder is made.
        records: how many; each tenth has no text.
        mark: begins each prompt.
        concurrency: calls at once, and never more.
        llm: further settings of that section.
    """

    def __init__(self, home: Path, records: int, mark: str, concurrency: int = 4, **llm: Any) -> None:
        self.folder = home / "run"
        self.ledger = home / "ledger"
        self.dead = self.folder / "out.jsonl.dead.jsonl"
        self._mark = mark
        oracle.write_input(self.folder, records, mark)
        self._file = self.folder / "job.yaml"
        llm = {
            "deployment": "oracle",
            "model": "oracle",
            "prompt": "{{ text }}",
            "parameters": {"temperature": 0},
        } | llm
        job = {
            "source": {"type": "jsonl", "path": str(self.folder / oracle.INPUT), "id_field": "id"},
            "llm": llm,
            "concurrency": {"initial": concurrency},
            "resources": {"max_concurrent": concurrency},
            "sink": {"type": "jsonl", "path": str(self.folder / oracle.OUTPUTS[0])},
        }
        self._file.write_text(json.dumps(job))

    def command(self, url: str, *more: str) -> list[str]:
        """Give the command that runs or continues it."""
        base = [sys.executable, "-m", "streamproc", "run", str(self._file), "--progress", "none"]
        return [*base, "--set", f"llm.base_url={url}", *more]

    @contextmanager
    def running(
        self, url: str, *more: str, under: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Have the command run in the background; it is killed at the end if it is still there.

        Args:
            url: the endpoint's.
            more: further arguments.
            under: a command that it runs under.
            env: further variables of its environment.
        """
        command = [*under, *self.command(url, *more)]
        variables = {**os.environ, **(env or {})}
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=variables) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, url: str, *more: str, under: Sequence[str] = (), patience: float = 120) -> tuple[int, str]:
        """Run it to its end; give the exit status and what it said."""
        with self.running(url, *more, under=under) as process:
            said = process.communicate(timeout=patience)[1]
        return process.returncode, said

    def judged(self, repayable: int = 0, dead: Collection[int] = (), unbilled: Collection[int] = ()) -> oracle.Verdict:
        """Have what came of it judged.

        Args:
            repayable: most answers that may have been billed again.
            dead: numbers of records that had to become dead letters, beside those without text.
            unbilled: numbers of records that must not have been billed.
        """
        verdict = oracle.judge(
            self.folder, self.ledger, 0, self._mark, repayable, dead=frozenset(dead), unbilled=frozenset(unbilled)
        )
        assert not verdict.violations, verdict.violations
        return verdict

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let a fault last: its length is what is tested, nothing is waited for."""
        time.sleep(seconds)
