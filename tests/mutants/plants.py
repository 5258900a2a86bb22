"""Faults to plant, one a line of thought: what a tired programmer might write in the code that keeps the promises."""

from dataclasses import dataclass

FLOW = ("tests/flow",)
RUNS = (
    "tests/pipeline/test_exactly_once.py",
    "tests/pipeline/test_orders_of_events.py",
    "tests/pipeline/test_endings.py",
)
SINKS = ("tests/sinks",)
STORAGE = (
    "tests/sinks",
    "tests/flow/test_storage_pause.py",
    "tests/faults/test_storage_pause.py",
    "tests/faults/test_storage_fencing.py",
    "tests/faults/test_storage_states.py",
)
CONTROL = ("tests/control/test_control.py", "tests/flow/test_flow_edges.py")
CACHE = ("tests/cache/test_group_commit.py", "tests/cache/test_backends.py")


@dataclass(frozen=True)
class Plant:
    """One fault.

    Attributes:
        file: below streamproc/.
        before: what stands there, once.
        after: what is planted in its place.
        purpose: what the fault is, in a few words.
        tests: those that must find it.
    """

    file: str
    before: str
    after: str
    purpose: str
    tests: tuple[str, ...]


PLANTS = (
    # The ledger.
    Plant(
        "flow/ledger.py",
        "while oldest in settled:\n",
        "while oldest in settled and oldest < self._next - 1:\n",
        "a checkpoint that lags by one",
        FLOW,
    ),
    Plant(
        "flow/ledger.py",
        "return Checkpoint(low, (*above, *self._earlier))",
        "return Checkpoint(low, tuple(above))",
        "earlier deliveries forgotten",
        FLOW,
    ),
    Plant("flow/ledger.py", "            del self._earlier[position]\n", "", "a delivery remembered for ever", FLOW),
    Plant(
        "flow/ledger.py",
        "settled = self._settled.union(sequences)",
        "settled = self._settled",
        "a checkpoint without what it goes with",
        FLOW,
    ),
    Plant(
        "flow/ledger.py",
        "return self._next - self._oldest",
        "return self._accepted - self._arrived",
        "a span that counts what is in flight",
        FLOW,
    ),
    Plant(
        "flow/ledger.py",
        "if sequence in self._settled or sequence not in self._positions:",
        "if sequence not in self._positions:",
        "a record settled twice",
        FLOW,
    ),
    Plant(
        "flow/ledger.py",
        "        self._arrived += len(sequences)\n",
        "        self._arrived += 1\n",
        "arrivals counted by the batch",
        FLOW,
    ),
    # Flights.
    Plant(
        "flow/flights.py",
        "            flight.waiters.append(waiter)\n",
        "            flight.waiters[:] = [waiter]\n",
        "a waiter thrown off",
        FLOW,
    ),
    Plant("flow/flights.py", "        del self._in_air[flight.key]\n", "", "a flight that never lands", FLOW),
    Plant(
        "flow/flights.py",
        "if flight is not None:\n",
        "if flight is not None and len(flight.waiters) < 2:\n",
        "a third waiter pays again",
        FLOW,
    ),
    # Tokens.
    Plant(
        "flow/tokens.py",
        "            if granted:\n                self._give_back()\n",
        "",
        "a permit lost to a cancellation",
        FLOW,
    ),
    Plant(
        "flow/tokens.py",
        "while self._waiters and self._in_use < self._size:",
        "while self._waiters and self._in_use <= self._size:",
        "one permit too many",
        FLOW,
    ),
    Plant(
        "flow/tokens.py",
        "while self._waiters and self._in_use < self._size:",
        "if self._waiters and self._in_use < self._size:",
        "growth that wakes one waiter",
        FLOW,
    ),
    Plant(
        "flow/tokens.py",
        "waiter = next(iter(self._waiters))",
        "waiter = next(reversed(self._waiters))",
        "last come, first served",
        FLOW,
    ),
    Plant(
        "flow/tokens.py",
        "        if self.held:\n            self.held = False\n",
        "        if self.held:\n",
        "a permit given back twice",
        FLOW,
    ),
    Plant(
        "flow/tokens.py",
        "        self._size = self._checked(size)\n        self._hand_out()\n",
        "        self._size = self._checked(size)\n",
        "growth that wakes nobody",
        FLOW,
    ),
    Plant(
        "flow/tokens.py",
        "granted = waiter.done() and not waiter.cancelled()",
        "granted = waiter.done()",
        "a permit given back that was never had",
        FLOW,
    ),
    # Batches and channels.
    Plant(
        "flow/batching.py",
        "if len(gathered) <= size:",
        "if len(gathered) <= size + 1:",
        "a batch of one too many",
        FLOW,
    ),
    Plant(
        "flow/batching.py",
        "await self.inbox.ended()",
        "await anyio.sleep_forever()",
        "the last batch lingers",
        FLOW,
    ),
    Plant(
        "flow/channel.py",
        "                self._state.records -= len(batch)\n                raise\n",
        "                raise\n",
        "a count that a cancelled send leaves behind",
        FLOW,
    ),
    # Stages and halts.
    Plant(
        "flow/stage.py",
        "                permit = await self.pool.acquire()\n"
        "                children.create_task(self._handle(self._feed.take(), permit))",
        "                batch = self._feed.take()\n"
        "                children.create_task(self._handle(batch, await self.pool.acquire()))",
        "a batch taken before its permit",
        FLOW,
    ),
    Plant(
        "flow/stage.py",
        "                outbox.close()\n",
        "                pass\n",
        "an end that does not travel on",
        ("tests/flow/test_stage.py", *RUNS),
    ),
    Plant(
        "flow/halt.py",
        "        if self.cause is None:\n            self.cause = cause\n",
        "        self.cause = cause\n        if True:\n",
        "the last cause kept, not the first",
        ("tests/flow", *RUNS),
    ),
    Plant(
        "flow/halt.py",
        "            if self.requested:\n                scope.cancel()\n",
        "",
        "a wait that begins after the halt",
        FLOW,
    ),
    # Retries.
    Plant(
        "control/retries.py",
        "sum(failures) > self._policy.ambiguous_retries",
        "sum(failures) >= self._policy.ambiguous_retries",
        "no second try of what may be paid",
        CONTROL,
    ),
    Plant(
        "control/retries.py",
        "            case RateLimited():\n                self.sent += 1\n",
        "            case RateLimited():\n                self.sent += 1\n                self._failed += 1\n",
        "being asked to slow down costs an attempt",
        CONTROL,
    ),
    Plant(
        "control/retries.py",
        "return backoff.delay(len(self._failures), hint=error.retry_after, draw=draw)",
        "return backoff.delay(len(self._failures), hint=None, draw=draw)",
        "a failing provider's wish ignored",
        CONTROL,
    ),
    Plant(
        "control/retries.py",
        "return backoff.delay(self._waits, hint=error.retry_after, draw=draw)",
        "return backoff.delay(self._waits, hint=None, draw=draw)",
        "a busy provider's wish ignored",
        CONTROL,
    ),
    Plant(
        "control/pacing.py",
        "hint * (1 + 0.25 * draw) if",
        "hint * (1 - 0.25 * draw) if",
        "back before the time that was asked",
        CONTROL,
    ),
    Plant("control/pacing.py", "* (0.5 + 0.5 * draw)", "* 0.75", "everybody returns together", CONTROL),
    # The call and its landing.
    Plant(
        "pipeline/llm_call.py",
        "                if self._answers is not None:\n",
        "                permit.release()\n                if self._answers is not None:\n",
        "leave given back before the answer is safe",
        RUNS,
    ),
    Plant("pipeline/landing.py", '            origin, sent = "cache", 0\n', "", "every waiter says that it paid", RUNS),
    Plant(
        "pipeline/cache_lookup.py",
        "own = request.sampled and not request.draw and not self._share_samples",
        "own = False",
        "samples shared by records",
        ("tests/pipeline", "tests/cli"),
    ),
    # Delivery.
    Plant("pipeline/sink.py", "        self._ledger.settle(sequences)\n", "", "room that never comes back", RUNS),
    Plant(
        "pipeline/sink.py",
        "checkpoint = self._ledger.checkpoint_after(sequences)",
        "checkpoint = self._ledger.checkpoint_after([])",
        "a batch without its checkpoint",
        RUNS,
    ),
    # The cache's commits.
    Plant("cache/group_commit.py", "        await group.done.wait()\n", "", "kept before it is written", CACHE),
    Plant(
        "cache/group_commit.py",
        "            if self._filling is group:\n                self._filling = None\n",
        "",
        "writes added to a group that is gone",
        CACHE,
    ),
    Plant(
        "cache/group_commit.py",
        "        if group.error is not None:\n            raise group.error\n",
        "",
        "a failed write passed over",
        CACHE,
    ),
    # Full and failing disks.
    Plant(
        "sinks/durable.py",
        "            run_state.check_epoch(connection, self._epoch)  # before",
        "            pass  # before",
        "whoever was taken over goes on",
        STORAGE,
    ),
    Plant(
        "sinks/durable.py",
        "            await self._database.run(self._take_back)\n",
        "",
        "half a write left on a full disk",
        STORAGE,
    ),
    Plant(
        "sinks/durable.py",
        "            self._failed = False\n            raise\n",
        "            raise\n",
        "a full disk as the end",
        STORAGE,
    ),
    Plant(
        "sinks/append_file.py",
        '            raise StorageFailed(f"{self.path}: {error.strerror or error}") from error',
        "            raise failure(self.path, error) from error",
        "a failed flush tried again",
        STORAGE,
    ),
    Plant(
        "flow/storage_pause.py",
        "self._halt.requested and not self._calls_under_way()",
        "self._halt.requested",
        "answers under way thrown away by a full disk",
        STORAGE,
    ),
    Plant(
        "pipeline/llm_call.py",
        "while self._pause.blocked and not self._halt.requested:",
        "while False:",
        "requests sent while nothing can be stored",
        STORAGE,
    ),
    Plant(
        "pipeline/source.py",
        "                await self._pause.over()\n",
        "",
        "records read while nothing can be stored",
        STORAGE,
    ),
    Plant(
        "_sqlite.py",
        "        if self._failed:\n            raise",
        "        if False:\n            raise",
        "a database used after it failed",
        STORAGE,
    ),
    Plant(
        "_sqlite.py",
        "isinstance(error, apsw.FullError | apsw.BusyError)",
        "isinstance(error, apsw.FullError)",
        "a lock as the end",
        STORAGE,
    ),
    Plant(
        "_sqlite.py",
        'new = path.with_name(f"{path.name}.streamproc-new")',
        "new = path",
        "a database that has its name half made",
        STORAGE,
    ),
)
