"""Names in `hftransfer/` that a reader of the field would not understand: the words of this list are not to be used."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORDS = {
    "told", "drawn", "behind", "further", "know", "learn", "finish", "plain", "chances", "cells", "shifts", "heads",
}  # fmt: skip


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module defines: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def main() -> int:
    """Print the places; 1 where there are some."""
    places = [
        f"{file.relative_to(ROOT)}:{line}: the name '{name}' is none of the field's words"
        for file in sorted((ROOT / "hftransfer").rglob("*.py"))
        for line, name in names(ast.parse(file.read_text(encoding="utf-8")))
        if name.strip("_").lower() in WORDS
    ]
    print("\n".join(places) or "names: ok")
    return bool(places)


if __name__ == "__main__":
    sys.exit(main())
