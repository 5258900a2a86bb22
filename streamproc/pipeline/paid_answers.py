"""The answers that were paid for: how they are kept, and which of them may be used again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from streamproc._log import log
from streamproc.cache.manager import CacheManager
from streamproc.completions import Completion, Usage
from streamproc.errors import NotStorable
from streamproc.flow.storage_pause import StoragePause

OUTPUT_TOKEN_COST = 4.0
"""What a token of an answer costs, in tokens of a prompt: about so much in the price lists of hosted models."""


ANSWERS_A_MARK = 50
"""The mark is kept anew with each of so many, so that it never makes room before they do."""


class Answer(Struct, frozen=True, gc=False):
    """What the cache keeps of a paid call.

    Attributes:
        completion: the answer.
        run: the run that alone may use it again, because it is cut off, filtered or empty; `None` for everybody.
    """

    completion: Completion
    run: str | None = None


_MARK = Answer(Completion(text="", model="", finish_reason="mark", usage=Usage()))


def cost_of(answer: Answer) -> float:
    """Give what an answer cost, in tokens of a prompt; at least 1."""
    usage = answer.completion.usage
    return max(1.0, usage.prompt_tokens + OUTPUT_TOKEN_COST * usage.completion_tokens)


class PaidAnswers:
    """Keep answers and look them up, by the fingerprint of what was asked.

    An answer that a run alone may use has a name of its own, so that it never takes a whole one's place. Few runs have
    any, and a miss would cost two lookups; so a mark is kept with them, and where there is none nothing is looked up.

    Args:
        cache: where they are.
        run: this run.
        pause: has answers that cannot be stored tried again.
    """

    def __init__(self, cache: CacheManager[Answer], run: str, pause: StoragePause) -> None:
        self._cache = cache
        self._run = run
        self._pause = pause
        self._mark = f"incomplete:{run}"
        self._own_answers = 0
        self._none_marked = False

    async def look_up(self, fingerprints: Sequence[str]) -> list[Completion | None]:
        """Give the answers that this run may use, in the same order; `None` where there is none."""
        found = self._usable(await self._cache.get_many(fingerprints))
        missing = [place for place, completion in enumerate(found) if completion is None]
        if missing and await self._has_own():
            own = await self._cache.get_many([self._own(fingerprints[place]) for place in missing])
            for place, completion in zip(missing, self._usable(own), strict=True):
                found[place] = completion
        return found

    async def keep(self, fingerprint: str, completion: Completion) -> None:
        """Keep an answer; when it returns, it is as safe as the cache makes it. One that cannot be encoded is left out.

        Raises:
            StorageFailed: it could not be stored.
        """
        items = self._items(fingerprint, completion)
        try:
            await self._pause.insist(lambda: self._cache.set_many(items))
        except NotStorable as error:  # it is delivered all the same
            self._own_answers = 0  # a mark with it was not kept either
            log.warning("answer.not_cached", reason=str(error))

    async def keep_many(self, completions: Mapping[str, Completion]) -> None:
        """Keep answers by their fingerprints, all at once if they all can be encoded; see `keep`."""
        items: dict[str, Answer] = {}
        for fingerprint, completion in completions.items():
            items |= self._items(fingerprint, completion)
        try:
            await self._pause.insist(lambda: self._cache.set_many(items))
        except NotStorable:  # a completer of the user's own may give anything; the others' answers are kept
            self._own_answers = 0
            for fingerprint, completion in completions.items():
                await self.keep(fingerprint, completion)

    def _items(self, fingerprint: str, completion: Completion) -> dict[str, Answer]:
        if completion.complete:
            return {fingerprint: Answer(completion)}
        items = {self._own(fingerprint): Answer(completion, self._run)}
        if self._own_answers % ANSWERS_A_MARK == 0:
            items[self._mark] = _MARK
        self._own_answers += 1
        return items

    def _own(self, fingerprint: str) -> str:
        return f"{fingerprint}:{self._run}"

    def _usable(self, answers: Sequence[Answer | None]) -> list[Completion | None]:
        whose = (None, self._run)
        return [answer.completion if answer is not None and answer.run in whose else None for answer in answers]

    async def _has_own(self) -> bool:
        if not self._own_answers and not self._none_marked:
            before = self._failures()
            if await self._cache.get(self._mark) is not None:
                self._own_answers = max(1, self._own_answers)
            self._none_marked = before is not None and self._failures() == before  # else it is asked again
        return self._own_answers > 0

    def _failures(self) -> int | None:
        """Tell how often the cache has failed; `None` where it is away, or does not say."""
        try:
            figures = self._cache.metrics()
        except Exception:  # noqa: BLE001 - a back end of the user's own, whose figures must not end the run
            return None
        return figures.errors if figures.available else None
