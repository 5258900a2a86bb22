"""What an endpoint did and what it charged for: its own count, to hold against what a client says it did."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from streamproc.errors import StorageFailed
from streamproc.simulation.profiles import Fault
from streamproc.simulation.question import Question

_LEDGER_PROMPT_CHARACTERS = 80


class Figures(Struct, frozen=True, kw_only=True):
    """The counts since the start. A request is billed when its answer is finished, even if nobody got it.

    Attributes:
        requests: that came, whatever became of them.
        answered: whole answers handed over.
        rejected: how many got each error status, by the status as text.
        faults: how many met each fault that is no status (`reset`, `hang`, ...).
        prompt_tokens: billed.
        completion_tokens: billed.
        billed: finished answers.
        distinct_billed: different requests among them, told apart by their bodies.
        billed_again: different requests that were billed more than once.
        running: worked on at this moment.
        queued: waiting at this moment.
        peak_running: the most that were ever worked on at once.
    """

    requests: int
    answered: int
    rejected: dict[str, int]
    faults: dict[Fault, int]
    prompt_tokens: int
    completion_tokens: int
    billed: int
    distinct_billed: int
    billed_again: int
    running: int
    queued: int
    peak_running: int


class Ledger:
    """One line of JSON in a file for each billed request, there as soon as it is billed.

    A line is `{"fingerprint": ..., "prompt": its first 80 characters}`. It is appended by a single write,
    so several processes may share a file and none of them can lose a line by being killed.

    Args:
        path: the file; made if missing, continued if not.

    Raises:
        StorageFailed: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageFailed(f"cannot open the ledger {path}: {error}") from error

    def add(self, question: Question) -> None:
        """Append one line. It blocks for the few microseconds of one write to the page cache.

        Raises:
            StorageFailed: the line was not written whole.
        """
        prompt = question.prompt[:_LEDGER_PROMPT_CHARACTERS]
        line = msgspec.json.encode({"fingerprint": question.fingerprint, "prompt": prompt}) + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise StorageFailed(f"cannot write to the ledger {self._path}: {error}") from error
        if written != len(line):
            raise StorageFailed(f"the ledger {self._path} took {written} of {len(line)} bytes")

    def close(self) -> None:
        """Close the file, once."""
        os.close(self._file)


class Tally:
    """Keeps the counts of one endpoint, and its ledger where there is one."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.requests = 0
        self.answered = 0
        self.rejected: dict[str, int] = {}
        self.faults: dict[Fault, int] = {}
        self._ledger = ledger
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._billed = 0
        self._times_billed: dict[str, int] = {}
        self._billed_again = 0

    def reject(self, status: int) -> None:
        """Count an answer of an error `status`."""
        self.rejected[str(status)] = self.rejected.get(str(status), 0) + 1

    def meet(self, fault: Fault) -> None:
        """Count a request that met `fault`."""
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def bill(self, question: Question, completion_tokens: int) -> None:
        """Count a finished answer, and write it to the ledger.

        Raises:
            StorageFailed: the ledger could not be written; the request counts as billed all the same.
        """
        self._billed += 1
        self._prompt_tokens += question.prompt_tokens
        self._completion_tokens += completion_tokens
        times = self._times_billed.get(question.fingerprint, 0) + 1
        self._times_billed[question.fingerprint] = times
        self._billed_again += times == 2
        if self._ledger is not None:
            self._ledger.add(question)

    def figures(self, *, running: int, queued: int, peak_running: int) -> Figures:
        """Give the counts as they stand, with what only the service can say."""
        return Figures(
            requests=self.requests,
            answered=self.answered,
            rejected=dict(self.rejected),
            faults=dict(self.faults),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            billed=self._billed,
            distinct_billed=len(self._times_billed),
            billed_again=self._billed_again,
            running=running,
            queued=queued,
            peak_running=peak_running,
        )
