"""What sinks on a disk share: the lock, the run's state, dead letters, and the order of a commit.

A commit is one transaction: it takes the state's write lock and makes sure that nobody has taken the output over, then
appends to the files and makes that durable, then says so and ends. Its end is the moment: before it nothing counts, and
whatever was appended is cut off, at once where the disk was full and else at the next opening.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from streamproc._disk import failure, sync_folder
from streamproc._sqlite import Connection, Database, transaction
from streamproc.errors import ConfigError, Refused, StorageBlocked, StorageFailed
from streamproc.records import Checkpoint, Completed, Failed, Outcome, Position, RunIdentity
from streamproc.sinks import run_state
from streamproc.sinks.append_file import AppendFile, Segment, damage_of, surplus_of
from streamproc.sinks.audit import Audit, Entry, committed_lines
from streamproc.sinks.rows import dead_letter, encode
from streamproc.sinks.run_folder import RunFolder
from streamproc.sinks.sink import Sink, Tally


def real(path: Path) -> Path:
    """Follow links: state and lock lie beside the file itself, so that no other name of it escapes them."""
    target = path.resolve()
    return path if target == path.absolute() else target  # without links, a message shows it as it was given


def dead_letters_path(output: Path) -> Path:
    """Give the file of an output's dead letters."""
    return output.with_name(output.name + ".dead.jsonl")


class DurableSink(Sink):
    """A sink with an output path, a run folder beside it, and a file of dead letters.

    Args:
        path: the output.
        state: the database that holds the run's state; inside the run folder unless the output itself can hold it.
    """

    def __init__(self, path: Path, state: Path | None = None) -> None:
        self.path = path = real(path)
        self._folder = RunFolder(path)
        self._state_path = real(state) if state is not None else self._folder.path / "state.db"
        self._database = Database(self._state_path, run_state.APPLICATION_ID)
        self._dead = AppendFile("dead_letters", dead_letters_path(path))
        self._failed = False
        self._run_id = ""
        self._epoch = 0

    @property
    def home(self) -> Path:
        return self._folder.path

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        _check_place(self.path)
        self._folder.acquire()
        self._failed = False
        self._refuse_foreign()
        await self._database.open()
        return await self._database.run(partial(self._begin, run))

    def _refuse_foreign(self) -> None:
        """Refuse output whose state is missing, before anything in it is changed."""
        for file in (self.path, self._dead.path):
            if not self._state_path.exists() and file.exists() and file.stat().st_size:
                raise Refused(
                    f"{file} exists, but {self._state_path}, which says what is committed, does not. "
                    "Restore it, choose another sink.path, or discard the output with --overwrite"
                )

    def _begin(self, run: RunIdentity, connection: Connection) -> Checkpoint | None:
        checkpoint = None
        with transaction(connection):
            begun = run_state.has_begun(connection)
            if begun:
                checkpoint = run_state.resume(connection, run)
            else:
                run_state.begin(connection, run)
                self.make_tables(connection)
            self._epoch = run_state.take_over(connection)
        if not begun:
            sync_folder(self._state_path.parent)
            sync_folder(self.path.parent)
        self._run_id = run_state.run_id(connection)
        for file in self.files():
            file.open(run_state.segments_of(connection, file.name))
        self.prepare_files()
        return checkpoint if checkpoint != Checkpoint() else None

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        if self._failed:
            raise StorageFailed(f"{self.path}: an earlier write failed; nothing after it is claimed")
        self._failed = True  # until it is known that it did not: a cancelled write is of unknown outcome
        try:
            await self._database.run(partial(self._commit, outcomes, checkpoint))
        except StorageBlocked:  # known to be undone: SQLite has rolled back
            await self._database.run(self._take_back)
            self._failed = False
            raise
        self._failed = False

    def _commit(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint, connection: Connection) -> None:
        completed = [outcome for outcome in outcomes if isinstance(outcome, Completed)]
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        with transaction(connection):
            run_state.check_epoch(connection, self._epoch)  # before a byte of the files is touched
            if self._database.has_moved(connection):
                raise Refused(
                    f"{self._state_path} was removed or replaced while the run worked on it. Restore it, or discard "
                    "the output with --overwrite"
                )
            segments = [*self.append(completed, failed), *self.insert(connection, completed)]
            run_state.record(connection, outcomes, checkpoint, segments)
        self.settle(segments)

    def settle(self, segments: Sequence[Segment]) -> None:
        """Have the files learn what of them is committed."""
        for file in self.files():
            for segment in segments:
                if segment.file == file.name:
                    file.settle(segment)

    def _take_back(self, connection: Connection) -> None:
        """Cut off what the write left, unless the output was taken over: then it is the other's that would be cut."""
        if any(file.has_surplus for file in self.files()):
            with transaction(connection):
                run_state.check_epoch(connection, self._epoch)
                for file in self.files():
                    file.take_back()

    def append(self, completed: Sequence[Completed], failed: Sequence[Failed]) -> list[Segment]:
        """Append what goes to files, and make it durable."""
        if not failed:
            return []
        segment = self._dead.append(encode(map(dead_letter, failed)))
        self._dead.sync()
        return [segment]

    def insert(self, connection: Connection, completed: Sequence[Completed]) -> list[Segment]:
        """Store what goes to the database, inside the commit's transaction; give what was stored, as `append` does."""
        return []

    def make_tables(self, connection: Connection) -> None:
        """Make the tables that `insert` needs, inside a transaction."""

    def prepare_files(self) -> None:
        """Make the files that are there even when nothing is in them."""

    @abstractmethod
    def committed(self, connection: Connection) -> Iterator[Entry]:
        """Give the rows that are delivered, as they stand in the output: to be compared with the input."""

    def damage(self, connection: Connection) -> Iterator[str | None]:
        """Say in what the output is not what was committed; `None` for a part that is. Changes nothing."""
        for file in self.files():
            segments = list(run_state.segments_of(connection, file.name))
            yield damage_of(file.path, segments) or surplus_of(file.path, segments)

    def files(self) -> list[AppendFile]:
        """Give the files that this sink appends to."""
        return [self._dead]

    @property
    def run_id(self) -> str:
        return self._run_id

    async def tally(self) -> Tally:
        return await self._database.run(run_state.tally)

    async def digests(self, positions: Sequence[Position]) -> Sequence[bytes | None]:
        return await self._database.run(lambda connection: run_state.digests(connection, positions))

    async def audit(self, run: RunIdentity) -> Audit:
        """Read back what is delivered, in place of `open`; neither output nor dead letters are changed.

        Raises:
            Refused: there is no output, it belongs to other work, or is in use.
        """
        if not self._state_path.exists():
            raise Refused(f"there is nothing to verify: {self._state_path} does not exist")
        self._folder.acquire()
        await self._database.open()
        return await self._database.run(partial(self._audit, run))

    def _audit(self, run: RunIdentity, connection: Connection) -> Audit:
        if not run_state.has_begun(connection):
            raise Refused(f"there is nothing to verify: no run has begun in {self._state_path}")
        checkpoint = run_state.resume(connection, run)
        ((sound,),) = connection.execute("PRAGMA integrity_check(1)")
        damage = [None if sound == "ok" else f"{self._state_path} is damaged: {sound}", *self.damage(connection)]
        problems = [problem for problem in damage if problem is not None]
        completed: list[Entry] = []
        failed: list[Entry] = []
        if not problems:
            completed += self.committed(connection)
            failed += committed_lines(self._dead.path, list(run_state.segments_of(connection, self._dead.name)))
        return Audit(problems, completed, failed, run_state.tally(connection), checkpoint)

    async def aclose(self) -> None:
        try:
            await self._database.aclose()
        finally:
            for file in self.files():
                file.close()
            self._folder.release()


def _check_place(path: Path) -> None:
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
    except OSError as error:  # nobody may look there
        raise failure(path, error) from error
    if is_folder:
        raise ConfigError(f"sink.path: must name a file, got the folder {str(path)!r}")
    if not has_folder:
        raise ConfigError(f"sink.path: the folder of {str(path)!r} does not exist; make it first")


def discard(path: Path, state: Path | None = None) -> None:
    """Remove an output, its dead letters and its state; keep the answers that were paid for.

    Raises:
        ConfigError: it is a folder, or in none.
        Refused: it is in use.
        StorageFailed: it cannot be removed.
    """
    _check_place(path)
    path = real(path)
    folder = RunFolder(path)
    folder.acquire()
    try:
        database = real(state) if state is not None else folder.path / "state.db"
        sidecars = [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")]
        for file in (path, dead_letters_path(path), *sidecars):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"cannot discard {path}: {error}") from error
    finally:
        folder.release()
