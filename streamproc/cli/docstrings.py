"""Real text that is on every machine: the docstrings of the installed Python standard library."""

from __future__ import annotations

import ast
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = frozenset({"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo"})
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def standard_library_docstrings() -> Iterator[dict[str, str]]:
    """Give `id`, `kind` and `docstring` of each documented module, class and function, in a fixed order."""
    root = Path(sysconfig.get_paths()["stdlib"])
    seen: Counter[str] = Counter()
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if LEFT_OUT.isdisjoint(parts):
            module = ".".join(part for part in parts if part != "__init__") or "builtins"
            for name, kind, docstring in _documented(path, module):
                seen[name] += 1
                unique = name if seen[name] == 1 else f"{name}#{seen[name]}"
                yield {"id": unique, "kind": kind, "docstring": docstring}


def _documented(path: Path, module: str) -> Iterator[tuple[str, str, str]]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # a file that this Python cannot read has no docstrings for us
    yield from _walk(tree, module)


def _walk(node: ast.AST, name: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, Documented) and (docstring := ast.get_docstring(node)):
        kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
        yield name, kind, docstring
    for child in ast.iter_child_nodes(node):
        own = getattr(child, "name", None) if isinstance(child, Documented) else None
        yield from _walk(child, f"{name}.{own}" if own else name)
