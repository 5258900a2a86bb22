"""From configuration to parts: which cache, which client, and what makes two runs the same work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from streamproc._log import debugging
from streamproc._sqlite import refuse_foreign
from streamproc.cache.backend import CacheBackend
from streamproc.cache.backends import build_backend, build_journal
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.sqlite.answers_table import APPLICATION_ID
from streamproc.config import Config
from streamproc.control.admission import Admission, FixedLimit, Limit
from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer
from streamproc.control.pace import Pace
from streamproc.llm.batches import Batches
from streamproc.llm.completer import BatchCompleter, Completer
from streamproc.llm.config import LlmConfig
from streamproc.llm.openai import OpenAICompleter
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.debug_log import ToldCache
from streamproc.pipeline.paid_answers import Answer, cost_of
from streamproc.pipeline.task import Task
from streamproc.records import RunIdentity
from streamproc.secret import SecretStr
from streamproc.sinks.run_folder import RunFolder
from streamproc.sources.source import Source

CACHE_FILE = "cache.db"

_canonical = msgspec.json.Encoder(order="deterministic")


def cache_path(config: PipelineConfig) -> Path | None:
    """Give the file in which a job keeps its answers, or `None` if it keeps none on disk."""
    output = getattr(config.sink, "path", None)
    home = RunFolder(Path(output)).path if isinstance(output, str) else None
    return _path(config.cache, home)


def _path(config: CacheConfig, home: Path | None) -> Path | None:
    if config.backend in {"memory", "redis"} or not config.enabled:
        return None
    if config.path is not None:
        return Path(config.path)
    return home / CACHE_FILE if home is not None else None


def answers_backend(config: PipelineConfig, home: Path | None) -> CacheBackend | None:
    """Make the back end that keeps paid answers.

    Args:
        config: the job.
        home: the run's own folder, where the sink has one.

    Returns:
        `None` where the cache is switched off. A SQLite file is the journal of paid answers: an answer is on disk
        before its call counts as done, and a write that fails ends the run. Memory keeps answers for this process only,
        a Redis server as long as it lasts; without it the run goes on.

    Raises:
        ConfigError: backend sqlite and no place for the file, or redis without its client installed.
    """
    if not config.cache.enabled:
        return None
    path = _path(config.cache, home)
    if path is None:
        return build_backend(config.cache)
    return build_journal(config.cache, path, keep_newest=config.span)


def check_cache(config: PipelineConfig) -> None:
    """Find out, opening nothing, whether the cache could be opened.

    Raises:
        ConfigError: it is on a Redis server, and the client is not installed.
        Refused: its file is another program's.
    """
    path = cache_path(config)
    if path is not None and path.exists():
        refuse_foreign(path, APPLICATION_ID)
    elif config.cache.backend == "redis":
        build_backend(config.cache)


def answers_cache(config: CacheConfig, backend: CacheBackend | None) -> CacheManager[Answer] | None:
    """Make the cache of paid answers over a back end."""
    if backend is None:
        return None
    kind = ToldCache if debugging() else CacheManager
    return kind(config, backend, Answer, cost_of=cost_of)


def completer(llm: LlmConfig, max_connections: int) -> OpenAICompleter:
    """Make the client that the `llm` section describes; its key comes from the environment."""
    key = SecretStr(os.environ.get(llm.api_key_env, "").strip())
    return OpenAICompleter(llm.address, key, max_connections=max_connections, ca_file=llm.ca_file)


def admission(config: PipelineConfig) -> Admission:
    """Make what decides how many calls the endpoint gets at once, and how fast."""
    concurrency, llm = config.concurrency, config.llm
    initial, most = config.fixed_concurrency, config.resources.max_concurrent
    limit: Limit = FixedLimit(initial)
    if concurrency.adaptive:
        limit = ConcurrencyOptimizer(initial, min(concurrency.min, initial), most)
    return Admission(limit, Pace(llm.requests_per_minute, llm.tokens_per_minute))


def asked(config: PipelineConfig, completer: Completer) -> Completer | Batches:
    """Have texts asked many at a time, by a completer that can do that."""
    if config.llm.endpoint != "chat_completions" and isinstance(completer, BatchCompleter):
        return Batches(completer)
    return completer


def identity(config: PipelineConfig, task: Task[Any], source: Source, sink: Config | None) -> RunIdentity:
    """Gather every setting that changes what an output row means."""
    llm = config.llm
    settings = {
        "llm.deployment": llm.deployment or llm.address,
        "llm.endpoint": llm.endpoint,
        "llm.model": llm.model,
        "llm.system_prompt": llm.system_prompt or "",
        "llm.parameters": _canonical.encode(llm.parameters).decode(),
        "sink.type": type(sink).__name__,
    }
    settings.update({f"source.{name}": value for name, value in source.identity.items()})
    settings.update(task.settings)
    return RunIdentity(settings)
