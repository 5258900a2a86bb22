"""Answers that were paid for: who may use them again, and what it costs to find that there is none."""

from collections.abc import Sequence

import anyio
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cache.config import CacheConfig
from streamproc.cache.fail_open import FailOpen
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.completions import Completion, Usage
from streamproc.errors import CacheUnavailable
from streamproc.flow.halt import Halt
from streamproc.flow.storage_pause import StoragePause
from streamproc.pipeline.paid_answers import Answer, PaidAnswers
from streamproc.simulation.virtual_time import run_virtual

KEYS = ("a" * 64, "b" * 64, "c" * 64)


class Asked(MemoryBackend):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(1_000_000)
        self.asked = 0

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self.asked += 1
        return await super().get_many(keys)


def answer(text: str, *, whole: bool) -> Completion:
    return Completion(text=text, model="m", finish_reason="stop" if whole else "length", usage=Usage(1, 1))


def paid(cache: CacheManager[Answer], run: str) -> PaidAnswers:
    return PaidAnswers(cache, run, StoragePause(Halt(), lambda: False))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("keep"), st.sampled_from(["run1", "run2"]), st.sampled_from(KEYS), st.booleans()),
            st.tuples(st.just("begin"), st.sampled_from(["run1", "run2"]), st.just(""), st.just(value=False)),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_an_answer_that_was_paid_for_is_found_by_whoever_may_use_it(steps: list, at_once: bool) -> None:
    """A whole answer is everybody's; any other is its own run's, however often that begins."""

    async def main() -> None:
        whole: dict[str, str] = {}
        own: dict[tuple[str, str], str] = {}
        async with CacheManager(CacheConfig(), Asked(), Answer) as cache:
            runs = {run: paid(cache, run) for run in ("run1", "run2")}
            for number, (what, run, key, is_whole) in enumerate(steps):
                if what == "begin":
                    runs[run] = paid(cache, run)
                    continue
                completion = answer(f"answer {number}", whole=is_whole)
                await (runs[run].keep_many({key: completion}) if at_once else runs[run].keep(key, completion))
                if is_whole:
                    whole[key] = completion.text
                else:
                    own[run, key] = completion.text
            for run, answers in runs.items():
                found = [completion and completion.text for completion in await answers.look_up(KEYS)]
                assert found == [whole.get(key, own.get((run, key))) for key in KEYS]

    run_virtual(main())


def test_a_miss_costs_one_lookup_in_a_run_whose_answers_are_all_whole() -> None:
    """Answers of the run's own are looked for once; again only when there are some."""

    async def main() -> None:
        backend = Asked()
        async with CacheManager(CacheConfig(), backend, Answer) as cache:
            answers = paid(cache, "run")
            await answers.look_up(KEYS)
            before = backend.asked
            await answers.look_up(KEYS)
            assert backend.asked == before + 1
            await answers.keep(KEYS[0], answer("cut", whole=False))
            assert [found and found.text for found in await answers.look_up(KEYS)] == ["cut", None, None]
            assert backend.asked == before + 3

    run_virtual(main())


def test_a_cache_that_could_not_be_asked_has_not_said_no() -> None:
    """Where the cache was away when a continued run began, its own answers are found once it is back."""

    class Away(Asked):
        away = False

        async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
            if self.away:
                raise CacheUnavailable("away")
            return await super().get_many(keys)

    async def main() -> None:
        backend = Away()
        async with CacheManager(CacheConfig(), FailOpen(backend, 5.0), Answer) as cache:
            await paid(cache, "run").keep(KEYS[0], answer("cut", whole=False))
            again = paid(cache, "run")
            backend.away = True
            assert await again.look_up(KEYS) == [None, None, None]
            backend.away = False
            await anyio.sleep(120)  # for as long as the breaker is open
            for _ in range(3):
                found = await again.look_up(KEYS)
            assert [completion and completion.text for completion in found] == ["cut", None, None]

    run_virtual(main())
