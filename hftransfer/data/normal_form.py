"""Names and transcripts in one Unicode form (NFC), so that `café` of two keyboards is one class and one word."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from hftransfer.core.arrow import with_column
from hftransfer.core.features import CATEGORIES

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset


def nfc(text: str) -> str:
    """The text with letters and their accents as one character each, where there is one."""
    return unicodedata.normalize("NFC", text)


def with_normal_form(rows: Dataset, role: str | None) -> Dataset:
    """The rows with the names and texts of a column in NFC; the rows themselves where they are already.

    Classes whose names become equal become one.
    """
    from datasets import Dataset, Features

    if role is None or not _has_names(feature := rows.features[role]):
        return rows
    column = rows.select_columns([role]).with_format("arrow")
    if all(_is_normal(feature, batch.column(role)) for batch in column.iter(batch_size=10_000)):
        return rows
    changed, values = _normal(feature, column[:].column(role).combine_chunks())
    others = rows.remove_columns(role)
    if not others.column_names:
        return Dataset.from_dict({role: values}, features=Features({role: changed}))
    return with_column(others, role, values, feature=changed).select_columns(rows.column_names)


def _is_normal(feature: Any, column: pyarrow.ChunkedArray) -> bool:
    part = column.combine_chunks()
    changed, values = _normal(feature, part)
    return bool(changed == feature and values.equals(part))


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
        parts = {key: (it, compute.struct_field(column, key)) for key, it in feature.items()}
        parts |= {key: _normal(*part) for key, part in parts.items() if key in CATEGORIES}
        arrays = [values for _, values in parts.values()]
        changed = {key: it for key, (it, _) in parts.items()}
        return changed, pyarrow.StructArray.from_arrays(arrays, list(parts), mask=column.is_null())
    if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
        inner, values = _normal(feature.feature, column.flatten())
        lengths = compute.fill_null(compute.list_value_length(column), 0)
        offsets = pyarrow.concat_arrays([pyarrow.array([0], lengths.type), compute.cumulative_sum(lengths)])
        rebuilt = type(column).from_arrays(offsets, values, mask=column.is_null())
        return type(feature)(inner), rebuilt
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        return feature, compute.utf8_normalize(column, form="NFC")
    return feature, column
