"""What passes between a task and its callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

IGNORED = -100
"""The label that PyTorch's losses ignore (`ignore_index`)."""

Processor = Any
"""A tokenizer, image processor, feature extractor or processor of Transformers, which share no base class."""
Rows = Mapping[str, list[Any]]
"""A batch of rows, role -> cells, as `datasets.map(batched=True)` gives them."""
Row = dict[str, Any]
"""One row, role -> value."""
EncodedRow = dict[str, Any]
"""One model input as `collate` takes it, name -> value."""
Rendered = dict[str, str | list[tuple[str, str]]]
"""What a report shows of a row: `text`, `image`, `audio`, `synthesized`, `recorded`, `changes`."""
Side = Mapping[str, list[Any]]
"""What belongs to model inputs and the model must not see, name -> one entry a model input."""
ModelBatch = dict[str, Any]
"""Keyword arguments of the model's `forward`: name -> tensor."""
Model = Callable[..., Any]
"""A PyTorch model, or an exported one that is called in the same way."""
Outputs = dict[str, np.ndarray]
"""Model outputs, name -> array with one entry a model input, padded with NaN or -1 where shapes differ.

At least one of them holds floats, by which an exported model is compared with the trained one.
"""
RowTarget = Literal["class", "classes", "number"]
"""What a row's label is: a class number, flags of shape (classes,), or a number."""
Predictions = np.ndarray
"""One entry a row: class numbers, numbers, or an object array of texts, lists, masks."""


@dataclass(frozen=True)
class Encoded:
    """Some rows as model inputs: one a row, or several (`row` then says whose each one is)."""

    inputs: dict[str, list[Any]]
    """What `collate` makes a batch of: name -> one entry a model input."""
    side: dict[str, list[Any]] = field(default_factory=dict)
    """What the model must not see: sizes, offsets, the text. It reaches `outputs` and `postprocess`."""
    row: list[int] | None = None
    """The number, within these rows, of the row that each model input belongs to; None: one a row, in order."""
    length: list[int] | None = None
    """The length of each model input, where batches should hold inputs of like length."""


class Illustration(NamedTuple):
    """What a page shows of the answer to a row besides words."""

    picture: Any = None
    """A PIL image in mode RGB."""
    areas: tuple[tuple[Any, str], ...] = ()
    """Parts of the picture with their labels: boxes (left, top, right, bottom, in pixels), or masks of its size."""
    spans: tuple[tuple[str, str | None], ...] = ()
    """Parts of a text with their labels."""


def stack(arrays: list[np.ndarray]) -> np.ndarray:
    """One array of all, filled up to the largest shape with NaN, whole numbers with -1."""
    shape = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
    fill = np.nan if arrays[0].dtype.kind == "f" else -1

    def padded(array: np.ndarray) -> np.ndarray:
        missing = [(0, size - present) for size, present in zip(shape, array.shape, strict=True)]
        return np.pad(array, missing, constant_values=fill)

    return np.stack([array if array.shape == shape else padded(array) for array in arrays])


def object_array(values: list[Any]) -> np.ndarray:
    """An object array of lists, texts or mappings, of which NumPy would make a table where they are of one length."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
