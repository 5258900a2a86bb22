"""A LangChain cache over our back ends: what it gives back is what was answered, or nothing."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.metrics import CacheMetrics
from streamproc.errors import CacheUnavailable, Refused, StorageFailed
from streamproc.extra._generations import pack, unpack
from streamproc.extra.langchain import LangChainCache

MESSAGE = {
    "content": ["thinking", {"type": "text", "text": "42"}],
    "id": "run-1",
    "tool_calls": [{"name": "add", "args": {"a": 1}, "id": "call-1", "type": "tool_call"}],
    "usage_metadata": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    "response_metadata": {"finish_reason": "stop", "logprobs": None},
    "additional_kwargs": {"refusal": None},
}
GENERATIONS = [
    Generation(text="plain", generation_info={"finish_reason": "stop"}),
    GenerationChunk(text="part"),
    ChatGeneration(message=AIMessage(**MESSAGE), generation_info={"seed": 1}),
    ChatGenerationChunk(message=AIMessageChunk(content="part")),
]


@pytest.fixture
def cache() -> Iterator[LangChainCache]:
    with LangChainCache(CacheConfig()) as opened:
        yield opened


def test_generations_come_back_equal_and_of_their_class(cache: LangChainCache) -> None:
    """Text, messages, tool calls, usage and order survive, from threads and from event loops alike."""
    cache.update("p", "m", GENERATIONS)
    found = [cache.lookup("p", "m"), asyncio.run(cache.alookup("p", "m"))]
    asyncio.run(cache.aupdate("q", "m", GENERATIONS))
    found += [asyncio.run(cache.alookup("q", "m")), cache.lookup("q", "m")]
    for generations in found:
        assert generations == GENERATIONS
        assert [type(one) for one in generations or ()] == [type(one) for one in GENERATIONS]
    asyncio.run(cache.aclear())
    assert cache.lookup("p", "m") is None
    assert (cache.metrics().hits, cache.metrics().misses) == (4, 1)


def test_a_model_is_asked_once(cache: LangChainCache) -> None:
    """A model that carries the cache answers the same prompt from it, and another prompt anew."""
    model = FakeListLLM(responses=["first", "second", "third"], cache=cache)
    assert [model.invoke("a"), model.invoke("a"), model.invoke("b")] == ["first", "first", "second"]
    assert asyncio.run(model.ainvoke("a")) == "first"


texts = st.text(st.characters(exclude_categories=()), max_size=4)


@given(texts, texts, texts, texts)
def test_only_the_same_prompt_and_model_share_an_answer(prompt: str, model: str, other: str, others: str) -> None:
    """No other split of the same characters, nor any other pair, finds what was stored for one."""
    with LangChainCache(CacheConfig()) as cache:
        cache.update(prompt, model, [Generation(text="x")])
        assert cache.lookup(prompt, model) == [Generation(text="x")]
        for pair in ((other, others), (prompt + model, ""), ("", prompt + model), (model, prompt)):
            assert (cache.lookup(*pair) is not None) == (pair == (prompt, model))


def test_a_file_keeps_answers_between_openings(tmp_path: Path) -> None:
    """Another cache on the same file finds them; a file that is no cache of ours is refused and no thread is left."""
    config = CacheConfig(backend="sqlite", path=str(tmp_path / "c.db"))
    with LangChainCache(config) as cache:
        cache.update("p", "m", GENERATIONS)
    with LangChainCache(config) as cache:
        assert cache.lookup("p", "m") == GENERATIONS
    (tmp_path / "other.db").write_bytes(b"certainly not SQLite " * 300)
    before = threading.active_count()
    with pytest.raises(Refused, match="no SQLite database"):
        LangChainCache(CacheConfig(backend="sqlite", path=str(tmp_path / "other.db")), build(tmp_path / "other.db"))
    assert threading.active_count() == before


def build(path: Path) -> CacheBackend:
    from streamproc.cache.sqlite.backend import SqliteBackend

    return SqliteBackend(path, 10**6)


def test_closing_leaves_no_thread() -> None:
    """After `close` the thread is gone; closing again is harmless, and any other call raises."""
    before = threading.active_count()
    cache = LangChainCache(CacheConfig())
    assert threading.active_count() == before + 1
    cache.close()
    cache.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="not running"):
        cache.lookup("p", "m")


def test_many_threads_and_loops_share_one_cache(cache: LangChainCache) -> None:
    """Callers at once, from threads and from several event loops, each find their own answer."""

    def use(number: int) -> None:
        async def main() -> None:
            await asyncio.gather(*(cache.aupdate(f"{number} {n}", "m", [Generation(text=str(n))]) for n in range(20)))
            found = await asyncio.gather(*(cache.alookup(f"{number} {n}", "m") for n in range(20)))
            assert found == [[Generation(text=str(n))] for n in range(20)]

        asyncio.run(main())
        cache.update(str(number), "m", [Generation(text=str(number))])
        assert cache.lookup(str(number), "m") == [Generation(text=str(number))]
        right.append(number)

    right: list[int] = []
    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(right) == list(range(8))


class Down(MemoryBackend):
    """Cannot be asked and cannot keep anything."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        raise CacheUnavailable("down")

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        raise StorageFailed("full")

    async def clear(self) -> None:
        raise CacheUnavailable("down")

    def metrics(self) -> CacheMetrics:
        return CacheMetrics()


def test_a_cache_that_is_down_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    """Lookups miss and writes are passed over with one line for each kind; `clear` says that it could not."""
    with LangChainCache(CacheConfig(), Down(10**6)) as cache:
        for _ in range(3):
            cache.update("p", "m", GENERATIONS)
            assert cache.lookup("p", "m") is None
        with pytest.raises(CacheUnavailable):
            cache.clear()
    assert [record.message for record in caplog.records] == ["cache.unavailable"] * 2


class Ours(Generation):
    """A class of somebody's own."""


@pytest.mark.parametrize(
    "generation",
    [Generation(text="x", generation_info={"at": object()}), Generation(text="\ud800"), Ours(text="x")],
    ids=["object", "surrogate", "subclass"],
)
def test_what_cannot_be_rebuilt_is_not_kept(cache: LangChainCache, generation: Generation) -> None:
    """An answer with something that is no plain data, or of an unknown class, is passed over and asked again."""
    cache.update("p", "m", [generation])
    assert cache.lookup("p", "m") is None
    assert cache.metrics().entries == 0


LC = {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "AIMessage"], "kwargs": {"content": "x"}}


def test_stored_data_chooses_no_class() -> None:
    """What looks like LangChain's own serialisation stays a dict, and classes that are not named are not built."""
    generation = Generation(text="x", generation_info={"inner": LC})
    assert unpack(pack([generation])) == [generation]
    for wrong in (
        LC,
        [LC],
        [{"kind": "Popen", "text": "x", "info": None, "message": None}],
        [{"kind": "Generation", "text": "x", "info": None, "message": {"type": "ai", "data": {"content": "x"}}}],
        [{"kind": "ChatGeneration", "text": "x", "info": None, "message": None}],
        [{"kind": "ChatGeneration", "text": "x", "info": None, "message": {"type": "evil", "data": {}}}],
        [{"kind": "ChatGeneration", "text": "x", "info": None, "message": {"type": "ai", "data": {"content": 1}}}],
        [{"kind": "ChatGeneration", "text": "x", "info": None, "message": {"type": "ai", "data": {}}}],
        [{"kind": "ChatGenerationChunk", "text": "", "info": None, "message": {"type": "ai", "data": {"content": ""}}}],
    ):
        assert unpack(msgspec.msgpack.encode(wrong)) is None, wrong


@given(st.binary(max_size=40))
def test_any_other_bytes_are_a_miss(data: bytes) -> None:
    """Bytes that `pack` did not make never raise."""
    assert unpack(data) in (None, [])
    assert unpack(b"\x91" * 10**5 + data) is None


def test_without_langchain_it_says_what_to_install() -> None:
    """Importing the adapter where langchain-core is missing names the extra."""
    code = "import sys; sys.modules['langchain_core'] = None\nimport streamproc.extra.langchain"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'streamproc[langchain]'" in result.stderr


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_a_cache_that_was_never_closed_does_not_hold_the_program(tmp_path: Path, backend: str) -> None:
    """A program that forgets `close` ends all the same, and what it kept in a file is there."""
    path = str(tmp_path / "c.db") if backend == "sqlite" else None
    code = f"""
from langchain_core.outputs import Generation
from streamproc.cache.config import CacheConfig
from streamproc.extra.langchain import LangChainCache
cache = LangChainCache(CacheConfig(backend={backend!r}, path={path!r}))
cache.update("p", "m", [Generation(text="x")])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (result.returncode, result.stderr) == (0, "")
    if path is not None:
        with LangChainCache(CacheConfig(backend="sqlite", path=path)) as again:
            assert again.lookup("p", "m") == [Generation(text="x")]
