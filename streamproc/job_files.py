"""Reads job files: YAML made safe, the environment in values, settings by path. Knows no particular setting."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from streamproc.errors import ConfigError
from streamproc.secret import looks_secret

MAX_BYTES = 1 << 20
MAX_NODES = 10_000
_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")

Tree = dict[str, Any]


class _StrictLoader(yaml.SafeLoader):
    """Plain data only, and no key twice."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value. PyYAML's own constructors let any exception through, such as `KeyError` for `!!bool maybe`."""
        try:
            return super().construct_object(node, deep)
        except ConfigError:
            raise
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            line, kind = node.start_mark.line + 1, node.tag.rpartition(":")[2]
            raise ConfigError(f"line {line}: is no {kind}, got {node.value!r:.100}; quote it to mean text") from error


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> Tree:
    tree: Tree = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == "tag:yaml.org,2002:merge":  # a few lines of them can make billions of keys
            raise ConfigError(f"line {line}: merge keys (<<) are not supported; write the keys out")
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise ConfigError(f"line {line}: keys must be text, got {key!r}")
        if key in tree:
            raise ConfigError(f"line {line}: {key!r} stands there twice")
        tree[key] = loader.construct_object(value_node, deep=True)
    return tree


def _text(loader: _StrictLoader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    if not _is_unicode(text):
        raise ConfigError(f"line {node.start_mark.line + 1}: {text!r:.100} holds half of a surrogate pair")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_StrictLoader.add_constructor("tag:yaml.org,2002:str", _text)


def read_job(path: Path, environ: Mapping[str, str] = os.environ, kept: Collection[str] = ()) -> Tree:
    """Read a job file.

    `${NAME}` in a value stands for an environment variable, `${NAME:-default}` for one that may be missing, `$${` for
    the characters themselves. What a variable holds is taken as it is.

    Args:
        path: a YAML file of at most 1 MiB.
        environ: the environment.
        kept: sections whose values are kept in files, so that no variable whose name looks like a secret's may stand
            there.

    Raises:
        ConfigError: it cannot be read, is no YAML mapping, or a variable is not set or not to stand there.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # whatever size is told: a pipe and a device have none
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: is too long; a job file has at most {MAX_BYTES} bytes")
        text = content.decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        tree = parse_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold sections such as `source:` and `llm:`, got {type(tree).__name__}")
    return _Interpolation(environ, kept).mapping(tree, "")


def parse_yaml(text: str) -> Any:
    """Read YAML as plain data.

    Raises:
        ConfigError: it is malformed, asks for objects, or names a key twice.
    """
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{place}{error.problem or error.context or 'is not YAML'}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"is not YAML: {error}") from error


def assign(tree: Tree, path: str, value: Any) -> None:
    """Set `tree` at a dotted path, making sections on the way.

    Raises:
        ConfigError: the path is empty somewhere, or leads through a value.
    """
    *sections, name = path.split(".")
    if not name or not all(sections):
        raise ConfigError(f"{path!r}: must be a path such as llm.model")
    for section in sections:
        inner = tree.setdefault(section, {})
        if inner is None:
            inner = tree[section] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"{path}: {section} is a value, not a section")
        tree = inner
    tree[name] = value


class _Interpolation:
    """Copies a tree with references replaced. Counts nodes, because YAML aliases can make few lines into billions."""

    def __init__(self, environ: Mapping[str, str], kept: Collection[str]) -> None:
        self._environ = environ
        self._kept = kept
        self._nodes = 0

    def mapping(self, tree: Tree, path: str) -> Tree:
        return {key: self.value(value, f"{path}.{key}" if path else key) for key, value in tree.items()}

    def value(self, value: Any, path: str) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConfigError(f"{path}: the job file expands to more than {MAX_NODES} values")
        if isinstance(value, dict):
            return self.mapping(value, path)
        if isinstance(value, list):
            return [self.value(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) else value

    def _text(self, text: str, path: str) -> str:
        def replaced(reference: re.Match[str]) -> str:
            if reference[0] == "$${":
                return "${"
            name, default = reference["name"], reference["default"]
            if name is None:
                raise ConfigError(f"{path}: ${{ must be followed by a variable's name and }}; write $${{ for the text")
            if looks_secret(name) and path.partition(".")[0] in self._kept:
                raise ConfigError(
                    f"{path}: the name {name} looks like a secret's, and what stands here is kept in the run's state "
                    "and told to the provider"
                )
            found = self._environ.get(name, default)
            if found is None:
                raise ConfigError(
                    f"{path}: the environment variable {name} is not set; ${{{name}:-default}} allows that"
                )
            if not _is_unicode(found):
                raise ConfigError(f"{path}: the environment variable {name} is not UTF-8")
            return found

        return _REFERENCE.sub(replaced, text)
