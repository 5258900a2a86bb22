"""Finds the class behind a `type:` in a job file: ours from a table, others' from entry points."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from streamproc.config import Config
from streamproc.errors import ConfigError

OURS = {
    "sources": {
        "csv": "streamproc.sources.csv:CsvSourceConfig",
        "jsonl": "streamproc.sources.jsonl:JsonlSourceConfig",
    },
    "sinks": {
        "jsonl": "streamproc.sinks.jsonl:JsonlSinkConfig",
        "sqlite": "streamproc.sinks.sqlite:SqliteSinkConfig",
    },
}


def name_of(group: str, section: Config) -> str | None:
    """Give the `type:` that makes such a section, or `None` for one that no job file can ask for."""
    theirs = {point.name: point.value for point in entry_points(group=f"streamproc.{group}")}
    place = f"{type(section).__module__}:{type(section).__qualname__}"
    return next((name for name, value in (OURS[group] | theirs).items() if value == place), None)


def find(group: str, name: object) -> type[Config]:
    """Give the config class of a plug-in.

    Args:
        group: `sources` or `sinks`; entry points stand in the group `streamproc.<group>`.
        name: what stands behind `type:`.

    Raises:
        ConfigError: nothing has that name.
    """
    ours = OURS[group]
    theirs = {point.name: point for point in entry_points(group=f"streamproc.{group}")}
    if not isinstance(name, str) or name not in ours.keys() | theirs.keys():
        known = ", ".join(sorted(ours.keys() | theirs.keys()))
        if name is None:
            raise ConfigError(f"{group[:-1]}.type: is required; one of {known}")
        raise ConfigError(f"{group[:-1]}.type: must be one of {known}, got {name!r}")
    if name in ours:
        module, _, attribute = ours[name].partition(":")
        found = getattr(import_module(module), attribute)
    else:
        found = theirs[name].load()
    if not (isinstance(found, type) and issubclass(found, Config)):
        raise ConfigError(f"{group[:-1]}.type: {name!r} is {found!r}, not a Config")
    return found
