"""Send thousands to millions of records through a language model, each exactly once.

    from streamproc import DataProcessingPipeline, PipelineConfig

    report = await DataProcessingPipeline(PipelineConfig.load("job.yaml")).run()

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamproc.cache.aiocache.backend import AiocacheBackend
    from streamproc.cache.aiocache.frontend import BackendCache
    from streamproc.cache.backend import CacheBackend
    from streamproc.cache.config import CacheConfig
    from streamproc.cache.fail_open import FailOpen
    from streamproc.cache.lru import LRUCache
    from streamproc.cache.manager import CacheManager
    from streamproc.cache.memory import MemoryBackend
    from streamproc.cache.metrics import CacheMetrics
    from streamproc.cache.redis.backend import RedisBackend
    from streamproc.cache.sqlite.backend import SqliteBackend
    from streamproc.cache.tiered import TieredBackend
    from streamproc.completions import Completion, Message, Request, Usage
    from streamproc.control.batch_size import BatchSizeOptimizer
    from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer
    from streamproc.control.performance import PerformanceOptimizer, Plan, Recommendation
    from streamproc.control.windows import Window
    from streamproc.errors import (
        CacheUnavailable,
        ConfigError,
        LimitReached,
        ProviderError,
        ProviderStop,
        Refused,
        StorageFailed,
        StreamprocError,
    )
    from streamproc.flow.meter import Snapshot
    from streamproc.llm.config import LlmConfig
    from streamproc.monitoring.alerting import ResourceAlert
    from streamproc.monitoring.benchmark import PerformanceBenchmark
    from streamproc.monitoring.config import AlertsConfig
    from streamproc.monitoring.limits import ResourceLimits
    from streamproc.monitoring.metrics import ResourceMetrics
    from streamproc.monitoring.monitor import ResourceMonitor
    from streamproc.monitoring.sample import ResourceSample
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
    "AiocacheBackend": "cache.aiocache.backend",
    "AlertsConfig": "monitoring.config",
    "BackendCache": "cache.aiocache.frontend",
    "BatchConfig": "pipeline.config",
    "BatchSizeOptimizer": "control.batch_size",
    "CacheBackend": "cache.backend",
    "CacheConfig": "cache.config",
    "CacheManager": "cache.manager",
    "CacheMetrics": "cache.metrics",
    "CacheUnavailable": "errors",
    "Checkpoint": "records",
    "Completed": "records",
    "Completion": "completions",
    "ConcurrencyConfig": "pipeline.config",
    "ConcurrencyOptimizer": "control.concurrency.optimizer",
    "ConfigError": "errors",
    "CsvSource": "sources.csv",
    "CsvSourceConfig": "sources.csv",
    "DataProcessingPipeline": "pipeline.pipeline",
    "Envelope": "records",
    "FailOpen": "cache.fail_open",
    "Failed": "records",
    "JsonlSink": "sinks.jsonl",
    "JsonlSinkConfig": "sinks.jsonl",
    "JsonlSource": "sources.jsonl",
    "JsonlSourceConfig": "sources.jsonl",
    "LRUCache": "cache.lru",
    "LimitReached": "errors",
    "LlmConfig": "llm.config",
    "MemoryBackend": "cache.memory",
    "MemorySink": "sinks.memory",
    "MemorySource": "sources.memory",
    "Message": "completions",
    "Outcome": "records",
    "PerformanceBenchmark": "monitoring.benchmark",
    "PerformanceOptimizer": "control.performance",
    "PipelineConfig": "pipeline.config",
    "Plan": "control.performance",
    "ProviderError": "errors",
    "ProviderStop": "errors",
    "Recommendation": "control.performance",
    "Record": "records",
    "RecordError": "records",
    "RedisBackend": "cache.redis.backend",
    "Refused": "errors",
    "Request": "completions",
    "ResourceAlert": "monitoring.alerting",
    "ResourceLimits": "monitoring.limits",
    "ResourceMetrics": "monitoring.metrics",
    "ResourceMonitor": "monitoring.monitor",
    "ResourceSample": "monitoring.sample",
    "ResourcesConfig": "pipeline.config",
    "RunIdentity": "records",
    "RunReport": "pipeline.report",
    "Sink": "sinks.sink",
    "SinkConfig": "sinks.sink",
    "Snapshot": "flow.meter",
    "Source": "sources.source",
    "SourceConfig": "sources.source",
    "SqliteBackend": "cache.sqlite.backend",
    "SqliteSink": "sinks.sqlite",
    "SqliteSinkConfig": "sinks.sqlite",
    "StorageFailed": "errors",
    "StreamprocError": "errors",
    "Task": "pipeline.task",
    "TieredBackend": "cache.tiered",
    "Usage": "completions",
    "Verification": "pipeline.verification",
    "Window": "control.windows",
    "verify": "pipeline.verification",
}

__all__ = [
    "AiocacheBackend",
    "AlertsConfig",
    "BackendCache",
    "BatchConfig",
    "BatchSizeOptimizer",
    "CacheBackend",
    "CacheConfig",
    "CacheManager",
    "CacheMetrics",
    "CacheUnavailable",
    "Checkpoint",
    "Completed",
    "Completion",
    "ConcurrencyConfig",
    "ConcurrencyOptimizer",
    "ConfigError",
    "CsvSource",
    "CsvSourceConfig",
    "DataProcessingPipeline",
    "Envelope",
    "FailOpen",
    "Failed",
    "JsonlSink",
    "JsonlSinkConfig",
    "JsonlSource",
    "JsonlSourceConfig",
    "LRUCache",
    "LimitReached",
    "LlmConfig",
    "MemoryBackend",
    "MemorySink",
    "MemorySource",
    "Message",
    "Outcome",
    "PerformanceBenchmark",
    "PerformanceOptimizer",
    "PipelineConfig",
    "Plan",
    "ProviderError",
    "ProviderStop",
    "Recommendation",
    "Record",
    "RecordError",
    "RedisBackend",
    "Refused",
    "Request",
    "ResourceAlert",
    "ResourceLimits",
    "ResourceMetrics",
    "ResourceMonitor",
    "ResourceSample",
    "ResourcesConfig",
    "RunIdentity",
    "RunReport",
    "Sink",
    "SinkConfig",
    "Snapshot",
    "Source",
    "SourceConfig",
    "SqliteBackend",
    "SqliteSink",
    "SqliteSinkConfig",
    "StorageFailed",
    "StreamprocError",
    "Task",
    "TieredBackend",
    "Usage",
    "Verification",
    "Window",
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
