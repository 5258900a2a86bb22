"""Who may read what a run writes, and what it does about links that somebody has laid."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamproc.sinks.durable import DurableSink
from tests.faults.recording import Figure
from tests.security.canaries import Parrot
from tests.security.conftest import Sweep, job

pytestmark = pytest.mark.promise("P17")


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Give the modes of everything in a folder, by name."""
    return {str(path.relative_to(folder)): stat.filemode(path.lstat().st_mode) for path in sorted(folder.rglob("*"))}


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.parametrize("kind", ["jsonl", "sqlite"])
def test_what_a_run_writes_is_its_owners(
    sweep: Sweep, echo: Parrot, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, figure: Figure
) -> None:
    """Output, dead letters, state, journal, lock, and SQLite's own files beside them: 0600, their folder 0700."""
    (folder / "in.jsonl").write_text((folder / "in.jsonl").read_text() + '{"id": "no text"}\n')
    given = set(modes(folder))
    while_open: dict[str, str] = {}
    write = DurableSink.write

    async def looked(self: DurableSink, *batch: Any) -> None:
        await write(self, *batch)
        while_open.update(modes(folder))

    monkeypatch.setattr(DurableSink, "write", looked)
    tree = job(echo.url, sink={"type": kind, "path": f"out.{kind}"}, cache={"path": "shared.db"})
    assert sweep("run", tree).code == 1
    assert sweep("run", job(echo.url, sink={"type": kind, "path": f"other.{kind}"})).code == 1
    found = {name: mode for name, mode in {**while_open, **modes(folder)}.items() if name not in given | {"job.yaml"}}
    folders = {name for name, mode in found.items() if mode.startswith("d")}
    assert {found[name] for name in folders} == {"drwx------"}
    assert {found[name] for name in found.keys() - folders} == {"-rw-------"}
    assert {"shared.db", f"out.{kind}.dead.jsonl", f"out.{kind}.streamproc/lock"} <= found.keys()
    assert any(name.endswith("-wal") for name in found)
    figure.add(len(found), "files and folders, all their owner's alone")


@pytest.mark.parametrize("place", ["out.jsonl.streamproc", "out.jsonl.streamproc/lock"])
def test_a_link_in_place_of_a_runs_own(sweep: Sweep, echo: Parrot, folder: Path, place: str) -> None:
    """A run folder or lock that is a link is refused, and what it leads to is left as it is."""
    theirs = folder / "theirs"
    (folder / place).parent.mkdir(exist_ok=True)
    if place.endswith("lock"):
        theirs.write_text("precious")
    else:
        theirs.mkdir()
    (folder / place).symlink_to(theirs)
    ended = sweep("run", job(echo.url))
    assert (ended.code, "is a link" in ended.err, echo.seen) == (3, True, 0)
    assert theirs.read_text() == "precious" if theirs.is_file() else list(theirs.iterdir()) == []


@pytest.mark.usefixtures("usual_umask")
def test_a_link_in_place_of_the_output(sweep: Sweep, echo: Parrot, folder: Path) -> None:
    """An output that is a link is followed: the file, its state and its lock lie where it leads."""
    (folder / "elsewhere").mkdir()
    (folder / "out.jsonl").symlink_to(folder / "elsewhere" / "real.jsonl")
    assert sweep("run", job(echo.url)).code == 0
    assert len((folder / "elsewhere" / "real.jsonl").read_text().splitlines()) == 3
    assert (folder / "elsewhere" / "real.jsonl.streamproc" / "lock").exists()
    assert not (folder / "out.jsonl.streamproc").exists()


@pytest.mark.parametrize("place", ["source.path", "sink.path", "cache.path", "llm.ca_file"])
def test_a_path_with_a_nul_is_refused(sweep: Sweep, echo: Parrot, place: str) -> None:
    """No path that holds a NUL gets as far as the system, which would see another."""
    ended = sweep("run", job(echo.url), "--set", f'{place}="a\\0b"')
    assert ended.code == 2, ended
    assert "\0" not in ended.err
