"""What a run works with."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamproc.cache.manager import CacheManager
from streamproc.llm.completer import Completer
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.paid_answers import Answer
from streamproc.pipeline.task import Task
from streamproc.pipeline.vigil import Vigil
from streamproc.records import Checkpoint
from streamproc.sinks.sink import Sink
from streamproc.sources.source import Source


class Parts(Struct, frozen=True):
    """Opened before it begins, closed after it ends by whoever opened it.

    Attributes:
        config: sizes and limits.
        task: what is asked and what becomes of it.
        source: where records come from.
        sink: where outcomes go.
        ordered: whether the sink wants the order of the input.
        cache: paid answers; `None` to keep none.
        completer: does the calls.
        checkpoint: what earlier runs delivered.
        limit: most records to accept; `None` for all.
        vigil: watches the machine; `None` where nothing is monitored.
    """

    config: PipelineConfig
    task: Task[Any]
    source: Source
    sink: Sink
    ordered: bool
    cache: CacheManager[Answer] | None
    completer: Completer
    checkpoint: Checkpoint | None
    limit: int | None = None
    vigil: Vigil | None = None
