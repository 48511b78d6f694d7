"""The type of a JSON column over all rows, and its cells in that type: a string stays one, whatever it looks like."""

from __future__ import annotations

import json
from functools import reduce
from typing import TYPE_CHECKING, Any

from hftransfer.core.features import CHOICES

if TYPE_CHECKING:
    from pyarrow import DataType


class Spelled(float):
    """A number with decimals that knows how the file writes it."""

    text: str

    def __new__(cls, text: str) -> Spelled:
        """The number that a text spells."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def infer_type(values: list[Any]) -> tuple[DataType, bool]:
    """The Arrow type that holds all of the cells, and whether they are of several and have to be converted.

    Text where scalars differ, binary for what only JSON can hold. Booleans and numbers with decimals are text, which is
    how the file writes them.
    """
    import pyarrow

    try:
        found = pyarrow.array(values).type
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
        return reduce(merge, map(_type_of, values), pyarrow.null()), True
    return (pyarrow.string(), True) if found in (pyarrow.bool_(), pyarrow.float64()) else (found, False)


def _type_of(cell: Any) -> DataType:
    import pyarrow

    if isinstance(cell, list):
        return pyarrow.list_(reduce(merge, map(_type_of, cell), pyarrow.null()))
    if isinstance(cell, dict):
        return pyarrow.struct([(name, _type_of(part)) for name, part in cell.items()])
    if isinstance(cell, int) and not -(2**63) <= cell < 2**63:
        return pyarrow.string()
    types = {bool: pyarrow.bool_(), int: pyarrow.int64(), str: pyarrow.string(), type(None): pyarrow.null()}
    return types.get(type(cell), pyarrow.float64())


def merge(first: DataType, second: DataType) -> DataType:
    """The narrowest type for the cells of both: a cell and a list of cells are lists."""
    from pyarrow import binary, struct, types

    if first == second or types.is_null(second):
        return first
    if types.is_null(first):
        return second
    if types.is_struct(first) and types.is_struct(second):
        fields = {field.name: field.type for field in first}
        for field in second:
            fields[field.name] = merge(fields.get(field.name, field.type), field.type)
        return struct(list(fields.items()))
    first, second = _chosen(first), _chosen(second)
    if any(types.is_struct(kind) or types.is_binary(kind) for kind in (first, second)):
        return binary()
    return _merge_lists(first, second)


def _chosen(kind: DataType) -> DataType:
    """The list of a mapping that holds nothing but choices."""
    from pyarrow import types

    only = kind.field(0) if types.is_struct(kind) and kind.num_fields == 1 else None
    return only.type if only is not None and only.name == CHOICES and types.is_list(only.type) else kind


def _merge_lists(first: DataType, second: DataType) -> DataType:
    """The type of two scalars, two lists of them, or of both."""
    from pyarrow import binary, float64, int64, list_, string, types

    if types.is_list(first) and types.is_list(second):
        return list_(merge(first.value_type, second.value_type))
    if types.is_list(first) or types.is_list(second):
        item, scalar = (first.value_type, second) if types.is_list(first) else (second.value_type, first)
        return binary() if types.is_nested(item) or types.is_binary(item) else list_(merge(item, scalar))
    return float64() if {first, second} <= {int64(), float64()} else string()


def convert(cell: Any, kind: DataType) -> Any:
    """A cell in a type that `merge` found for it and others."""
    from pyarrow import types

    if types.is_binary(kind):
        return json.dumps(cell, ensure_ascii=False)
    if cell is None:
        return None
    if types.is_list(kind):
        items = cell[CHOICES] if isinstance(cell, dict) else cell
        return [convert(item, kind.value_type) for item in (items if isinstance(items, list) else [items])]
    if types.is_struct(kind):
        return {field.name: convert(cell.get(field.name), field.type) for field in kind}
    if types.is_string(kind) and not isinstance(cell, str):
        missing = isinstance(cell, float) and cell != cell
        return None if missing else cell.text if isinstance(cell, Spelled) else json.dumps(cell)
    return cell


def stored(kind: DataType) -> DataType:
    """The type in which Arrow holds cells that `convert` made: JSON is text."""
    from pyarrow import list_, string, struct, types

    if types.is_binary(kind):
        return string()
    if types.is_list(kind):
        return list_(stored(kind.value_type))
    return struct([(field.name, stored(field.type)) for field in kind]) if types.is_struct(kind) else kind


def to_feature(kind: DataType) -> Any:
    """The feature type of `datasets` for a type that `merge` found."""
    from datasets import Json, List, Value
    from pyarrow import types

    if types.is_binary(kind):
        return Json()
    if types.is_list(kind):
        return List(to_feature(kind.value_type))
    if types.is_struct(kind):
        return {field.name: to_feature(field.type) for field in kind}
    return Value("float64" if types.is_float64(kind) else str(kind))
