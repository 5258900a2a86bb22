"""An event loop on virtual time that counts what it calls, and lets a test act between two calls of its choice."""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamproc.simulation.virtual_time import VirtualTimeLoop


class SteppingLoop(VirtualTimeLoop):
    """Counts its steps: each callback, and so each time a task goes on.

    Attributes:
        steps: callbacks called since `watch`.
        complaints: what was reported to the loop: exceptions that nobody fetched, tasks destroyed at work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.complaints: list[str] = []
        self._act: Callable[[int], None] | None = None
        self.set_exception_handler(lambda _, context: self.complaints.append(str(context)))

    def watch(self, act: Callable[[int], None] | None) -> None:
        """Call `act` with the number of the step, from 0, before each step from now on."""
        self.steps, self._act = 0, act

    def call_soon(self, callback, *args, context=None):
        return super().call_soon(self._step, callback, args, context=context)

    def _step(self, callback, args):
        if self._act is not None:
            self._act(self.steps)
        self.steps += 1
        callback(*args)


@dataclass
class Left:
    """What a piece of work left behind.

    Attributes:
        tasks, threads, files: that were not there before.
        complaints: of the loop and of the interpreter: what was never awaited or fetched.
    """

    tasks: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def run_stepping(main: Callable[[SteppingLoop], Coroutine[None, None, None]]) -> Left:
    """Run a coroutine on such a loop, and look what it left behind before the loop was closed."""
    left = Left()
    with _interpreter_heard(left.complaints), asyncio.Runner(loop_factory=SteppingLoop) as runner:
        loop = runner.get_loop()

        async def watched() -> None:
            tasks, threads, files = asyncio.all_tasks(), _threads(), _files()
            try:
                await main(loop)
            finally:
                loop.watch(None)
                left.tasks = [repr(task) for task in asyncio.all_tasks() - tasks]
                left.threads = sorted(_threads() - threads)
                left.files = sorted(_files() - files)

        runner.run(watched())
        gc.collect()
        left.complaints += loop.complaints
    return left


@contextmanager
def _interpreter_heard(complaints):
    earlier = sys.unraisablehook
    sys.unraisablehook = lambda raised: complaints.append(f"{raised.exc_value!r} in {raised.object!r}")
    try:
        yield
    finally:
        sys.unraisablehook = earlier


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("streamproc")}


def _files() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{link.name} {link.readlink()}")
        except FileNotFoundError:
            continue  # it was the listing's own
    return found
