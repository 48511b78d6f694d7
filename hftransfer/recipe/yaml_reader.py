"""YAML as plain values: scalars as in YAML 1.2, and what no recipe needs refused: tags, cycles, endless numbers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from hftransfer.core.errors import RecipeError

MAX_BYTES = 1_000_000
"""Of a recipe; the largest of the package has some thousands."""
# Deeper than any config of Transformers; an alias that stands within its own anchor has no end.
_MAX_DEPTH = 40
# With what aliases (`*name`) repeat: nine lines of them can stand for a billion values.
_MAX_VALUES = 100_000
_MAX_NUMBER = 2**63
_YAML_TAG = "tag:yaml.org,2002:"
_TAGS = {f"{_YAML_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_SCALARS = {
    "bool": (re.compile(r"^(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$"), "tTfF"),
    "int": (re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    "float": (
        re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
        "-+.0123456789",
    ),
}
_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")


class _Yaml12(yaml.SafeLoader):
    """Scalars as in YAML 1.2: `no` and `on` are strings, `2e-5` is a number, 010 is ten, dates and 1:30 are strings."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node.

        Raises:
            yaml.MarkedYAMLError: it is none that a recipe may hold.
        """
        name = node.tag.removeprefix(_YAML_TAG)
        if node.tag not in _TAGS:
            raise _refused(node, f"a recipe has no tags such as '!{name.removeprefix('!')}'; quote the text")
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError):
            raise _refused(node, f"{node.value[:40]!r} is no {name}") from None
        if isinstance(value, int | float) and not abs(value) < (_MAX_NUMBER if isinstance(value, int) else math.inf):
            raise _refused(node, f"the number {node.value[:40]} is too large")
        if isinstance(value, str) and _UNPRINTABLE.search(value):
            raise _refused(node, f"{value[:40]!r} holds a character that no text has")
        return value


def _integer(loader: _Yaml12, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


class _RefusedError(yaml.constructor.ConstructorError):
    """YAML, but nothing that a recipe may hold."""


def _refused(node: yaml.Node, problem: str) -> _RefusedError:
    return _RefusedError(None, None, problem, node.start_mark)


_Yaml12.add_constructor(f"{_YAML_TAG}int", _integer)
_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag.endswith((":null", ":merge"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in _SCALARS.items():
    _Yaml12.add_implicit_resolver(f"{_YAML_TAG}{_name}", _pattern, list(_first))


def read_text(path: Path) -> str:
    """The text of a recipe file.

    Raises:
        RecipeError: it is too large for a recipe, or no text.
    """
    if path.stat().st_size > MAX_BYTES:
        raise RecipeError(f"'{path}' is no recipe: it has more than {MAX_BYTES:,} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe file '{path}' cannot be read as UTF-8 text: {error}") from None


def read_yaml(text: str, origin: str) -> tuple[object, dict[str, int]]:
    """The value of a text in YAML, and dotted key -> its line.

    Raises:
        RecipeError: the text is not YAML, a key is written twice (YAML would keep the last), or a value is none that a
            recipe may hold.
    """
    if len(text) > MAX_BYTES:
        raise RecipeError(f"{origin}: a recipe has at most {MAX_BYTES:,} characters, not {len(text):,}")
    try:
        loader = _Yaml12(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        _check_size(node, origin)
        return loader.construct_document(node), _line_numbers(node, origin)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        start = "" if isinstance(error, _RefusedError) else "this is not YAML: "
        raise RecipeError(f"{origin}:{line}: {start}{error.problem}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{origin}: this is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise RecipeError(f"{origin}: values are nested more than {_MAX_DEPTH} deep") from None


def compose(text: str) -> yaml.Node:
    """The nodes of a text that `read_yaml` takes, with where each stands."""
    node = _Yaml12(text).get_single_node()
    assert node is not None
    return node


def scalar_value(node: yaml.ScalarNode) -> object:
    """The value of a node of `compose`."""
    return _Yaml12("").construct_object(node)


def is_merge(key: yaml.Node) -> bool:
    """Whether a key is `<<`, whose value is another mapping, or several, that this one takes over."""
    return bool(key.tag == f"{_YAML_TAG}merge")


def read_recipe_mapping(text: str, origin: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The mapping that a recipe is, and dotted key -> where it is written; the empty key is the whole.

    Raises:
        RecipeError: as `read_yaml`, or the text is no mapping.
    """
    raw, lines = read_yaml(text, origin)
    if not isinstance(raw, dict):
        raise RecipeError(f"{origin}: a recipe is a mapping with task, model and data")
    return raw, {"": origin} | {key: f"{origin}:{line}" for key, line in lines.items()}


def _check_size(root: yaml.Node, origin: str) -> None:
    """Refuse what aliases make endless, or too large to be read."""
    count, waiting = 0, [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        line = node.start_mark.line + 1
        if depth > _MAX_DEPTH:
            raise RecipeError(
                f"{origin}:{line}: values are nested more than {_MAX_DEPTH} deep, or an alias (*) holds itself"
            )
        if count > _MAX_VALUES:
            raise RecipeError(f"{origin}:{line}: more than {_MAX_VALUES:,} values, with those that aliases (*) repeat")
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
        waiting += [(part, depth + 1) for part in parts]


def _line_numbers(node: yaml.Node, origin: str, place: str = "") -> dict[str, int]:
    """Dotted key -> its line.

    Raises:
        RecipeError: a key is written twice.
    """
    lines: dict[str, int] = {}
    if not isinstance(node, yaml.MappingNode):
        return lines
    for key, value in node.value:
        dotted, line = f"{place}.{key.value}" if place else str(key.value), key.start_mark.line + 1
        if dotted in lines:
            raise RecipeError(f"{origin}:{line}: '{dotted}' is written twice")
        lines |= {dotted: line} | _line_numbers(value, origin, dotted)
    return lines
