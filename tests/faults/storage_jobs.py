"""A job of the real command on a disk that is made to fail, and small disks to make full."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.nursery import ROOT

CONCURRENCY = 4
DEAD_LETTERS, REFUSED, STORAGE = 1, 3, 74
QUICK = {"ttft_seconds": 0.05}


class Running:
    """The command in the background."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.heard = ""

    def hear(self, words: str) -> None:
        """Wait until it says a line that holds these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.heard += line
            if words in line:
                return
        raise AssertionError(f"it ended without saying {words!r}: {self.heard}")

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if one is given, and give the exit code."""
        if number is not None:
            self.process.send_signal(number)
        self.heard += self.process.communicate(timeout=60)[1]
        return self.process.returncode


class StorageJob:
    """A job file with its input and output in one folder.

    Attributes:
        folder: what the oracle judges.
        output: the output.
        ledger: the endpoint's bill.

    Args:
        folder: made for it, wherever its disk is.
        ledger: the endpoint's bill, on another disk.
        sink: `jsonl` or `sqlite`.
        records: of the input.
        sections: of the job file.
    """

    def __init__(
        self, folder: Path, ledger: Path, *, sink: str = "jsonl", records: int = 60, **sections: dict[str, Any]
    ) -> None:
        self.folder, self.ledger = folder, ledger
        oracle.write_input(folder, records, "job")
        self.output = folder / oracle.OUTPUTS[sink == "sqlite"]
        self.home = folder / f"{self.output.name}.streamproc"
        self._file = ledger.with_name(f"{folder.name}.yaml")
        job = {
            "source": {"type": "jsonl", "path": str(folder / oracle.INPUT), "id_field": "id"},
            "llm": {"deployment": "simulated", "model": "simulated", "prompt": "{{ text }}"},
            "concurrency": {"initial": CONCURRENCY, "adaptive": False},
            "sink": {"type": sink, "path": str(self.output)},
            **sections,
        }
        self._file.write_text(json.dumps(job))

    def command(self, endpoint: Endpoint, *options: str) -> list[str]:
        """Give the command line."""
        return [
            *(sys.executable, "-B", "-m", "streamproc", "run", str(self._file), "--progress", "none"),
            *("--set", f"llm.base_url={endpoint.url}", *options),
        ]

    @contextmanager
    def running(self, endpoint: Endpoint, wrapper: Sequence[str] = ()) -> Iterator[Running]:
        """Start it; it is killed at the end of the block if it is still there."""
        command = [*wrapper, *self.command(endpoint)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield Running(process)
            finally:
                process.kill()

    def run(
        self, endpoint: Endpoint, *options: str, wrapper: Sequence[str] = (), **process: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run it from start to end, perhaps under another command."""
        command = [*wrapper, *self.command(endpoint, *options)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **process)

    def finish(self) -> None:
        """Continue it to the end, with nothing in its way."""
        with Endpoint(self.ledger, **QUICK) as endpoint:
            done = self.run(endpoint)
        assert done.returncode == DEAD_LETTERS, done.stderr

    def billed(self) -> int:
        """Count the answers that were billed."""
        return oracle.billed(self.ledger, 0, "job")

    def check(self, repayable: int = 0) -> oracle.Verdict:
        """Hold what is there against the promises."""
        verdict = oracle.judge(self.folder, self.ledger, 0, "job", repayable)
        assert not verdict.violations
        return verdict


class SmallDisk:
    """A disk of its own, in memory. Use it in a `with` block.

    Args:
        place: the folder on which it is mounted.
        options: such as `size=2m`.
    """

    def __init__(self, place: Path, options: str) -> None:
        self.place = place
        self._options = options
        self._ballast = place / "ballast"

    def __enter__(self) -> "SmallDisk":
        self.place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", self._options, "tmpfs", str(self.place)], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    def change(self, options: str) -> None:
        """Have other options from now on."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.place)], check=True)

    def fill(self) -> None:
        """Leave not a byte."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    os.write(file.fileno(), bytes(4096))
            except OSError:
                return

    def empty(self) -> None:
        """Make room again."""
        self._ballast.unlink()
