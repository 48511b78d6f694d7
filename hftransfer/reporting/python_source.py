"""Values as Python and `ruff format` write them."""

from __future__ import annotations

import json
import re

LINE_LENGTH = 120
_RAW = re.compile(r"[^\"\n\r]*\\[^\"\n\r]*[^\"\n\r\\]")


def literal(value: object) -> str:
    """A value as Python writes it, strings in double quotes."""
    if isinstance(value, str):
        # A regular expression is easier to read without its backslashes doubled.
        return f'r"{value}"' if _RAW.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(it)}" for key, it in value.items()) + "}"
    if isinstance(value, list | tuple):
        entries = ", ".join(map(literal, value))
        return f"[{entries}]" if isinstance(value, list) else f"({entries}{',' * (len(value) == 1)})"
    return repr(value)


def argument(start: str, value: object, indent: int) -> str:
    """`name=value` or an assignment, without a comma; a list that is too long for a line has a line an entry."""
    line = f"{' ' * indent}{start}{literal(value)}"
    if len(line) < LINE_LENGTH or not isinstance(value, list):
        return line
    entries = "".join(f"{' ' * (indent + 4)}{literal(entry)},\n" for entry in value)
    return f"{' ' * indent}{start}[\n{entries}{' ' * indent}]"
