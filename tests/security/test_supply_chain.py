"""What we ship and what we ship with: exactly the files of the repository, and packages known by their hashes."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_requirement_has_hashes(path: Path) -> None:
    """Each line of a lock names one version and its hashes; nothing comes from elsewhere than the index."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^ *#.*\n", "", path.read_text()))
    requirements = [line for line in text.splitlines() if line.strip()]
    assert requirements
    for line in requirements:
        assert re.match(r"[A-Za-z0-9_.-]+(\[[a-z0-9,-]+\])?==[^ ]+ ", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), line
        assert not re.search(r"://| -[ef] |--(index|extra|trusted|find)", line), line


def test_what_runs_is_locked_for_tests_too() -> None:
    """Versions that are shipped with are the versions that tests run with."""

    def versions(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"(?m)^([a-z0-9_.-]+)(?:\[[^\]]*\])?==([^ ;]+)", text))

    run, dev = versions("run.txt"), versions("dev.txt")
    assert run.items() <= dev.items()


def test_the_wheel_holds_what_the_repository_holds(tmp_path: Path) -> None:
    """A wheel built here has the files of streamproc that git knows, byte by byte, its metadata, and nothing else."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", tmp_path, ROOT], check=True, timeout=120)
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "streamproc"]
    listed = subprocess.run(list_files, cwd=ROOT, capture_output=True, check=True)
    tracked = {name for name in listed.stdout.decode().split("\0") if name}
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        ours = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
        assert ours == tracked
        for name in ours:
            assert archive.read(name) == (ROOT / name).read_bytes()
        assert {name.partition("/")[2] for name in names - ours} == {"METADATA", "RECORD", "WHEEL", "entry_points.txt"}


@pytest.mark.slow
def test_an_audit_without_a_network_says_so() -> None:
    """Where PyPI cannot be asked, `make audit` says in one line that nothing was audited, within seconds."""
    command = ["unshare", "--net", "sh", ".ci/audit", sys.executable, ".venv-no-audit"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout.count("\n"), "nothing was audited" in ended.stdout) == (0, 1, True)
    assert not (ROOT / ".venv-no-audit").exists()
