"""The shape of the house is a test: layers, names, sizes, docstrings."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import streamproc

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "streamproc").rglob("*.py"))
MODULES = sorted(module.name for module in pkgutil.walk_packages(streamproc.__path__, "streamproc."))
MODULES.remove("streamproc.__main__")


def test_layers_are_kept() -> None:
    """No module imports from a layer above its own, and no contract of pyproject.toml is broken."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_holds_more_than_one_idea(path: Path) -> None:
    """No file has more than 300 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_they_are(path: Path) -> None:
    """No module is called util, helper, common, misc, core or base."""
    assert path.stem.rstrip("s") not in {"util", "helper", "common", "misc", "core", "base"}


def test_the_public_names_are_these() -> None:
    """Every public name can be imported, and no other is offered."""
    assert sorted(streamproc.__all__) == sorted(dir(streamproc))
    for name in streamproc.__all__:
        assert getattr(streamproc, name) is not None
    with pytest.raises(AttributeError):
        streamproc.no_such_name  # noqa: B018


@pytest.mark.parametrize("module", MODULES)
def test_every_public_thing_is_documented(module: str) -> None:
    """Every module, public class, function and method says what it does; an override may leave that to its role."""
    loaded = importlib.import_module(module)
    assert loaded.__doc__
    for name, value in vars(loaded).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module:
            continue
        if inspect.isclass(value):
            assert inspect.getdoc(value), f"{module}.{name}"
            for member_name, member in vars(value).items():
                if not member_name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    assert inspect.getdoc(getattr(value, member_name)), f"{module}.{name}.{member_name}"
        elif inspect.isfunction(value):
            assert value.__doc__, f"{module}.{name}"


@pytest.mark.parametrize("module", MODULES)
def test_public_fields_are_documented(module: str) -> None:
    """Every field of a public Struct is named in its docstring, or its class's docstring says all there is."""
    loaded = importlib.import_module(module)
    for name, value in vars(loaded).items():
        if name.startswith("_") or not inspect.isclass(value) or not issubclass(value, msgspec.Struct):
            continue
        if value.__module__ != module or "Attributes:" not in (value.__doc__ or ""):
            continue
        inherited = {f.name for base in value.__mro__[1:] if base is not value for f in _fields(base)}
        for field in msgspec.structs.fields(value):
            assert field.name in inherited or f"{field.name}:" in value.__doc__, f"{module}.{name}.{field.name}"


def _fields(kind: type) -> tuple[msgspec.structs.FieldInfo, ...]:
    is_struct = issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    return msgspec.structs.fields(kind) if is_struct else ()
