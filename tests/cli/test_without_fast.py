"""The command where nothing but its own dependencies is installed."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.job import Job

HIDE = """
import sys
sys.modules.update(dict.fromkeys({names!r}))  # what is None there is not found, as if it were not installed
"""
LOADED = """
import atexit, sys
names = ["aiohttp", "httptools", "uvloop"]
atexit.register(lambda: print("LOADED", *filter(sys.modules.get, names), file=sys.stderr))
"""


@pytest.mark.parametrize(
    ("hidden", "loaded"),
    [
        (("httptools", "uvloop"), ["aiohttp"]),
        (("uvloop",), ["httptools"]),
        (("httptools",), ["aiohttp", "uvloop"]),
        ((), ["httptools", "uvloop"]),
    ],
)
def test_the_command_works_with_and_without_what_makes_it_faster(tmp_path, command, endpoint, hidden, loaded):
    """Whichever of the optional packages are there, a run does its work, and another run finds nothing left to do."""
    job = Job(tmp_path, command, endpoint)
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(names=hidden) + LOADED)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for completed in (30, 0):
        ended = subprocess.run(
            [sys.executable, "-m", "streamproc", "run", "job.yaml", "--summary-json", "-"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(ended.stdout)["completed"] == completed
        assert next(line.split()[1:] for line in ended.stderr.splitlines() if line.startswith("LOADED")) == loaded
    assert set(job.ids().values()) == {1}
