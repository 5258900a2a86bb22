"""A job for the real command, run against whichever endpoint is there at the moment."""

import json
import subprocess
import sys
from contextlib import contextmanager

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.nursery import ROOT

RECORDS, CONCURRENCY = 60, 4
DEAD_LETTERS, REFUSED = 1, 3
QUICK = {"ttft_seconds": 0.05}
HANGING = {"ttft_seconds": 600.0}


class Job:
    """A job file in a folder, run by the real command against whichever endpoint is there at the moment."""

    def __init__(self, folder, records=RECORDS, *, mark="job", ledger=None, **settings):
        self.folder = folder / mark
        self.ledger = ledger or folder / "ledger"
        self.mark = mark
        oracle.write_input(self.folder, records, mark)
        self._file = self.folder / "job.yaml"
        job = {
            "source": {"type": "jsonl", "path": str(self.folder / oracle.INPUT), "id_field": "id"},
            "llm": {"deployment": "simulated", "model": "simulated", "prompt": "{{ text }}"},
            "concurrency": {"initial": CONCURRENCY},
            "sink": {"type": "jsonl", "path": str(self.folder / oracle.OUTPUTS[0])},
            **settings,
        }
        self._file.write_text(json.dumps(job))

    def command(self, endpoint, *arguments):
        options = arguments or ("--progress", "none")
        return [
            *(sys.executable, "-m", "streamproc", "run", str(self._file), *options),
            *("--set", f"llm.base_url={endpoint.url}"),
        ]

    @contextmanager
    def running(self, endpoint, *arguments, **options):
        """The command in the background, its standard error piped; killed at the end if it is still there."""
        options = {"stderr": subprocess.PIPE, "text": True, **options}
        with subprocess.Popen(self.command(endpoint, *arguments), cwd=ROOT, **options) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, endpoint, *arguments, **options):
        """The command from start to end."""
        options = {"capture_output": True, "text": True, "timeout": 120, **options}
        return subprocess.run(self.command(endpoint, *arguments), cwd=ROOT, **options)

    def finish(self):
        """Continue to the end."""
        with Endpoint(self.ledger, **QUICK) as endpoint:
            done = self.run(endpoint)
        assert done.returncode == DEAD_LETTERS, done.stderr

    def verdict(self, repayable):
        return oracle.judge(self.folder, self.ledger, 0, self.mark, repayable)


def said(process, words):
    """Read what a process says up to the line that holds these words."""
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"the process ended without saying {words!r}")
