"""What every configuration is made of: checked values, and readable refusals. Knows no particular setting."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from streamproc.errors import ConfigError

C = TypeVar("C", bound="Config")

_fields = functools.cache(msgspec.structs.fields)  # it evaluates every annotation anew

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_BOUND = re.compile(r"^Expected `(?P<type>[^`]+)` (?P<rule>[<>]=? \S+)$")
_KIND = re.compile(r"^Expected `(?P<type>[^`]+)`, got `(?P<got>[^`]+)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]+)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`$")


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of settings whose rules hold however it was made: in Python, from a file, from the environment.

    msgspec checks types and bounds when it decodes, not when a class is called. This checks on both.

    Raises:
        ConfigError: a value breaks its rule; the message names the field, the rule and the value.
    """

    def __post_init__(self) -> None:
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if sections := _sections(field.type):
                if not isinstance(value, sections):
                    names = " or ".join(kind.__name__ for kind in sections)
                    raise ConfigError(f"{field.encode_name}: must be {names}, got {value!r:.100}")
                continue
            try:
                msgspec.convert(value, field.type, strict=True)
            except msgspec.ValidationError as error:
                raise ConfigError(_explain(str(error), {field.encode_name: value}, field.encode_name, None)) from None
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.encode_name}: must be a finite number, got {value}")
        self.check()

    def check(self) -> None:
        """Check what no single field can show. Raise `ConfigError` with the field's name first."""


def _sections(declared: Any) -> tuple[type, ...]:
    """Give the classes that a field of sections takes, `NoneType` included; none for any other field."""
    kinds = tuple(kind for kind in get_args(declared) or (declared,) if isinstance(kind, type))
    return kinds if any(issubclass(kind, Config) for kind in kinds) else ()


def decode(tree: Mapping[str, Any], kind: type[C], at: str = "") -> C:
    """Make a configuration of plain data.

    Args:
        tree: as YAML gives it.
        kind: what to make.
        at: where the tree stands in its file (`cache`), for messages.

    Raises:
        ConfigError: such as `cache.ttl_hours: must be >= 0, got -1`.
    """
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ConfigError):
            path = _AT.match(str(error))
            prefix = _join(at, path["path"] or "") if path else at
            raise ConfigError(_join(prefix, str(error.__cause__))) from None
        raise ConfigError(_explain(str(error), tree, at, kind)) from None


def check_path(name: str, path: str) -> None:
    """Refuse what can be no file's path.

    Raises:
        ConfigError: with the field's name first.
    """
    if not Path(path).name or "\0" in path:
        raise ConfigError(f"{name}: must be the path of a file, got {path!r}")


def _join(*parts: str) -> str:
    return ".".join(part.strip(".") for part in parts if part.strip("."))


def _explain(text: str, tree: Mapping[str, Any], at: str, kind: type[Struct] | None) -> str:
    """Reword msgspec's message, which has no structure to read, with the value that broke the rule."""
    parts = _AT.match(text)
    assert parts is not None
    what, path = parts["what"], parts["path"] or ""
    where = _join(at, path)
    if unknown := _UNKNOWN.match(what):
        known = sorted(field.encode_name for field in msgspec.structs.fields(_kind_at(kind, path))) if kind else []
        return f"{_join(where, unknown['name'])}: unknown key; known here: {', '.join(known)}"
    if missing := _MISSING.match(what):
        return f"{_join(where, missing['name'])}: is required"
    got = _value_at(tree, path) if kind else _value_at(next(iter(tree.values())), path)
    if bound := _BOUND.match(what):
        return f"{where}: must be {bound['rule']}, got {got!r}"
    if wrong := _KIND.match(what):
        return f"{where}: must be {wrong['type'].replace(' | ', ' or ')}, got {got!r}"
    if what.startswith("Invalid enum value"):
        return f"{where}: {_choices(kind, path)}got {got!r}"
    return f"{where}: {what[0].lower()}{what[1:]}, got {got!r}"


def _steps(path: str) -> list[str]:
    return [step for step in re.split(r"[.\[\]]+", path) if step]


def _value_at(tree: Any, path: str) -> Any:
    for step in _steps(path):
        if isinstance(tree, Mapping) and step in tree:
            tree = tree[step]
        elif isinstance(tree, list) and step.isdigit():
            tree = tree[int(step)]
        else:
            return tree
    return tree


def _kind_at(kind: type[Struct], path: str) -> type[Struct]:
    for step in _steps(path):
        for field in msgspec.structs.fields(kind):
            if field.encode_name == step and isinstance(field.type, type) and issubclass(field.type, Struct):
                kind = field.type
    return kind


def _choices(kind: type[Struct] | None, path: str) -> str:
    steps = _steps(path)
    if kind is None or not steps:
        return "not one of the allowed values, "
    for field in msgspec.structs.fields(_kind_at(kind, ".".join(steps[:-1]))):
        if field.encode_name == steps[-1]:
            options = [choice for arm in (field.type, *get_args(field.type)) for choice in get_args(arm)]
            named = dict.fromkeys(str(choice) for choice in options if isinstance(choice, str))
            return f"must be one of {', '.join(named)}, "
    return "not one of the allowed values, "
