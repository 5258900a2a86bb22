"""Starts runs quickly: a process that has imported everything, and forks for each run.

`python -m tests.system.nursery` reads requests, a JSON object a line, and answers each with one when the run is over.
The client is `Nursery`.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio._backends._asyncio  # noqa: F401 - loaded at its first use, each child would load it anew

from tests.system import crash_run, kill_points
from tests.system.disk_log import DiskLog

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (sys.executable, "-B")


class Nursery:
    """Has runs made, watched and killed. Use it in a `with` block.

    Args:
        wrapper: a command to run the nursery under.
    """

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        self._wrapper = wrapper

    def __enter__(self) -> Self:
        command = [*self._wrapper, *PYTHON, "-m", "tests.system.nursery"]
        pipe = subprocess.PIPE
        environ = {**os.environ, "SSL_CERT_FILE": os.devnull}  # the system's take longer to read than a run lasts
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=environ)
        said = self._process.stdout.readline()
        assert said, "the nursery did not start"
        self.pid = int(said)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(
        self, argv: Sequence[str], kill_at: int | None = None, *, torn: bool = False, log: Path | None = None
    ) -> dict[str, Any]:
        """Run `crash_run` with arguments; give `status`, `calls`, `point` and `errors`.

        Args:
            argv: the arguments; `--folder` among them.
            kill_at: as for `kill_points.run_until`.
            torn: the same.
            log: gets what is done to the files of the run's folder, see `disk_log`.
        """
        request = json.dumps({"argv": list(argv), "kill_at": kill_at, "torn": torn, "log": log and str(log)})
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"refused": "the nursery is gone"}')
        assert "refused" not in answer, answer["refused"]
        return answer


def _run(argv: Sequence[str], errors: int) -> int:
    os.dup2(errors, 2)
    return crash_run.main(argv)


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    gc.freeze()  # a collection in a child would copy the pages it shares with us
    print(os.getpid(), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile("w+") as errors:
            work = partial(_run, request["argv"], errors.fileno())
            try:
                log = request["log"]
                with DiskLog(Path(log)) if log else nullcontext() as witness:
                    watched = kill_points.run_until(work, request["kill_at"], torn=request["torn"], witness=witness)
            except kill_points.NotPermitted as refusal:
                print(json.dumps({"refused": str(refusal)}), file=answers)
                continue
            errors.seek(0)
            answer = {"status": watched.status, "calls": watched.calls, "point": watched.point, "errors": errors.read()}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
