"""Names and transcripts in one Unicode form (NFC), so that `café` of two keyboards is one class and one word."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from hftransfer.core.features import CATEGORIES

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset


def nfc(text: str) -> str:
    """The text with letters and their accents as one character each, where there is one."""
    return unicodedata.normalize("NFC", text)


def with_normal_form(rows: Dataset, role: str) -> Dataset:
    """The rows with the names and texts of a column in NFC; the rows themselves where they are already.

    Classes whose names become equal become one.
    """
    feature = rows.features[role]
    if not _has_names(feature):
        return rows
    table = rows.select_columns([role]).with_format("arrow")[:]
    column = table.column(role).combine_chunks()
    changed, values = _normal(feature, column)
    if changed == feature and values.equals(column):
        return rows
    order = rows.column_names
    return rows.remove_columns(role).add_column(role, values, feature=changed).select_columns(order)


def _has_names(feature: Any) -> bool:
    """Whether a feature may hold names: numbers, images and recordings do not."""
    if isinstance(feature, dict):
        return any(_has_names(feature[key]) for key in CATEGORIES if key in feature)
    if hasattr(feature, "names") or hasattr(feature, "feature"):
        return hasattr(feature, "names") or _has_names(feature.feature)
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _normal(feature: Any, column: pyarrow.Array) -> tuple[Any, pyarrow.Array]:
    """Feature and values with names and texts in NFC."""
    import pyarrow
    from datasets import ClassLabel
    from pyarrow import compute

    if isinstance(feature, ClassLabel):
        names = [nfc(name) for name in feature.names]
        merged = list(dict.fromkeys(names))
        numbers = pyarrow.array([merged.index(name) for name in names], column.type)
        # -1 stands for a label that is hidden.
        named = compute.if_else(compute.greater_equal(column, 0), column, None)
        values = compute.if_else(compute.is_null(named), column, numbers.take(named))
        return ClassLabel(names=merged), values
    if isinstance(feature, dict):
        parts = {key: _normal(it, compute.struct_field(column, key)) for key, it in feature.items()}
        arrays = [values for _, values in parts.values()]
        mask = column.is_null()
        return {key: it for key, (it, _) in parts.items()}, pyarrow.StructArray.from_arrays(
            arrays, list(parts), mask=mask
        )
    if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
        inner, values = _normal(feature.feature, column.flatten())
        lengths = compute.fill_null(compute.list_value_length(column), 0)
        offsets = pyarrow.concat_arrays([pyarrow.array([0], lengths.type), compute.cumulative_sum(lengths)])
        rebuilt = type(column).from_arrays(offsets, values, mask=column.is_null())
        return type(feature)(inner), rebuilt
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        return feature, compute.utf8_normalize(column, form="NFC")
    return feature, column
