"""Who takes part: what people use instead of streamproc, and what is asked of the comparison with each."""

from __future__ import annotations

from msgspec import Struct

SCENARIOS = {"miss": "every prompt is another", "repeated": "few prompts, again and again: caches answer"}


class Contender(Struct, frozen=True):
    """One way to do the work.

    Attributes:
        title: for people.
        module: in `bench.peers`.
        environment: whose lock is in requirements/bench-peers; `None` for streamproc's own.
        packages: whose versions are told.
        scenarios: those in which it takes part; where prompts repeat, only who has a cache does.
        goals: by scenario, how many times its rate streamproc is to reach.
    """

    title: str
    module: str
    environment: str | None
    packages: tuple[str, ...]
    scenarios: tuple[str, ...] = ("miss", "repeated")
    goals: dict[str, float] = {}


OURS = Contender("streamproc run", "ours_run", None, ("streamproc", "httptools", "msgspec", "uvloop"))

PEERS = (
    Contender("streamproc stream", "ours_stream", None, ("streamproc",)),
    Contender("aiohttp, by hand", "by_hand", "aiohttp", ("aiohttp",)),
    Contender("openai SDK", "openai_sdk", "openai", ("openai", "httpx2"), ("miss",), {"miss": 20.0}),
    Contender("openai SDK on aiohttp", "openai_aiohttp", "openai", ("openai", "aiohttp"), ("miss",)),
    Contender("openai SDK 2", "openai_sdk", "openai2", ("openai", "httpx"), ("miss",), {"miss": 20.0}),
    Contender(
        "LangChain abatch",
        "langchain_abatch",
        "langchain",
        ("langchain-core", "langchain-openai", "openai"),
        goals={"repeated": 20.0},
    ),
    Contender("litellm acompletion", "litellm_acompletion", "litellm", ("litellm", "openai")),
)
