"""The real command with its standard streams closed: it does its work all the same, and no file takes their numbers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTURB = """\
import os, sys
from streamproc.cli.standard_streams import open_closed_streams
open_closed_streams()
output = os.open("out", os.O_RDWR | os.O_CREAT)
for number in (1, 2):
    os.write(number, b"for people")
print("said", file=sys.stderr)
print("said")
sys.exit(output)
"""


def closing(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


@pytest.mark.fault(51)
@pytest.mark.parametrize("closed", [(2,), (1,), (0,), (1, 2), (0, 1, 2)])
def test_no_file_takes_the_number_of_a_closed_stream(closed: tuple[int, ...], tmp_path: Path) -> None:
    """What is written to a stream that was closed goes nowhere, and least of all into a file that was opened since."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DISTURB]
    done = subprocess.run(command, cwd=tmp_path, env=environ, preexec_fn=closing(*closed), timeout=60, check=False)
    assert done.returncode > 2
    assert (tmp_path / "out").read_bytes() == b""


@pytest.mark.slow
@pytest.mark.fault(51)
@pytest.mark.parametrize("closed", [(2,), (1,), (0, 1, 2)])
def test_a_command_does_its_work_with_its_streams_closed(closed: tuple[int, ...], tmp_path: Path) -> None:
    """The exit code is that of the work: 0 for a job that is sound, 2 for one that is none."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "job.yaml").write_text(
        "source: {type: jsonl, path: in.jsonl}\nsink: {type: jsonl, path: out.jsonl}\n"
        'llm: {base_url: "http://127.0.0.1:1/v1", model: m, prompt: "Say {{ text }}"}\n'
    )
    codes = []
    for name in ("job.yaml", "gone.yaml"):
        command = [sys.executable, "-m", "streamproc", "check", name]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environ, preexec_fn=closing(*closed), timeout=60, check=False)
        codes.append(done.returncode)
    assert codes == [0, 2]
