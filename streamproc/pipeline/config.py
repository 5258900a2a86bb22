"""The configuration of a pipeline: its sections, and the four places where each setting may come from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from streamproc.cache.config import CacheConfig
from streamproc.completions import Request
from streamproc.config import Config, decode
from streamproc.errors import ConfigError
from streamproc.job_files import Tree, assign, parse_yaml, read_job
from streamproc.llm.config import LlmConfig
from streamproc.monitoring.config import AlertsConfig
from streamproc.pipeline.plugins import find
from streamproc.sinks.durable import dead_letters_path
from streamproc.sinks.run_folder import RunFolder
from streamproc.sinks.sink import SinkConfig
from streamproc.sources.source import SourceConfig

Count = Annotated[int, Meta(ge=1)]

SPAN_PER_CONCURRENT_CALL = 8
SMALLEST_SPAN = 1024
BATCHES_PER_CALL = 3
"""Where calls carry many records: one batch under way, one that gathers, one on its way to the sink."""

SETTINGS = {
    "CACHE_ENABLED": "cache.enabled",
    "CACHE_BACKEND": "cache.backend",
    "CACHE_URL": "cache.url",
    "CACHE_TTL_HOURS": "cache.ttl_hours",
    "CACHE_MAX_SIZE_MB": "cache.max_size_mb",
    "RESOURCE_MONITORING_ENABLED": "resources.monitoring_enabled",
    "MAX_MEMORY_MB": "resources.max_memory_mb",
    "MAX_CPU_PERCENT": "resources.max_cpu_percent",
    "MAX_CONCURRENT_PROCESSING": "resources.max_concurrent",
    "ADAPTIVE_BATCH_SIZING": "batch_processing.adaptive_sizing",
    "BATCH_SIZE": "batch_processing.initial_size",
    "MAX_BATCH_SIZE": "batch_processing.max_size",
}
"""The specification's names of settings; in the environment they carry the prefix STREAMPROC_."""


class ResourcesConfig(Config, frozen=True, kw_only=True):
    """The `resources` section: what a run may use.

    Attributes:
        monitoring_enabled: whether the machine is watched: memory, processor, event loop, open files.
        max_memory_mb: megabytes (1,000,000 bytes) of resident memory. From `warning_ratio` of it on fewer records are
            under way at a time, at `critical_ratio` reading stops until there is room.
        max_cpu_percent: of the processors that this process may use; more is alerted.
        max_concurrent: most model calls at once.
        warning_ratio: from this share of a limit on there is a warning.
        critical_ratio: from this share of a limit on it is critical.
        stall_seconds: how long nothing may be delivered, with records under way, before that is alerted.
        gpu_monitoring: whether the GPUs of this machine are watched; needs the extra `gpu`.
        deadline_seconds: how long the run may take. Nothing is hurried: it is told how many workers would be needed.
    """

    monitoring_enabled: bool = True
    max_memory_mb: Annotated[float, Meta(gt=0)] = 1024.0
    max_cpu_percent: Annotated[float, Meta(gt=0, le=100)] = 80.0
    max_concurrent: Count = 256
    warning_ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.8
    critical_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.95
    stall_seconds: Annotated[float, Meta(gt=0)] = 120.0
    gpu_monitoring: bool = False
    deadline_seconds: Annotated[float, Meta(gt=0)] | None = None

    def check(self) -> None:
        if self.warning_ratio >= self.critical_ratio:
            raise ConfigError(
                f"warning_ratio: must be below critical_ratio {self.critical_ratio}, got {self.warning_ratio}"
            )


class BatchConfig(Config, frozen=True, kw_only=True):
    """The `batch_processing` section: how many records move together.

    Attributes:
        adaptive_sizing: whether requests for embeddings and completions learn from each other how many texts to carry;
            otherwise `initial_size`.
        initial_size: texts of the first requests; for chat completions, records read at a time.
        min_size: the fewest texts of a request, where there are enough.
        max_size: the most; a cache lookup takes what is there, up to this many.
    """

    adaptive_sizing: bool = True
    initial_size: Count = 10
    min_size: Count = 1
    max_size: Count = 100

    def check(self) -> None:
        if not self.min_size <= self.initial_size <= self.max_size:
            raise ConfigError(
                f"initial_size: must lie between min_size {self.min_size} and max_size {self.max_size}, "
                f"got {self.initial_size}"
            )


class ConcurrencyConfig(Config, frozen=True, kw_only=True):
    """The `concurrency` section: how many model calls run at once.

    Attributes:
        adaptive: whether the best number of calls is searched for; otherwise it stays at `initial`.
        initial: model calls at once, to begin with.
        min: the fewest.
    """

    adaptive: bool = True
    initial: Count = 8
    min: Count = 1

    def check(self) -> None:
        if self.initial < self.min:
            raise ConfigError(f"initial: must be >= min {self.min}, got {self.initial}")


_SECTIONS: dict[str, type[Config]] = {
    "llm": LlmConfig,
    "cache": CacheConfig,
    "resources": ResourcesConfig,
    "batch_processing": BatchConfig,
    "concurrency": ConcurrencyConfig,
    "alerts": AlertsConfig,
}


class PipelineConfig(Config, frozen=True, kw_only=True):
    """Everything a pipeline can be told.

    Attributes:
        source: where records come from; not needed for `stream`.
        llm: which model is asked, and how.
        cache: where answers are kept.
        resources: what a run may use.
        batch_processing: how many records move together.
        concurrency: how many model calls run at once.
        alerts: whom to tell beside the log.
        sink: where outcomes go; not needed for `stream`.
        drain_seconds: how long calls under way may take to end after an interruption.
    """

    source: SourceConfig | None = None
    llm: LlmConfig
    cache: CacheConfig = CacheConfig()
    resources: ResourcesConfig = ResourcesConfig()
    batch_processing: BatchConfig = BatchConfig()
    concurrency: ConcurrencyConfig = ConcurrencyConfig()
    alerts: AlertsConfig = AlertsConfig()
    sink: SinkConfig | None = None
    drain_seconds: Annotated[float, Meta(ge=0)] = 30.0

    def check(self) -> None:
        if self.alerts.webhook_url_env is not None and not self.resources.monitoring_enabled:
            raise ConfigError(
                "alerts.webhook_url_env: needs resources.monitoring_enabled; without it nothing is ever alerted"
            )
        source, sink = getattr(self.source, "path", None), getattr(self.sink, "path", None)
        if isinstance(source, str) and isinstance(sink, str):
            output = Path(sink)
            for owned in (output, dead_letters_path(output), RunFolder(output).path):
                if Path(source).resolve().is_relative_to(owned.resolve()):
                    raise ConfigError(
                        f"sink.path: must not be where the input lies, got {sink!r} with source.path {source!r}; "
                        "--overwrite would delete it"
                    )

    @classmethod
    def load(cls, path: str | Path, *, settings: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Self:
        """Read a job file, and lay the environment and then `settings` over it.

        Args:
            path: the job file.
            settings: `section.key=value`, the value as YAML.
            environ: the environment; names in `SETTINGS` with the prefix STREAMPROC_ count.

        Raises:
            ConfigError: with the path of the setting, its value and the rule.
        """
        tree = read_job(Path(path), environ, kept=("llm",))
        origins: dict[str, str] = {}
        for name, place in SETTINGS.items():
            if (value := environ.get(f"STREAMPROC_{name}")) is not None:
                _assign_text(tree, place, value, f"STREAMPROC_{name}")
                origins[place] = f"STREAMPROC_{name}"
        for setting in settings:
            place, equals, value = setting.partition("=")
            if not equals:
                raise ConfigError(f"--set {setting}: must be section.key=value")
            _assign_text(tree, place.strip(), value, f"--set {setting}")
            origins[place.strip()] = "--set"
        try:
            return cls.from_tree(tree)
        except ConfigError as error:
            if (origin := origins.get(str(error).partition(": ")[0])) is None:
                raise
            raise ConfigError(f"{error} (from {origin})") from error

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Make a configuration of plain data, as a job file holds it.

        Raises:
            ConfigError: with the path of the setting, its value and the rule.
        """
        known = {field.name for field in msgspec.structs.fields(cls)}
        for name in tree:
            if name not in known:
                raise ConfigError(f"{name}: unknown section; known: {', '.join(sorted(known))}")
        made: dict[str, Any] = {}
        for name, value in tree.items():
            if name in ("source", "sink"):
                made[name] = _plugin(name, value)
            elif name in _SECTIONS:
                made[name] = decode(_section(name, value), _SECTIONS[name], at=name)
            else:
                made[name] = value
        if "llm" not in made:
            raise ConfigError("llm: is required; it names at least a model")
        return cls(**made)

    @classmethod
    def from_settings(cls, settings: Any, **sections: Config) -> Self:
        """Make a configuration from the specification's names, on any object or mapping.

        Args:
            settings: has some of the names in `SETTINGS`, as attributes or keys.
            sections: whole sections (`llm`, `source`, `sink`) that have no such names.

        Raises:
            ConfigError: with the path of the setting, its value and the rule.
        """
        tree: Tree = {}
        for name, place in SETTINGS.items():
            value = settings.get(name) if isinstance(settings, Mapping) else getattr(settings, name, None)
            if value is not None:
                assign(tree, place, value)
        made = {name: decode(values, _SECTIONS[name], at=name) for name, values in tree.items()}
        return cls(**{**made, **sections})  # type: ignore[arg-type]  # checked on construction

    @property
    def span(self) -> int:
        """Most records on their way at once: eight for each call that may run, and at least 1024. Where calls carry
        many, enough to fill as many again as run."""
        calls = max(SMALLEST_SPAN, SPAN_PER_CONCURRENT_CALL * self.resources.max_concurrent)
        if self.llm.endpoint == "chat_completions":
            return calls
        return max(calls, BATCHES_PER_CALL * self.batch_processing.max_size * self.fixed_concurrency)

    @property
    def fixed_concurrency(self) -> int:
        """Model calls at once, to begin with: `concurrency.initial`, at most `resources.max_concurrent`."""
        return min(self.concurrency.initial, self.resources.max_concurrent)

    def request(self, prompt: str) -> Request:
        """Give the request for a prompt, with this configuration's model, system prompt and parameters."""
        return self.llm.request(prompt)


def _section(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: must be a section with keys, got {value!r:.100}")
    if name == "llm" and "api_key" in value:
        raise ConfigError("llm.api_key: a key in the file is refused; put the NAME of a variable in llm.api_key_env")
    return value


def _plugin(name: str, value: Any) -> Config | None:
    if value is None:
        return None
    tree = dict(_section(name, value))
    kind = find(f"{name}s", tree.pop("type", None))
    return decode(tree, kind, at=name)


def _assign_text(tree: Tree, place: str, text: str, origin: str) -> None:
    try:
        value = parse_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}; the value is YAML, put quotes inside it to mean text") from error
    try:
        assign(tree, place, value)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
