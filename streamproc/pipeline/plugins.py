"""Finds the class behind a `type:` in a job file: ours from a table, others' from entry points."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from streamproc.config import Config
from streamproc.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
    theirs = {name: point.value for name, point in _theirs(group).items()}
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
    if isinstance(name, str) and name in ours:
        module, _, attribute = ours[name].partition(":")
        found = getattr(import_module(module), attribute)
    else:
        theirs = _theirs(group)
        if not isinstance(name, str) or name not in theirs:
            known = ", ".join(sorted(ours.keys() | theirs.keys()))
            if name is None:
                raise ConfigError(f"{group[:-1]}.type: is required; one of {known}")
            raise ConfigError(f"{group[:-1]}.type: must be one of {known}, got {name!r}")
        found = theirs[name].load()
    if not (isinstance(found, type) and issubclass(found, Config)):
        raise ConfigError(f"{group[:-1]}.type: {name!r} is {found!r}, not a Config")
    return found


def _theirs(group: str) -> dict[str, EntryPoint]:
    """Give others' plug-ins by name. Looking for them reads the metadata of every package that is installed."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=f"streamproc.{group}")}
