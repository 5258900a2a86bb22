"""Send thousands to millions of records through a language model, each exactly once.

    from streamproc import DataProcessingPipeline, PipelineConfig

    report = await DataProcessingPipeline(PipelineConfig.load("job.yaml")).run()

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamproc.cache.config import CacheConfig
    from streamproc.cache.lru import LRUCache
    from streamproc.cache.manager import CacheManager
    from streamproc.cache.metrics import CacheMetrics
    from streamproc.completions import Completion, Message, Request, Usage
    from streamproc.errors import (
        ConfigError,
        ProviderError,
        ProviderStop,
        Refused,
        StorageFailed,
        StreamprocError,
    )
    from streamproc.flow.meter import Snapshot
    from streamproc.llm.config import LlmConfig
    from streamproc.pipeline.config import BatchConfig, ConcurrencyConfig, PipelineConfig, ResourcesConfig
    from streamproc.pipeline.pipeline import DataProcessingPipeline
    from streamproc.pipeline.report import RunReport
    from streamproc.pipeline.task import Task
    from streamproc.pipeline.verification import Verification, verify
    from streamproc.records import Checkpoint, Completed, Envelope, Failed, Outcome, Record, RecordError, RunIdentity
    from streamproc.sinks.jsonl import JsonlSink, JsonlSinkConfig
    from streamproc.sinks.memory import MemorySink
    from streamproc.sinks.sink import Sink, SinkConfig
    from streamproc.sinks.sqlite import SqliteSink, SqliteSinkConfig
    from streamproc.sources.csv import CsvSource, CsvSourceConfig
    from streamproc.sources.jsonl import JsonlSource, JsonlSourceConfig
    from streamproc.sources.memory import MemorySource
    from streamproc.sources.source import Source, SourceConfig

_HOME = {
    "BatchConfig": "pipeline.config",
    "CacheConfig": "cache.config",
    "CacheManager": "cache.manager",
    "CacheMetrics": "cache.metrics",
    "Checkpoint": "records",
    "Completed": "records",
    "Completion": "completions",
    "ConcurrencyConfig": "pipeline.config",
    "ConfigError": "errors",
    "CsvSource": "sources.csv",
    "CsvSourceConfig": "sources.csv",
    "DataProcessingPipeline": "pipeline.pipeline",
    "Envelope": "records",
    "Failed": "records",
    "JsonlSink": "sinks.jsonl",
    "JsonlSinkConfig": "sinks.jsonl",
    "JsonlSource": "sources.jsonl",
    "JsonlSourceConfig": "sources.jsonl",
    "LRUCache": "cache.lru",
    "LlmConfig": "llm.config",
    "MemorySink": "sinks.memory",
    "MemorySource": "sources.memory",
    "Message": "completions",
    "Outcome": "records",
    "PipelineConfig": "pipeline.config",
    "ProviderError": "errors",
    "ProviderStop": "errors",
    "Record": "records",
    "RecordError": "records",
    "Refused": "errors",
    "Request": "completions",
    "ResourcesConfig": "pipeline.config",
    "RunIdentity": "records",
    "RunReport": "pipeline.report",
    "Sink": "sinks.sink",
    "SinkConfig": "sinks.sink",
    "Snapshot": "flow.meter",
    "Source": "sources.source",
    "SourceConfig": "sources.source",
    "SqliteSink": "sinks.sqlite",
    "SqliteSinkConfig": "sinks.sqlite",
    "StorageFailed": "errors",
    "StreamprocError": "errors",
    "Task": "pipeline.task",
    "Usage": "completions",
    "Verification": "pipeline.verification",
    "verify": "pipeline.verification",
}

__all__ = [
    "BatchConfig",
    "CacheConfig",
    "CacheManager",
    "CacheMetrics",
    "Checkpoint",
    "Completed",
    "Completion",
    "ConcurrencyConfig",
    "ConfigError",
    "CsvSource",
    "CsvSourceConfig",
    "DataProcessingPipeline",
    "Envelope",
    "Failed",
    "JsonlSink",
    "JsonlSinkConfig",
    "JsonlSource",
    "JsonlSourceConfig",
    "LRUCache",
    "LlmConfig",
    "MemorySink",
    "MemorySource",
    "Message",
    "Outcome",
    "PipelineConfig",
    "ProviderError",
    "ProviderStop",
    "Record",
    "RecordError",
    "Refused",
    "Request",
    "ResourcesConfig",
    "RunIdentity",
    "RunReport",
    "Sink",
    "SinkConfig",
    "Snapshot",
    "Source",
    "SourceConfig",
    "SqliteSink",
    "SqliteSinkConfig",
    "StorageFailed",
    "StreamprocError",
    "Task",
    "Usage",
    "Verification",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
