"""A job of the real command on a disk that is made to fail, and small disks to make full."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.job import CONCURRENCY, Job

STORAGE = 74


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


class StorageJob(Job):
    """A job of which the input and the output lie on a disk that is made to fail.

    Attributes:
        output: the output.
        home: the run's folder.

    Args:
        place: where its folder is made, on whatever disk.
        ledger: the endpoint's bill, on another disk.
        sink: `jsonl` or `sqlite`.
        records: of the input.
        sections: of the job file.
    """

    def __init__(
        self, place: Path, ledger: Path, *, sink: str = "jsonl", records: int = 60, **sections: dict[str, Any]
    ) -> None:
        self.output = place / "job" / oracle.OUTPUTS[sink == "sqlite"]
        self.home = self.output.with_name(f"{self.output.name}.streamproc")
        self._wrapper: Sequence[str] = ()
        fixed = {
            "concurrency": {"initial": CONCURRENCY, "adaptive": False},
            "sink": {"type": sink, "path": str(self.output)},
        }
        super().__init__(place, records, ledger=ledger, **fixed, **sections)

    def command(self, endpoint: Endpoint, *arguments: str) -> list[str]:
        """Give the command line."""
        return [*self._wrapper, *super().command(endpoint, "--progress", "none", *arguments)]

    @contextmanager
    def running(self, endpoint: Endpoint) -> Iterator[Running]:
        """Start it; it is killed at the end of the block if it is still there."""
        with super().running(endpoint) as process:
            yield Running(process)

    def run(self, endpoint: Endpoint, *arguments: str, wrapper: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run it from start to end, perhaps under another command."""
        self._wrapper = wrapper
        try:
            return super().run(endpoint, *arguments)
        finally:
            self._wrapper = ()

    def billed(self) -> int:
        """Count the answers that were billed."""
        return oracle.billed(self.ledger, 0, self.mark)

    def check(self, repayable: int = 0) -> oracle.Verdict:
        """Hold what is there against the promises."""
        verdict = self.verdict(repayable)
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
